//! What a drill left in the vault: who recorded which camera when, and whether the standby's frames are the site's.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use bytes::Bytes;
use media::read::{picture_hash, segment_frames};
use serde::{Deserialize, Serialize};
use site_agent::archive::{Archive, Located};
use wire::{SegmentNumber, SiteId, StreamId, UnixMicros};

/// From an instant to another.
pub type Span = (UnixMicros, UnixMicros);

/// Who recorded a stream when. Spans of one recorder that touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The site's recorder.
    pub site: Vec<Span>,
    /// The standby's.
    pub standby: Vec<Span>,
}

/// How the standby's frames compare with the site's, by checksum: of those from the first to the last that both have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Frames of the site's recording.
    pub compared: u64,
    /// Of these, not in the standby's.
    pub lost: u64,
    /// Frames of the standby's that are not in the site's: altered.
    pub altered: u64,
}

/// Every stream of a site that anybody recorded in this time.
pub(super) fn recorded(
    archive: &Archive,
    site: &SiteId,
    within: Span,
) -> anyhow::Result<BTreeMap<StreamId, Recorded>> {
    let mut found = BTreeMap::new();
    for stream in archive.streams().into_iter().filter(|(of, _)| of == site).map(|(_, stream)| stream) {
        let mut recorded = Recorded::default();
        for (located, standby) in segments(archive, site, &stream, within)? {
            let spans = if standby { &mut recorded.standby } else { &mut recorded.site };
            spans.push((located.start, located.end));
        }
        (recorded.site, recorded.standby) = (joined(recorded.site), joined(recorded.standby));
        found.insert(stream, recorded);
    }
    Ok(found)
}

/// Reads what both recorded of a stream in this time, and compares it frame by frame.
pub(super) fn compare(
    archive: &Archive,
    site: &SiteId,
    stream: &StreamId,
    within: Span,
) -> anyhow::Result<Compared> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (located, standby) in segments(archive, site, stream, within)? {
        let Some(segment) = located.entry.segment() else { continue };
        let file = archive.read(&located.ledger, SegmentNumber(segment.number), 0, segment.bytes)?;
        let read = segment_frames(segment, &Bytes::from(file)).context("read a segment")?;
        let hashes = if standby { &mut theirs } else { &mut ours };
        for sample in read.fragments.iter().flat_map(|fragment| &fragment.video) {
            hashes.push(*picture_hash(read.codec, &sample.data).as_bytes());
        }
    }
    Ok(frames(&ours, &theirs))
}

/// Compares two recordings, each in its order.
fn frames(site: &[[u8; 32]], standby: &[[u8; 32]]) -> Compared {
    let (of_site, of_standby) = (counted(site), counted(standby));
    let missing = |from: &[[u8; 32]], other: &HashMap<[u8; 32], u32>| {
        let common = |hash: &[u8; 32]| other.contains_key(hash);
        let first = from.iter().position(common)?;
        let last = from.iter().rposition(common)?;
        let both = &from[first..=last];
        Some((both.len() as u64, both.iter().filter(|hash| !common(hash)).count() as u64))
    };
    let (compared, lost) = missing(site, &of_standby).unwrap_or_default();
    let (_, altered) = missing(standby, &of_site).unwrap_or_default();
    Compared { compared, lost, altered }
}

fn counted(hashes: &[[u8; 32]]) -> HashMap<[u8; 32], u32> {
    let mut counts = HashMap::new();
    hashes.iter().for_each(|hash| *counts.entry(*hash).or_default() += 1);
    counts
}

/// Segments that are here, in the order of time, and whether a standby recorded each.
fn segments(
    archive: &Archive,
    site: &SiteId,
    stream: &StreamId,
    (from, to): Span,
) -> anyhow::Result<Vec<(Located, bool)>> {
    let mut found = Vec::new();
    for located in archive.query(site, stream, from, to)? {
        if located.held && located.entry.segment().is_some() {
            let standby = archive.ledger(&located.ledger).is_some_and(|record| record.standby);
            found.push((located, standby));
        }
    }
    found.sort_by_key(|(located, _)| (located.start, located.ledger.clone(), located.seq));
    Ok(found)
}

/// Spans as few as possible.
pub(super) fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match joined.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// The longest time between spans, beginning or ending within a time.
pub(super) fn longest_hole(spans: Vec<Span>, (from, to): Span) -> Option<Span> {
    let joined = joined(spans);
    let holes = joined.windows(2).map(|pair| (pair[0].1, pair[1].0));
    holes.filter(|hole| hole.0 < to && hole.1 > from).max_by_key(|hole| hole.1.since(hole.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(of: &[u8]) -> Vec<[u8; 32]> {
        of.iter().map(|one| [*one; 32]).collect()
    }

    fn at(second: i64) -> UnixMicros {
        UnixMicros(second * 1_000_000)
    }

    #[test]
    fn frames_are_compared_where_both_recorded() {
        let site = hashes(&[1, 2, 3, 4, 5, 6, 7]);
        let found = frames(&site, &hashes(&[3, 4, 5, 6]));
        assert_eq!(found, Compared { compared: 4, lost: 0, altered: 0 });
        let found = frames(&site, &hashes(&[3, 9, 6, 8]));
        assert_eq!(found, Compared { compared: 4, lost: 2, altered: 1 });
        assert_eq!(frames(&site, &hashes(&[9])), Compared::default());
        assert_eq!(frames(&[], &[]), Compared::default());
    }

    #[test]
    fn the_gap_is_what_neither_has() {
        let spans = vec![(at(20), at(30)), (at(0), at(10)), (at(8), at(12)), (at(30), at(40))];
        assert_eq!(joined(spans.clone()), [(at(0), at(12)), (at(20), at(40))]);
        assert_eq!(longest_hole(spans.clone(), (at(5), at(35))), Some((at(12), at(20))));
        assert_eq!(longest_hole(spans, (at(25), at(35))), None);
    }
}
