//! How long the disk takes. A write that isn't done counts for as long as it has lasted: a disk that hangs says
//! nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Writes under way, and the slowest of those that were.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Writes>);

#[derive(Debug, Default)]
struct Writes {
    begun: BTreeMap<u64, Instant>,
    next: u64,
    slowest: Duration,
}

impl Pace {
    /// Does a write.
    pub(crate) fn of<T>(&self, write: impl FnOnce() -> T) -> T {
        let ticket = self.lock().begin(wire::clock::now());
        let done = write();
        self.lock().end(ticket, wire::clock::now());
        done
    }

    /// How long the slowest write took since this was last asked, those included that are not done.
    pub(crate) fn slowest(&self) -> Duration {
        self.lock().slowest(wire::clock::now())
    }

    fn lock(&self) -> MutexGuard<'_, Writes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writes {
    fn begin(&mut self, now: Instant) -> u64 {
        self.next += 1;
        self.begun.insert(self.next, now);
        self.next
    }

    fn end(&mut self, ticket: u64, now: Instant) {
        if let Some(begun) = self.begun.remove(&ticket) {
            self.slowest = self.slowest.max(now.saturating_duration_since(begun));
        }
    }

    fn slowest(&mut self, now: Instant) -> Duration {
        let under_way = self.begun.values().map(|begun| now.saturating_duration_since(*begun)).max();
        std::mem::take(&mut self.slowest).max(under_way.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_write_counts_while_it_lasts_and_once_when_it_is_done() {
        let began = wire::clock::now();
        let mut writes = Writes::default();
        let slow = writes.begin(began);
        let quick = writes.begin(began + 3 * S);
        writes.end(quick, began + 4 * S);
        assert_eq!(writes.slowest(began + 4 * S), 4 * S);
        assert_eq!(writes.slowest(began + 5 * S), 5 * S);
        writes.end(slow, began + 6 * S);
        assert_eq!(writes.slowest(began + 9 * S), 6 * S);
        assert_eq!(writes.slowest(began + 9 * S), Duration::ZERO);
    }
}
