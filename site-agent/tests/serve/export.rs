use std::io::Cursor;

use site_agent::archive::Archive;
use site_agent::serve::{ExportError, ExportSummary, NoTails, export_range, verify_export};
use wire::SegmentNumber;

use crate::clip::{count_frames, h265};
use crate::scene::{A, BEGIN_S, C, Scene, Server, at, ledger, site, stream};

fn export(archive: &Archive, from: f64, to: f64) -> Result<(Vec<u8>, ExportSummary), ExportError> {
    let mut file = Vec::new();
    let (site, stream) = (site(), stream());
    let summary = export_range(archive, &NoTails, (&site, &stream), (at(from), at(to)), false, &mut file)?;
    assert_eq!(summary.bytes, file.len() as u64);
    Ok((file, summary))
}

fn decoded_frames(file: &[u8]) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    std::fs::write(&path, file).unwrap();
    count_frames(path.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_over_http_decodes_and_proves_itself() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    let path = Server::camera(&format!("export.mp4?from={}&to={}", BEGIN_S - 5, BEGIN_S + 60));
    let answer = server.get(&path).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-holdfast-from"), Some("2023-11-14T22:13:20.000000Z"));
    assert_eq!(answer.header("x-holdfast-to"), Some("2023-11-14T22:14:16.960000Z"));
    assert_eq!(answer.header("x-holdfast-gaps"), Some("2"));
    // Run B is taken from the keyframe before run A's end.
    let frames = 600 + 250 + 300;
    assert_eq!(decoded_frames(&answer.body), frames);
    let report = verify_export(Cursor::new(&answer.body));
    assert!(report.ok, "{:?}", report.problems);
    assert_eq!((report.frames, report.fragments, report.proven), (frames, 46, 46));
    assert_eq!((report.segments, report.heads.len()), (12, 3));
    let causes: Vec<_> = report.gaps.iter().filter_map(|gap| gap.cause.as_deref()).collect();
    assert_eq!(causes, ["not_scheduled", "camera_down", "stopped", "host_down"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_widened_to_whole_fragments() {
    let scene = Scene::new().await;
    let (file, summary) = export(&scene.archive, 5.5, 6.1).unwrap();
    assert_eq!((summary.from, summary.to, summary.frames), (at(5.0), at(7.0), 50));
    assert!(verify_export(Cursor::new(&file)).ok);
    assert!(matches!(export(&scene.archive, 12.0, 16.0), Err(ExportError::Nothing)));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_flipped_byte_shows() {
    let scene = Scene::new().await;
    let (mut file, _) = export(&scene.archive, 2.0, 18.0).unwrap();
    let all = file.len();
    // Everywhere a little, and all of the last boxes' lengths and types.
    for place in (0..all).step_by(all / 150 + 1).chain(all - 40..all) {
        file[place] ^= 0x10;
        assert!(!verify_export(Cursor::new(&file)).ok, "byte {place} of {all}");
        file[place] ^= 0x10;
    }
    for length in [0, 7, 100, all / 2, all - 1] {
        assert!(!verify_export(Cursor::new(&file[..length])).ok, "cut to {length}");
    }
    assert!(verify_export(Cursor::new(&file)).ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_left_out_and_named() {
    let scene = Scene::new().await;
    let path = scene.archive.segment_path(&ledger(A), SegmentNumber(1)).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    std::fs::remove_file(scene.archive.segment_path(&ledger(C), SegmentNumber(1)).unwrap()).unwrap();
    let (file, summary) = export(&scene.archive, 0.0, 60.0).unwrap();
    assert_eq!(summary.fragments, 46 - 1 - 4);
    let damaged = summary.not_exported.iter().filter(|part| part.state == "damaged").count();
    assert_eq!(damaged, 5);
    assert_eq!(decoded_frames(&file), 1150 - 25 - 100);
    let report = verify_export(Cursor::new(&file));
    assert!(report.ok, "{:?}", report.problems);
    assert!(report.gaps.iter().any(|gap| gap.state == "damaged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_codec_ends_the_file() {
    let scene = Scene::new().await;
    let mut segmenter = scene.open(4, 60.0).await;
    scene.record(4, &mut segmenter, h265(), 60.0).await;
    let (file, summary) = export(&scene.archive, 50.0, 80.0).unwrap();
    assert_eq!(summary.stop.as_ref().map(|stop| stop.at), Some(at(60.0)));
    assert_eq!(decoded_frames(&file), 175);
    assert!(verify_export(Cursor::new(&file)).ok);
    let (file, summary) = export(&scene.archive, 60.0, 80.0).unwrap();
    assert_eq!((summary.stop, decoded_frames(&file)), (None, 300));
    assert!(verify_export(Cursor::new(&file)).ok);
}
