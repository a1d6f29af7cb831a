//! A quorum of one.

use decide::control::{
    BitsPerSecond, Command, FailbackPolicy, HoldOrder, HostKind, HostSpec, Load, Membership, Role, SiteSpec,
    Stamp, State, Tier,
};
use decide::ids::HostId;
use decide::{CameraId, NodeId, SiteId, Term};
use wire::UnixMicros;

use super::cluster::{Cluster, agree, has_host, host, host_arrives, leadership, member, members};
use crate::{ChangeError, ControlLog, OpenError, Options, ProposeError, TwoVoters};

#[tokio::test(flavor = "multi_thread")]
async fn one_node_alone_agrees_with_itself_and_survives_a_restart() {
    let cluster = Cluster::new();
    let log = cluster.start(1).await;
    assert!(matches!(log.propose(host("early")).await, Err(ProposeError::NoLeader)), "not founded yet");
    log.found(members([1]), TwoVoters::Refuse).await.unwrap();
    let reign = leadership(&log, |now| now.mine.is_some()).await.mine.unwrap();
    assert_eq!(log.state().membership(), &Membership::of([NodeId(1)]));
    assert_eq!(log.state().nodes()[&NodeId(1)].role, Role::Full);

    let proposed = agree(&log, "hub-1").await;
    assert_eq!(proposed.outcome, Ok(vec![]));
    let at = log.state().at().unwrap();
    assert_eq!((at.index, at.term), (proposed.index, reign));
    let refused = log.propose(Command::RevokeHost { host: HostId::new("nobody").unwrap() }).await.unwrap();
    assert!(
        refused.outcome.is_err() && refused.index > proposed.index,
        "refused, and in the log all the same"
    );

    let before = log.state();
    cluster.stop(1).await;
    assert!(log.propose(host("late")).await.is_err());
    let again = cluster.start(1).await;
    leadership(&again, |now| now.mine.is_some_and(|term| term > reign)).await;
    assert_eq!(again.state(), before);
    agree(&again, "hub-2").await;
    assert!(has_host(&again, "hub-2"));
    assert_eq!(again.found(members([1]), TwoVoters::Refuse).await, Err(ChangeError::Founded));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_replaces_what_it_holds() {
    let cluster = Cluster::new();
    let log = cluster.start(1).await;
    log.found(members([1]), TwoVoters::Refuse).await.unwrap();
    leadership(&log, |now| now.mine.is_some()).await;
    for name in ["a", "b"] {
        agree(&log, name).await;
    }
    let last = Some(agree(&log, "c").await.index);
    log.raft().trigger().snapshot().await.unwrap();
    let waiting = log.raft().wait(Some(std::time::Duration::from_secs(30)));
    waiting.metrics(|metrics| metrics.snapshot.map(|id| id.index) == last, "snapshot").await.unwrap();
    agree(&log, "d").await;
    let before = log.state();
    cluster.stop(1).await;
    let again = cluster.start(1).await;
    host_arrives(&again, "d").await;
    let waiting = again.raft().wait(Some(std::time::Duration::from_secs(30)));
    waiting.metrics(|metrics| metrics.snapshot.map(|id| id.index) == last, "snapshot").await.unwrap();
    assert_eq!(again.status().snapshot, last);
    assert_eq!(again.state(), before);
    cluster.end().await;
}

#[tokio::test]
async fn a_log_is_one_nodes() {
    let cluster = Cluster::new();
    cluster.start(1).await;
    cluster.stop(1).await;
    let peers = std::sync::Arc::new(Nobody);
    let options = Options { me: NodeId(2), dir: cluster.folder(1), timing: crate::Timing::default() };
    let error = ControlLog::open(options, peers).await.err().unwrap();
    assert!(matches!(error, OpenError::OtherNode { found: NodeId(1), me: NodeId(2), .. }), "{error}");
}

struct Nobody;

impl crate::Peers for Nobody {
    fn call(&self, node: NodeId, _: bytes::Bytes) -> crate::Answered<'_> {
        Box::pin(async move { Err(crate::PeerError::NotSent { node, why: "nobody is there".into() }) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn founding_says_what_is_wrong() {
    let cluster = Cluster::new();
    let log = cluster.start(1).await;
    assert_eq!(
        log.found(members([2, 3, 4]), TwoVoters::Refuse).await,
        Err(ChangeError::FounderMissing(NodeId(1)))
    );
    assert_eq!(log.found(members([1, 2]), TwoVoters::Refuse).await, Err(ChangeError::TwoVoters));
    let same = [(NodeId(1), member(1)), (NodeId(2), member(2)), (NodeId(3), member(2))].into();
    assert_eq!(log.found(same, TwoVoters::Refuse).await, Err(ChangeError::NameTaken("hub-2".into())));
    log.found(members([1, 2]), TwoVoters::Accept).await.unwrap();
    cluster.end().await;
}

/// What travels and is kept as JSON must come back as it was, maps with names for keys included.
#[test]
fn the_state_survives_json() {
    let mut state = State::founded_by([(NodeId(1), Role::Witness)]);
    let (site, home) = (SiteId::new("shop").unwrap(), HostId::new("shop").unwrap());
    let kind = HostKind::Site(site.clone());
    let spec = HostSpec { kind, capacity: Load::default(), domain: "shop".into(), draining: false };
    let commands = [
        Command::Membership(Membership::of([NodeId(1)])),
        Command::SetHost { host: home.clone(), spec },
        Command::SetSite { site: site.clone(), spec: a_site(home) },
        Command::PlaceHold { site, order: a_hold() },
    ];
    for (index, command) in (0..).zip(&commands) {
        let stamp = Stamp { index, term: Term(u64::MAX), time: UnixMicros(-1) };
        state.apply(stamp, command).unwrap();
    }
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
}

fn a_site(home: HostId) -> SiteSpec {
    let failback = FailbackPolicy::default();
    SiteSpec { home, priority: 1, tier: Tier::Warm, failback, uplink: BitsPerSecond(1), prefer: Vec::new() }
}

fn a_hold() -> HoldOrder {
    let (from, to, until) = (UnixMicros(1), UnixMicros(2), UnixMicros(3));
    let (reason, by) = ("a theft".into(), "ada".into());
    HoldOrder { cameras: [CameraId::new("shop/till-1").unwrap()].into(), from, to, until, reason, by }
}
