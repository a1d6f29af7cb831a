//! The scheduler's queue: what happens next, in an order that depends on nothing but the seed.
//!
//! Events of one instant happen in the order in which they were scheduled.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::time::Time;

#[derive(Debug)]
struct Scheduled<E> {
    at: Time,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    /// The heap gives its greatest first: that is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

/// Events in line.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Scheduled<E>>,
    scheduled: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), scheduled: 0 }
    }
}

impl<E> Queue<E> {
    /// Lets `event` happen at `at`.
    pub fn put(&mut self, at: Time, event: E) {
        self.heap.push(Scheduled { at, sequence: self.scheduled, event });
        self.scheduled += 1;
    }

    /// The next event and its time.
    pub fn take(&mut self) -> Option<(Time, E)> {
        self.heap.pop().map(|next| (next.at, next.event))
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
