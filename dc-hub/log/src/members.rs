//! The log's nodes: founding, adding, removing.
//!
//! A node is first a fact of the state (`AddNode`: its id was never used), then a learner of Raft, then, when it
//! has caught up, a voter. Each step may be repeated, so that a change that broke off is finished by asking again.

use std::collections::{BTreeMap, BTreeSet};

use decide::NodeId;
use decide::control::{Command, Refusal};
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use serde::{Deserialize, Serialize};

use crate::error::ChangeError;
use crate::log::ControlLog;
use crate::member::{Member, TwoVoters};
use crate::message::{Request, Response};
use crate::raft::{StoredMembership, Types};

/// A wish about the log's nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    Add { node: NodeId, member: Member, two: TwoVoters },
    Remove { node: NodeId, two: TwoVoters },
}

type Done = Result<(), ChangeError>;

impl ControlLog {
    /// Begins a log: at its first node, or with several that agree from the start. Only once, and at one of them.
    pub async fn found(&self, members: BTreeMap<NodeId, Member>, two: TwoVoters) -> Done {
        if !members.contains_key(&self.me()) {
            return Err(ChangeError::FounderMissing(self.me()));
        }
        if two.refuses(members.len()) {
            return Err(ChangeError::TwoVoters);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = members.values().find(|member| !names.insert(&member.name)) {
            return Err(ChangeError::NameTaken(twice.name.clone()));
        }
        let members: BTreeMap<u64, Member> = members.into_iter().map(|(id, member)| (id.0, member)).collect();
        match self.raft().initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(ChangeError::Founded),
            Err(error) => Err(ChangeError::Unknown(error.to_string())),
        }
    }

    /// Adds a node whose id was never used, waits until it has caught up, and lets it vote.
    pub async fn add_node(&self, node: NodeId, member: Member, two: TwoVoters) -> Done {
        self.change(Change::Add { node, member, two }).await
    }

    /// Takes a node out, for ever.
    pub async fn remove_node(&self, node: NodeId, two: TwoVoters) -> Done {
        self.change(Change::Remove { node, two }).await
    }

    async fn change(&self, change: Change) -> Done {
        let leader = self.leader().ok_or_else(|| ChangeError::NotDone("nobody leads".to_owned()))?;
        let answer = match leader == self.me() {
            true => self.change_here(change).await,
            false => self.ask(leader, &Request::Change(change)).await?,
        };
        match answer {
            Response::Changed(done) => done,
            Response::NotLeader(_) => Err(ChangeError::NotDone("the leader has just changed".to_owned())),
            Response::NotDone(why) => Err(ChangeError::NotDone(why)),
            _ => Err(ChangeError::Unknown("the leader answered something else".to_owned())),
        }
    }

    /// Changes the nodes as the leader that this node may be.
    pub(crate) async fn change_here(&self, change: Change) -> Response {
        let Ok(_alone) = self.changing().try_lock() else { return Response::Changed(Err(ChangeError::Busy)) };
        Response::Changed(match change {
            Change::Add { node, member, two } => self.add(node, member, two).await,
            Change::Remove { node, two } => self.remove(node, two).await,
        })
    }

    async fn add(&self, node: NodeId, member: Member, two: TwoVoters) -> Done {
        let members = self.current();
        if members.nodes().any(|(id, known)| *id != node.0 && known.name == member.name) {
            return Err(ChangeError::NameTaken(member.name));
        }
        let mut voters: BTreeSet<u64> = members.voter_ids().collect();
        if !voters.insert(node.0) {
            return Ok(());
        }
        if two.refuses(voters.len()) {
            return Err(ChangeError::TwoVoters);
        }
        self.add_to_state(node, &member).await?;
        let learner = BTreeMap::from([(node.0, member.clone())]);
        match members.get_node(&node.0) {
            None => self.write(ChangeMembers::AddNodes(learner)).await?,
            // It never voted, so nobody counts on the old address.
            Some(known) if *known != member => self.write(ChangeMembers::SetNodes(learner)).await?,
            Some(_) => {}
        }
        self.caught_up(node).await?;
        self.write(ChangeMembers::AddVoterIds([node.0].into())).await
    }

    async fn add_to_state(&self, node: NodeId, member: &Member) -> Done {
        match self.state().nodes().get(&node) {
            // An earlier attempt came this far.
            Some(known) if !known.removed && known.role == member.role => return Ok(()),
            Some(_) => return Err(ChangeError::Refused(Refusal::NodeIdUsed(node))),
            None => {}
        }
        let proposed = self.propose(Command::AddNode { node, role: member.role }).await?;
        Ok(proposed.outcome.map(drop)?)
    }

    /// Waits until the node has everything that is in the log now.
    async fn caught_up(&self, node: NodeId) -> Done {
        let goal = self.raft().metrics().borrow_watched().last_log_index;
        let has = |metrics: &openraft::RaftMetrics<Types>| {
            let matched = metrics.replication.as_ref().and_then(|all| all.get(&node.0)).copied().flatten();
            matched.map(|log_id| log_id.index) >= goal
        };
        let waited =
            self.raft().wait(Some(self.timing().catch_up)).metrics(has, "a node has caught up").await;
        waited.map(drop).map_err(|_| ChangeError::NotCaughtUp(node))
    }

    async fn remove(&self, node: NodeId, two: TwoVoters) -> Done {
        let members = self.current();
        if members.get_node(&node.0).is_none() {
            return Err(ChangeError::NoNode(node));
        }
        let mut voters: BTreeSet<u64> = members.voter_ids().collect();
        if !voters.remove(&node.0) {
            return self.write(ChangeMembers::RemoveNodes([node.0].into())).await;
        }
        if voters.is_empty() {
            return Err(ChangeError::LastVoter(node));
        }
        if two.refuses(voters.len()) {
            return Err(ChangeError::TwoVoters);
        }
        self.write(ChangeMembers::RemoveVoters([node.0].into())).await
    }

    fn current(&self) -> StoredMembership {
        (*self.raft().metrics().borrow_watched().membership_config).clone()
    }

    async fn write(&self, change: ChangeMembers<u64, Member>) -> Done {
        match self.raft().change_membership(change, false).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_),
            ))) => Err(ChangeError::Busy),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
                Err(ChangeError::NotDone(error.to_string()))
            }
            Err(RaftError::APIError(error @ ClientWriteError::ForwardToLeader(_))) => {
                Err(ChangeError::NotDone(error.to_string()))
            }
            Err(error) => Err(ChangeError::Unknown(error.to_string())),
        }
    }
}
