//! What nodes say to each other, as JSON: the log's rates are small, and a person can read it.

use decide::control::Command;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use crate::error::ChangeError;
use crate::machine::Shared;
use crate::members::Change;
use crate::propose::Proposed;
use crate::raft::{SnapshotMeta, Types, Vote};

#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    Snapshot {
        vote: Vote,
        meta: SnapshotMeta,
        state: Shared,
    },
    Transfer(TransferLeaderRequest<Types>),
    /// To the leader, from who is not.
    Propose(Command),
    /// The same, for the nodes themselves.
    Change(Change),
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Response {
    Append(AppendEntriesResponse<Types>),
    Vote(VoteResponse<Types>),
    Snapshot(SnapshotResponse<Types>),
    Transfer(TransferLeaderResponse<Types>),
    Proposed(Proposed),
    Changed(Result<(), ChangeError>),
    /// Not done, and it won't be: somebody else leads, if anybody does.
    NotLeader(Option<u64>),
    /// Not done, and it won't be.
    NotDone(String),
    /// Perhaps done, perhaps not yet.
    Unknown(String),
}
