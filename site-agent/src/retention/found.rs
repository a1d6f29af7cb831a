//! What there is of a range of footage, before somebody asks for it to be kept: how much is here, how much at the site
//! by what it told, how much is gone. What was never recorded only a timeline can say.

use std::ops::AddAssign;
use std::time::Duration;

use serde::Serialize;
use wire::proto::entry::Kind;
use wire::{LedgerId, RangeSet, Seq, SiteId, StreamId, UnixMicros};

use crate::archive::{Archive, LedgerRecord, Located, Result};

/// By so much a site's clock may be ahead of ours, and more.
const AHEAD: Duration = Duration::from_secs(12 * 3600);

/// Segments, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub segments: u64,
    /// How long they are together.
    pub bytes: u64,
}

impl AddAssign<u64> for Amount {
    fn add_assign(&mut self, bytes: u64) {
        self.segments += 1;
        self.bytes += bytes;
    }
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// In the vault, or at a host of the hub's that brings it there.
    pub at_hub: Amount,
    /// At the site, by what it told: what it recorded and has not said to be gone.
    pub at_site: Amount,
    /// Recorded once, and at neither any more.
    pub gone: Amount,
}

/// Looks through a vault for what it and a site have of a stream.
pub fn found(
    archive: &Archive,
    (site, stream): (&SiteId, &StreamId),
    (from, to): (UnixMicros, UnixMicros),
) -> Result<Found> {
    // An entry that says what is gone begins no later than that; it may have come with an earlier piece.
    let (mut found, mut freed) = (Found::default(), Freed::new());
    // Footage may be asked for that is still to come.
    let to = to.min(wire::clock::wall() + AHEAD);
    archive.query_in_pieces((site, stream), (from, to), |piece| {
        freed.extend(freed_at_site(archive, &piece));
        piece.iter().for_each(|one| take(archive, one, &freed, &mut found));
    })?;
    Ok(found)
}

fn take(archive: &Archive, one: &Located, freed: &Freed, found: &mut Found) {
    let Some(segment) = one.entry.segment() else { return };
    let Some(record) = archive.ledger(&one.ledger) else { return };
    let is_freed = freed.iter().any(|(of, seqs)| *of == one.ledger && seqs.contains(one.seq.0));
    let to_come = !is_gone(&record, one.seq);
    let at_site = record.is_by_site() && !is_freed && (one.held || to_come);
    // What a host recorded is the hub's already, on another of its machines.
    if one.held || (!record.host.is_empty() && to_come) {
        found.at_hub += segment.bytes;
    }
    if at_site {
        found.at_site += segment.bytes;
    }
    if !one.held && !at_site && (record.host.is_empty() || !to_come) {
        found.gone += segment.bytes;
    }
}

/// Neither here nor to come.
fn is_gone(record: &LedgerRecord, seq: Seq) -> bool {
    record.gone().contains(seq.0)
}

/// What the site's own ledgers say to be gone there. A site may say anything: its ranges are kept as such.
type Freed = Vec<(LedgerId, RangeSet)>;

fn freed_at_site(archive: &Archive, located: &[Located]) -> Freed {
    let mut freed = Freed::new();
    for one in located {
        let Some(Kind::Gone(gone)) = one.entry.kind() else { continue };
        let by_site = archive.ledger(&one.ledger).is_some_and(|record| record.is_by_site());
        if let (true, Ok(of)) = (by_site, LedgerId::from_proto(gone.ledger.as_ref())) {
            freed.push((of, RangeSet::from_proto(&gone.seqs)));
        }
    }
    freed
}
