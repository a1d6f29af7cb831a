//! When a wish was last uttered, so that it is repeated while it matters and not more often.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::SiteId;
use crate::time::Boot;

/// What is wished for. One at a time of each, for each site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    Suspect,
    Silent,
    Heard,
    Hint,
    Verdict,
    Freeze,
    Thaw,
    Declare,
    TakeOver,
    Life,
    Return,
    Assist,
    Place,
    Seen,
    Drill,
}

/// Wishes and when they were uttered. Bounded: one per site and kind, forgotten when due again.
#[derive(Clone, Debug, Default)]
pub(super) struct Retry(BTreeMap<SiteId, BTreeMap<Wish, Boot>>);

impl Retry {
    /// Is it time to utter this wish? If so, it is noted as uttered.
    pub(super) fn due(&mut self, now: Boot, every: Duration, site: &SiteId, wish: Wish) -> bool {
        if let Some(uttered) = self.0.get_mut(site).and_then(|wishes| wishes.get_mut(&wish)) {
            let due = now.since(*uttered) >= every;
            if due {
                *uttered = now;
            }
            return due;
        }
        self.0.entry(site.clone()).or_default().insert(wish, now);
        true
    }

    /// This wish is new again: what it was about has changed.
    pub(super) fn renew(&mut self, site: &SiteId, wish: Wish) {
        if let Some(wishes) = self.0.get_mut(site) {
            wishes.remove(&wish);
        }
    }

    /// Forgets what was uttered so long ago that it is due anyway.
    pub(super) fn sweep(&mut self, now: Boot, every: Duration) {
        self.0.retain(|_, wishes| {
            wishes.retain(|_, uttered| now.since(*uttered) < every);
            !wishes.is_empty()
        });
    }
}
