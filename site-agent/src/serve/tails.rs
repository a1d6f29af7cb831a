//! Segments that are not entries yet: what is here of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use wire::{LedgerId, SegmentNumber, SiteId, StreamId, UnixMicros};

use crate::live::{Live, LivePart};

/// What is here of one open segment, or of one of its stretches if some of it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailSpan {
    /// Of which ledger.
    pub ledger: LedgerId,
    /// Which segment.
    pub segment: SegmentNumber,
    /// Its first instant.
    pub start: UnixMicros,
    /// The instant up to which it is here.
    pub end: UnixMicros,
    /// Its fragments, in order and without holes from the first one here.
    pub fragments: Vec<TailFragment>,
}

/// One fragment of an open segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailFragment {
    /// Its number in the segment; 1 is the first.
    pub part: u32,
    /// Arrival of its first frame.
    pub start: UnixMicros,
    /// Does it begin with a keyframe?
    pub key: bool,
}

/// Where open segments are found.
pub trait Tails: Send + Sync {
    /// The open segments of a stream.
    fn tails(&self, site: &SiteId, stream: &StreamId) -> Vec<TailSpan>;
    /// One part; 0 is the header.
    fn read(&self, ledger: &LedgerId, segment: SegmentNumber, part: u32) -> Option<Bytes>;
}

/// There are none: for archives that nobody writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTails;

impl Tails for NoTails {
    fn tails(&self, _: &SiteId, _: &StreamId) -> Vec<TailSpan> {
        Vec::new()
    }

    fn read(&self, _: &LedgerId, _: SegmentNumber, _: u32) -> Option<Bytes> {
        None
    }
}

/// The open segments that a site's recorders keep in memory.
#[derive(Clone, Debug)]
pub struct LiveTails {
    live: Arc<Live>,
    site: SiteId,
}

impl LiveTails {
    /// Those of `site`.
    pub fn new(live: Arc<Live>, site: SiteId) -> Self {
        Self { live, site }
    }
}

impl Tails for LiveTails {
    fn tails(&self, site: &SiteId, stream: &StreamId) -> Vec<TailSpan> {
        let mut segments: BTreeMap<_, Vec<Arc<LivePart>>> = BTreeMap::new();
        for part in self.live.open(site, stream).into_iter().filter(|part| part.part > 0) {
            segments.entry((part.ledger.clone(), part.segment)).or_default().push(part);
        }
        let span = |((ledger, segment), parts): (_, Vec<Arc<LivePart>>)| {
            let fragments =
                parts.iter().map(|part| TailFragment { part: part.part, start: part.start, key: part.key });
            Some(TailSpan {
                ledger,
                segment,
                start: parts.iter().map(|part| part.start).min()?,
                end: parts.iter().map(|part| part.end).max()?,
                fragments: fragments.collect(),
            })
        };
        segments.into_iter().filter_map(span).collect()
    }

    fn read(&self, ledger: &LedgerId, segment: SegmentNumber, part: u32) -> Option<Bytes> {
        let open = self.live.open(&self.site, &ledger.stream);
        let found =
            open.into_iter().find(|one| one.ledger == *ledger && one.segment == segment && one.part == part);
        found.map(|part| part.data.clone())
    }
}
