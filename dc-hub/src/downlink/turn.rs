//! One session of a site, and of each host that brings what it recorded for a site, at a time.
//!
//! A session answers an offer with what is here. Were a segment put together behind that answer, by a
//! connection that has been replaced, it would use up parts that the site was just told it need not send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use site_agent::archive::Sender;
use tokio::sync::OwnedMutexGuard;

/// Whose turn it is, for everybody that has ever connected to this run.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<BTreeMap<Sender, Arc<tokio::sync::Mutex<()>>>>>);

/// A site's turn. The next session of the site begins when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held for its drop")] Arc<OwnedMutexGuard<()>>);

impl Turns {
    /// Waits until nothing is under way of the site's sessions before. They have been told to end: what is
    /// waited for is what they are writing to the disk.
    pub(super) async fn take(&self, by: &Sender) -> Turn {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(by.clone()).or_default())
        };
        Turn(Arc::new(turn.lock_owned().await))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use wire::SiteId;

    use super::*;

    #[tokio::test]
    async fn the_next_waits_for_the_last_clone_and_others_do_not() {
        let turns = Turns::default();
        let site = Sender::agent(&SiteId::new("a").unwrap());
        let other = Sender { host: Some("hub-2".to_owned()), ..site.clone() };
        let turn = turns.take(&site).await;
        let clone = turn.clone();
        drop(turn);
        assert!(turns.take(&site).now_or_never().is_none());
        assert!(turns.take(&other).now_or_never().is_some());
        drop(clone);
        assert!(turns.take(&site).now_or_never().is_some());
    }
}
