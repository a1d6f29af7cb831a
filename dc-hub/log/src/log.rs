//! One node's replica: opened, followed, closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use decide::NodeId;
use decide::control::State;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::disk::Disk;
use crate::error::OpenError;
use crate::feed::{Feed, Follow};
use crate::leadership::{Leadership, Watched, watch};
use crate::link::Links;
use crate::machine::Machine;
use crate::member::Member;
use crate::options::{Options, Timing};
use crate::peers::Peers;
use crate::raft::Raft;
use crate::store::Store;
use crate::stores::Stores;

/// A replica of the control log. Clones are the same replica. [`stop`](Self::stop) it before its folder is
/// opened again.
#[derive(Clone)]
pub struct ControlLog(Arc<Inner>);

struct Inner {
    options: Options,
    peers: Arc<dyn Peers>,
    disk: Arc<Disk>,
    stores: Arc<Stores>,
    feed: Arc<Feed>,
    raft: Raft,
    watched: Arc<Watched>,
    watcher: JoinHandle<()>,
    /// One change of the nodes at a time.
    changing: Mutex<()>,
}

impl ControlLog {
    /// Opens the replica and takes part from now on. A new one waits: to be founded, or to be added to a log.
    pub async fn open(options: Options, peers: Arc<dyn Peers>) -> Result<Self, OpenError> {
        let config = options.timing.config().map_err(OpenError::Timing)?;
        let (dir, me) = (options.dir.clone(), options.me);
        let opened = tokio::task::spawn_blocking(move || Disk::open(dir, me)).await;
        let unreadable = |why: String| OpenError::Unreadable { dir: options.dir.clone(), why };
        let disk = opened.map_err(|panic| unreadable(panic.to_string()))??;
        let feed = Arc::new(Feed::new());
        let machine = Machine::new(disk.clone(), feed.clone());
        let stores = Arc::new(Stores::open(disk.clone()).map_err(|error| unreadable(error.to_string()))?);
        let links = Links { peers: peers.clone(), stores: stores.clone() };
        let store = Store { disk: disk.clone() };
        let raft = Raft::new(me.0, config, links, store, machine).await;
        let raft = raft.map_err(|error| unreadable(error.to_string()))?;
        let watched = Arc::new(Watched::default());
        let watcher = tokio::spawn(watch(raft.clone(), watched.clone(), options.timing.election_max));
        let changing = Mutex::default();
        Ok(Self(Arc::new(Inner { options, peers, disk, stores, feed, raft, watched, watcher, changing })))
    }

    /// The state as applied here.
    pub fn state(&self) -> Arc<State> {
        self.0.feed.newest().map(|newest| newest.state).unwrap_or_default()
    }

    /// Every entry as it is applied here, after the state as it is now.
    pub fn follow(&self) -> Follow {
        self.0.feed.follow()
    }

    /// Who leads.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.watched.leadership.subscribe()
    }

    /// The log's nodes as this one knows them, who don't vote yet included; none before it was founded.
    pub fn members(&self) -> watch::Receiver<BTreeMap<NodeId, Member>> {
        self.0.watched.members.subscribe()
    }

    /// Why this node takes no part any more, once it doesn't.
    pub fn stopped(&self) -> watch::Receiver<Option<String>> {
        self.0.watched.stopped.subscribe()
    }

    /// How long the slowest write to its disk took since this was last asked, those included that are not done.
    pub fn slowest_write(&self) -> Duration {
        self.0.disk.slowest_write()
    }

    /// Ends this replica's part and closes its folder. What was promised is on disk.
    pub async fn stop(&self) {
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "the control log's task ended badly");
        }
        self.0.watcher.abort();
        self.0.watched.stop("it was stopped".to_owned());
        self.0.disk.close();
    }

    pub(crate) fn me(&self) -> NodeId {
        self.0.options.me
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.0.options.timing
    }

    pub(crate) fn peers(&self) -> &dyn Peers {
        &*self.0.peers
    }

    pub(crate) fn stores(&self) -> &Stores {
        &self.0.stores
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.0.raft
    }

    pub(crate) fn changing(&self) -> &Mutex<()> {
        &self.0.changing
    }

    #[cfg(test)]
    pub(crate) fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// Whom to ask: openraft's newest word, which is a moment ahead of what is told to others.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.0.raft.metrics().borrow_watched().current_leader.map(NodeId)
    }

    pub(crate) fn stopped_why(&self) -> Option<String> {
        let failed = self.0.disk.failed().borrow().clone();
        failed.or_else(|| self.0.watched.stopped.borrow().clone())
    }
}

impl Drop for Inner {
    /// Whoever forgot to stop it gets no second replica of the same node.
    fn drop(&mut self) {
        self.watcher.abort();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (raft, disk) = (self.raft.clone(), self.disk.clone());
            runtime.spawn(async move {
                let _ = raft.shutdown().await;
                disk.close();
            });
        }
    }
}
