//! What the log needs of a network: ask a node, get its answer.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use decide::NodeId;

/// An answer that is on its way.
pub type Answered<'a> = Pin<Box<dyn Future<Output = Result<Bytes, PeerError>> + Send + 'a>>;

/// Asks other nodes. What arrives there goes into their [`ControlLog::handle`](crate::ControlLog::handle), with
/// the id of the node that *proved* to be the sender.
pub trait Peers: Send + Sync + 'static {
    /// Asks once. Dropping the future gives up; it need not limit how long it takes.
    fn call(&self, node: NodeId, request: Bytes) -> Answered<'_>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not a byte of it was sent.
    #[error("{node} can't be reached: {why}")]
    NotSent {
        /// Which node.
        node: NodeId,
        /// Why not.
        why: String,
    },
    /// It may have arrived, and may have been done.
    #[error("{node} was asked and didn't answer: {why}")]
    Lost {
        /// Which node.
        node: NodeId,
        /// What happened.
        why: String,
    },
}
