//! Damage: bytes that should be here and are not, or are not what their entry says.
//!
//! Who finds that says it ([`Change::Damaged`]), and the bytes are held no more from then on, durably: nothing is
//! acked, served or sent on their word. They stay *wanted* until they are here again ([`Change::Bytes`]), or nobody
//! has them any more and that is said ([`Change::Free`], cause `CORRUPT`). The file that was found stays where it is
//! until then: right bytes take its place, or it is moved to `discarded/`, since some of it may still be read.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::proto::Segment;
use wire::{LedgerId, RangeSet, SegmentNumber, Seq};

use super::change::Done;
use super::records::LedgerRecord;
use super::writer::Pass;
use super::{Archive, ArchiveError, Event, Result, layout};

/// A segment and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// In which ledger.
    pub ledger: LedgerId,
    /// At which place.
    pub seq: Seq,
    /// What its entry says.
    pub segment: Segment,
}

/// How many damaged segments there are, and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Wanted again; without those whose disk is not there.
    pub wanted: u64,
    /// Whose right bytes came since the archive was opened.
    pub repaired: u64,
    /// Given up since then: nobody has them.
    pub given_up: u64,
}

/// Counted since the archive was opened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    repaired: AtomicU64,
    given_up: AtomicU64,
}

impl Counts {
    pub(super) fn repaired(&self) {
        self.repaired.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }
}

impl Archive {
    /// How much damage there is.
    pub fn damage(&self) -> Damage {
        let counts = &self.inner.damage;
        Damage {
            wanted: self
                .inner
                .read_ledgers()
                .values()
                .map(|record| record.damaged().minus(&record.away()).len())
                .sum(),
            repaired: counts.repaired.load(Ordering::Relaxed),
            given_up: counts.given_up.load(Ordering::Relaxed),
        }
    }

    /// Is the disk that it is on not there?
    pub fn is_away(&self, placed: &Placed) -> bool {
        let ledgers = self.inner.read_ledgers();
        ledgers.get(&placed.ledger).is_some_and(|record| {
            record.away_ranges.iter().any(|range| (range.start..range.end).contains(&placed.seq.0))
        })
    }

    /// Damaged segments behind `after`, in order, as many as `most`.
    pub fn damaged(&self, after: Option<&(LedgerId, Seq)>, most: usize) -> Result<Vec<Placed>> {
        self.segments_after(after, most, LedgerRecord::damaged)
    }

    /// The next held segment behind `after`, in the order of ledgers and seqs.
    pub fn next_held(&self, after: Option<&(LedgerId, Seq)>) -> Result<Option<Placed>> {
        Ok(self.segments_after(after, 1, LedgerRecord::held)?.pop())
    }

    fn segments_after(
        &self,
        after: Option<&(LedgerId, Seq)>,
        most: usize,
        which: impl Fn(&LedgerRecord) -> RangeSet,
    ) -> Result<Vec<Placed>> {
        use std::ops::Bound::{Included, Unbounded};
        let mut found = Vec::new();
        let mut from = after.map(|(ledger, seq)| (ledger.clone(), seq.0.saturating_add(1)));
        while found.len() < most {
            // One ledger at a time: the lock is not held while the index is read.
            let next = {
                let ledgers = self.inner.read_ledgers();
                let start = from.as_ref().map_or(Unbounded, |(ledger, _)| Included(ledger));
                ledgers.range::<LedgerId, _>((start, Unbounded)).find_map(|(ledger, record)| {
                    let passed = from.as_ref().filter(|(last, _)| last == ledger).map_or(0, |(_, seq)| *seq);
                    let seqs = which(record).minus(&RangeSet::from(0..passed));
                    (!seqs.is_empty()).then(|| (ledger.clone(), seqs))
                })
            };
            let Some((ledger, seqs)) = next else { break };
            self.collect_segments(&ledger, &seqs, most, &mut found)?;
            from = Some((ledger, u64::MAX));
        }
        Ok(found)
    }

    /// Adds the segments among some entries of a ledger, until there are as many as `most`.
    pub(super) fn collect_segments(
        &self,
        ledger: &LedgerId,
        seqs: &RangeSet,
        most: usize,
        found: &mut Vec<Placed>,
    ) -> Result<()> {
        for range in seqs.iter() {
            self.inner.index.walk_while(ledger, range, |seq, _, entry| {
                if let Some(segment) = entry.segment() {
                    found.push(Placed { ledger: ledger.clone(), seq, segment: segment.clone() });
                }
                Ok(found.len() < most)
            })?;
            if found.len() >= most {
                break;
            }
        }
        Ok(())
    }

    /// Bytes of the segments held.
    pub fn held_bytes(&self) -> u64 {
        self.inner.read_ledgers().values().map(|record| record.bytes).sum()
    }

    /// What whoever re-reads the archive noted last.
    pub fn scrub_note(&self) -> Result<Option<Vec<u8>>> {
        self.inner.index.scrub_note()
    }

    /// Changes that wait for the writer: while there are any, others keep off the disk.
    pub fn changes_waiting(&self) -> usize {
        self.writer.jobs().map_or(0, |jobs| jobs.max_capacity() - jobs.capacity())
    }
}

/// Moves a file to `discarded/` on the same disk, under a name that says where it was.
pub(super) fn set_aside(dir: &Path, file: &Path) -> Result<()> {
    let folder = dir.join("discarded");
    layout::make_synced(dir, &folder)?;
    let flat = file.strip_prefix(dir).unwrap_or(file).to_string_lossy().replace('/', "_");
    let target = folder.join(flat);
    tracing::warn!(file = %file.display(), to = %target.display(), "set aside");
    match std::fs::rename(file, &target) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(ArchiveError::Io { what: "set aside", path: target, source })
        }
        _ => layout::sync_folder(&folder),
    }
}

impl Pass<'_> {
    /// Bytes that were held are damaged. Of those that are not held nothing is said.
    pub(super) fn damaged(&mut self, ledger: LedgerId, seq: Seq) -> Result<(Done, Option<Event>)> {
        let mut record = self.known(&ledger)?;
        let entry = self.inner.index.entry(&ledger, seq)?;
        let segment = entry.as_ref().and_then(|(_, entry)| entry.segment());
        let Some(segment) = segment.filter(|_| record.held().contains(seq.0)) else {
            return Ok((Done::Stored, None));
        };
        record.damage(seq);
        record.bytes = record.bytes.saturating_sub(segment.bytes);
        self.changed.insert(ledger.clone(), record);
        let event = Event::Damaged { ledger, seq, segment: SegmentNumber(segment.number) };
        Ok((Done::Stored, Some(event)))
    }
}
