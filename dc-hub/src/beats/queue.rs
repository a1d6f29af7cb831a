//! What was heard, on its way to whoever decides: bounded, and never waited for.
//!
//! A full queue loses its oldest beat: a newer one says the same and more. A goodbye is said once and is never
//! lost to a beat.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Heard;

#[derive(Debug)]
struct Shared {
    /// `None` once nobody listens.
    waiting: Mutex<Option<VecDeque<Heard>>>,
    bound: usize,
    filled: Notify,
    dropped: AtomicU64,
}

/// Where connections put what they hear.
#[derive(Clone, Debug)]
pub struct HeardSender(Arc<Shared>);

/// Where it comes out: one task's.
#[derive(Debug)]
pub struct HeardReceiver(Arc<Shared>);

/// A queue of at most `bound`.
pub fn queue(bound: usize) -> (HeardSender, HeardReceiver) {
    let shared = Arc::new(Shared {
        waiting: Mutex::new(Some(VecDeque::with_capacity(bound))),
        bound,
        filled: Notify::new(),
        dropped: AtomicU64::new(0),
    });
    (HeardSender(shared.clone()), HeardReceiver(shared))
}

impl HeardSender {
    pub(super) fn put(&self, heard: Heard) {
        let mut guard = self.0.waiting();
        let Some(waiting) = guard.as_mut() else { return };
        if waiting.len() >= self.0.bound {
            let oldest = waiting
                .iter()
                .position(|heard| matches!(heard, Heard::Beat { .. } | Heard::Beside { .. }))
                .unwrap_or(0);
            waiting.remove(oldest);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push_back(heard);
        let first = waiting.len() == 1;
        drop(guard);
        if first {
            self.0.filled.notify_one();
        }
    }

    /// How many were lost because nobody took them.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl HeardReceiver {
    /// The oldest that waits. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.try_recv() {
                return heard;
            }
            self.0.filled.notified().await;
        }
    }

    /// The oldest, if one waits.
    pub fn try_recv(&mut self) -> Option<Heard> {
        self.0.waiting().as_mut()?.pop_front()
    }
}

impl Drop for HeardReceiver {
    fn drop(&mut self) {
        *self.0.waiting() = None;
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Option<VecDeque<Heard>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use decide::PathId;
    use decide::beat::{Arrival, Beat, Bye};
    use wire::{OriginId, SiteId};

    use super::*;

    const ORIGIN: OriginId = OriginId([7; 16]);

    fn beat(number: u64) -> Heard {
        Heard::Beat {
            site: SiteId::new("shop-1").unwrap(),
            arrival: Arrival::Direct(PathId::new("wan").unwrap()),
            beat: Beat { origin: ORIGIN, number, epoch: Default::default(), log: 0, cameras: Vec::new() },
        }
    }

    fn bye() -> Heard {
        Heard::Bye { site: SiteId::new("shop-1").unwrap(), origin: ORIGIN, bye: Bye::Shutdown }
    }

    #[tokio::test]
    async fn a_full_queue_keeps_the_newest_beats_and_every_goodbye() {
        let (sender, mut receiver) = queue(3);
        sender.put(bye());
        for number in 1..=4 {
            sender.put(beat(number));
        }
        assert_eq!(sender.dropped(), 2);
        let mut out = Vec::new();
        for _ in 0..3 {
            out.push(receiver.recv().await);
        }
        assert_eq!(out, [bye(), beat(3), beat(4)]);
        assert_eq!(receiver.try_recv(), None);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_though_it_stopped_waiting_before() {
        let (sender, mut receiver) = queue(3);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), receiver.recv()).await.is_err());
        let put = async {
            tokio::task::yield_now().await;
            sender.put(beat(1));
        };
        let (heard, ()) = tokio::join!(receiver.recv(), put);
        assert_eq!(heard, beat(1));
    }
}
