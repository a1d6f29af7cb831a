//! The archive of a box that was replaced, from its disk into this one: entries verbatim, what was acked, what is gone,
//! and the bytes. What the hub never had is backlog then like any other.
//!
//! Every file is read through and compared with its entry on the way. Broken off, it goes on where it was.

use std::fs;
use std::path::Path;

use serde::Serialize;
use wire::{LedgerId, Seq, SiteId};

use super::change::{Change, Returned};
use super::damage::Placed;
use super::records::LedgerRecord;
use super::{Archive, ArchiveError, Result};
use crate::scrub::{Finding, check};

/// Entries taken over in one change.
const ENTRIES: u64 = 512;
/// Segments looked at in one go.
const SEGMENTS: usize = 256;

/// What was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// Ledgers of which something was not here.
    pub ledgers: u64,
    /// Entries that were not here.
    pub entries: u64,
    /// Segments whose bytes were not here.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments among them that the hub has not acked.
    pub unacked: u64,
    /// Files that are not what their entry says, or can't be read. The hub is asked for them.
    pub bad: Vec<String>,
}

/// Takes over what `from` has of this site. Both archives have been recovered, so that no ledger goes on. Nothing in
/// `from` is changed.
pub fn adopt(
    archive: &Archive,
    from: &Archive,
    site: &SiteId,
    mut progress: impl FnMut(&Adopted),
) -> Result<Adopted> {
    let mut adopted = Adopted::default();
    for (ledger, theirs) in from.ledgers() {
        if theirs.site != site.as_str() {
            return Err(ArchiveError::NotYours { ledger, owner: theirs.site()? });
        }
        let before = adopted.clone();
        take_entries(archive, from, (&ledger, &theirs), &mut adopted)?;
        archive.submit_blocking(Change::Unwanted { ledger: ledger.clone(), seqs: theirs.gone() })?;
        take_bytes(archive, from, (&ledger, &theirs), &mut adopted, &mut progress)?;
        adopted.ledgers += u64::from(adopted != before);
    }
    Ok(adopted)
}

fn take_entries(
    archive: &Archive,
    from: &Archive,
    (ledger, theirs): (&LedgerId, &LedgerRecord),
    adopted: &mut Adopted,
) -> Result<()> {
    let about = Returned::of(theirs)?;
    let mut next = archive.ledger(ledger).map_or(0, |ours| ours.next);
    loop {
        let entries = from.entries(ledger, next..theirs.next.min(next + ENTRIES))?;
        let (first, count) = (Seq(next), entries.len() as u64);
        let (ledger, about, acked) = (ledger.clone(), about.clone(), theirs.acked());
        archive.submit_blocking(Change::Returned { ledger, about, first, entries, acked })?;
        adopted.entries += count;
        next += count;
        if count == 0 || next >= theirs.next {
            return Ok(());
        }
    }
}

fn take_bytes(
    archive: &Archive,
    from: &Archive,
    (ledger, theirs): (&LedgerId, &LedgerRecord),
    adopted: &mut Adopted,
    progress: &mut impl FnMut(&Adopted),
) -> Result<()> {
    let (held, acked) = (theirs.held(), theirs.acked());
    let mut next = Seq(0);
    loop {
        let step = archive.missing_in(ledger, next, SEGMENTS)?;
        let Some(last) = step.last() else { return Ok(()) };
        next = Seq(last.seq.0 + 1);
        for placed in step.iter().filter(|placed| held.contains(placed.seq.0)) {
            match take_file(archive, from, placed)? {
                Ok(()) => {
                    adopted.segments += 1;
                    adopted.bytes += placed.segment.bytes;
                    adopted.unacked += u64::from(!acked.contains(placed.seq.0));
                }
                Err(why) => adopted.bad.push(format!("{ledger} entry {}: {why}", placed.seq)),
            }
            progress(adopted);
        }
    }
}

/// One segment's file; the inner error is of that file alone.
fn take_file(archive: &Archive, from: &Archive, placed: &Placed) -> Result<std::result::Result<(), String>> {
    let Placed { ledger, seq, segment } = placed;
    let number = wire::SegmentNumber(segment.number);
    let (theirs, file) =
        (from.segment_path(ledger, number)?, archive.incoming(ledger, number, segment.bytes)?);
    if let Err(error) = link_or_copy(&theirs, &file) {
        let _ = fs::remove_file(&file); // what is left goes at the next start
        return Ok(Err(format!("{}: {error}", theirs.display())));
    }
    if !matches!(check(&file, segment, &mut |_, _| true), Finding::Good) {
        let _ = fs::remove_file(&file); // likewise
        return Ok(Err(format!("{} is not what its entry says", theirs.display())));
    }
    archive.submit_blocking(Change::Bytes { ledger: ledger.clone(), seq: *seq, file }).map(|_| Ok(()))
}

/// On one disk a second name is enough: nobody ever writes into a file of a closed segment.
fn link_or_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) => fs::copy(from, to).map(drop),
    }
}
