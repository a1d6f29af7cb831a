//! openraft with our types filled in. Ids are plain numbers here and [`decide::NodeId`] outside.
//!
//! A term has one leader (`leader_id_std`): a round of `decide` belongs to a term and thereby to a leader.

use std::fmt;

use decide::control::{Command, Event, Refusal};
use openraft::impls::leader_id_std;
use serde::{Deserialize, Serialize};
use wire::UnixMicros;

use crate::machine::Machine;
use crate::member::Member;

openraft::declare_raft_types!(
    /// Our choice of types.
    pub(crate) Types:
        D = Stamped,
        R = Outcome,
        NodeId = u64,
        Node = Member,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
);

pub(crate) type Raft = openraft::Raft<Types, Machine>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Types>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;
pub(crate) type Snapshot = openraft::type_config::alias::SnapshotOf<Types, crate::machine::Shared>;
pub(crate) type RpcError = openraft::errors::RPCError<Types>;

/// What `apply` said.
pub(crate) type Outcome = Result<Vec<Event>, Refusal>;

/// A command with the clock of the leader that put it into the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamped {
    pub(crate) time: UnixMicros,
    pub(crate) command: Command,
}

impl fmt::Display for Stamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.command)
    }
}
