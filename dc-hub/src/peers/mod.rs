//! The other hub nodes: one connection to each for what this node asks and says, one from each for what it is
//! asked and told. They run on the sites' socket, under a protocol of their own.
//!
//! | module | holds |
//! |---|---|
//! | `link` | the connection to one node: dialling, requests, casts |
//! | `serve` | a connection from one node |
//! | `outbox` | casts that wait: bounded by number and age |
//! | `form` | lengths and JSON on a stream |
//!
//! A node is who its certificate says, and only the nodes of the control log get an answer; before this node has
//! a log, those that its configuration names. Requests are the control log's. Casts are hints: small, and lost
//! rather than late.
//!
//! It never knows what is in a request, or what follows from a cast.

mod form;
mod link;
mod outbox;
mod serve;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use control_log::{Answered, ControlLog, PeerError, Peers};
use decide::beat::Beat;
use decide::evidence::Answers;
use decide::quorum::{Hint, Telling};
use decide::{HostId, NodeId, SiteId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::transport::{Identity, Settings, TlsError, hub_node_config};

use link::Link;

/// Casts of other nodes that wait to be looked at; more are lost. A second of beats of 1,000 standbys.
const CASTS: usize = 2048;
/// Requests of one node that are worked on at once; Raft has two or three, proposals come in bursts.
pub(crate) const REQUESTS: u32 = 64;
/// A node that is silent for so long is dialled anew. Sites wait longer: their lines are worse.
const IDLE: Duration = Duration::from_secs(3);

/// What nodes tell each other beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cast {
    /// To whoever leads: a reason to ask.
    Hint(Hint),
    /// What this node's host saw of a site's cameras.
    Answers(Answers),
    /// A beat of a virtual server that runs on this node's host.
    Beat {
        /// Whose.
        site: SiteId,
        /// Where it runs.
        host: HostId,
        /// What it says.
        beat: Beat,
    },
    /// From whoever leads: how its verdict about a site reads, for people who ask elsewhere.
    Telling(Box<Telling>),
}

/// To whom a cast goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// One node.
    Node(NodeId),
    /// Every other node.
    All,
}

/// Where another node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name, as in its certificate.
    pub name: String,
    /// `host:port`.
    pub address: String,
}

/// The connections to and from the other hub nodes. Clones are the same.
#[derive(Clone)]
pub struct HubPeers(Arc<Inner>);

struct Inner {
    me: NodeId,
    endpoint: quinn::Endpoint,
    dialling: quinn::ClientConfig,
    told: mpsc::Sender<(NodeId, Cast)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: BTreeMap<NodeId, Link>,
    /// Connections from other nodes, by their names.
    callers: BTreeMap<String, (NodeId, quinn::Connection)>,
    /// Nodes that are trusted no more, by their names.
    revoked: BTreeSet<String>,
    /// Who answers requests: none before [`HubPeers::attach`] and after [`HubPeers::stop`].
    log: Option<(ControlLog, JoinHandle<()>)>,
}

impl HubPeers {
    /// Uses the endpoint that sites call. Nobody is called yet. Casts of others come out of the receiver.
    pub fn new(
        me: NodeId,
        endpoint: quinn::Endpoint,
        identity: &Identity,
    ) -> Result<(Self, mpsc::Receiver<(NodeId, Cast)>), TlsError> {
        let settings = Settings { idle_timeout: IDLE, keep_alive: IDLE / 6, ..Settings::default() };
        let dialling = hub_node_config(identity, &settings)?;
        let (told, casts) = mpsc::channel(CASTS);
        let state = Mutex::default();
        Ok((Self(Arc::new(Inner { me, endpoint, dialling, told, state })), casts))
    }

    /// From now on `log` answers, and its nodes are called and may call; while it has none, the `configured`.
    pub fn attach(&self, log: &ControlLog, configured: BTreeMap<NodeId, Neighbour>) {
        self.know(configured.clone());
        let (peers, mut members) = (self.clone(), log.members());
        let follow = tokio::spawn(async move {
            loop {
                let now: BTreeMap<_, _> = members.borrow_and_update().iter().map(neighbour).collect();
                peers.know(if now.is_empty() { configured.clone() } else { now });
                if members.changed().await.is_err() {
                    return;
                }
            }
        });
        if let Some((_, before)) = self.lock().log.replace((log.clone(), follow)) {
            before.abort();
        }
    }

    /// Sets which nodes are trusted no more: connections with them end now, and none begins again.
    pub fn revoke(&self, names: BTreeSet<String>) {
        let mut state = self.lock();
        state.links.retain(|_, link| !names.contains(&link.neighbour().name));
        state.callers.retain(|name, (_, connection)| {
            let revoked = names.contains(name);
            if revoked {
                connection.close(form::NOT_A_MEMBER, b"this node is revoked");
            }
            !revoked
        });
        state.revoked = names;
    }

    /// Sets who is called and who may call.
    fn know(&self, mut nodes: BTreeMap<NodeId, Neighbour>) {
        nodes.remove(&self.0.me);
        let mut state = self.lock();
        nodes.retain(|_, node| !state.revoked.contains(&node.name));
        state.links.retain(|id, link| nodes.get(id) == Some(link.neighbour()));
        state.callers.retain(|name, (id, connection)| {
            let known = nodes.get(id).is_some_and(|node| node.name == *name);
            if !known {
                connection.close(form::NOT_A_MEMBER, b"this node is not in the control log any more");
            }
            known
        });
        for (id, neighbour) in nodes {
            let (endpoint, dialling) = (&self.0.endpoint, &self.0.dialling);
            state.links.entry(id).or_insert_with(|| Link::start(id, neighbour, endpoint, dialling));
        }
    }

    /// Says something to others, if it can be said soon; else it is lost.
    pub fn cast(&self, to: To, cast: &Cast) {
        let Ok(line) = serde_json::to_vec(cast).map(Bytes::from) else { return };
        let state = self.lock();
        match to {
            To::Node(node) => state.links.get(&node).into_iter().for_each(|link| link.cast(line.clone())),
            To::All => state.links.values().for_each(|link| link.cast(line.clone())),
        }
    }

    /// The nodes that are connected to at the moment.
    pub fn connected(&self) -> Vec<NodeId> {
        let state = self.lock();
        state.links.iter().filter(|(_, link)| link.connection().is_some()).map(|(id, _)| *id).collect()
    }

    /// Closes every connection and lets go of the log.
    pub fn stop(&self) {
        let state = std::mem::take(&mut *self.lock());
        if let Some((_, follow)) = state.log {
            follow.abort();
        }
        for (_, connection) in state.callers.into_values() {
            connection.close(0u32.into(), b"the node is stopping");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn neighbour((id, member): (&NodeId, &control_log::Member)) -> (NodeId, Neighbour) {
    (*id, Neighbour { name: member.name.clone(), address: member.address.clone() })
}

impl Peers for HubPeers {
    fn call(&self, node: NodeId, request: Bytes) -> Answered<'_> {
        Box::pin(async move {
            let not_sent = |why: &str| PeerError::NotSent { node, why: why.to_owned() };
            let connection = match self.lock().links.get(&node) {
                None => return Err(not_sent("it is in neither the control log nor the configuration")),
                Some(link) => link.connection().ok_or_else(|| not_sent(&link.trouble()))?,
            };
            link::request(node, &connection, request).await
        })
    }
}
