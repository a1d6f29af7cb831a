//! A standby host on real cameras, fed with a control log that the test writes itself.

#![allow(clippy::unwrap_used)] // a test's helpers panic like the test itself

#[path = "../../site-agent/tests/common/mod.rs"]
mod common;
#[path = "standby/fleet.rs"]
mod fleet;
#[path = "standby/host.rs"]
mod host;
#[path = "standby/odd.rs"]
mod odd;
#[path = "standby/recorder.rs"]
mod recorder;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::camera::CameraServer;
use decide::CameraId;
use decide::beat::CameraState;
use decide::evidence::Answer;
use decide::standby::Protection;
use fleet::Fleet;
use host::{Host, verified};
use site_agent::archive::Sender;
use site_agent::coverage::{GapCause, What};

/// No single event takes longer, even on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// From authority to the first frame.
const FIRST_FRAME: Duration = Duration::from_secs(2);

fn camera(id: &str) -> CameraId {
    CameraId::new(format!("shop-1/{id}")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_records_is_in_the_vault_at_once() {
    let cameras = CameraServer::start(&["one=gop=12", "two=gop=12"]);
    let mut host = Host::start().await;
    host.accept(&[("one", cameras.url("one")), ("two", cameras.url("two"))]).await;
    let mut fleet = Fleet::placed(&["one", "two"]);
    host.apply(&fleet);
    host.answering(2).await;
    host.nothing_recorded();

    let asked = wire::clock::wall();
    fleet.take_over();
    host.apply(&fleet);
    let first = host.first_parts(2).await;
    let began = first.into_iter().max().unwrap().since(asked);
    println!("first frames of both cameras {began:?} after authority");
    assert!(began < FIRST_FRAME, "first frames came {began:?} after authority");
    let beat = host.beat(|beat| beat.cameras.iter().all(|camera| camera.keyframes >= 2)).await;
    assert_eq!(beat.cameras.len(), 2);
    assert!(
        beat.cameras.iter().all(|camera| camera.state == CameraState::Recording && camera.durable.is_some())
    );
    assert_eq!((beat.epoch, beat.log), (fleet.epoch(), fleet.index()));

    fleet.heal();
    fleet.fail_back();
    host.apply(&fleet);
    fleet.go_home();
    host.apply(&fleet);
    host.run_ended().await;
    for id in ["one", "two"] {
        let spans = host.timeline(id, asked);
        let recorded = spans
            .iter()
            .any(|span| matches!(&span.what, What::Recorded { ledger, .. } if ledger.origin == beat.origin));
        assert!(recorded, "{spans:?}");
        let gap = |cause| {
            spans.iter().any(|span| matches!(&span.what, What::Gap { cause: found, .. } if *found == cause))
        };
        assert!(gap(GapCause::Stopped), "{spans:?}");
        assert!(!gap(GapCause::Unspecified), "{spans:?}");
    }
    let dir = host.stop().await;
    let report = verified(&dir);
    assert!(report.ok && report.open == 0 && report.segments >= 2, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_recorders_stand_side_by_side_in_the_timeline() {
    let cameras = CameraServer::start(&["one=gop=12"]);
    let mut host = Host::start().await;
    let began = wire::clock::wall();
    let site = recorder::Recorder::start(&cameras.url("one")).await;
    host.accept(&[("one", cameras.url("one"))]).await;
    let mut fleet = Fleet::placed(&["one"]);
    host.apply(&fleet);
    host.answering(1).await;
    fleet.take_over();
    host.apply(&fleet);
    let beat = host.beat(|beat| beat.cameras[0].keyframes >= 4).await;
    let home = site.stop_into(&host.vault).await;
    host.beat(|beat| beat.cameras[0].keyframes >= 8).await;
    let claimed = wire::proto::LedgerState { ended: true, ..Default::default() };
    let own = wire::LedgerId { origin: beat.origin, stream: "one/main".parse().unwrap() };
    host.vault
        .claim(&Sender::agent(&fleet::site()), &own, &claimed)
        .await
        .expect_err("a site can't end its standby's ledger");
    fleet.heal();
    fleet.fail_back();
    fleet.go_home();
    host.apply(&fleet);
    host.run_ended().await;
    let spans = host.timeline("one", began);
    let from = |origin| {
        let by = |span: &&site_agent::coverage::Span| matches!(&span.what, What::Recorded { ledger, .. } if ledger.origin == origin);
        spans.iter().filter(by).map(|span| (span.start, span.end)).next_back()
    };
    let ((_, home_until), (_, away_until)) = (from(home).unwrap(), from(beat.origin).unwrap());
    assert!(away_until > home_until, "{spans:?}");
    let hole = |span: &site_agent::coverage::Span| {
        span.start > spans[0].end && span.end < away_until && !matches!(span.what, What::Recorded { .. })
    };
    assert!(!spans.iter().any(hole), "the standby goes on where the site ends: {spans:?}");
    assert!(verified(&host.stop().await).ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_one_session_is_handed_over() {
    let cameras = CameraServer::start(&["one=gop=12", "two=gop=12"]);
    let mut host = Host::start().await;
    host.accept(&[("one", cameras.url("one")), ("two", cameras.url("two"))]).await;
    let mut fleet = Fleet::placed(&["one", "two"]);
    fleet.configure(2, [(camera("one"), true), (camera("two"), false)].into());
    host.apply(&fleet);
    host.answering(2).await;
    let asked = wire::clock::wall();
    fleet.take_over();
    host.apply(&fleet);
    host.beat(|beat| beat.cameras.len() == 2 && beat.cameras.iter().all(|camera| camera.keyframes >= 2))
        .await;
    fleet.heal();
    fleet.fail_back();
    host.apply(&fleet);
    let log = fleet.index();
    let beat = host.beat(|beat| beat.log == log).await;
    let state = |id: &str| beat.cameras.iter().find(|one| one.camera == camera(id)).unwrap().state;
    assert_eq!((state("one"), state("two")), (CameraState::Idle, CameraState::Recording));
    let handed_over =
        |span: &site_agent::coverage::Span| matches!(&span.what, What::Gap { cause: GapCause::HandOver, .. });
    host.timeline_with("one", asked, |spans| spans.iter().any(handed_over)).await;
    fleet.go_home();
    host.apply(&fleet);
    host.run_ended().await;
    assert!(!host.timeline("two", asked).iter().any(handed_over));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspected_site_is_prepared_for() {
    let cameras = CameraServer::start(&["one=gop=12"]);
    let proxy = common::proxy::Proxy::start(cameras.port(), Default::default()).await;
    let mut host = Host::start().await;
    host.accept(&[("one", common::camera::url(proxy.port(), "one"))]).await;
    let mut fleet = Fleet::placed(&["one"]);
    host.apply(&fleet);
    host.answering(1).await;
    assert!(proxy.seen().methods.iter().all(|method| method == "OPTIONS"), "{:?}", proxy.seen().methods);
    fleet.suspect();
    host.apply(&fleet);
    let described = |method: &&String| *method == "DESCRIBE";
    while proxy.seen().methods.iter().filter(described).count() == 0 {
        host.report(|_| true).await;
    }
    host.report(|_| true).await; // the answer is here as well
    assert!(!proxy.seen().methods.contains(&"SETUP".to_owned()), "no session is taken");
    let asked = wire::clock::wall();
    fleet.take_over();
    host.apply(&fleet);
    let began = host.first_parts(1).await[0].since(asked);
    println!("first frame {began:?} after authority, prepared");
    assert!(began < FIRST_FRAME, "the first frame came {began:?} after authority");
    assert_eq!(proxy.seen().methods.iter().filter(described).count(), 1, "what was prepared is used");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_rtsp_answer_counts_and_none_delays_the_others() {
    let refusing = odd::answering("RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nContent-Length: 0\r\n\r\n").await;
    let hanging_up = odd::answering_once("RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n").await;
    let busy = odd::answering("RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: 1\r\n\r\n").await;
    let web = odd::answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let silent = odd::silent().await;
    let mut host = Host::start().await;
    let nowhere = "rtsp://192.0.2.1/main".parse().unwrap(); // reserved for documents: nobody answers there
    host.accept(&[
        ("busy", busy.url()),
        ("hanging-up", hanging_up.url()),
        ("nowhere", nowhere),
        ("refusing", refusing.url()),
        ("silent", silent.url()),
        ("web", web.url()),
    ])
    .await;
    host.apply(&Fleet::placed(&["busy", "hanging-up", "nowhere", "refusing", "silent", "web"]));
    let answers = host.answering(3).await;
    let expected = [("busy", Answer::Busy), ("hanging-up", Answer::Free), ("refusing", Answer::Free)];
    assert_eq!(*answers.cameras, expected.map(|(id, answer)| (camera(id), answer)).into());
    let held = host.report(|answers| answers.unbroken > Some(Duration::from_secs(3))).await;
    assert_eq!(held.cameras, answers.cameras);
    assert_eq!(refusing.connections(), 1, "the connection stands");
    let seen = refusing.seen();
    assert!(!seen.contains("uthorization") && !seen.contains("secret"), "{seen}");
    let protection = host.standby.protection();
    assert_eq!(protection[&camera("busy")], Protection::Scarce);
    assert_eq!(protection[&camera("refusing")], Protection::Protected);
    assert!(matches!(protection[&camera("nowhere")], Protection::Unprotected(_)));
    host.stop().await;
}

/// Runs until it is killed, in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of the next test"]
async fn a_hub_that_will_be_killed() {
    let Ok(url) = std::env::var("STANDBY_CAMERA") else { return }; // the long suites run it by itself
    let url = url.parse().unwrap();
    let mut host = Host::restart(host::Dir::Given(std::env::var("STANDBY_DIR").unwrap().into())).await;
    host.accept(&[("one", url)]).await;
    let mut fleet = Fleet::placed(&["one"]);
    host.apply(&fleet);
    host.answering(1).await;
    fleet.take_over();
    host.apply(&fleet);
    // More than a segment, so that one is closed and one is open.
    let beat = host.beat(|beat| beat.cameras[0].keyframes >= 14).await;
    println!("\norigin {}", beat.origin);
    loop {
        host.beat(|_| true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_killed_goes_on_with_another_origin() {
    let cameras = CameraServer::start(&["one=gop=12"]);
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_hub_that_will_be_killed", "--ignored", "--nocapture"])
        .env("STANDBY_CAMERA", cameras.url("one").as_str())
        .env("STANDBY_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let began = wire::clock::wall();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = tokio::task::spawn_blocking(move || {
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("origin ").map(str::to_owned))
    });
    let said = tokio::time::timeout(2 * SOON, said).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let first: wire::OriginId =
        said.expect("it records in time").unwrap().expect("it records").parse().unwrap();

    let mut host = Host::restart(host::Dir::Made(dir)).await;
    host.run_ended().await;
    let recovered = host.timeline("one", began);
    let mut fleet = Fleet::placed(&["one"]);
    fleet.take_over();
    host.apply(&fleet);
    let beat = host.beat(|beat| beat.cameras[0].keyframes >= 2).await;
    assert_ne!(beat.origin, first);
    let recorded = |span: &&site_agent::coverage::Span| matches!(span.what, What::Recorded { .. });
    let until = recovered.iter().filter(recorded).map(|span| span.end).max().unwrap();
    let killed_at = recovered.iter().filter(recorded).map(|span| span.start).min().unwrap();
    assert!(until.since(killed_at) >= Duration::from_secs(6), "what was open is taken in: {recovered:?}");
    let dir = host.stop().await;
    let report = verified(&dir);
    assert!(report.ok && report.open == 0 && report.orphans == 0, "{report:?}");
}
