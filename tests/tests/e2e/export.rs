//! An export across a WAN cut is what the camera sent, and plays.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use holdfast_tests::account::{CameraAccount, settle};
use holdfast_tests::play::{chromium_plays, decoded_frames, vlc_plays};
use holdfast_tests::scene::{QUICK, Scene, Side, camera, play, site};
use media::export::exported_fragments;
use ops::oracle;
use site_agent::serve::verify_export;
use wire::UnixMicros;

#[test]
fn an_export_across_a_cut_is_what_the_camera_sent_and_plays() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 4.0)?;
        let cut = wire::clock::wall();
        scene.rig.sites[0].cable.cut()?;
        scene.await_recorded(Side::Site, 0, cut, 5.0)?;
        scene.rig.sites[0].cable.heal()?;
        let healed = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, healed, 3.0)?;
        let to = healed + Duration::from_secs(2);
        scene.await_acked(0, (began, to))?;
        let (from, file) = (cut - Duration::from_secs(2), scene.file("export.mp4"));
        download(scene, (from, to), &file)?;
        let accounts = settle(scene)?;
        accounts.iter().try_for_each(CameraAccount::without_gap)?;

        let report = verify_export(std::fs::File::open(&file)?);
        ensure!(report.ok && report.gaps.is_empty(), "{:?}, gaps {:?}", report.problems, report.gaps);
        ensure!(
            report.proven == report.fragments,
            "{} of {} fragments are proven",
            report.proven,
            report.fragments
        );
        ensure!(report.from_us <= from.0 && to.0 <= report.to_us, "not all of the range: {report:?}");
        let frames = is_what_was_sent(&file, &accounts[0])?;
        ensure!(frames == report.frames, "{frames} frames, {} as the proof has it", report.frames);
        plays(&file, frames as u64, UnixMicros(report.to_us).since(UnixMicros(report.from_us)).as_secs_f64())
    });
}

fn download(scene: &Scene, (from, to): (UnixMicros, UnixMicros), into: &Path) -> anyhow::Result<()> {
    let path = format!("{}/export.mp4?from={}&to={}", scene.camera_path(0, "till-1"), from.0, to.0);
    std::io::copy(&mut scene.rig.hub()?.download(&path)?.1, &mut std::fs::File::create(into)?)?;
    Ok(())
}

/// The file's frames are the camera's, one after the other and none left out.
fn is_what_was_sent(file: &Path, account: &CameraAccount) -> anyhow::Result<usize> {
    let mut exported = Vec::new();
    for fragment in exported_fragments(&Bytes::from(std::fs::read(file)?))? {
        let fragment = fragment?;
        exported.extend(fragment.video.iter().map(|sample| oracle::frame_hash(fragment.codec, &sample.data)));
    }
    let sent = oracle::video_hashes(&account.log)?;
    let first = sent.iter().position(|hash| Some(hash) == exported.first());
    let run = sent.get(first.context("the camera never sent the file's first frame")?..).unwrap_or_default();
    ensure!(run.starts_with(&exported), "the file's frames are not the camera's, in its order");
    Ok(exported.len())
}

fn plays(file: &Path, frames: u64, seconds: f64) -> anyhow::Result<()> {
    let decoded = decoded_frames(file.to_str().context("the file's name is UTF-8")?)?;
    ensure!(decoded == frames, "{frames} frames, of which ffmpeg decodes {decoded}");
    vlc_plays(file, seconds)?;
    let played = chromium_plays(file)?;
    ensure!((played.width, played.height) == (320, 180), "Chromium shows {played:?}");
    ensure!((played.duration_s - seconds).abs() < 0.5, "{seconds} s, of which Chromium shows {played:?}");
    Ok(())
}
