//! What another node asks.

use bytes::Bytes;
use decide::NodeId;
use openraft::errors::Fatal;

use crate::log::ControlLog;
use crate::message::{Request, Response};
use crate::propose::admissible;
use crate::raft::{Snapshot, Types, Vote};

impl ControlLog {
    /// Answers what `from` asked. That it is `from` is the caller's to prove.
    pub async fn handle(&self, from: NodeId, request: Bytes) -> Bytes {
        let stores = self.stores();
        let response = match stores.unseal(from, &request).await {
            Ok(request) => self.answer(from, request).await,
            Err(why) => {
                tracing::warn!("{why}");
                Response::NotDone(why)
            }
        };
        stores.seal(&response).or_else(|why| stores.seal(Response::Unknown(why))).unwrap_or_default()
    }

    async fn answer(&self, from: NodeId, request: Request) -> Response {
        if let Some(why) = self.stopped_why() {
            return Response::NotDone(format!("{}'s control log has stopped: {why}", self.me()));
        }
        let raft = self.raft();
        match request {
            Request::Append(rpc) => match self.speaks_for_itself(from, &rpc.vote) {
                Ok(()) => raft.append_entries(rpc).await.map_or_else(stopped, Response::Append),
                Err(refused) => refused,
            },
            Request::Vote(rpc) => match self.speaks_for_itself(from, &rpc.vote) {
                Ok(()) => raft.vote(rpc).await.map_or_else(stopped, Response::Vote),
                Err(refused) => refused,
            },
            Request::PreVote(rpc) => match self.speaks_for_itself(from, &rpc.vote) {
                Ok(()) => raft.pre_vote(rpc).await.map_or_else(stopped, Response::Vote),
                Err(refused) => refused,
            },
            Request::Snapshot { vote, meta, state } => match self.speaks_for_itself(from, &vote) {
                Ok(()) => {
                    let installed =
                        raft.install_full_snapshot(vote, Snapshot { meta, snapshot: state }).await;
                    installed.map_or_else(|error: Fatal<Types>| stopped(error), Response::Snapshot)
                }
                Err(refused) => refused,
            },
            Request::Transfer(rpc) => {
                raft.handle_transfer_leader(rpc).await.map_or_else(stopped, Response::Transfer)
            }
            Request::Propose(command) => match admissible(from, &command) {
                Ok(()) => self.propose_here(command).await,
                Err(error) => Response::NotDone(error.to_string()),
            },
            Request::Change(change) => self.change_here(change).await,
        }
    }

    /// A machine with another's node id in its configuration would vote twice.
    fn speaks_for_itself(&self, from: NodeId, vote: &Vote) -> Result<(), Response> {
        let named = NodeId(vote.leader_id().voted_for);
        if named == from {
            return Ok(());
        }
        let why = format!("{from} speaks as {named}: correct the node id in its configuration");
        tracing::warn!("{why}");
        Err(Response::NotDone(why))
    }
}

/// The core has stopped: nothing of the request was promised to anybody.
fn stopped(error: impl std::fmt::Display) -> Response {
    Response::NotDone(error.to_string())
}
