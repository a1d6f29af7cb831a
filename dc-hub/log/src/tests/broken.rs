//! A disk that fails.

use std::sync::atomic::Ordering;

use super::cluster::{Cluster, agree, has_host, host, host_arrives, leads, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_fails_steps_down_and_votes_no_more() {
    let (cluster, mut logs, leader) = Cluster::three().await;
    let broken = logs.remove(&leader).unwrap();
    broken.disk().breaks.store(true, Ordering::SeqCst);
    let error = broken.propose(host("lost")).await.unwrap_err();
    assert!(error.is_unknown(), "{error}: it may be on the disk all the same");
    let mut stopped = broken.stopped();
    let why = soon("it stops", stopped.wait_for(Option::is_some)).await.unwrap().clone().unwrap();
    assert!(why.contains("no space left"), "{why}");
    assert_eq!(*broken.leadership().borrow(), crate::Leadership::default());

    // The disk works again; what was lost in between nobody knows. Not a byte more.
    broken.disk().breaks.store(false, Ordering::SeqCst);
    let next = leads(logs.values()).await;
    agree(&logs[&next], "found").await;
    assert!(broken.propose(host("again")).await.is_err());
    assert!(broken.disk().write_now(rocksdb::WriteBatch::default(), true).is_err());
    assert!(!has_host(&broken, "found"));

    cluster.stop(leader).await;
    let repaired = cluster.start(leader).await;
    host_arrives(&repaired, "found").await;
    cluster.end().await;
}
