//! Replicas in one process, joined by calls that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use decide::NodeId;
use decide::control::{Command, HostKind, HostSpec, Load, Role};
use decide::ids::HostId;

use crate::{
    Answered, ControlLog, Leadership, Member, Options, PeerError, Peers, Proposed, Timing, TwoVoters,
};

/// For whatever must happen at all: far longer than it takes on a busy machine.
pub(super) async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), happens)
        .await
        .unwrap_or_else(|_| panic!("{what}: not in 60 s"))
}

pub(super) fn member(id: u64) -> Member {
    Member { role: Role::Full, name: format!("hub-{id}"), address: format!("hub-{id}:7443") }
}

pub(super) fn members(ids: impl IntoIterator<Item = u64>) -> BTreeMap<NodeId, Member> {
    ids.into_iter().map(|id| (NodeId(id), member(id))).collect()
}

/// A command that is told apart by its name, and never refused.
pub(super) fn host(name: &str) -> Command {
    let (kind, capacity) = (HostKind::Node(NodeId(1)), Load::default());
    let spec = HostSpec { kind, capacity, domain: "here".into(), draining: false };
    Command::SetHost { host: HostId::new(name).unwrap(), spec }
}

pub(super) fn has_host(log: &ControlLog, name: &str) -> bool {
    log.state().hosts().contains_key(&HostId::new(name).unwrap())
}

/// Waits until a replica has applied something that made this host known.
pub(super) async fn host_arrives(log: &ControlLog, name: &str) {
    let mut follow = log.follow();
    let host = HostId::new(name).unwrap();
    let arrival = async { while !follow.next().await.unwrap().state.hosts().contains_key(&host) {} };
    soon("the entry arrives", arrival).await;
}

/// Waits until a replica says so of who leads.
pub(super) async fn leadership(log: &ControlLog, want: impl Fn(&Leadership) -> bool) -> Leadership {
    let mut told = log.leadership();
    *soon("leadership", told.wait_for(want)).await.unwrap()
}

/// Proposes until it is in: on a busy machine a leader may change at any moment, and this command may be repeated.
pub(super) async fn agree(log: &ControlLog, name: &str) -> Proposed {
    let proposing = async {
        loop {
            match log.propose(host(name)).await {
                Ok(proposed) => return proposed,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    soon("the proposal is in", proposing).await
}

/// Several replicas, their folders, and what joins them.
pub(super) struct Cluster {
    dir: tempfile::TempDir,
    wires: Arc<Wires>,
}

#[derive(Default)]
struct Wires {
    nodes: Mutex<BTreeMap<NodeId, ControlLog>>,
    cut: Mutex<BTreeSet<NodeId>>,
}

struct Wire {
    me: NodeId,
    all: Arc<Wires>,
}

impl Peers for Wire {
    fn call(&self, node: NodeId, request: Bytes) -> Answered<'_> {
        Box::pin(async move {
            let cut = || [self.me, node].iter().any(|end| self.all.cut.lock().unwrap().contains(end));
            let there = self.all.nodes.lock().unwrap().get(&node).cloned();
            let (Some(there), false) = (there, cut()) else {
                return Err(PeerError::NotSent { node, why: "cut".into() });
            };
            let me = self.me;
            let answer = tokio::spawn(async move { there.handle(me, request).await }).await.unwrap();
            if cut() { Err(PeerError::Lost { node, why: "cut".into() }) } else { Ok(answer) }
        })
    }
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), wires: Arc::default() }
    }

    pub(super) fn folder(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("node-{id}"))
    }

    /// Opens a node's replica, anew or again.
    pub(super) async fn start(&self, id: u64) -> ControlLog {
        let options = Options { me: NodeId(id), dir: self.folder(id), timing: Timing::default() };
        let peers = Arc::new(Wire { me: NodeId(id), all: self.wires.clone() });
        let log = ControlLog::open(options, peers).await.unwrap();
        self.wires.nodes.lock().unwrap().insert(NodeId(id), log.clone());
        log
    }

    /// Ends a replica; its folder stays.
    pub(super) async fn stop(&self, id: u64) {
        let log = self.wires.nodes.lock().unwrap().remove(&NodeId(id)).unwrap();
        log.stop().await;
    }

    /// Nobody reaches these, and they reach nobody.
    pub(super) fn cut(&self, ids: impl IntoIterator<Item = u64>) {
        *self.wires.cut.lock().unwrap() = ids.into_iter().map(NodeId).collect();
    }

    pub(super) async fn end(&self) {
        let all = std::mem::take(&mut *self.wires.nodes.lock().unwrap());
        for log in all.values() {
            log.stop().await;
        }
    }

    /// Three that agree, and the id of who leads.
    pub(super) async fn three() -> (Self, BTreeMap<u64, ControlLog>, u64) {
        let cluster = Self::new();
        let mut logs = BTreeMap::new();
        for id in 1..=3 {
            logs.insert(id, cluster.start(id).await);
        }
        logs[&1].found(members(1..=3), TwoVoters::Refuse).await.unwrap();
        let leader = leads(logs.values()).await;
        (cluster, logs, leader)
    }
}

/// Waits until one of them leads, with everything of earlier reigns applied.
pub(super) async fn leads<'a>(logs: impl IntoIterator<Item = &'a ControlLog>) -> u64 {
    let waits = logs.into_iter().map(|log| Box::pin(leadership(log, |now| now.mine.is_some())));
    let (leadership, ..) = futures::future::select_all(waits).await;
    leadership.leader.unwrap().0
}
