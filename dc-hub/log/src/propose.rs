//! Proposing: at the leader, or through it.
//!
//! The leader stamps its clock. Whether a command was refused is told by what `apply` said at its index; errors
//! are only about whether it got there.

use decide::NodeId;
use decide::control::{Command, Event, Refusal};
use openraft::errors::{ClientWriteError, RaftError};
use serde::{Deserialize, Serialize};

use crate::error::ProposeError;
use crate::log::ControlLog;
use crate::message::{Request, Response};
use crate::peers::PeerError;
use crate::raft::Stamped;

/// A command that is in the log and was applied at the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// Its entry.
    pub index: u64,
    /// What `apply` said.
    pub outcome: Result<Vec<Event>, Refusal>,
}

impl ControlLog {
    /// Proposes a command and waits until it is applied, at the leader at least.
    pub async fn propose(&self, command: Command) -> Result<Proposed, ProposeError> {
        admissible(self.me(), &command)?;
        let within = self.timing().propose;
        match tokio::time::timeout(within, self.propose_somewhere(command)).await {
            Ok(done) => done,
            Err(_) => Err(ProposeError::Unknown(format!("it was not committed within {within:?}"))),
        }
    }

    async fn propose_somewhere(&self, command: Command) -> Result<Proposed, ProposeError> {
        if let Some(why) = self.stopped_why() {
            return Err(ProposeError::Stopped(why));
        }
        let leader = self.leader().ok_or(ProposeError::NoLeader)?;
        let answer = self.propose_at(leader, command.clone()).await?;
        match answer {
            // Who we took for the leader knows better: once, so that nobody is sent round in circles.
            Response::NotLeader(Some(other)) if NodeId(other) != leader => {
                proposed(self.propose_at(NodeId(other), command).await?)
            }
            other => proposed(other),
        }
    }

    async fn propose_at(&self, leader: NodeId, command: Command) -> Result<Response, ProposeError> {
        if leader == self.me() {
            return Ok(self.propose_here(command).await);
        }
        self.ask(leader, &Request::Propose(command)).await
    }

    /// Asks a node something that must not be done twice without being known.
    pub(crate) async fn ask(&self, node: NodeId, request: &Request) -> Result<Response, ProposeError> {
        let request = self.stores().seal(request).map_err(ProposeError::NotTaken)?;
        match self.peers().call(node, request).await {
            Ok(answer) => self.stores().unseal(node, &answer).await.map_err(ProposeError::Unknown),
            Err(error @ PeerError::NotSent { .. }) => Err(ProposeError::Unreachable(error)),
            Err(error @ PeerError::Lost { .. }) => Err(ProposeError::Unknown(error.to_string())),
        }
    }

    /// Proposes as the leader that this node may be.
    pub(crate) async fn propose_here(&self, command: Command) -> Response {
        let stamped = Stamped { time: wire::clock::wall(), command };
        match self.raft().client_write(stamped).await {
            Ok(written) => {
                Response::Proposed(Proposed { index: written.log_id.index, outcome: written.data })
            }
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => {
                Response::NotLeader(to.leader_id)
            }
            Err(error) => Response::Unknown(error.to_string()),
        }
    }
}

fn proposed(answer: Response) -> Result<Proposed, ProposeError> {
    match answer {
        Response::Proposed(proposed) => Ok(proposed),
        Response::NotLeader(_) => Err(ProposeError::NoLeader),
        Response::NotDone(why) => Err(ProposeError::NotTaken(why)),
        Response::Unknown(why) => Err(ProposeError::Unknown(why)),
        _ => Err(ProposeError::Unknown("the leader answered something else".to_owned())),
    }
}

/// A voter's word is its own, and the voters are the log's own affair.
pub(crate) fn admissible(from: NodeId, command: &Command) -> Result<(), ProposeError> {
    let refuse = |why: String| Err(ProposeError::NotYours { from, why });
    match command {
        Command::Membership(_) => refuse("the log itself says who votes: add or remove a node".to_owned()),
        Command::Silent { voter, .. } | Command::Heard { voter, .. } if *voter != from => {
            refuse(format!("it is {voter}'s word"))
        }
        Command::Verdict(verdict) if verdict.proposer != from => {
            refuse(format!("it is {}'s verdict", verdict.proposer))
        }
        _ => Ok(()),
    }
}
