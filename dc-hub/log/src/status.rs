//! How this node's replica is, for surfaces.

use std::collections::BTreeMap;
use std::time::Duration;

use decide::{NodeId, Term};
use openraft::Instant;
use openraft::async_runtime::watch::WatchReceiver;
use serde::{Deserialize, Serialize};

use crate::leadership::Leadership;
use crate::log::ControlLog;
use crate::member::Member;

/// One replica, and what it knows of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whose view this is.
    pub node: NodeId,
    /// Who leads.
    pub leadership: Leadership,
    /// The reign this node has heard of last.
    pub term: Term,
    /// Its last entry.
    pub last: Option<u64>,
    /// The last entry it applied.
    pub applied: Option<u64>,
    /// The last entry in its snapshot.
    pub snapshot: Option<u64>,
    /// So many voters there are; a majority of them must be up. 0: not founded yet, and in no log.
    pub voters: usize,
    /// The voters are being changed: a majority of the old and of the new ones is needed.
    pub changing: bool,
    /// The log's nodes.
    pub members: BTreeMap<NodeId, MemberStatus>,
    /// Why this replica stopped, if it did.
    pub stopped: Option<String>,
}

/// One node of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Who it is.
    pub member: Member,
    /// Does it vote, or only follow yet?
    pub voter: bool,
    /// The last entry it is known to have. Only a leader knows.
    pub has: Option<u64>,
    /// For how long the leader has heard nothing from it. Only a leader knows.
    pub silent_for: Option<Duration>,
}

impl ControlLog {
    /// How this replica is.
    pub fn status(&self) -> Status {
        let metrics = self.raft().metrics().borrow_watched().clone();
        let config = &metrics.membership_config;
        let voters: Vec<u64> = config.voter_ids().collect();
        let member = |(id, member): (&u64, &Member)| {
            let matched = metrics.replication.as_ref().and_then(|all| all.get(id)).copied().flatten();
            let heard = metrics.heartbeat.as_ref().and_then(|all| all.get(id)).cloned().flatten();
            let status = MemberStatus {
                member: member.clone(),
                voter: voters.contains(id),
                has: matched.map(|log_id| log_id.index),
                silent_for: heard.map(|at| at.elapsed()),
            };
            (NodeId(*id), status)
        };
        Status {
            node: self.me(),
            leadership: *self.leadership().borrow(),
            term: Term(metrics.current_term),
            last: metrics.last_log_index,
            applied: metrics.last_applied.map(|log_id| log_id.index),
            snapshot: metrics.snapshot.map(|log_id| log_id.index),
            voters: voters.len(),
            changing: config.get_joint_config().len() > 1,
            members: config.nodes().map(member).collect(),
            stopped: self.stopped_why(),
        }
    }
}
