//! Nodes come and go; ids don't come back.

use decide::NodeId;
use decide::control::{Membership, Refusal, Role};

use super::cluster::{Cluster, agree, has_host, host_arrives, leadership, leads, member, members};
use crate::{ChangeError, Member, TwoVoters};

fn nodes(ids: impl IntoIterator<Item = u64>) -> Membership {
    Membership::of(ids.into_iter().map(NodeId))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_grows_from_one_to_three_and_its_first_node_may_leave() {
    let cluster = Cluster::new();
    let first = cluster.start(1).await;
    first.found(members([1]), TwoVoters::Refuse).await.unwrap();
    leadership(&first, |now| now.mine.is_some()).await;
    agree(&first, "before").await;

    let second = cluster.start(2).await;
    assert_eq!(first.add_node(NodeId(2), member(2), TwoVoters::Refuse).await, Err(ChangeError::TwoVoters));
    first.add_node(NodeId(2), member(2), TwoVoters::Accept).await.unwrap();
    assert!(has_host(&second, "before"), "it votes once it has caught up");
    let third = cluster.start(3).await;
    let witness = Member { role: Role::Witness, ..member(3) };
    // Asked at a node that doesn't lead.
    leadership(&second, |now| now.leader.is_some()).await;
    second.add_node(NodeId(3), witness.clone(), TwoVoters::Refuse).await.unwrap();
    assert_eq!(first.state().membership(), &nodes([1, 2, 3]));
    assert_eq!(first.state().nodes()[&NodeId(3)].role, Role::Witness);
    second.add_node(NodeId(3), witness, TwoVoters::Refuse).await.unwrap();

    assert_eq!(first.remove_node(NodeId(9), TwoVoters::Refuse).await, Err(ChangeError::NoNode(NodeId(9))));
    assert_eq!(first.remove_node(NodeId(1), TwoVoters::Refuse).await, Err(ChangeError::TwoVoters));
    first.remove_node(NodeId(1), TwoVoters::Accept).await.unwrap();
    let leader = leads([&second, &third]).await;
    let log = if leader == 2 { &second } else { &third };
    agree(log, "after").await;
    assert_eq!(log.state().membership(), &nodes([2, 3]));
    assert!(log.state().nodes()[&NodeId(1)].removed);
    let again = log.add_node(NodeId(1), member(1), TwoVoters::Refuse).await;
    assert_eq!(again, Err(ChangeError::Refused(Refusal::NodeIdUsed(NodeId(1)))));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn founders_keep_their_roles() {
    let cluster = Cluster::new();
    let mut logs = Vec::new();
    for id in 1..=3 {
        logs.push(cluster.start(id).await);
    }
    let mut founders = members(1..=3);
    founders.insert(NodeId(3), Member { role: Role::Witness, ..member(3) });
    logs[0].found(founders.clone(), TwoVoters::Refuse).await.unwrap();
    let leader = leads(&logs).await;
    agree(&logs[usize::try_from(leader).unwrap() - 1], "x").await;
    for log in &logs {
        host_arrives(log, "x").await;
        assert_eq!(log.state().membership(), &nodes(1..=3));
        assert_eq!(log.state().nodes()[&NodeId(3)].role, Role::Witness);
        assert_eq!(*log.members().borrow(), founders);
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_gets_a_snapshot_when_the_log_is_gone() {
    let cluster = Cluster::new();
    let first = cluster.start(1).await;
    first.found(members([1]), TwoVoters::Refuse).await.unwrap();
    leadership(&first, |now| now.mine.is_some()).await;
    let last = agree(&first, "old").await.index;
    let raft = first.raft();
    raft.trigger().snapshot().await.unwrap();
    let wait = || raft.wait(Some(std::time::Duration::from_secs(30)));
    wait().metrics(|now| now.snapshot.is_some_and(|id| id.index >= last), "snapshot").await.unwrap();
    raft.trigger().purge_log(last).await.unwrap();
    wait().metrics(|now| now.purged.is_some_and(|id| id.index >= last), "purge").await.unwrap();

    let second = cluster.start(2).await;
    first.add_node(NodeId(2), member(2), TwoVoters::Accept).await.unwrap();
    assert!(has_host(&second, "old"));
    assert!(second.status().snapshot.is_some_and(|index| index >= last));
    agree(&first, "new").await;
    host_arrives(&second, "new").await;
    assert_eq!(first.state(), second.state());
    cluster.end().await;
}
