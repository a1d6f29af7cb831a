//! The scheduler's queue: what happens next, in an order that depends on nothing but the seed.
//!
//! Events of one instant happen in the order in which they were scheduled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

/// When an event happens, and where it waits until then. Greatest first is what the heap gives: so the earliest is.
type Turn = Reverse<(Time, u64, usize)>;

/// Events in line.
#[derive(Debug)]
pub struct Queue<E> {
    // The heap moves its items about: they are kept small, and the events lie still beside it.
    heap: BinaryHeap<Turn>,
    waiting: Vec<Option<E>>,
    free: Vec<usize>,
    scheduled: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), waiting: Vec::new(), free: Vec::new(), scheduled: 0 }
    }
}

impl<E> Queue<E> {
    /// Lets `event` happen at `at`.
    pub fn put(&mut self, at: Time, event: E) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() - 1
        });
        self.waiting[slot] = Some(event);
        self.heap.push(Reverse((at, self.scheduled, slot)));
        self.scheduled += 1;
    }

    /// The next event and its time.
    pub fn take(&mut self) -> Option<(Time, E)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.waiting[slot].take().map(|event| (at, event))
    }

    /// How many are in line.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Is nothing in line?
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// How many were ever put in line.
    pub fn scheduled(&self) -> u64 {
        self.scheduled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_in_order_within_an_instant() {
        let mut queue = Queue::default();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            queue.put(Time(at), event);
        }
        let order: String = std::iter::from_fn(|| queue.take().map(|(_, event)| event)).collect();
        assert_eq!(order, "abcd");
    }
}
