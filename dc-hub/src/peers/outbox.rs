//! Casts that wait for one node. What is too old or too many is lost: a late beat would be a lie.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

/// A second of beats and reports of 1,000 sites.
const WAITING_MAX: usize = 2048;
/// Two beats: after that a newer one has come.
const AGE_MAX: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<VecDeque<(Instant, Bytes)>>,
    more: Notify,
}

impl Outbox {
    pub(super) fn put(&self, now: Instant, cast: Bytes) {
        let mut waiting = self.lock();
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back((now, cast));
        drop(waiting);
        self.more.notify_one();
    }

    /// The oldest that is not too old.
    pub(super) fn take(&self, now: Instant) -> Option<Bytes> {
        let mut waiting = self.lock();
        while let Some((since, cast)) = waiting.pop_front() {
            if now.saturating_duration_since(since) <= AGE_MAX {
                return Some(cast);
            }
        }
        None
    }

    pub(super) async fn next(&self) -> Bytes {
        loop {
            if let Some(cast) = self.take(wire::clock::now()) {
                return cast;
            }
            self.more.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Bytes)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_give_way_and_old_ones_are_not_sent() {
        let (outbox, start) = (Outbox::default(), wire::clock::now());
        for n in 0..WAITING_MAX + 2 {
            outbox.put(start, n.to_string().into());
        }
        assert_eq!(outbox.take(start).unwrap(), "2");
        outbox.put(start + AGE_MAX, "new".into());
        let late = start + AGE_MAX + Duration::from_millis(1);
        assert_eq!(outbox.take(late).unwrap(), "new");
        assert!(outbox.take(late).is_none());
    }
}
