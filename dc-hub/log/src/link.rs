//! openraft's network, over [`Peers`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use decide::NodeId;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use crate::machine::Shared;
use crate::member::Member;
use crate::message::{Request, Response};
use crate::peers::Peers;
use crate::raft::{RpcError, Snapshot, Types, Vote};
use crate::stores::Stores;

/// A follower answers an append after its disk has synced it. openraft would give up after a heartbeat's time,
/// in which a slow disk never gets anything done.
const APPEND_MIN: Duration = Duration::from_secs(1);

/// Makes a link to each node.
pub(crate) struct Links {
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) stores: Arc<Stores>,
}

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _: &Member) -> Link {
        Link { target: NodeId(target), peers: self.peers.clone(), stores: self.stores.clone() }
    }
}

/// The way to one node.
pub(crate) struct Link {
    target: NodeId,
    peers: Arc<dyn Peers>,
    stores: Arc<Stores>,
}

impl Link {
    async fn ask(&self, request: Request, within: Duration) -> Result<Response, RpcError> {
        let request = self.stores.seal(&request).map_err(unreachable)?;
        match tokio::time::timeout(within, self.peers.call(self.target, request)).await {
            Ok(Ok(answer)) => self.stores.unseal(self.target, &answer).await.map_err(unreachable),
            Ok(Err(error)) => Err(unreachable(error)),
            Err(_) => Err(unreachable(format!("{} didn't answer within {within:?}", self.target))),
        }
    }

    fn not_expected<T>(&self, response: &Response) -> Result<T, RpcError> {
        let why = match response {
            Response::NotDone(why) | Response::Unknown(why) => why.as_str(),
            _ => "it answered something else",
        };
        Err(unreachable(format!("{}: {why}", self.target)))
    }
}

/// For openraft all are alike: wait a little, then try again.
fn unreachable(why: impl ToString) -> RpcError {
    RPCError::Unreachable(Unreachable::from_string(why))
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = Shared;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RpcError> {
        match self.ask(Request::Append(rpc), option.soft_ttl().max(APPEND_MIN)).await? {
            Response::Append(answer) => Ok(answer),
            other => self.not_expected(&other),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        match self.ask(Request::Vote(rpc), option.soft_ttl()).await? {
            Response::Vote(answer) => Ok(answer),
            other => self.not_expected(&other),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        match self.ask(Request::PreVote(rpc), option.soft_ttl()).await? {
            Response::Vote(answer) => Ok(answer),
            other => self.not_expected(&other),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let request = Request::Snapshot { vote, meta: snapshot.meta, state: snapshot.snapshot };
        tokio::select! {
            answer = self.ask(request, option.soft_ttl()) => match answer? {
                Response::Snapshot(answer) => Ok(answer),
                other => Ok(self.not_expected(&other)?),
            },
            closed = cancel => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RpcError> {
        match self.ask(Request::Transfer(rpc), option.soft_ttl()).await? {
            Response::Transfer(answer) => Ok(answer),
            other => self.not_expected(&other),
        }
    }
}
