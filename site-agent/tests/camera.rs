//! Recording from real cameras: what comes out is what the camera says it sent, and when nothing comes
//! the reason is right.

mod common;

use std::time::Duration;

use common::camera::{CameraServer, Logged, sha256, slices_sha256, url};
use common::proxy::{Meddling, Proxy};
use media::{AudioCodec, AudioFrame, AudioTrack, VideoCodec, VideoFrame, VideoTrack};
use site_agent::camera::{self, CameraEvent, CameraTask};
use site_agent::config::{Credentials, Quirks, Secret, Stream};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use wire::StreamId;
use wire::proto::GapCause;

/// No single event takes longer, even on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A running camera task, and what it said.
struct Watch {
    events: mpsc::Receiver<CameraEvent>,
    task: tokio::task::JoinHandle<()>,
    cancel: DropGuard,
}

impl Watch {
    fn of(url: url::Url) -> Self {
        Self::start(task(url), 16)
    }

    fn start(task: CameraTask, capacity: usize) -> Self {
        let (sender, events) = mpsc::channel(capacity);
        let cancel = CancellationToken::new();
        let running = tokio::spawn(camera::run(task, None, sender, cancel.clone()));
        Self { events, task: running, cancel: cancel.drop_guard() }
    }

    async fn next(&mut self) -> CameraEvent {
        let event = tokio::time::timeout(SOON, self.events.recv()).await;
        event.expect("an event in time").expect("the task runs")
    }

    async fn connected(&mut self) -> (VideoTrack, Option<AudioTrack>, bool) {
        loop {
            match self.next().await {
                CameraEvent::Connected { video, audio, new_session } => return (video, audio, new_session),
                CameraEvent::Down { detail, .. } => panic!("down instead of connected: {detail}"),
                _ => {}
            }
        }
    }

    async fn down(&mut self) -> (GapCause, String) {
        loop {
            if let CameraEvent::Down { cause, detail } = self.next().await {
                return (cause, detail);
            }
        }
    }

    /// Goes on until `enough`; no failure may come in between.
    async fn collect(&mut self, enough: impl Fn(&Collected) -> bool) -> Collected {
        let mut collected = Collected::default();
        while !enough(&collected) {
            match self.next().await {
                CameraEvent::Video(frame) => collected.video.push(frame),
                CameraEvent::Audio(frame) => collected.audio.push(frame),
                CameraEvent::Metadata { content_type, body, .. } => {
                    assert_eq!(content_type, "application/xml");
                    collected.metadata.push(String::from_utf8(body.into()).expect("XML"));
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        collected
    }

    async fn stop(self) {
        drop(self.cancel);
        tokio::time::timeout(SOON, self.task).await.expect("stops in time").expect("does not panic");
    }
}

#[derive(Default)]
struct Collected {
    video: Vec<VideoFrame>,
    audio: Vec<AudioFrame>,
    metadata: Vec<String>,
}

fn task(url: url::Url) -> CameraTask {
    CameraTask {
        stream: Stream {
            id: StreamId::new("cam", "main").expect("a stream"),
            url,
            rate_bps: 4_000_000,
            replicate: wire::Replicate::Live,
            credentials: None,
            connect_timeout: Duration::from_secs(10),
            quirks: Quirks::default(),
        },
        audio: false,
        metadata: false,
        onvif: None,
        seed: 1,
    }
}

fn with_password(url: url::Url, password: &str) -> CameraTask {
    let mut task = task(url);
    task.stream.credentials =
        Some(Credentials { username: "recorder".to_owned(), password: Secret::new(password) });
    task
}

fn digests(frames: &[VideoFrame], h265: bool) -> Vec<String> {
    frames.iter().map(|frame| slices_sha256(&frame.data, h265)).collect()
}

/// Checks that `digests` are consecutive frames of the log, and returns those.
fn contiguous<'a>(digests: &[String], log: &'a [Logged]) -> &'a [Logged] {
    let first = log.iter().position(|frame| frame.sha256 == digests[0]).expect("the first frame was logged");
    let run = &log[first..first + digests.len()];
    for (index, (digest, logged)) in digests.iter().zip(run).enumerate() {
        assert_eq!(digest, &logged.sha256, "frame {index} of {}", digests.len());
    }
    run
}

#[tokio::test]
async fn h264_with_aac_and_metadata_arrives_as_sent() {
    let server = CameraServer::start(&["cam=size=320x180,gop=10,audio=aac,onvif_metadata=1"]);
    let task = CameraTask { audio: true, metadata: true, ..task(server.url("cam")) };
    let mut watch = Watch::start(task, 16);

    let (video, audio, new_session) = watch.connected().await;
    assert!(new_session);
    assert_eq!((video.codec, video.width, video.height), (VideoCodec::H264, 320, 180));
    assert!(video.rfc6381.starts_with("avc1."), "{}", video.rfc6381);
    assert_eq!(&video.sample_entry[4..8], b"avc1");
    let audio = audio.expect("sound");
    assert_eq!((audio.clock_rate, audio.channels, audio.rfc6381.as_str()), (16_000, 1, "mp4a.40.2"));
    let AudioCodec::Aac { sample_entry, frame_length } = audio.codec else { panic!("not AAC") };
    assert_eq!((&sample_entry[4..8], frame_length), (&b"mp4a"[..], 1024));

    let got = watch
        .collect(|got| {
            let reported = got.video.last().is_some_and(|frame| frame.sender_report.is_some());
            reported && got.video.len() > 60 && got.audio.len() > 30 && !got.metadata.is_empty()
        })
        .await;
    watch.stop().await;

    let log = server.log("cam", "video", 0);
    let sent = contiguous(&digests(&got.video, false), &log);
    for ((frame, sent), (next, sent_next)) in
        got.video.iter().zip(sent).zip(got.video.iter().zip(sent).skip(1))
    {
        assert_eq!(frame.key, sent.key);
        let sent_ticks = (sent_next.pts_ns - sent.pts_ns) * 9 / 100_000;
        assert!((next.pts_90k - frame.pts_90k - sent_ticks).abs() <= 1, "times are the camera's");
        assert_eq!(next.rtp.wrapping_sub(frame.rtp), (next.pts_90k - frame.pts_90k) as u32);
        assert!(next.arrival.boot_us >= frame.arrival.boot_us && frame.arrival.boot_us > 0);
        let late_us = frame.arrival.wall.0 - sent.wall_us;
        assert!((0..5_000_000).contains(&late_us), "arrived {late_us} µs after it was sent");
    }
    let report = got.video.last().and_then(|frame| frame.sender_report).unwrap();
    assert!(report.ntp >> 32 > 2_208_988_800, "seconds since 1900");

    let audio: Vec<_> = got.audio.iter().map(|frame| sha256(&frame.data)).collect();
    contiguous(&audio, &server.log("cam", "audio", 0));
    assert!(got.audio.windows(2).all(|pair| pair[1].pts - pair[0].pts == 1024));
    assert!(got.metadata[0].contains("MotionAlarm") && got.metadata[0].ends_with("</tt:MetadataStream>"));
}

#[tokio::test]
async fn h265_arrives_as_sent_and_nothing_is_received_unasked() {
    let server = CameraServer::start(&["cam=codec=h265,size=320x180,gop=10,audio=alaw,onvif_metadata=1"]);
    let mut watch = Watch::of(server.url("cam"));
    let (video, audio, _) = watch.connected().await;
    assert_eq!((video.codec, video.width, video.height), (VideoCodec::H265, 320, 180));
    assert!(video.rfc6381.starts_with("hvc1."), "{}", video.rfc6381);
    assert_eq!(&video.sample_entry[4..8], b"hvc1");
    assert_eq!(audio, None);

    let got = watch.collect(|got| got.video.len() >= 40).await;
    watch.stop().await;
    let log = server.log("cam", "video", 0);
    let sent = contiguous(&digests(&got.video, true), &log);
    assert!(got.video.iter().zip(sent).all(|(frame, sent)| frame.key == sent.key));
    assert!(got.audio.is_empty() && got.metadata.is_empty());
}

#[tokio::test]
async fn g711_arrives_as_sent() {
    let server = CameraServer::start(&["a=size=160x90,audio=alaw", "u=size=160x90,audio=mulaw"]);
    for (name, codec) in [("a", AudioCodec::Alaw), ("u", AudioCodec::Ulaw)] {
        let mut watch = Watch::start(CameraTask { audio: true, ..task(server.url(name)) }, 16);
        let (_, audio, _) = watch.connected().await;
        let expected = AudioTrack { codec, clock_rate: 8000, channels: 1, rfc6381: String::new() };
        assert_eq!(audio, Some(expected));
        let got = watch.collect(|got| got.audio.len() >= 50).await;
        watch.stop().await;
        let digests: Vec<_> = got.audio.iter().map(|frame| sha256(&frame.data)).collect();
        contiguous(&digests, &server.log(name, "audio", 0));
        assert!(got.audio.windows(2).all(|pair| pair[1].pts - pair[0].pts == 160));
    }
}

#[tokio::test]
async fn changed_parameters_are_told_before_the_first_frame_that_has_them() {
    let server = CameraServer::start(&["cam=size=320x180,gop=10,change_after=2:160x90"]);
    let mut watch = Watch::of(server.url("cam"));
    let (first, _, _) = watch.connected().await;
    let mut frames = Vec::new();
    let (second, _, new_session) = loop {
        match watch.next().await {
            CameraEvent::Video(frame) => frames.push(frame),
            CameraEvent::Connected { video, audio, new_session } => break (video, audio, new_session),
            other => panic!("unexpected {other:?}"),
        }
    };
    assert!(!new_session);
    assert_eq!((first.width, first.height), (320, 180));
    assert_eq!((second.width, second.height), (160, 90));
    let after = watch.collect(|got| got.video.len() >= 20).await.video;
    assert!(after[0].key, "new parameters begin with a keyframe");
    watch.stop().await;
    frames.extend(after);
    contiguous(&digests(&frames, false), &server.log("cam", "video", 0));
}

#[tokio::test]
async fn parameters_that_come_only_in_band_are_waited_for() {
    let server = CameraServer::start(&["cam=size=320x180,gop=50"]);
    let hide =
        Meddling { replace: Some(("sprop-parameter-sets", "xprop-parameter-sets")), ..Meddling::default() };
    let proxy = Proxy::start(server.port(), hide).await;
    let at = url(proxy.port(), "cam");
    let mut first = Watch::of(at.clone());
    first.connected().await;
    first.collect(|got| got.video.len() >= 5).await; // the second joins within a group of pictures
    let mut watch = Watch::of(at);
    let (video, _, new_session) = watch.connected().await;
    assert!(new_session);
    assert_eq!((video.width, video.height), (320, 180));
    let got = watch.collect(|got| got.video.len() >= 10).await;
    assert!(got.video[0].key);
    first.stop().await;
    watch.stop().await;
    let log = server.log("cam", "video", 0);
    assert!(contiguous(&digests(&got.video, false), &log)[0].n > 0, "it joined a running camera");
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_again_soon() {
    let server = CameraServer::start(&["cam=size=160x90,user=recorder,password=right"]);
    let proxy = Proxy::start(server.port(), Meddling::default()).await;
    let at = url(proxy.port(), "cam");
    let mut watch = Watch::start(with_password(at.clone(), "wrong"), 16);
    let (cause, detail) = watch.down().await;
    assert_eq!(cause, GapCause::CameraRefused);
    assert_eq!(detail, format!("camera at {at} refused the password (401): check username and password"));
    // Time passes on purpose: what is tested is that nothing happens in it.
    assert!(tokio::time::timeout(Duration::from_secs(5), watch.events.recv()).await.is_err());
    let seen = proxy.seen();
    assert_eq!((seen.log_ins, seen.connections), (1, 1));
    watch.stop().await;

    let mut watch = Watch::of(at.clone());
    let (cause, detail) = watch.down().await;
    assert_eq!(cause, GapCause::CameraRefused);
    assert!(detail.contains("none is configured"), "{detail}");
    watch.stop().await;
    assert_eq!(proxy.seen().log_ins, 1);

    let mut watch = Watch::start(with_password(at, "right"), 16);
    watch.connected().await;
    watch.stop().await;
}

#[tokio::test]
async fn a_camera_that_dies_and_comes_back_is_recorded_again() {
    let mut server = CameraServer::start(&["cam=size=160x90,gop=10"]);
    let mut watch = Watch::of(server.url("cam"));
    watch.connected().await;
    let before = watch.collect(|got| got.video.len() >= 20).await;
    server.kill();
    let (cause, detail) = watch.down().await;
    assert_eq!(cause, GapCause::CameraDown);
    assert!(detail.contains(server.url("cam").as_str()), "{detail}");
    let (cause, detail) = watch.down().await;
    assert_eq!(cause, GapCause::CameraDown);
    assert!(detail.contains("can't be reached"), "{detail}");

    server.restart();
    let (_, _, new_session) = watch.connected().await;
    assert!(new_session);
    let after = watch.collect(|got| got.video.len() >= 20).await;
    watch.stop().await;
    contiguous(&digests(&before.video, false), &server.log("cam", "video", 0));
    contiguous(&digests(&after.video, false), &server.log("cam", "video", 1));
}

#[tokio::test]
async fn lost_packets_are_told_where_they_are_missing() {
    let server = CameraServer::start(&["cam=size=320x180,gop=25,kbit=400"]);
    let lossy = Meddling { lose: 60..62, ..Meddling::default() };
    let proxy = Proxy::start(server.port(), lossy).await;
    let mut watch = Watch::of(url(proxy.port(), "cam"));
    watch.connected().await;
    let mut before = Vec::new();
    let detail = loop {
        match watch.next().await {
            CameraEvent::Video(frame) => before.push(frame),
            CameraEvent::Hole { detail } => break detail,
            other => panic!("unexpected {other:?}"),
        }
    };
    assert_eq!(detail, "2 video packets were lost");
    let after = watch.collect(|got| got.video.len() >= 20).await.video;
    watch.stop().await;
    let log = server.log("cam", "video", 0);
    let last = contiguous(&digests(&before, false), &log).last().unwrap().n;
    let next = contiguous(&digests(&after, false), &log)[0].n;
    assert!((last + 2..=last + 4).contains(&next), "frames between {last} and {next} are lost");
}

#[tokio::test]
async fn a_camera_that_falls_silent_is_down() {
    let server = CameraServer::start(&["cam=size=160x90"]);
    let stalling = Meddling { stall_after: Some(30), ..Meddling::default() };
    let proxy = Proxy::start(server.port(), stalling).await;
    let mut watch = Watch::of(url(proxy.port(), "cam"));
    watch.connected().await;
    let (cause, detail) = watch.down().await;
    assert_eq!(cause, GapCause::CameraDown);
    assert!(detail.contains("no frame for 10 s"), "{detail}");
    watch.connected().await;
    watch.stop().await;
}

#[tokio::test]
async fn a_slow_receiver_loses_nothing_and_is_not_the_cameras_silence() {
    let server = CameraServer::start(&["cam=size=160x90,kbit=64,gop=25,audio=aac"]);
    let mut watch = Watch::start(CameraTask { audio: true, ..task(server.url("cam")) }, 1);
    watch.connected().await;
    // Longer than a silent camera is given; nothing could be awaited instead.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let got = watch.collect(|got| got.video.len() >= 350).await;
    watch.stop().await;
    contiguous(&digests(&got.video, false), &server.log("cam", "video", 0));
}

#[tokio::test]
async fn a_stop_closes_the_session_at_the_camera() {
    let server = CameraServer::start(&["cam=size=160x90"]);
    let proxy = Proxy::start(server.port(), Meddling::default()).await;
    let mut watch = Watch::of(url(proxy.port(), "cam"));
    watch.connected().await;
    let asked = wire::clock::now();
    watch.stop().await;
    assert!(wire::clock::now() - asked < Duration::from_millis(1500));
    assert_eq!(proxy.seen().methods.last().map(String::as_str), Some("TEARDOWN"));

    // A stop is as quick while there is nobody to say goodbye to.
    let mut watch = Watch::of(url(1, "cam"));
    watch.down().await;
    let asked = wire::clock::now();
    watch.stop().await;
    assert!(wire::clock::now() - asked < Duration::from_millis(1500));
}

#[tokio::test]
async fn what_can_not_be_recorded_says_what_to_change() {
    let server = CameraServer::start(&["cam=size=160x90"]);
    let mut watch = Watch::of(server.url("other"));
    let (cause, detail) = watch.down().await;
    assert_eq!(cause, GapCause::CameraRefused);
    assert!(detail.contains("check the path"), "{detail}");
    watch.stop().await;

    let jpeg = Meddling { replace: Some(("H264/90000", "XPEG/90000")), ..Meddling::default() };
    let proxy = Proxy::start(server.port(), jpeg).await;
    let mut watch = Watch::of(url(proxy.port(), "cam"));
    let (cause, detail) = watch.down().await;
    assert_eq!(cause, GapCause::Unsupported);
    assert!(detail.contains("offers xpeg") && detail.contains("change the encoding"), "{detail}");
    watch.stop().await;
}
