//! Who leads, who is a member, and whether this node's Raft still runs: read off openraft's metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use decide::{NodeId, Term};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant, RaftMetrics};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::member::Member;
use crate::raft::{Raft, Types};

/// Who leads, as far as this node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// Who: somebody this node has heard of, or itself while a majority hears it.
    pub leader: Option<NodeId>,
    /// This node's own reign, once every entry of earlier ones is applied here, while a majority hears it.
    pub mine: Option<Term>,
}

/// What is told to whoever watches.
#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) members: watch::Sender<BTreeMap<NodeId, Member>>,
    /// Why Raft stopped here.
    pub(crate) stopped: watch::Sender<Option<String>>,
}

impl Watched {
    fn tell(&self, metrics: &RaftMetrics<Types>, lease: Duration) {
        replace(&self.leadership, leadership(metrics, lease));
        let nodes = metrics.membership_config.nodes();
        replace(&self.members, nodes.map(|(id, member)| (NodeId(*id), member.clone())).collect());
        if let Err(why) = &metrics.running_state {
            self.stop(why.to_string());
        }
    }

    pub(crate) fn stop(&self, why: String) {
        replace(&self.leadership, Leadership::default());
        self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            stopped.get_or_insert(why);
            first
        });
    }
}

fn replace<T: PartialEq>(told: &watch::Sender<T>, now: T) {
    told.send_if_modified(|before| {
        let changed = *before != now;
        *before = now;
        changed
    });
}

/// Watches until Raft ends. A lease of `lease` is how long a leader that hears nobody may go on.
pub(crate) async fn watch(raft: Raft, watched: std::sync::Arc<Watched>, lease: Duration) {
    let mut metrics = raft.metrics();
    let mut reign = None;
    loop {
        let left = {
            let now = metrics.borrow_and_update();
            watched.tell(&now, lease);
            lease_left(&now, lease).unwrap_or(lease)
        };
        let mine = watched.leadership.borrow().mine;
        if mine.is_some() && mine != reign {
            // Its predecessor may have died between the two halves of a change.
            tokio::spawn(finish_change(raft.clone()));
        }
        reign = mine;
        let waited = tokio::time::timeout(left.max(Duration::from_millis(10)), metrics.changed()).await;
        if let Ok(Err(_)) = waited {
            return watched.stop("it was shut down".to_owned());
        }
    }
}

async fn finish_change(raft: Raft) {
    if raft.metrics().borrow_watched().membership_config.get_joint_config().len() > 1
        && let Err(error) =
            raft.change_membership(openraft::ChangeMembers::AddVoterIds(Default::default()), false).await
    {
        tracing::warn!(%error, "a change of the control log's nodes is half done: the next leader finishes it");
    }
}

/// How long this leader's lease still is; `None` for one that needs none, or none any more.
fn lease_left(metrics: &RaftMetrics<Types>, lease: Duration) -> Option<Duration> {
    let acked = metrics.last_quorum_acked.as_ref()?;
    lease.checked_sub(acked.elapsed())
}

fn leadership(metrics: &RaftMetrics<Types>, lease: Duration) -> Leadership {
    if metrics.running_state.is_err() {
        return Leadership::default();
    }
    if !metrics.state.is_leader() {
        let leader = metrics.current_leader.filter(|leader| *leader != metrics.id);
        return Leadership { leader: leader.map(NodeId), mine: None };
    }
    let alone = metrics.membership_config.voter_ids().eq([metrics.id]);
    if !alone && lease_left(metrics, lease).is_none() {
        return Leadership::default();
    }
    let applied = metrics.last_applied.map(|last| last.leader_id.term);
    let mine = (applied == Some(metrics.current_term)).then_some(Term(metrics.current_term));
    Leadership { leader: Some(NodeId(metrics.id)), mine }
}
