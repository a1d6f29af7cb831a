//! What can go wrong, and what to do about it.

use std::path::PathBuf;

use decide::NodeId;
use decide::control::Refusal;
use serde::{Deserialize, Serialize};

use crate::peers::PeerError;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// RocksDB can't open it.
    #[error("open control log {}: {source} (is another process using it, or is the disk damaged?)", dir.display())]
    Database {
        /// Where.
        dir: PathBuf,
        /// What RocksDB says.
        source: rocksdb::Error,
    },
    /// Its folder's name can't be made durable.
    #[error("make the folder of control log {} durable: {source}", dir.display())]
    Folder {
        /// Where.
        dir: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is another node's.
    #[error(
        "control log {} belongs to {found}, this is {me}: correct the configuration, and never copy a log to \
         another node", dir.display()
    )]
    OtherNode {
        /// Where.
        dir: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who wants it.
        me: NodeId,
    },
    /// A later version wrote it.
    #[error("control log {} has format {found}, this version reads {known}: update this program", dir.display())]
    Format {
        /// Where.
        dir: PathBuf,
        /// What it says.
        found: u32,
        /// What can be read.
        known: u32,
    },
    /// The timers contradict each other.
    #[error("the control log's timers don't fit each other: {0}")]
    Timing(String),
    /// It can be opened and not be read.
    #[error("read control log {}: {why} (restore it from an export, under a new node id)", dir.display())]
    Unreadable {
        /// Where.
        dir: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Why a proposal brought nothing. All but [`Unknown`](ProposeError::Unknown) mean: not in the log, and it won't be.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// Nobody leads, as far as this node knows.
    #[error(
        "the control log has no leader now: propose again when it has (a majority of the voters is needed)"
    )]
    NoLeader,
    /// Another node's word, or one that only the log itself says.
    #[error("{from} may not propose this: {why}")]
    NotYours {
        /// Who tried.
        from: NodeId,
        /// What is wrong with it.
        why: String,
    },
    /// The leader was not asked.
    #[error("the leader of the control log was not asked: {0}")]
    Unreachable(PeerError),
    /// The leader was asked and said no.
    #[error("the leader of the control log didn't take it: {0}")]
    NotTaken(String),
    /// This node's log is out of order, for good.
    #[error("this node's control log has stopped: {0}")]
    Stopped(String),
    /// It may be in the log, now or later.
    #[error("the outcome is unknown ({0}): look at the state before proposing it again")]
    Unknown(String),
}

impl ProposeError {
    /// May it have been committed, or still be?
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

/// Why the nodes of the log were not changed, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ChangeError {
    /// There is a log already.
    #[error("this node's control log has entries: it was founded before. Add nodes to it instead")]
    Founded,
    /// The founder must be one of the founded.
    #[error("{0} founds the control log and is not among its nodes: name it too")]
    FounderMissing(NodeId),
    /// Two voters stop when either does.
    #[error(
        "the control log would have two voters: it would stop whenever either does, more often than with one. \
         Take three (one may be a witness), or say explicitly that two are wanted"
    )]
    TwoVoters,
    /// Nobody would be left.
    #[error("{0} is the only voter: the control log can't be without one")]
    LastVoter(NodeId),
    /// A name is one node's.
    #[error(
        "the name `{0}` is taken by another node of the control log: each node needs a certificate of its own"
    )]
    NameTaken(String),
    /// No such node.
    #[error("{0} is not in the control log")]
    NoNode(NodeId),
    /// The state says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The new node didn't follow.
    #[error(
        "{0} didn't catch up in time: see that it runs and is reachable, then add it again (it keeps its id)"
    )]
    NotCaughtUp(NodeId),
    /// Another change is not finished.
    #[error("another change of the control log's nodes is under way: try again")]
    Busy,
    /// It can't be done now.
    #[error("the control log's nodes were not changed: {0}")]
    NotDone(String),
    /// It may be done, now or later.
    #[error("whether the control log's nodes were changed is unknown ({0}): look at its status")]
    Unknown(String),
}

impl From<ProposeError> for ChangeError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Unknown(why) => Self::Unknown(why),
            other => Self::NotDone(other.to_string()),
        }
    }
}
