//! Control logs that reach each other over real QUIC on loopback: certificates, folders and all.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use control_log::{ControlLog, Leadership, Member, Options, PeerError, Peers, Timing, TwoVoters};
use decide::control::{Command, HostKind, HostSpec, Load, Role};
use decide::quorum::Hint;
use decide::{HostId, NodeId, SiteId};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::transport::{Identity, QuicHandle, Settings, hub_dns_names, hub_endpoint, peer_node};

use super::{Cast, HubPeers, Neighbour, To};

/// For whatever must happen at all: far longer than it takes on a busy machine.
async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), happens)
        .await
        .unwrap_or_else(|_| panic!("{what}: not in 60 s"))
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn hub(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(hub_dns_names(name).unwrap().to_vec()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let at = |file: &str| self.dir.path().join(format!("{name}-{file}.pem"));
        std::fs::write(at("cert"), certificate.pem()).unwrap();
        std::fs::write(at("key"), key.serialize_pem()).unwrap();
        Identity::load(&self.dir.path().join("ca.pem"), &at("cert"), &at("key")).unwrap()
    }
}

/// One hub node, as far as this goes.
struct Running {
    peers: HubPeers,
    casts: mpsc::Receiver<(NodeId, Cast)>,
    log: ControlLog,
    endpoint: quinn::Endpoint,
    accepting: JoinHandle<()>,
}

struct Site {
    authority: Authority,
    addresses: BTreeMap<u64, SocketAddr>,
}

fn name(id: u64) -> String {
    format!("hub-{id}")
}

impl Site {
    /// Finds ports for so many nodes.
    fn new(nodes: u64) -> Self {
        let port = |id| {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            (id, socket)
        };
        let sockets: Vec<_> = (1..=nodes).map(port).collect();
        let addresses = sockets.iter().map(|(id, socket)| (*id, socket.local_addr().unwrap())).collect();
        Self { authority: Authority::new(), addresses }
    }

    fn members(&self) -> BTreeMap<NodeId, Member> {
        let member = |(id, address): (&u64, &SocketAddr)| {
            let member = Member { role: Role::Full, name: name(*id), address: address.to_string() };
            (NodeId(*id), member)
        };
        self.addresses.iter().map(member).collect()
    }

    fn configured(&self) -> BTreeMap<NodeId, Neighbour> {
        self.members().iter().map(super::neighbour).collect()
    }

    async fn start(&self, id: u64) -> Running {
        let identity = self.authority.hub(&name(id));
        let here = QuicHandle::from(tokio::runtime::Handle::current());
        let endpoint = hub_endpoint(self.addresses[&id], &identity, &Settings::default(), &here).unwrap();
        let (peers, casts) = HubPeers::new(NodeId(id), endpoint.clone(), &identity).unwrap();
        let timing = Timing::default();
        let dir = self.authority.dir.path().join(format!("node-{id}"));
        let log =
            ControlLog::open(Options { me: NodeId(id), dir, timing }, Arc::new(peers.clone())).await.unwrap();
        peers.attach(&log, self.configured());
        let accepting = tokio::spawn(accept(endpoint.clone(), peers.clone()));
        Running { peers, casts, log, endpoint, accepting }
    }

    async fn three(&self) -> (BTreeMap<u64, Running>, u64) {
        let mut nodes = BTreeMap::new();
        for id in 1..=3 {
            nodes.insert(id, self.start(id).await);
        }
        nodes[&1].log.found(self.members(), TwoVoters::Refuse).await.unwrap();
        let leader = leads(nodes.values()).await;
        (nodes, leader)
    }
}

/// As the downlink does.
async fn accept(endpoint: quinn::Endpoint, peers: HubPeers) {
    while let Some(incoming) = endpoint.accept().await {
        let peers = peers.clone();
        tokio::spawn(async move {
            let connection = incoming.await.unwrap();
            let node = peer_node(&connection).unwrap();
            peers.serve(&node, connection).await;
        });
    }
}

impl Running {
    /// Ends at once, as far as the others can see.
    fn cut(&self) {
        self.accepting.abort();
        self.peers.stop();
        self.endpoint.close(0u32.into(), b"");
    }

    async fn kill(self) {
        self.cut();
        self.log.stop().await;
        self.endpoint.wait_idle().await;
        // Frees the port, whoever still holds a clone.
        self.endpoint.rebind(std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
    }
}

async fn leadership(log: &ControlLog, want: impl FnMut(&Leadership) -> bool) -> Leadership {
    *soon("leadership", log.leadership().wait_for(want)).await.unwrap()
}

async fn leads<'a>(nodes: impl IntoIterator<Item = &'a Running>) -> u64 {
    let waits = nodes.into_iter().map(|node| Box::pin(leadership(&node.log, |now| now.mine.is_some())));
    futures::future::select_all(waits).await.0.leader.unwrap().0
}

fn host(name: &str) -> Command {
    let (kind, capacity) = (HostKind::Node(NodeId(1)), Load::default());
    let spec = HostSpec { kind, capacity, domain: "here".into(), draining: false };
    Command::SetHost { host: HostId::new(name).unwrap(), spec }
}

/// Proposes until it is in: on a busy machine a leader may change at any moment, and this command may be repeated.
async fn agree(log: &ControlLog, name: &str) {
    let proposing = async {
        while log.propose(host(name)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon("the proposal is in", proposing).await;
}

async fn host_arrives(log: &ControlLog, name: &str) {
    let (mut follow, host) = (log.follow(), HostId::new(name).unwrap());
    let arrival = async { while !follow.next().await.unwrap().state.hosts().contains_key(&host) {} };
    soon("the entry arrives", arrival).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_agree_lose_their_leader_and_get_it_back() {
    let site = Site::new(3);
    let (mut nodes, leader) = site.three().await;
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    leadership(&nodes[&follower].log, |now| now.leader == Some(NodeId(leader))).await;
    agree(&nodes[&follower].log, "first").await;

    nodes.remove(&leader).unwrap().kill().await;
    let next = leads(nodes.values()).await;
    agree(&nodes[&next].log, "second").await;

    nodes.insert(leader, site.start(leader).await);
    for node in nodes.values() {
        host_arrives(&node.log, "second").await;
    }
    agree(&nodes[&leader].log, "third").await;
    for node in nodes.values() {
        host_arrives(&node.log, "third").await;
        assert_eq!(node.log.state(), nodes[&next].log.state());
    }
    for node in nodes.into_values() {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_proposes_nothing_and_a_cut_leader_does_not_know() {
    let site = Site::new(3);
    let (mut nodes, leader) = site.three().await;
    let followers: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let log = nodes[&leader].log.clone();
    // Within its lease it believes that it leads.
    followers.iter().for_each(|id| nodes[id].cut());
    let unknown = log.propose(host("alone")).await.unwrap_err();
    assert!(
        unknown.is_unknown(),
        "{unknown}: it is in the leader's own log, and may come to be in the others'"
    );
    leadership(&log, |now| now.leader.is_none()).await;
    let refused = log.propose(host("later")).await.unwrap_err();
    assert!(!refused.is_unknown(), "{refused}");
    assert!(log.state().hosts().is_empty());

    for id in &followers {
        nodes.remove(id).unwrap().kill().await;
    }
    // With one of the others it is a majority again, and what was unknown is decided: here it comes to be.
    let back = site.start(followers[0]).await;
    leads([&nodes[&leader], &back]).await;
    host_arrives(&log, "alone").await;
    nodes.insert(followers[0], back);
    for node in nodes.into_values() {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn casts_arrive_and_strangers_are_turned_away() {
    let site = Site::new(3);
    let mut two = (site.start(1).await, site.start(2).await);
    let hint = |site: &str| {
        let site = SiteId::new(site).unwrap();
        Cast::Hint(Hint::Silent { holder: HostId::new("shop").unwrap(), site })
    };
    let heard = async {
        loop {
            // Who isn't connected yet hears nothing: casts are not kept.
            two.0.peers.cast(To::All, &hint("shop"));
            let tried = tokio::time::timeout(Duration::from_millis(200), two.1.casts.recv()).await;
            if let Ok(heard) = tried {
                return heard.unwrap();
            }
        }
    };
    assert_eq!(soon("a cast", heard).await, (NodeId(1), hint("shop")));
    two.1.peers.cast(To::Node(NodeId(1)), &hint("kiosk"));
    assert_eq!(soon("a cast", two.0.casts.recv()).await.unwrap(), (NodeId(2), hint("kiosk")));

    // A node of the same authority that nobody named.
    let stranger = Site { authority: site.authority, addresses: site.addresses.clone() };
    let identity = stranger.authority.hub("hub-9");
    let here = QuicHandle::from(tokio::runtime::Handle::current());
    let loopback = (Ipv4Addr::LOCALHOST, 0).into();
    let endpoint = hub_endpoint(loopback, &identity, &Settings::default(), &here).unwrap();
    let config = wire::transport::hub_node_config(&identity, &Settings::default()).unwrap();
    let address = stranger.addresses[&1];
    let dialled =
        wire::transport::connect_node(&endpoint, config, ("hub-1", address), Duration::from_secs(10)).await;
    let ended = soon("it is turned away", dialled.unwrap().closed()).await;
    assert!(wire::transport::explain(&ended).contains("hub-9"), "{ended}");

    let error = two.0.peers.call(NodeId(7), "?".into()).await.unwrap_err();
    assert!(matches!(error, PeerError::NotSent { node: NodeId(7), .. }), "{error}");
    two.0.kill().await;
    two.1.kill().await;
}
