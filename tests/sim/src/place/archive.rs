//! What a place has on its disk: files, and an index that changes in batches.
//!
//! The disk decides what a power cut leaves of the files; the index is its own write-ahead log: a batch is
//! there as a whole or not at all.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::chain::Head;
use wire::entry::Entry;
use wire::proto::entry::Kind;
use wire::session::site::LedgerFacts;
use wire::{LedgerId, RangeSet, SegmentNumber, Seq, UnixMicros, proto};

use crate::model::disk::{Disk, Folder, Name};

/// Files being recorded.
pub const OPEN: Folder = 0;
/// Files that an entry names, or is about to name.
pub const MEDIA: Folder = 1;

/// A ledger's row, and all its entries.
#[derive(Clone, Debug)]
pub struct Row {
    /// The ledger's number with the oracle: its files are named by it.
    pub known: u32,
    /// Entries by seq.
    pub entries: Vec<Entry>,
    /// `heads[n]` is the head before entry n.
    pub heads: Vec<Head>,
    /// Entries of segments by their number.
    pub numbers: BTreeMap<SegmentNumber, Seq>,
    /// Will nobody append to it?
    pub ended: bool,
    /// What the vault has acked.
    pub acked: RangeSet,
}

/// A change of the index.
#[derive(Clone, Debug)]
pub enum Change {
    /// A ledger begins.
    Open { ledger: LedgerId, known: u32 },
    /// An entry; of a segment with the file that it names.
    Append { ledger: LedgerId, at: UnixMicros, kind: Box<Kind>, file: Option<(Name, Name)> },
    /// An earlier run's ledger ends.
    End { ledger: LedgerId },
    /// All before is in: the run may record.
    Ready,
}

/// What the rest of the process is told once a change is durable.
#[derive(Clone, Debug)]
pub enum Published {
    /// A ledger was opened.
    Opened(LedgerId),
    /// An entry was committed.
    Committed { ledger: LedgerId, seq: Seq, head: Head, segment: Option<(SegmentNumber, u32)> },
    /// The run may record.
    Ready,
}

/// What is on the disk of a place.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// Its files.
    pub disk: Disk,
    /// Its index, as far as it is durable.
    pub rows: BTreeMap<LedgerId, Row>,
    /// A batch that is written and not synced.
    pub batch: Option<Vec<Change>>,
}

impl Archive {
    /// The batch is durable.
    pub fn apply_batch(&mut self) -> Vec<Published> {
        let changes = self.batch.take().unwrap_or_default();
        changes.into_iter().filter_map(|change| self.apply(change)).collect()
    }

    fn apply(&mut self, change: Change) -> Option<Published> {
        match change {
            Change::Open { ledger, known } => {
                let row = Row {
                    known,
                    entries: Vec::new(),
                    heads: vec![Head::genesis(&ledger)],
                    numbers: BTreeMap::new(),
                    ended: false,
                    acked: RangeSet::new(),
                };
                self.rows.entry(ledger.clone()).or_insert(row);
                Some(Published::Opened(ledger))
            }
            Change::Append { ledger, at, kind, .. } => {
                let row = self.rows.get_mut(&ledger)?;
                let entry = Entry::write(at, *kind);
                let seq = Seq(row.entries.len() as u64);
                let head = row.heads[row.entries.len()].after(entry.bytes());
                let segment = entry
                    .segment()
                    .map(|segment| (SegmentNumber(segment.number), wire::entry::part_count(segment)));
                if let Some((number, _)) = segment {
                    row.numbers.insert(number, seq);
                }
                row.entries.push(entry);
                row.heads.push(head);
                Some(Published::Committed { ledger, seq, head, segment })
            }
            Change::End { ledger } => {
                self.rows.get_mut(&ledger)?.ended = true;
                None
            }
            Change::Ready => Some(Published::Ready),
        }
    }

    /// What a session begins with.
    pub fn facts(&self, ledger: &LedgerId) -> Option<LedgerFacts> {
        let row = self.rows.get(ledger)?;
        Some(LedgerFacts {
            ledger: ledger.clone(),
            next: Seq(row.entries.len() as u64),
            head: row.heads[row.entries.len()],
            ended: row.ended,
            gone: RangeSet::new(),
            acked: row.acked.clone(),
            opened: UnixMicros(0),
        })
    }

    /// Our head before an entry, if we know it.
    pub fn head_at(&self, ledger: &LedgerId, next: Seq) -> Option<Head> {
        self.rows.get(ledger)?.heads.get(usize::try_from(next.0).ok()?).copied()
    }

    /// The parts of a segment, in a file that is open or in its place.
    pub fn parts(&self, known: u32, number: SegmentNumber) -> Option<&[Bytes]> {
        let media = self.disk.read(Name { folder: MEDIA, file: (known, number.0) });
        media.or_else(|| self.disk.read(Name { folder: OPEN, file: (known, number.0) }))
    }
}

/// The entry body of a file's parts.
pub fn segment(
    number: SegmentNumber,
    parts: &[Bytes],
    (start_us, end_us): (i64, i64),
    recovered_from: Option<proto::SegmentName>,
) -> proto::Segment {
    let length = |part: &Bytes| u32::try_from(part.len()).unwrap_or(u32::MAX);
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    let (header, fragments) =
        parts.split_first().map_or((&[][..], &[][..]), |(first, rest)| (&**first, rest));
    proto::Segment {
        number: number.0,
        start_us,
        end_us,
        bytes: parts.iter().map(|part| part.len() as u64).sum(),
        hash: Bytes::copy_from_slice(hasher.finalize().as_bytes()),
        header_bytes: u32::try_from(header.len()).unwrap_or(u32::MAX),
        header_hash: Bytes::copy_from_slice(blake3::hash(header).as_bytes()),
        fragments: fragments
            .iter()
            .map(|part| proto::Fragment { bytes: length(part), ..Default::default() })
            .collect(),
        recovered_from,
        ..Default::default()
    }
}
