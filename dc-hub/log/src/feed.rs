//! Tells followers of the log what was applied: each entry in order to those who keep up, the newest state to
//! those who don't.

use std::sync::Arc;

use decide::control::{Event, State};
use tokio::sync::{broadcast, watch};

/// Entries a follower may lag behind before it gets the newest state instead. Each may be a copy of the state.
const LAG_MAX: usize = 64;

/// The state after an entry of the log.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Which entry.
    pub index: u64,
    /// The state after it.
    pub state: Arc<State>,
    /// What it brought about. Empty too for a refused command, for the first item of a follower, and after a
    /// jump: what happened in between is in the state only.
    pub events: Arc<[Event]>,
}

/// One node's followers.
pub(crate) struct Feed {
    newest: watch::Sender<Option<Applied>>,
    each: broadcast::Sender<Applied>,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self { newest: watch::Sender::default(), each: broadcast::Sender::new(LAG_MAX) }
    }

    pub(crate) fn publish(&self, applied: Applied) {
        self.newest.send_replace(Some(Applied { events: Arc::default(), ..applied.clone() }));
        // Nobody may follow.
        let _ = self.each.send(applied);
    }

    pub(crate) fn newest(&self) -> Option<Applied> {
        self.newest.borrow().clone()
    }

    pub(crate) fn follow(&self) -> Follow {
        // In this order: what is applied between the two comes twice, and is skipped.
        let (each, newest) = (self.each.subscribe(), self.newest.subscribe());
        let jump = newest.borrow().clone();
        Follow { each, newest, seen: None, jump }
    }
}

/// Somebody who follows the log.
pub struct Follow {
    each: broadcast::Receiver<Applied>,
    newest: watch::Receiver<Option<Applied>>,
    seen: Option<u64>,
    /// The state to tell before anything else.
    jump: Option<Applied>,
}

impl Follow {
    /// The next entry. First comes the state as it was when this began, if anything was applied. `None` when the
    /// log is closed.
    pub async fn next(&mut self) -> Option<Applied> {
        loop {
            match self.jump.take() {
                Some(newest) if self.is_new(&newest) => return Some(newest),
                _ => {}
            }
            match self.each.recv().await {
                Ok(applied) if self.is_new(&applied) => return Some(applied),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.each = self.each.resubscribe();
                    self.jump = self.newest.borrow().clone();
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    fn is_new(&mut self, applied: &Applied) -> bool {
        let new = self.seen.is_none_or(|seen| seen < applied.index);
        self.seen = self.seen.max(Some(applied.index));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(index: u64) -> Applied {
        Applied { index, state: Arc::default(), events: Arc::default() }
    }

    #[tokio::test]
    async fn who_keeps_up_gets_each_and_who_lags_the_newest() {
        let feed = Feed::new();
        feed.publish(applied(1));
        let mut follow = feed.follow();
        assert_eq!(follow.next().await.unwrap().index, 1, "first the state as it is");
        (2..5).for_each(|index| feed.publish(applied(index)));
        for index in 2..5 {
            assert_eq!(follow.next().await.unwrap().index, index);
        }
        (5..500).for_each(|index| feed.publish(applied(index)));
        assert_eq!(follow.next().await.unwrap().index, 499);
        feed.publish(applied(500));
        assert_eq!(follow.next().await.unwrap().index, 500, "and then each again");
        drop(feed);
        assert!(follow.next().await.is_none());
    }
}
