//! What the vault's retention is told, over a real control log of one node.

use std::time::Duration;

use bytes::Bytes;
use control_log::{Answered, Member, Options, PeerError, Peers, Timing, TwoVoters};
use decide::NodeId;
use decide::control::{Command, Role};
use site_agent::retention::Holds;

use super::*;
use crate::quorum::{Confirmed, Quorum};

struct Nobody;

impl Peers for Nobody {
    fn call(&self, node: NodeId, _: Bytes) -> Answered<'_> {
        Box::pin(async move { Err(PeerError::NotSent { node, why: "there is nobody".to_owned() }) })
    }
}

async fn alone(dir: &std::path::Path) -> ControlLog {
    let options = Options { me: NodeId(1), dir: dir.to_owned(), timing: Timing::default() };
    let log = ControlLog::open(options, Arc::new(Nobody)).await.unwrap();
    let member = Member { role: Role::Full, name: "hub-1".to_owned(), address: "hub-1:7443".to_owned() };
    log.found([(NodeId(1), member)].into(), TwoVoters::Refuse).await.unwrap();
    log
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited)
        .await
        .unwrap_or_else(|_| panic!("{what}: not in 60 s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_nothing_is_deleted_until_a_person_confirms() {
    let dir = tempfile::tempdir().unwrap();
    let log = alone(dir.path()).await;
    let obeyed = Arc::new(Holds::unknown("not read"));
    let obeying = tokio::spawn(obey(log.clone(), obeyed.clone()));
    until("what is held is known", || !obeyed.is_unknown()).await;
    assert!(status(&log.state())["deletion_suspended"].is_null());
    let quorum = Quorum::of_log(log.clone());
    let asked = |dry_run| Confirmed { by: "ada".to_owned(), dry_run };
    let early = quorum.confirm_deletion(asked(false)).await.unwrap_err();
    assert!(early.to_string().contains("nothing to confirm"), "{early}");

    log.propose(Command::Recover { seen: Default::default(), salt: 7 }).await.unwrap();
    until("retention is told", || obeyed.is_unknown()).await;
    assert!(status(&log.state())["deletion_suspended"].as_str().unwrap().contains("confirm-deletion"));
    assert!(metrics(&log.state()).contains("\nholdfast_deletion_suspended 1\n"));
    // Also a node that starts now.
    let late = Arc::new(Holds::unknown("not read"));
    let following = tokio::spawn(obey(log.clone(), late.clone()));
    until("it is told too", || late.why_nothing().is_some_and(|why| why.contains("restored"))).await;

    let came = quorum.confirm_deletion(asked(true)).await.unwrap();
    assert!(came.index.is_none() && came.says.starts_with("would: ") && log.state().deletion_suspended());
    assert!(quorum.confirm_deletion(asked(false)).await.unwrap().index.is_some());
    until("retention goes on", || !obeyed.is_unknown() && !late.is_unknown()).await;
    assert!(metrics(&log.state()).contains("\nholdfast_deletion_suspended 0\n"));
    obeying.abort();
    following.abort();
    log.stop().await;
}
