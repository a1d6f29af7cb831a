//! Three replicas: a majority agrees, a minority doesn't, and nobody calls unknown what is not.

use decide::NodeId;
use decide::Round;
use decide::beat::Arrival;
use decide::control::{Command, Membership};
use decide::ids::{PathId, SiteId};

use super::cluster::{Cluster, agree, has_host, host, host_arrives, leadership, leads, soon};
use crate::ProposeError;
use crate::message::{Request, Response};

fn others(leader: u64) -> [u64; 2] {
    let all: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    [all[0], all[1]]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_and_catches_up_when_it_is_back() {
    let (cluster, mut logs, leader) = Cluster::three().await;
    let [a, b] = others(leader);
    leadership(&logs[&a], |now| now.leader == Some(NodeId(leader))).await;
    agree(&logs[&a], "first").await;
    assert!(has_host(&logs[&leader], "first"), "applied at the leader when it is answered");

    cluster.stop(leader).await;
    logs.remove(&leader);
    let next = leads(logs.values()).await;
    agree(&logs[&next], "second").await;

    let back = cluster.start(leader).await;
    for log in [&logs[&a], &logs[&b], &back] {
        host_arrives(log, "second").await;
    }
    assert_eq!(logs[&a].state(), logs[&b].state());
    assert_eq!(back.state(), logs[&a].state());
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_in_good_order_is_followed_at_once() {
    let (cluster, mut logs, leader) = Cluster::three().await;
    agree(&logs[&leader], "first").await;
    let before = logs[&leader].status().term;
    let [a, b] = others(leader);
    logs[&a].hand_over().await;
    assert_eq!(logs[&leader].status().term, before, "one that doesn't lead has nothing to hand over");
    logs[&leader].hand_over().await;
    leadership(&logs[&leader], |now| now.leader.is_some_and(|next| next != NodeId(leader))).await;
    cluster.stop(leader).await;
    logs.remove(&leader);
    let next = leads(logs.values()).await;
    agree(&logs[&next], "second").await;
    assert_eq!(logs[&a].status().term.0.max(logs[&b].status().term.0), before.0 + 1, "no election");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_agrees_on_nothing_and_says_that_it_does_not_know() {
    let (cluster, logs, leader) = Cluster::three().await;
    let [a, b] = others(leader);
    cluster.cut([leader]);
    // It still believes that it leads, and puts this into its own log: what becomes of it is open.
    let unknown = logs[&leader].propose(host("alone")).await.unwrap_err();
    assert!(unknown.is_unknown(), "{unknown}");
    leadership(&logs[&leader], |now| now.leader.is_none()).await;
    // By now it knows better, and puts nothing into its log.
    let refused = logs[&leader].propose(host("later")).await.unwrap_err();
    assert!(matches!(refused, ProposeError::NoLeader), "{refused}");

    let next = leads([&logs[&a], &logs[&b]]).await;
    agree(&logs[&next], "majority").await;
    assert!(!has_host(&logs[&leader], "majority"));
    cluster.cut([]);
    host_arrives(&logs[&leader], "majority").await;
    assert!(!has_host(&logs[&leader], "alone"), "another leader's entry stands in its place");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_comes_back_does_not_depose_a_leader_who_is_well() {
    let (cluster, logs, leader) = Cluster::three().await;
    let reign = logs[&leader].leadership().borrow().mine;
    let [a, _] = others(leader);
    cluster.cut([a]);
    // Long enough for it to ask for an election, several times.
    tokio::time::sleep(crate::Timing::default().election_max * 4).await;
    assert_eq!(logs[&a].status().term, logs[&leader].status().term, "asked, and never raised the term");
    cluster.cut([]);
    agree(&logs[&leader], "after").await;
    host_arrives(&logs[&a], "after").await;
    assert_eq!(logs[&leader].leadership().borrow().mine, reign);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_another_voter() {
    let (cluster, logs, leader) = Cluster::three().await;
    let [a, b] = others(leader);
    leadership(&logs[&a], |now| now.leader == Some(NodeId(leader))).await;
    let word = |voter: u64| Command::Heard {
        site: SiteId::new("shop").unwrap(),
        round: Round(1),
        voter: NodeId(voter),
        arrival: Arrival::Direct(PathId::new("wan").unwrap()),
    };
    assert!(matches!(logs[&a].propose(word(b)).await, Err(ProposeError::NotYours { .. })));
    // A follower's program that doesn't check is checked at the leader.
    let request = logs[&a].stores().seal(Request::Propose(word(b))).unwrap();
    let answer = logs[&leader].handle(NodeId(a), request).await;
    assert!(String::from_utf8_lossy(&answer).contains("NotDone"), "{answer:?}");
    let own = logs[&a].propose(word(a)).await.unwrap();
    assert!(own.outcome.is_err(), "there is no such site: that is for `apply` to say");
    let members = Command::Membership(Membership::of([NodeId(a)]));
    assert!(matches!(logs[&leader].propose(members).await, Err(ProposeError::NotYours { .. })));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_tells_the_same_in_the_same_order() {
    let (cluster, logs, _) = Cluster::three().await;
    let mut follows: Vec<_> = logs.values().map(crate::ControlLog::follow).collect();
    let leader = leads(logs.values()).await;
    for n in 0..20 {
        agree(&logs[&leader], &format!("h{n}")).await;
    }
    let mut told = Vec::new();
    for follow in &mut follows {
        let mut states = Vec::new();
        loop {
            let applied = soon("an entry", follow.next()).await.unwrap();
            let hosts = applied.state.hosts().len();
            states.push((applied.index, hosts));
            if hosts == 20 {
                break;
            }
        }
        let from = states.iter().position(|(_, hosts)| *hosts == 1).unwrap();
        told.push(states.split_off(from));
    }
    assert_eq!(told[0].len(), 20, "each entry, one by one");
    assert!(told.iter().all(|one| *one == told[0]));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_disk_is_neither_heard_nor_believed() {
    let (cluster, logs, leader) = Cluster::three().await;
    let [a, b] = others(leader);
    for log in logs.values() {
        agree(&logs[&leader], "known").await;
        host_arrives(log, "known").await;
    }
    cluster.stop(a).await;
    std::fs::remove_dir_all(cluster.folder(a)).unwrap();
    let wiped = cluster.start(a).await;
    let asked = wiped.ask(NodeId(leader), &Request::Propose(host("ghost"))).await.unwrap();
    assert!(matches!(&asked, Response::NotDone(why) if why.contains("lost its control log")));
    let answered = logs[&leader].ask(NodeId(a), &Request::Propose(host("x"))).await;
    assert!(answered.err().unwrap().to_string().contains("lost its control log"));
    agree(&logs[&leader], "without-it").await;
    host_arrives(&logs[&b], "without-it").await;
    cluster.end().await;
}
