//! Recording that begins in the middle of a long group of pictures: what a keyframe asked for over ONVIF saves, and that
//! a camera that doesn't answer delays nothing. Real cameras, whose encoders make the keyframe.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::camera::{CameraServer, slices_sha256};
use site_agent::camera::{self, CameraEvent, CameraTask, Onvif};
use site_agent::config::{Credentials, Quirks, Secret, Stream};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use wire::StreamId;

/// Frames from one keyframe to the next, if nobody asks: ten seconds.
const GROUP: u32 = 250;
/// No single event takes longer, even on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn task(server: &CameraServer, name: &str, password: Option<&str>) -> CameraTask {
    let password = password.map(Secret::new);
    CameraTask {
        stream: Stream {
            id: StreamId::new(name, "main").expect("a stream"),
            url: server.url(name),
            rate_bps: 1_000_000,
            replicate: wire::Replicate::Live,
            credentials: password.map(|password| Credentials { username: "recorder".to_owned(), password }),
            connect_timeout: Duration::from_secs(10),
            quirks: Quirks::default(),
        },
        audio: false,
        metadata: false,
        onvif: server.onvif(name).map(|service| Arc::new(Onvif::new(service))),
        seed: 1,
    }
}

/// Receives, and goes on for as long as it is kept.
struct Watch {
    events: mpsc::Receiver<CameraEvent>,
    _cancel: DropGuard,
}

impl Watch {
    fn start(task: CameraTask) -> Self {
        let (sender, events) = mpsc::channel(4096);
        let cancel = CancellationToken::new();
        tokio::spawn(camera::run(task, None, sender, cancel.clone()));
        Self { events, _cancel: cancel.drop_guard() }
    }

    /// The digests of the next frame, and of the next that is a keyframe.
    async fn first_and_key(&mut self) -> (String, String) {
        let mut first = None;
        loop {
            let event = tokio::time::timeout(SOON, self.events.recv()).await;
            match event.expect("an event in time").expect("the task runs") {
                CameraEvent::Video(frame) => {
                    let digest = slices_sha256(&frame.data, false);
                    let first = first.get_or_insert_with(|| digest.clone());
                    if frame.key {
                        return (first.clone(), digest);
                    }
                }
                CameraEvent::Down { detail, .. } => panic!("down: {detail}"),
                _ => {}
            }
        }
    }
}

/// Somebody watches a camera; a second later another begins. The numbers of the frames that it gets first, of the
/// keyframe it can begin to record with, and of the first that anybody got.
async fn joins_later(server: &CameraServer, name: &str, joining: CameraTask) -> (u32, u32) {
    let mut earlier = Watch::start(CameraTask { onvif: None, ..joining.clone() });
    earlier.first_and_key().await;
    for _ in 0..25 {
        let event = tokio::time::timeout(SOON, earlier.events.recv()).await;
        event.expect("an event in time").expect("the task runs");
    }
    let (first, key) = Watch::start(joining).first_and_key().await;
    let log = server.log(name, "video", 0);
    let number = |digest: &str| log.iter().find(|frame| frame.sha256 == digest).expect("it was logged").n;
    (number(&first), number(&key))
}

fn asked(server: &CameraServer, name: &str, what: &str, status: u16) -> usize {
    server.onvif_log(name).iter().filter(|(asked, with)| asked == what && *with == Some(status)).count()
}

#[tokio::test]
async fn a_keyframe_that_is_asked_for_comes_at_once() {
    let spec = |more: &str| format!("size=160x90,kbit=100,gop={GROUP}{more}");
    let cameras = [
        format!("plain={}", spec("")),
        format!("open={}", spec(",onvif=wsse")),
        format!("wsse={}", spec(",onvif=wsse,onvif_ahead=3600,user=recorder,password=secret")),
        format!("digest={}", spec(",onvif=digest,user=recorder,password=secret")),
        format!("hang={}", spec(",onvif=hang")),
    ];
    let server = CameraServer::start(&cameras.each_ref().map(String::as_str));
    let join = |name: &'static str, password| joins_later(&server, name, task(&server, name, password));
    let (plain, open, wsse, digest, hang) = tokio::join!(
        join("plain", None),
        join("open", None),
        join("wsse", Some("secret")),
        join("digest", Some("secret")),
        join("hang", None),
    );
    println!(
        "first frame, first keyframe: plain {plain:?}, open {open:?}, wsse {wsse:?}, digest {digest:?}, hang {hang:?}"
    );
    for (name, (first, key)) in [("plain", plain), ("hang", hang)] {
        assert!(first < GROUP, "{name}: the machine is too slow for this test");
        assert_eq!(key, GROUP, "{name}: nobody asked, or nobody answered: its next keyframe");
    }
    for (name, (first, key)) in [("open", open), ("wsse", wsse), ("digest", digest)] {
        assert!(key < GROUP && key - first <= 75, "{name}: frame {first} came, keyframe {key}");
        assert_eq!(asked(&server, name, "SetSynchronizationPoint", 200), 1, "{:?}", server.onvif_log(name));
        assert_eq!(asked(&server, name, "GetProfiles", 200), 1, "{:?}", server.onvif_log(name));
    }
    assert_eq!(asked(&server, "digest", "SetSynchronizationPoint", 401), 1, "its challenge");
    assert_eq!(asked(&server, "wsse", "GetProfiles", 400), 0, "the camera's clock was asked for first");
}

#[tokio::test]
async fn what_was_learnt_is_used_again() {
    let server = CameraServer::start(&[&format!(
        "cam=size=160x90,kbit=100,gop={GROUP},onvif=wsse,user=recorder,password=secret"
    )]);
    let task = task(&server, "cam", Some("secret"));
    let mut kept = Watch::start(CameraTask { onvif: None, ..task.clone() });
    kept.first_and_key().await;
    // What a standby does while a site is in doubt.
    let prepared = camera::prepare(task.clone()).await.expect("the camera describes itself");
    let learnt = async {
        while asked(&server, "cam", "GetProfiles", 200) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, learnt).await.expect("it is asked for its profiles beforehand");
    assert_eq!(asked(&server, "cam", "SetSynchronizationPoint", 200), 0, "no keyframe before it is needed");
    drop(prepared);
    for round in 1..=2 {
        let (first, key) = Watch::start(task.clone()).first_and_key().await;
        assert_ne!(first, key, "round {round}: it joined in the middle");
        assert_eq!(asked(&server, "cam", "SetSynchronizationPoint", 200), round);
    }
    assert_eq!(asked(&server, "cam", "GetProfiles", 200), 1, "{:?}", server.onvif_log("cam"));
}
