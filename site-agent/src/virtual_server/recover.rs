//! What earlier runs left: taken into a run that begins.

use std::collections::BTreeMap;

use wire::{LedgerId, OriginId, SegmentNumber, SiteId, StreamId, UnixMicros};

use crate::archive::{self, Archive, ArchiveError, Change, Recovered};
use crate::failpoint;

/// Takes in what earlier runs of a site left, as a run that records nothing. Returns how many files that were.
pub fn recover(archive: &Archive, site: &SiteId) -> Result<u64, ArchiveError> {
    recover_standbys(archive)?;
    let origin = archive::new_origin();
    let numbers = begin_run(archive, site, origin, wire::clock::wall(), &[])?;
    for ledger in archive.open_ledgers() {
        archive.submit_blocking(Change::End { ledger })?;
    }
    Ok(numbers.values().map(|number| number.0).sum())
}

/// Takes in what earlier runs of standbys left in a vault, each site's as a run that records nothing. To be
/// called before any standby begins there. Returns how many files that were.
pub fn recover_standbys(archive: &Archive) -> Result<u64, ArchiveError> {
    let remains = archive::recover_standbys(archive)?;
    let now = wire::clock::wall();
    let mut origins: BTreeMap<SiteId, OriginId> = BTreeMap::new();
    let mut numbers: BTreeMap<LedgerId, SegmentNumber> = BTreeMap::new();
    for found in remains.files {
        let Some(record) = archive.ledger(&found.ledger).filter(|record| record.is_standby_here()) else {
            tracing::error!(file = %found.file.display(), "an open segment of no standby; it stays where it is");
            continue;
        };
        let site = record.site()?;
        let origin = *origins.entry(site.clone()).or_insert_with(archive::new_origin);
        let ledger = LedgerId { origin, stream: found.ledger.stream.clone() };
        if !numbers.contains_key(&ledger) {
            archive.submit_blocking(Change::OpenStandby { ledger: ledger.clone(), site, opened: now })?;
        }
        let number = numbers.entry(ledger).or_default();
        enter(archive, origin, *number, now, found)?;
        number.0 += 1;
    }
    for ledger in numbers.keys().cloned().chain(remains.ledgers) {
        archive.submit_blocking(Change::End { ledger })?;
    }
    Ok(numbers.values().map(|number| number.0).sum())
}

/// Ends a site's earlier runs, opens this one's ledgers, takes recovered files in. Returns the first free
/// segment number of each stream.
pub(super) fn begin_run(
    archive: &Archive,
    site: &SiteId,
    origin: OriginId,
    opened: UnixMicros,
    streams: &[StreamId],
) -> Result<BTreeMap<StreamId, SegmentNumber>, ArchiveError> {
    let remains = archive::recover(archive)?;
    failpoint::pass("recover/collected");
    let mut numbers: BTreeMap<_, _> =
        streams.iter().map(|stream| (stream.clone(), SegmentNumber(0))).collect();
    for found in &remains.files {
        numbers.entry(found.ledger.stream.clone()).or_default();
    }
    for stream in numbers.keys() {
        let ledger = LedgerId { origin, stream: stream.clone() };
        archive.submit_blocking(Change::Open { ledger, site: site.clone(), opened })?;
    }
    for found in remains.files {
        let number = numbers.entry(found.ledger.stream.clone()).or_default();
        enter(archive, origin, *number, opened, found)?;
        failpoint::pass("recover/entered");
        number.0 += 1;
    }
    for ledger in remains.ledgers {
        archive.submit_blocking(Change::End { ledger })?;
        failpoint::pass("recover/ended");
    }
    Ok(numbers)
}

/// Enters a recovered file into the new run's ledger.
fn enter(
    archive: &Archive,
    origin: OriginId,
    number: SegmentNumber,
    at: UnixMicros,
    found: Recovered,
) -> Result<(), ArchiveError> {
    tracing::info!(ledger = %found.ledger, segment = %found.number, "recovered an open segment");
    archive.submit_blocking(found.entered(origin, number, at)).map(drop)
}
