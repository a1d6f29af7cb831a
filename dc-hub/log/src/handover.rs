//! A leader that is going to stop lets another voter lead first: nobody has to notice that it is gone.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;

use crate::log::ControlLog;

/// A hand-over that takes longer is left to an election.
const HAND_OVER_MAX: Duration = Duration::from_secs(1);

impl ControlLog {
    /// If this node leads, lets the voter lead that has most of the log. Returns once it does, or it has taken too
    /// long; either way this node may stop.
    pub async fn hand_over(&self) {
        let metrics = self.raft().metrics().borrow_watched().clone();
        let me = metrics.id;
        if !metrics.state.is_leader() {
            return;
        }
        let has = |id: &u64| metrics.replication.as_ref().and_then(|all| all.get(id)).copied().flatten();
        let others = metrics.membership_config.voter_ids().filter(|id| *id != me);
        let Some(next) = others.max_by_key(has) else { return };
        if let Err(error) = self.raft().trigger().transfer_leader(next).await {
            tracing::warn!(%error, "the control log's leadership was not handed over");
            return;
        }
        let waited = self.raft().wait(Some(HAND_OVER_MAX));
        let other = |now: &openraft::RaftMetrics<_>| now.current_leader.is_some_and(|leader| leader != me);
        if waited.metrics(other, "another node leads").await.is_err() {
            tracing::info!("nobody has taken the control log's leadership yet: there will be an election");
        }
    }
}
