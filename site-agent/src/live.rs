//! What is being recorded right now, in memory, for whoever wants to follow: the uplink, and people who
//! watch live.
//!
//! Of each stream the parts of its open segment are kept, so that a follower who joins in the middle
//! begins with the header and the latest keyframe. The queue to a follower is bounded: one who doesn't
//! keep up loses parts and is told so ([`RecvError::Lagged`]); recording is never held up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::broadcast;
pub use tokio::sync::broadcast::error::RecvError;
use wire::{LedgerId, SegmentNumber, SiteId, StreamId, UnixMicros};

/// Parts that wait for a slow follower of one stream: about a minute.
const FOLLOWER_PARTS: usize = 64;
/// Parts that wait for a slow follower of everything.
const TAP_PARTS: usize = 4096;
/// What is kept of an open segment at most; beyond it a late follower waits for the next segment.
const OPEN_BYTES_MAX: usize = 64 << 20;

/// One part of a segment as it was just recorded (at a site) or synced to the journal (at a hub).
#[derive(Clone, Debug)]
pub struct LivePart {
    /// Whose site.
    pub site: SiteId,
    /// Of which ledger.
    pub ledger: LedgerId,
    /// Of which segment.
    pub segment: SegmentNumber,
    /// 0: the header; n: fragment n.
    pub part: u32,
    /// The bytes as they are in the segment's file.
    pub data: Bytes,
    /// BLAKE3 of the file up to the end of this part.
    pub running_hash: [u8; 32],
    /// Wall clock at the arrival of its first frame at the site (for a header: of the segment's).
    pub start: UnixMicros,
    /// The instant up to which it has recorded.
    pub end: UnixMicros,
    /// Does it begin with a keyframe?
    pub key: bool,
    /// The monotonic instant at which its first frame arrived (at a site) or it was synced (at a hub).
    pub since: Instant,
}

#[derive(Debug)]
struct Feed {
    open: Vec<Arc<LivePart>>,
    bytes: usize,
    followers: broadcast::Sender<Arc<LivePart>>,
}

/// The open segments of all streams.
#[derive(Debug)]
pub struct Live {
    feeds: Mutex<BTreeMap<(SiteId, StreamId), Feed>>,
    tap: broadcast::Sender<Arc<LivePart>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { feeds: Mutex::default(), tap: broadcast::channel(TAP_PARTS).0 }
    }
}

impl Live {
    /// Passes a part on to everybody who follows.
    pub fn publish(&self, part: LivePart) {
        let part = Arc::new(part);
        let mut feeds = self.feeds();
        let feed = feeds.entry((part.site.clone(), part.ledger.stream.clone())).or_insert_with(Feed::new);
        feed.take(part.clone());
        let _ = feed.followers.send(part.clone()); // nobody may be following
        let _ = self.tap.send(part);
    }

    /// The open segment of a stream has been closed: what is kept of it can go.
    pub fn closed(&self, site: &SiteId, ledger: &LedgerId, segment: SegmentNumber) {
        let mut feeds = self.feeds();
        if let Some(feed) = feeds.get_mut(&(site.clone(), ledger.stream.clone()))
            && feed.open.first().is_some_and(|part| part.ledger == *ledger && part.segment == segment)
        {
            feed.clear();
        }
    }

    /// Follows one stream: what is there of its open segment, and everything that comes. The first part
    /// of the receiver is the one after the last of the list.
    pub fn follow(
        &self,
        site: &SiteId,
        stream: &StreamId,
    ) -> (Vec<Arc<LivePart>>, broadcast::Receiver<Arc<LivePart>>) {
        let mut feeds = self.feeds();
        let feed = feeds.entry((site.clone(), stream.clone())).or_insert_with(Feed::new);
        (feed.open.clone(), feed.followers.subscribe())
    }

    /// Follows all streams, likewise.
    pub fn tap(&self) -> (Vec<Arc<LivePart>>, broadcast::Receiver<Arc<LivePart>>) {
        let feeds = self.feeds();
        (feeds.values().flat_map(|feed| feed.open.iter().cloned()).collect(), self.tap.subscribe())
    }

    /// What is kept of a stream's open segment.
    pub fn open(&self, site: &SiteId, stream: &StreamId) -> Vec<Arc<LivePart>> {
        self.feeds().get(&(site.clone(), stream.clone())).map(|feed| feed.open.clone()).unwrap_or_default()
    }

    fn feeds(&self) -> MutexGuard<'_, BTreeMap<(SiteId, StreamId), Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    fn new() -> Self {
        Self { open: Vec::new(), bytes: 0, followers: broadcast::channel(FOLLOWER_PARTS).0 }
    }

    fn take(&mut self, part: Arc<LivePart>) {
        let continues =
            self.open.last().is_some_and(|last| last.ledger == part.ledger && last.segment == part.segment);
        if !continues {
            self.clear();
        }
        if self.bytes + part.data.len() > OPEN_BYTES_MAX {
            self.clear();
            return;
        }
        self.bytes += part.data.len();
        self.open.push(part);
    }

    fn clear(&mut self) {
        self.open.clear();
        self.bytes = 0;
    }
}
