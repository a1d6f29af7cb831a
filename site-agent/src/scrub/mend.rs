//! What becomes of damaged segments whose right bytes nobody brings.
//!
//! At a site with a hub, the uplink asks for them (`crate::uplink`). In a vault, the site sends again what it still
//! holds; what it has said gone, and what the vault wrote itself, is given up here. A site without a hub has nobody
//! to ask. What is on a disk that is not there is given up by nobody, unless a person gave the disk up.

use wire::proto::GapCause;
use wire::proto::entry::Kind;
use wire::{LedgerId, RangeSet, Seq, SiteId, UnixMicros};

use crate::archive::{Archive, Change, Placed, Result};
use crate::retention::Writer;

/// Who else may have what is damaged here.
#[derive(Clone, Copy, Debug)]
pub enum Elsewhere {
    /// The hub, over the uplink.
    Hub,
    /// The site that recorded it; a vault's run says what it has not got either.
    Site(Writer),
    /// Nobody.
    Nobody(Writer),
}

/// Gives up what nobody has, among so many damaged segments behind `after`; tells behind which to go on.
pub(super) fn settle(
    archive: &Archive,
    elsewhere: Elsewhere,
    after: Option<&(LedgerId, Seq)>,
    most: usize,
) -> Result<Option<(LedgerId, Seq)>> {
    let writer = match elsewhere {
        Elsewhere::Hub => return Ok(None),
        Elsewhere::Site(writer) | Elsewhere::Nobody(writer) => writer,
    };
    let damaged = archive.damaged(after, most)?;
    // With all of them seen, it begins anew.
    let next = damaged.last().filter(|_| damaged.len() == most).map(|last| (last.ledger.clone(), last.seq));
    for placed in damaged.into_iter().filter(|placed| !archive.may_come_back(placed)) {
        let lost = match elsewhere {
            Elsewhere::Site(_) => is_lost(archive, &placed)?,
            _ => true,
        };
        if lost {
            give_up(archive, writer, &placed, archive.cause_of_loss(&placed))?;
        }
    }
    Ok(next)
}

/// Will the site not send it again?
fn is_lost(archive: &Archive, placed: &Placed) -> Result<bool> {
    let Some(record) = archive.ledger(&placed.ledger) else { return Ok(false) };
    if record.is_written_here() {
        return Ok(true);
    }
    let (start, end) = (UnixMicros(placed.segment.start_us), UnixMicros(placed.segment.end_us));
    let site = record.site()?;
    let told = archive.query(&site, &placed.ledger.stream, start, end.max(UnixMicros(start.0 + 1)))?;
    Ok(told.iter().any(|located| match located.entry.kind() {
        Some(Kind::Gone(gone)) => {
            let of = LedgerId::from_proto(gone.ledger.as_ref());
            of.is_ok_and(|of| of == placed.ledger) && RangeSet::from_proto(&gone.seqs).contains(placed.seq.0)
        }
        _ => false,
    }))
}

/// Says that a segment that is damaged, or was to come from the hub, is gone: first an entry, and its file goes to
/// `discarded/` then, if there is one.
pub fn give_up(archive: &Archive, writer: Writer, placed: &Placed, cause: GapCause) -> Result<()> {
    let site = site_of(archive, &placed.ledger)?;
    let at = wire::clock::wall();
    let ledger = writer.ledger(archive, &site, &placed.ledger.stream, at)?;
    tracing::error!(ledger = %placed.ledger, seq = %placed.seq, cause = cause.as_str_name(), "nobody has it: given up");
    let seqs = RangeSet::from(placed.seq.0..placed.seq.0 + 1);
    let of = placed.ledger.clone();
    archive.submit_blocking(Change::Free { ledger, at, of, seqs, cause }).map(drop)
}

fn site_of(archive: &Archive, ledger: &LedgerId) -> Result<SiteId> {
    match archive.ledger(ledger) {
        Some(record) => record.site(),
        None => Err(crate::archive::ArchiveError::UnknownLedger(ledger.clone())),
    }
}
