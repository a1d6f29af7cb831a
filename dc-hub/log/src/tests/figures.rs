//! Measurements, not checks: `cargo test --release -p holdfast-control-log figures -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use decide::control::{
    BitsPerSecond, CameraSpec, Command, FailbackPolicy, HostKind, HostSpec, Load, SiteSpec, Stamp, State,
    Tier,
};
use decide::ids::{CameraId, HostId};
use decide::{SiteId, Term};
use wire::UnixMicros;

use super::cluster::{Cluster, agree, leadership, leads, members};
use crate::TwoVoters;

fn told(what: &str, mut all: Vec<Duration>) {
    all.sort();
    let at = |share: usize| all[(all.len() - 1) * share / 100];
    println!("{what}: p50 {:?}, p99 {:?}, max {:?} of {}", at(50), at(99), at(100), all.len());
}

async fn proposals(what: &str, log: &crate::ControlLog) {
    let mut all = Vec::new();
    for n in 0..300 {
        let begun = wire::clock::now();
        agree(log, &format!("h{}", n % 10)).await;
        all.push(begun.elapsed());
    }
    told(what, all);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn figures_of_proposals_and_of_dead_leaders() {
    let cluster = Cluster::new();
    let log = cluster.start(1).await;
    log.found(members([1]), TwoVoters::Refuse).await.unwrap();
    leadership(&log, |now| now.mine.is_some()).await;
    proposals("proposal to committed, one node", &log).await;
    cluster.end().await;

    let (cluster, mut logs, leader) = Cluster::three().await;
    proposals("proposal to committed, at the leader of three", &logs[&leader]).await;
    let mut gone = Vec::new();
    let mut leader = leader;
    for _ in 0..10 {
        let begun: Instant = wire::clock::now();
        cluster.stop(leader).await;
        logs.remove(&leader);
        let next = leads(logs.values()).await;
        gone.push(begun.elapsed());
        logs.insert(leader, cluster.start(leader).await);
        leader = next;
    }
    told("a stopped leader to another that may decide", gone);
    cluster.end().await;
}

#[test]
#[ignore = "a measurement"]
fn figures_of_a_large_state() {
    let mut state = State::founded_by([]);
    let mut index = 0;
    let mut apply = |state: &mut State, command: Command| {
        index += 1;
        state.apply(Stamp { index, term: Term(1), time: UnixMicros(0) }, &command).unwrap();
    };
    for site in 0..1000 {
        let (name, home) =
            (SiteId::new(format!("site-{site}")).unwrap(), HostId::new(format!("site-{site}")).unwrap());
        let kind = HostKind::Site(name.clone());
        let host = HostSpec { kind, capacity: Load::default(), domain: "site".into(), draining: false };
        apply(&mut state, Command::SetHost { host: home.clone(), spec: host });
        let failback = FailbackPolicy::default();
        let spec = SiteSpec {
            home,
            priority: 1,
            tier: Tier::Warm,
            failback,
            uplink: BitsPerSecond(1),
            prefer: vec![],
        };
        apply(&mut state, Command::SetSite { site: name.clone(), spec });
        let camera = CameraSpec { priority: 1, main: BitsPerSecond(1), sub: None, single_session: false };
        let cameras =
            (0..16).map(|n| (CameraId::new(format!("{name}/camera-{n}")).unwrap(), camera)).collect();
        apply(&mut state, Command::Config { site: name, revision: 1, cameras, log_ins_since: None });
    }
    let timed = |what: &str, act: &mut dyn FnMut()| {
        let all = (0..20).map(|_| {
            let begun = wire::clock::now();
            act();
            begun.elapsed()
        });
        told(what, all.collect());
    };
    timed("copy of a state of 1,000 sites with 16 cameras", &mut || {
        drop(std::hint::black_box(state.clone()))
    });
    let mut bytes = 0;
    timed("the same as JSON", &mut || bytes = serde_json::to_vec(&state).unwrap().len());
    println!("{bytes} bytes of JSON");
}
