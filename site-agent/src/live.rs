//! What is being recorded right now, in memory, for whoever wants to follow: the uplink, and people who
//! watch live.
//!
//! Of each stream the parts of its open segment are kept, so that a follower who joins in the middle
//! begins with the header and the latest keyframe. A stream can have two recorders at once (a standby beside
//! the site's own): each has its own open segment here. The queue to a follower is bounded: one who doesn't
//! keep up loses parts and is told so ([`RecvError::Lagged`]); recording is never held up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::broadcast;
pub use tokio::sync::broadcast::error::RecvError;
use wire::{LedgerId, SegmentNumber, SiteId, StreamId, UnixMicros};

/// Parts that wait for a slow follower of one stream: about a minute.
const FOLLOWER_PARTS: usize = 64;
/// Parts that wait for a slow follower of everything.
const TAP_PARTS: usize = 4096;
/// A recorder of which nothing has come for so long, while another's parts come, is gone.
const GONE_AFTER: Duration = Duration::from_secs(30);
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
    /// The open segment of each recorder, the one heard of last at the end.
    open: Vec<Open>,
    followers: broadcast::Sender<Arc<LivePart>>,
}

/// The parts of one recorder's open segment, or nothing if they were too many.
#[derive(Debug)]
struct Open {
    ledger: LedgerId,
    segment: SegmentNumber,
    parts: Vec<Arc<LivePart>>,
    bytes: usize,
    heard: Instant,
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
        if let Some(feed) = feeds.get_mut(&(site.clone(), ledger.stream.clone())) {
            feed.open.retain(|open| open.ledger != *ledger || open.segment != segment);
        }
    }

    /// Follows one stream: what is there of the open segment heard of last, and everything that comes, of all
    /// recorders. The first part of the receiver is the one after the last of the list.
    pub fn follow(
        &self,
        site: &SiteId,
        stream: &StreamId,
    ) -> (Vec<Arc<LivePart>>, broadcast::Receiver<Arc<LivePart>>) {
        let mut feeds = self.feeds();
        let feed = feeds.entry((site.clone(), stream.clone())).or_insert_with(Feed::new);
        let newest = feed.open.last().map(|open| open.parts.clone()).unwrap_or_default();
        (newest, feed.followers.subscribe())
    }

    /// Follows all streams, likewise.
    pub fn tap(&self) -> (Vec<Arc<LivePart>>, broadcast::Receiver<Arc<LivePart>>) {
        let feeds = self.feeds();
        (feeds.values().flat_map(Feed::parts).collect(), self.tap.subscribe())
    }

    /// What is kept of a stream's open segments.
    pub fn open(&self, site: &SiteId, stream: &StreamId) -> Vec<Arc<LivePart>> {
        let feeds = self.feeds();
        feeds.get(&(site.clone(), stream.clone())).map(|feed| feed.parts().collect()).unwrap_or_default()
    }

    fn feeds(&self) -> MutexGuard<'_, BTreeMap<(SiteId, StreamId), Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    fn new() -> Self {
        Self { open: Vec::new(), followers: broadcast::channel(FOLLOWER_PARTS).0 }
    }

    fn parts(&self) -> impl Iterator<Item = Arc<LivePart>> {
        self.open.iter().flat_map(|open| open.parts.iter().cloned())
    }

    fn take(&mut self, part: Arc<LivePart>) {
        let at = self.open.iter().position(|open| open.ledger == part.ledger);
        let known = at.map(|at| self.open.remove(at)).filter(|open| open.segment == part.segment);
        let now = part.since;
        self.open.retain(|open| now.saturating_duration_since(open.heard) < GONE_AFTER);
        let mut open = known.unwrap_or_else(|| Open {
            ledger: part.ledger.clone(),
            segment: part.segment,
            parts: Vec::new(),
            bytes: 0,
            heard: now,
        });
        open.heard = now;
        open.bytes += part.data.len();
        if open.bytes > OPEN_BYTES_MAX {
            open.parts.clear();
        } else {
            open.parts.push(part);
        }
        self.open.push(open);
    }
}
