//! Writes a planned export, fragment by fragment.

use std::fs::File;
use std::ops::Deref;

use bytes::Bytes;
use media::export::{Exporter, proof_box};
use media::read::{Header, parse_fragment};
use wire::entry::{Entry, part_span};
use wire::proto::GapCause;
use wire::{SegmentNumber, UnixMicros};

use super::plan::Piece;
use super::{ExportError, NotExported, Plan};
use crate::archive::{Archive, read_at};
use crate::serve::proof::{Document, ProvenGap, ProvenSegment};
use crate::serve::tails::Tails;

/// What became of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSummary {
    /// The first instant in the file.
    pub from: UnixMicros,
    /// The first instant after the file.
    pub to: UnixMicros,
    /// Fragments in the file.
    pub fragments: u64,
    /// Video frames in the file.
    pub frames: u64,
    /// Length of the file.
    pub bytes: u64,
    /// What of the range is not in it.
    pub not_exported: Vec<NotExported>,
    /// Why it ends before the range does.
    pub stop: Option<super::Stop>,
}

/// The bytes of an export, one piece at a time.
pub struct Export<T> {
    archive: Archive,
    tails: T,
    plan: Plan,
    exporter: Option<Exporter>,
    /// The piece that is being written, and the next fragment of it.
    at: (usize, u32),
    open: Option<Open>,
    hasher: blake3::Hasher,
    proven: Vec<ProvenSegment>,
    /// Comes last: where the keyframes are.
    index: Option<Bytes>,
    done: bool,
    summary: ExportSummary,
}

/// A segment that is being copied.
struct Open {
    /// Its place in the plan.
    index: usize,
    piece: Piece,
    header: Header,
    entry: Option<Entry>,
    /// Its file, which stays readable even if retention deletes it meanwhile.
    file: Option<File>,
}

impl<T: Deref<Target: Tails>> Export<T> {
    /// Begins to write what was planned.
    pub fn begin(archive: &Archive, tails: T, plan: Plan) -> Self {
        let summary = ExportSummary {
            from: plan.from,
            to: plan.to,
            fragments: 0,
            frames: 0,
            bytes: 0,
            not_exported: plan.not_exported.clone(),
            stop: plan.stop.clone(),
        };
        let first = plan.pieces.first().map_or(1, |piece| piece.first);
        Self {
            archive: archive.clone(),
            tails,
            plan,
            exporter: None,
            at: (0, first),
            open: None,
            hasher: blake3::Hasher::new(),
            proven: Vec::new(),
            index: None,
            done: false,
            summary,
        }
    }

    /// What has been written.
    pub fn summary(self) -> ExportSummary {
        self.summary
    }

    fn advance(&mut self) -> Result<Option<Bytes>, ExportError> {
        if self.exporter.is_none() && !self.done {
            return self.front().map(Some);
        }
        while let Some((index, piece, fragment)) = self.next_fragment() {
            if self.open.as_ref().is_none_or(|open| open.index != index) {
                self.open = self.open(index, &piece)?;
            }
            if let Some(data) = self.copy(&piece, fragment)? {
                return Ok(Some(data));
            }
        }
        if let Some(exporter) = self.exporter.take() {
            self.done = true;
            if self.summary.fragments == 0 {
                return Err(ExportError::Nothing);
            }
            let index = exporter.finish();
            let proof = proof_box(&self.document(&index).encode());
            self.index = Some(index);
            return Ok(Some(proof));
        }
        Ok(self.index.take())
    }

    fn front(&mut self) -> Result<Bytes, ExportError> {
        let first = self.plan.pieces.first().and_then(|piece| self.plan.headers.get(&piece.header));
        let header = first.ok_or(ExportError::Nothing)?;
        let (exporter, front) = Exporter::begin(header, self.plan.audio.as_ref(), self.plan.duration());
        self.exporter = Some(exporter);
        self.hasher.update(&front);
        Ok(front)
    }

    fn next_fragment(&mut self) -> Option<(usize, Piece, u32)> {
        let (index, fragment) = self.at;
        let piece = self.plan.pieces.get(index)?.clone();
        self.at = if fragment < piece.last {
            (index, fragment + 1)
        } else {
            (index + 1, self.plan.pieces.get(index + 1).map_or(1, |next| next.first))
        };
        Some((index, piece, fragment))
    }

    /// One fragment for the file; `None` if it had to be left out.
    fn copy(&mut self, piece: &Piece, fragment: u32) -> Result<Option<Bytes>, ExportError> {
        let Some(open) = &self.open else {
            self.damaged(piece, fragment, "the segment is not there any more");
            return Ok(None);
        };
        let Some(data) = self.read(open, fragment) else {
            self.damaged(piece, fragment, "the fragment can't be read");
            return Ok(None);
        };
        let recorded = open.entry.as_ref().and_then(Entry::segment);
        let listed = recorded.and_then(|segment| segment.fragments.get(fragment.checked_sub(1)? as usize));
        let intact = parse_fragment(&data).ok().filter(|parsed| {
            listed.is_none_or(|listed| listed.frames_hash == parsed.info.frames_hash)
                && parsed.info.segment == named(recorded, piece.number)
        });
        let Some(intact) = intact else {
            self.damaged(piece, fragment, "the fragment is damaged");
            return Ok(None);
        };
        let exported = self.exporter.as_mut().map(|exporter| exporter.fragment(&open.header, &data));
        let exported = match exported {
            Some(Ok(exported)) if !exported.skipped => exported,
            Some(Ok(_)) => {
                self.damaged(piece, fragment, "it can't be decoded without the fragment before");
                return Ok(None);
            }
            Some(Err(_)) | None => {
                self.damaged(piece, fragment, "the fragment can't be copied");
                return Ok(None);
            }
        };
        if intact.info.frames_hash != exported.frames_hash.as_slice() {
            let (ledger, segment) = (piece.ledger.clone(), piece.number);
            return Err(ExportError::Altered { ledger, segment, fragment });
        }
        self.summary.fragments += 1;
        self.summary.frames += intact.video.len() as u64;
        self.hasher.update(&exported.data);
        self.prove(fragment, exported.frames_hash)?;
        Ok(Some(exported.data))
    }

    fn open(&self, index: usize, piece: &Piece) -> Result<Option<Open>, ExportError> {
        // A tail may have become an entry since it was planned.
        let seq = match piece.seq {
            Some(seq) => Some(seq),
            None => self.archive.seq_of(&piece.ledger, piece.number)?,
        };
        let entry = match seq {
            Some(seq) => self.archive.entry(&piece.ledger, seq)?,
            None => None,
        };
        if piece.seq.is_some() && entry.is_none() {
            return Ok(None);
        }
        let Some(header) = self.plan.headers.get(&piece.header).cloned() else { return Ok(None) };
        let file = entry.as_ref().and_then(|_| self.archive.open_file(&piece.ledger, piece.number).ok());
        Ok(Some(Open { index, piece: Piece { seq, ..piece.clone() }, header, entry, file }))
    }

    fn read(&self, open: &Open, fragment: u32) -> Option<Bytes> {
        let (ledger, number) = (&open.piece.ledger, open.piece.number);
        match open.entry.as_ref().and_then(Entry::segment) {
            Some(segment) => {
                let (offset, length) = part_span(segment, fragment)?;
                read_at(open.file.as_ref()?, offset, length).ok().map(Bytes::from)
            }
            None => self.tails.read(ledger, number, fragment),
        }
    }

    fn prove(&mut self, fragment: u32, frames_hash: [u8; 32]) -> Result<(), ExportError> {
        let Some(Open { piece, entry, .. }) = &self.open else { return Ok(()) };
        let goes_on = self.proven.last_mut().filter(|last| {
            last.origin == piece.ledger.origin
                && last.segment == piece.number
                && last.seq == piece.seq
                && last.fragments.1.checked_add(1) == Some(fragment)
        });
        if let Some(last) = goes_on {
            last.fragments.1 = fragment;
            last.add_unproven(frames_hash);
            return Ok(());
        }
        let head_before = match piece.seq {
            Some(seq) => self.archive.head_before(&piece.ledger, seq)?,
            None => None,
        };
        let entry = entry.as_ref().map(|entry| entry.bytes().clone());
        let mut proven =
            ProvenSegment::new(piece.ledger.origin, piece.number, piece.seq, entry, head_before, fragment);
        proven.add_unproven(frames_hash);
        self.proven.push(proven);
        Ok(())
    }

    fn damaged(&mut self, piece: &Piece, fragment: u32, what: &str) {
        tracing::warn!(ledger = %piece.ledger, segment = %piece.number, fragment, what, "left out of an export");
        let detail =
            format!("segment {} of {}, fragment {fragment}: {what}", piece.number, piece.ledger.origin);
        self.summary.not_exported.push(NotExported {
            start: piece.start,
            end: piece.end,
            state: "damaged",
            cause: Some(GapCause::Corrupt),
            detail,
        });
    }

    fn document(&mut self, index: &[u8]) -> Document {
        self.summary.not_exported.sort_by_key(|part| part.start);
        let gaps = self.summary.not_exported.iter().map(|part| ProvenGap {
            from_us: part.start.0,
            to_us: part.end.0,
            state: part.state.to_owned(),
            cause: part.cause.map(crate::serve::coverage::cause_name),
            detail: part.detail.clone(),
        });
        Document {
            format: Document::FORMAT,
            site: self.plan.site.clone(),
            stream: self.plan.stream.clone(),
            from_us: self.plan.from.0,
            to_us: self.plan.to.0,
            asked_from_us: self.plan.asked.0.0,
            asked_to_us: self.plan.asked.1.0,
            segments: std::mem::take(&mut self.proven),
            gaps: gaps.collect(),
            file_hash: self.hasher.finalize().to_hex().to_string(),
            index_hash: blake3::hash(index).to_hex().to_string(),
        }
    }
}

impl<T: Deref<Target: Tails>> Iterator for Export<T> {
    type Item = Result<Bytes, ExportError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        let advanced = self.advance().transpose();
        match &advanced {
            Some(Ok(bytes)) => self.summary.bytes += bytes.len() as u64,
            Some(Err(_)) => {
                self.done = true;
                self.exporter = None;
                self.at = (usize::MAX, 0);
            }
            None => {}
        }
        advanced
    }
}

/// The number that the fragments of a segment bear: of the file as it was first written.
fn named(segment: Option<&wire::proto::Segment>, number: SegmentNumber) -> u64 {
    let recovered = segment.and_then(|segment| segment.recovered_from.as_ref());
    recovered.map_or(number.0, |name| name.number)
}
