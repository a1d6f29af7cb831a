//! Orders to a direction's thread, in order.
//!
//! That thread runs under a real-time policy, so it must never wait for whoever gives orders: the standard
//! library's channel spins while a sender is in the middle of sending, and a sender that was preempted there by
//! the very thread that spins never gets the processor back. Here an order that is just being given is simply
//! not there yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// The end of those who give orders.
pub(crate) struct Orders<T>(Arc<Mutex<Queue<T>>>);

/// The end of the thread that obeys. What nobody has taken when it goes is dropped, with the answers somebody
/// may wait for.
pub(crate) struct Obeyer<T>(Arc<Mutex<Queue<T>>>);

struct Queue<T> {
    orders: VecDeque<T>,
    closed: bool,
}

/// A new queue's two ends.
pub(crate) fn orders<T>() -> (Orders<T>, Obeyer<T>) {
    let queue = Arc::new(Mutex::new(Queue { orders: VecDeque::new(), closed: false }));
    (Orders(Arc::clone(&queue)), Obeyer(queue))
}

impl<T> Orders<T> {
    /// Puts an order behind the others. Rings nothing: do that after it.
    pub(crate) fn give(&self, order: T) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !queue.closed {
            queue.orders.push_back(order);
        }
    }
}

impl<T> Obeyer<T> {
    /// The next order; none too if one is being given at this moment. Never waits.
    pub(crate) fn take(&self) -> Option<T> {
        match self.0.try_lock() {
            Ok(mut queue) => queue.orders.pop_front(),
            Err(TryLockError::Poisoned(queue)) => queue.into_inner().orders.pop_front(),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> Drop for Obeyer<T> {
    fn drop(&mut self) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        queue.orders.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_does_not_wait_for_a_writer_that_was_stopped_in_the_middle() {
        let (orders, obeyer) = orders();
        orders.give(1);
        orders.give(2);
        assert_eq!(obeyer.take(), Some(1));
        let writer = orders.0.lock().unwrap();
        assert_eq!(obeyer.take(), None, "it is not there yet, and nobody waits for it");
        drop(writer);
        assert_eq!(obeyer.take(), Some(2));
    }

    #[test]
    fn whoever_waits_for_an_answer_learns_that_nobody_obeys() {
        let (orders, obeyer) = orders();
        let (answer, answered) = std::sync::mpsc::channel::<()>();
        orders.give(answer.clone());
        drop(obeyer);
        orders.give(answer);
        assert!(answered.recv().is_err());
    }
}
