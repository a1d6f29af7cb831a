use std::io::Cursor;
use std::time::Duration;

use media::{Output, Part};
use site_agent::live::LivePart;
use site_agent::serve::verify_export;
use tokio::io::AsyncReadExt;
use wire::{SegmentNumber, UnixMicros};

use crate::clip::{count_frames, h264};
use crate::scene::{Scene, Server, at, ledger, segmenter, site};

/// The parts of 12 s of video: three segments, each with a header and four fragments.
fn parts(origin: u8, start: UnixMicros) -> Vec<Part> {
    let mut segmenter = segmenter(origin);
    let mut outputs = h264().send(&mut segmenter, start);
    outputs.extend(segmenter.cut());
    let part = |output| match output {
        Output::Part(part) => Some(part),
        Output::Closed(_) => None,
    };
    outputs.into_iter().filter_map(part).collect()
}

fn publish(scene: &Scene, origin: u8, part: &Part) {
    scene.live.publish(LivePart {
        site: site(),
        ledger: ledger(origin),
        segment: part.segment,
        part: part.part,
        data: part.data.clone(),
        running_hash: part.running_hash,
        start: part.first_arrival.wall,
        end: part.last_arrival.wall,
        key: part.part > 0,
        since: wire::clock::now(),
    });
}

async fn body(mut connection: tokio::net::TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).await.unwrap();
    let head = bytes.windows(4).position(|found| found == b"\r\n\r\n").unwrap() + 4;
    bytes.split_off(head)
}

#[tokio::test(flavor = "multi_thread")]
async fn live_begins_at_the_latest_keyframe_and_ends_with_the_run() {
    let scene = Scene::empty().await;
    let server = scene.serve().await;
    let parts = parts(7, at(0.0));
    assert_eq!(parts.len(), 15);
    parts[..4].iter().for_each(|part| publish(&scene, 7, part));
    let path = format!("{}?token={}", Server::camera("live.mp4"), server.token);
    let mut connection = server.ask(&path, "").await;
    // Wait for the answer to begin, then go on: two new segments, then another run.
    let mut first = [0; 1];
    connection.read_exact(&mut first).await.unwrap();
    for part in &parts[4..] {
        publish(&scene, 7, part);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    publish(&scene, 8, &self::parts(8, at(12.0))[0]);
    let seen = tokio::time::timeout(Duration::from_secs(10), body(connection)).await.unwrap();
    let expected: Vec<u8> = [&parts[0], &parts[3]]
        .into_iter()
        .chain(parts[4..].iter().filter(|part| part.part > 0))
        .flat_map(|part| part.data.to_vec())
        .collect();
    assert!(seen == expected, "{} bytes, expected {}", seen.len(), expected.len());
    std::fs::write(scene.dir.path().join("live.mp4"), seen).unwrap();
    assert_eq!(count_frames(scene.dir.path().join("live.mp4").to_str().unwrap()), 10 * 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_is_shown_and_exported_only_when_asked_for() {
    let scene = Scene::empty().await;
    scene.open(7, 0.0).await;
    let server = scene.serve().await;
    parts(7, at(0.0))[..4].iter().for_each(|part| publish(&scene, 7, part));
    let range = "from=1700000000&to=1700000010";
    let coverage = server.get(&Server::camera(&format!("coverage?{range}"))).await.json();
    assert_eq!(coverage["spans"][0]["state"], "tail", "{coverage}");
    assert_eq!(coverage["spans"][0]["segment"], 0);
    assert!((coverage["recorded_s"].as_f64().unwrap() - 2.96).abs() < 1e-6);

    let without = server.get(&Server::camera(&format!("export.mp4?{range}"))).await;
    assert_eq!(without.status, 404);
    let with = server.get(&Server::camera(&format!("export.mp4?{range}&tail=1"))).await;
    assert_eq!(with.status, 200);
    let report = verify_export(Cursor::new(&with.body));
    assert_eq!((report.ok, report.frames, report.fragments, report.proven), (false, 75, 3, 0));
    assert!(report.problems[0].contains("not in the ledger yet"), "{:?}", report.problems);

    scene.live.closed(&site(), &ledger(7), SegmentNumber(0));
    let gone = server.get(&Server::camera(&format!("coverage?{range}"))).await.json();
    assert_eq!(gone["spans"][0]["cause"], "unspecified");
}
