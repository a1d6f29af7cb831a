//! From a lost majority back to a log.

use decide::NodeId;
use decide::control::{Membership, Refusal};
use decide::epoch::Generation;
use wire::UnixMicros;

use super::cluster::{Cluster, agree, has_host, host_arrives, leadership, member};
use crate::{Export, ExportError, TwoVoters, restore};

#[tokio::test(flavor = "multi_thread")]
async fn an_export_becomes_a_log_of_one_new_node_above_every_epoch() {
    let (cluster, logs, leader) = Cluster::three().await;
    agree(&logs[&leader], "kept").await;
    let export = logs[&leader].export();
    let text = export.to_json().unwrap();
    cluster.end().await;

    let export = Export::from_json(&text).unwrap_or_else(|error| panic!("{error}"));
    let seen = Generation { count: 5, salt: 9 };
    let at = (UnixMicros(77), 4711);
    let old = restore(cluster.folder(9), &export, (NodeId(2), member(2)), seen, at);
    assert!(matches!(old, Err(ExportError::Refused(Refusal::NodeIdUsed(NodeId(2))))));
    restore(cluster.folder(4), &export, (NodeId(4), member(4)), seen, at).unwrap();
    let twice = restore(cluster.folder(4), &export, (NodeId(4), member(4)), seen, at);
    assert!(matches!(twice, Err(ExportError::NotEmpty(_))));

    let log = cluster.start(4).await;
    let state = log.state();
    assert_eq!(state.generation(), Generation { count: 6, salt: 4711 });
    assert_eq!(state.membership(), &Membership::of([NodeId(4)]));
    assert!((1..=3).all(|id| state.nodes()[&NodeId(id)].removed) && state.deletion_suspended());
    let reign = leadership(&log, |now| now.mine.is_some()).await.mine.unwrap();
    assert!(reign > export.state.at().unwrap().term);
    assert!(has_host(&log, "kept"));
    let proposed = agree(&log, "new").await;
    assert!(proposed.index > export.state.at().unwrap().index + 3);
    let fifth = cluster.start(5).await;
    log.add_node(NodeId(5), member(5), TwoVoters::Accept).await.unwrap();
    assert!(has_host(&fifth, "kept") && has_host(&fifth, "new"));
    agree(&log, "last").await;
    host_arrives(&fifth, "last").await;
    assert_eq!(fifth.state(), log.state());
    cluster.end().await;
}

#[test]
fn other_documents_are_refused() {
    assert!(matches!(Export::from_json("{\"version\": 2}"), Err(ExportError::Version(2))));
    assert!(matches!(Export::from_json("[]"), Err(ExportError::NotAnExport(_))));
}
