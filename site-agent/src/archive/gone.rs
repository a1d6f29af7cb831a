//! Freeing: bytes that were held and are to be held no more.
//!
//! What is freed is first said, in an entry of a run's own ledger, and that is durable together with the rows of
//! the files to be deleted; only then are they deleted, and then the rows. So whatever happens in between, a
//! file is either held, or known to be gone, and whoever comes next deletes it ([`Archive::delete_freed`]).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wire::entry::Entry;
use wire::proto::GapCause;
use wire::proto::entry::Kind;
use wire::{LedgerId, RangeSet, SegmentNumber, Seq, UnixMicros, proto};

use super::change::{Change, Done};
use super::damage::set_aside;
use super::disks::DiskNumber;
use super::index::Then;
use super::records::Sender;
use super::writer::Pass;
use super::{Archive, ArchiveError, Event, Result, layout};
use crate::failpoint;

/// No gone entry speaks of more time than this: a query looks back a little further ([`super::query`]).
pub const GONE_SPAN_MAX: std::time::Duration = std::time::Duration::from_secs(3600);

/// A segment whose bytes are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSegment {
    /// Its place.
    pub seq: Seq,
    /// The first of the entries without bytes directly before it: they may be named with it, which keeps the
    /// ranges few.
    pub from: Seq,
    /// Its number in the ledger.
    pub number: SegmentNumber,
    /// Its first instant.
    pub start: UnixMicros,
    /// The first instant after it.
    pub end: UnixMicros,
    /// Its length.
    pub bytes: u64,
}

impl Archive {
    /// The first segments among `seqs`, which are all held, as many as `most` that `wanted` wants for their place and
    /// their time.
    pub fn held_segments(
        &self,
        ledger: &LedgerId,
        seqs: &RangeSet,
        most: usize,
        mut wanted: impl FnMut(Seq, UnixMicros, UnixMicros) -> bool,
    ) -> Result<Vec<HeldSegment>> {
        self.held_segments_with(ledger, seqs, most, |held| Ok(wanted(held.seq, held.start, held.end)))
    }

    /// [`Archive::held_segments`], by anything there is to know of them.
    pub fn held_segments_with(
        &self,
        ledger: &LedgerId,
        seqs: &RangeSet,
        most: usize,
        mut wanted: impl FnMut(&HeldSegment) -> Result<bool>,
    ) -> Result<Vec<HeldSegment>> {
        let mut found = Vec::new();
        for range in seqs.iter() {
            let mut from = Seq(range.start);
            self.inner.index.walk_while(ledger, range, |seq, _, entry| {
                if let Some(segment) = entry.segment() {
                    let held = HeldSegment {
                        seq,
                        from,
                        number: SegmentNumber(segment.number),
                        start: UnixMicros(segment.start_us),
                        end: UnixMicros(segment.end_us),
                        bytes: segment.bytes,
                    };
                    if wanted(&held)? {
                        found.push(held);
                    }
                    from = Seq(seq.0 + 1);
                }
                Ok(found.len() < most)
            })?;
            if found.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    /// Deletes files that were freed, as many as `most`; tells how many. What a crash left between an entry and
    /// its files goes here too.
    pub fn delete_freed(&self, most: usize) -> Result<usize> {
        // Those on a disk that is not there wait for it.
        let there = |ledger: &LedgerId, number| Ok(self.disk_of(ledger, number)?.is_in_use());
        let files = self.inner.index.freed(most, there)?;
        let mut folders = BTreeSet::new();
        for (ledger, number, then) in &files {
            let path = self.segment_path(ledger, *number)?;
            match then {
                Then::Delete => remove(&path)?,
                Then::SetAside => set_aside(self.disk_of(ledger, *number)?.dir(), &path)?,
            }
            failpoint::pass("free/file-deleted");
            self.note_folder(ledger, &path, &mut folders);
        }
        let outdated = self.delete_outdated(most, &mut folders)?;
        for (folder, ended) in folders {
            if folder.is_dir() {
                layout::sync_folder(&folder)?;
            }
            if ended {
                layout::remove_emptied(&folder);
            }
        }
        failpoint::pass("free/files-deleted");
        let deleted = files.len() + outdated.len();
        if deleted > 0 {
            let files = files.into_iter().map(|(ledger, number, _)| (ledger, number)).collect();
            self.submit_blocking(Change::Deleted { files, outdated })?;
            failpoint::pass("free/forgotten");
        }
        Ok(deleted)
    }

    /// Files that are somewhere else by now, since their disk was not there.
    fn delete_outdated(
        &self,
        most: usize,
        folders: &mut BTreeSet<(PathBuf, bool)>,
    ) -> Result<Vec<(DiskNumber, LedgerId, SegmentNumber)>> {
        let mut outdated = Vec::new();
        if !self.disks().are_several() {
            return Ok(outdated);
        }
        for disk in self.disks().in_use() {
            for (ledger, number) in self.inner.index.outdated(disk.number(), most)? {
                let Some(record) = self.ledger(&ledger) else { continue };
                let path = layout::segment(disk.dir(), &record.site()?, &ledger, number);
                remove(&path)?;
                self.note_folder(&ledger, &path, folders);
                outdated.push((disk.number(), ledger, number));
            }
        }
        Ok(outdated)
    }

    fn note_folder(&self, ledger: &LedgerId, path: &Path, folders: &mut BTreeSet<(PathBuf, bool)>) {
        if let Some(folder) = path.parent() {
            let ended = self.ledger(ledger).is_some_and(|record| record.ended);
            folders.insert((folder.to_owned(), ended));
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(ArchiveError::Io { what: "delete segment", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// What is said to be gone.
pub(super) struct Freed {
    /// The ledger it is said in.
    pub(super) ledger: LedgerId,
    pub(super) at: UnixMicros,
    /// Whose bytes.
    pub(super) of: LedgerId,
    pub(super) seqs: RangeSet,
    pub(super) cause: GapCause,
}

impl Pass<'_> {
    /// Says that bytes are gone, and leaves their files to be deleted.
    pub(super) fn free(&mut self, freed: Freed) -> Result<(Done, Option<Event>)> {
        let Freed { ledger, at, of, seqs, cause } = freed;
        let writer = self.known(&ledger)?;
        if writer.ended {
            return Err(ArchiveError::Ended(ledger));
        }
        let mut record = self.known(&of)?;
        if record.site != writer.site || of.stream != ledger.stream {
            return Err(ArchiveError::NotYours { ledger: of, owner: record.site()? });
        }
        // What is on a disk that is not there is not lost: nobody says so before a person does.
        let away = record.away();
        let seqs = seqs.minus(&self.coming_back(&of, away.clone(), &seqs)?);
        let (held, damaged, missing) = (record.held(), record.damaged(), record.missing());
        let (mut bytes, mut span, mut freed) = (0, None::<(i64, i64)>, Vec::new());
        for range in seqs.iter() {
            self.inner.index.walk(&of, range, |seq, _, entry| {
                let then = match (held.contains(seq.0), damaged.contains(seq.0)) {
                    (true, _) => Some(Then::Delete),
                    (_, true) if away.contains(seq.0) => None, // its file went with the disk
                    (_, true) => Some(Then::SetAside),
                    _ if missing.contains(seq.0) => None, // nobody has it, and there is no file
                    _ => return Ok(()),
                };
                if let Some(segment) = entry.segment() {
                    bytes += if then == Some(Then::Delete) { segment.bytes } else { 0 };
                    let (start, end) = span.unwrap_or((segment.start_us, segment.end_us));
                    span = Some((start.min(segment.start_us), end.max(segment.end_us)));
                    freed.extend(then.map(|then| (SegmentNumber(segment.number), then)));
                }
                Ok(())
            })?;
        }
        let Some((start_us, end_us)) = span else { return Ok((Done::Stored, None)) };
        for (number, then) in freed {
            self.inner.index.put_freed(&mut self.batch, (&of, number), then);
            if then == Then::SetAside {
                self.inner.damage.given_up();
            }
        }
        record.lose(&seqs);
        record.bytes = record.bytes.saturating_sub(bytes);
        self.changed.insert(of.clone(), record);
        self.told.push(Event::Gone { ledger: of.clone(), seqs: seqs.clone() });
        let gone = proto::Gone {
            ledger: Some(of.to_proto()),
            seqs: seqs.to_proto(),
            cause: cause.into(),
            start_us,
            end_us,
        };
        self.append(ledger, Entry::write(at, Kind::Gone(gone)), None)
    }

    /// Another's ledger says that bytes are gone where it was written: they will not come here any more.
    pub(super) fn gone_elsewhere(&mut self, by: &Sender, gone: &proto::Gone) {
        let Ok(of) = LedgerId::from_proto(gone.ledger.as_ref()) else { return };
        let Some(mut record) = self.record(&of).filter(|record| by.brings(record)) else { return };
        let told: RangeSet = RangeSet::from_proto(&gone.seqs)
            .iter()
            .map(|range| range.start..range.end.min(record.next))
            .collect();
        // What is damaged here has yet to be said gone here, with its cause.
        let here = record.held().union(&record.damaged());
        record.gone_ranges = record.gone().union(&told.minus(&here)).to_proto();
        self.changed.insert(of, record);
    }

    /// Is a file of this name still to be deleted, on this disk or where it was before?
    pub(super) fn is_freed(
        &self,
        disk: DiskNumber,
        ledger: &LedgerId,
        number: SegmentNumber,
    ) -> Result<bool> {
        let index = &self.inner.index;
        Ok(index.is_freed(ledger, number)? || index.is_outdated(disk, ledger, number)?)
    }
}
