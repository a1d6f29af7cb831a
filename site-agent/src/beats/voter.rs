//! One voter as the tasks that beat to it share it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::ways::{Leave, PathPlace, Ticket, Way, Ways};

/// A voter, or the hub as configured while no voter is known.
#[derive(Debug)]
pub(crate) struct Voter {
    ways: Mutex<Ways>,
    /// A way was opened or closed, or is heard again.
    changed: Notify,
    /// Something was acked.
    acked: Notify,
}

impl Voter {
    pub(super) fn new(every: Duration) -> Arc<Self> {
        let ways = Mutex::new(Ways::new(every));
        Arc::new(Self { ways, changed: Notify::new(), acked: Notify::new() })
    }

    /// A way stands; it is closed when what is returned is dropped.
    pub(super) fn open(self: &Arc<Self>, way: Way) -> Opened {
        let ticket = self.ways().opened(way, wire::clock::now());
        self.changed.notify_waiters();
        Opened { voter: self.clone(), way, ticket }
    }

    /// Waits until the voter has acked this number.
    pub(super) async fn await_ack(&self, number: u64) {
        loop {
            let acked = self.acked.notified();
            if self.ways().highest_acked() >= number {
                return;
            }
            acked.await;
        }
    }

    /// Waits until a session on this path should go to another.
    pub(crate) async fn until_session_leaves(&self, path: PathPlace) -> Leave {
        loop {
            let acked = self.acked.notified();
            if let Some(leave) = self.ways().leaves(path, wire::clock::now()) {
                return leave;
            }
            acked.await;
        }
    }

    /// Over which ways the voter hears us.
    pub(super) fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A way that stands.
pub(super) struct Opened {
    voter: Arc<Voter>,
    way: Way,
    ticket: Ticket,
}

impl Opened {
    pub(super) fn takes_beat(&self) -> bool {
        self.voter.ways().takes(self.way, wire::clock::now())
    }

    pub(super) fn said(&self) {
        self.voter.ways().said(self.way, wire::clock::now());
    }

    pub(super) fn acked(&self, number: u64) {
        self.voter.ways().acked(self.way, self.ticket, number, wire::clock::now());
        self.voter.acked.notify_waiters();
    }

    pub(super) fn is_dead(&self) -> bool {
        self.voter.ways().is_dead(self.way, wire::clock::now())
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        self.voter.ways().next_look(self.way, wire::clock::now())
    }

    pub(super) fn changed(&self) -> Notified<'_> {
        self.voter.changed.notified()
    }

    pub(super) fn way(&self) -> Way {
        self.way
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.voter.ways().closed(self.way, self.ticket);
        self.voter.changed.notify_waiters();
    }
}
