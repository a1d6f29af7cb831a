//! Cameras that fail, refuse, or change their mind.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::account::{CameraAccount, settle};
use holdfast_tests::play::decoded_frames;
use holdfast_tests::scene::{QUICK, Scene, Side, camera, play, site};
use ops::oracle;
use ops::rig::{CameraPlan, wait_until};
use site_agent::coverage::GapCause;
use site_agent::serve::verify_export;
use wire::UnixMicros;

#[test]
fn a_dead_camera_is_a_gap_of_exactly_that_time() {
    let guarded = format!("{},user=viewer,password=right", camera("safe-1").spec);
    let refused = CameraPlan {
        credentials: Some(("viewer".to_owned(), "wrong".to_owned())),
        ..CameraPlan::new("safe-1", guarded)
    };
    play(&[site("shop-1", vec![camera("till-1"), refused])], &QUICK, |scene| {
        scene.rig.start()?;
        scene.await_states(0, |states| sorted(states) == ["recording", "refused"])?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 3.0)?;
        let killed = wire::clock::wall();
        scene.rig.kill_cameras(0)?;
        scene.await_states(0, |states| sorted(states) == ["down", "refused"])?;
        both_sides_say(scene, "till-1", "camera_down")?;
        both_sides_say(scene, "safe-1", "camera_refused")?;
        scene.rig.start_cameras(0)?;
        let restarted = wire::clock::wall();
        scene.await_states(0, |states| sorted(states).first().is_some_and(|state| state == "recording"))?;
        let from = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, from, 3.0)?;
        let accounts = settle(scene)?;
        let of = |id| accounts.iter().find(|account| account.camera == id).context("the camera's account");
        down_in(of("till-1")?, killed, restarted)?;
        refused_all_the_time(of("safe-1")?)
    });
}

#[test]
fn new_parameters_in_mid_stream_cost_no_frame() {
    let changing = CameraPlan::new("till-1", format!("{},change_after=5", camera("till-1").spec));
    play(&[site("shop-1", vec![changing])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall() - Duration::from_secs(2);
        scene.await_recorded(Side::Hub, 0, began, 10.0)?;
        let ended = wire::clock::wall();
        scene.await_acked(0, (began, ended))?;
        let file = scene.file("export.mp4");
        let frames = export(scene, (began, ended), &file)?;
        let decoded = decoded_frames(file.to_str().context("the file's name is UTF-8")?)?;
        ensure!(decoded == frames, "{frames} frames were exported, {decoded} can be decoded");
        let accounts = settle(scene)?;
        accounts.iter().try_for_each(CameraAccount::without_gap)?;
        changes_once(&accounts[0])
    });
}

fn sorted(states: &[String]) -> Vec<String> {
    let mut states = states.to_vec();
    states.sort();
    states
}

/// Right now, both sides say why there is no picture.
fn both_sides_say(scene: &Scene, camera: &str, cause: &str) -> anyhow::Result<()> {
    for side in [Side::Site, Side::Hub] {
        let says = || {
            let now = wire::clock::wall();
            let coverage = scene.coverage(side, 0, camera, (now - Duration::from_secs(1), now))?;
            let last = holdfast_tests::scene::spans(&coverage)?.last().cloned();
            Ok(last.is_some_and(|span| span["cause"] == cause && span["detail"] != ""))
        };
        wait_until(&format!("{side:?} says {cause}"), Duration::from_secs(10), says)?;
    }
    Ok(())
}

/// The gap begins with the last frame and ends with the first, and has one cause.
fn down_in(account: &CameraAccount, killed: UnixMicros, restarted: UnixMicros) -> anyhow::Result<()> {
    let gaps = account.inner_gaps();
    let (start, end) = match (gaps.first(), gaps.last()) {
        (Some(first), Some(last)) => (first.0, last.1),
        _ => anyhow::bail!("the camera was dead, and there is no gap"),
    };
    ensure!(gaps.windows(2).all(|pair| pair[0].1 == pair[1].0), "one time, one gap: {gaps:#?}");
    ensure!(gaps.iter().all(|gap| gap.2 == GapCause::CameraDown), "{gaps:#?}");
    let near = Duration::from_secs(1);
    ensure!(
        killed - near <= start && start <= killed + near,
        "killed at {killed}, the gap begins at {start}"
    );
    // Trying again takes up to 30 s for a camera that stays away; this one was back soon.
    let soon = Duration::from_secs(15);
    ensure!(restarted - near <= end && end <= restarted + soon, "back at {restarted}, the gap ends at {end}");
    // All that the agent could have received is there: a handful of frames was on its way.
    let lost = oracle::sent_after_last(&account.log, &account.at_site)?;
    let lost = lost.first().context("the camera's first run")?.len();
    ensure!(lost <= 5, "{lost} frames before the camera's death are missing");
    Ok(())
}

fn refused_all_the_time(account: &CameraAccount) -> anyhow::Result<()> {
    let gaps = account.gaps();
    ensure!(account.at_site.video.is_empty(), "it was recorded without the right password");
    let refused = gaps.iter().filter(|gap| gap.2 == GapCause::CameraRefused);
    let refused: Duration = refused.map(|gap| gap.1.since(gap.0)).sum();
    let all: Duration = gaps.iter().map(|gap| gap.1.since(gap.0)).sum();
    // While its server was dead it was down like the other.
    ensure!(refused * 4 >= all, "refused for {refused:?} of {all:?}: {gaps:#?}");
    Ok(())
}

/// There are two sizes, and the change begins a segment.
fn changes_once(account: &CameraAccount) -> anyhow::Result<()> {
    let sizes: Vec<_> = account.segments.iter().map(|(_, one)| (one.video_width, one.video_height)).collect();
    let mut distinct = sizes.clone();
    distinct.dedup();
    ensure!(distinct == [(320, 180), (160, 90)], "the segments have the sizes {sizes:?}");
    Ok(())
}

/// Exports from the hub; returns how many frames there are.
fn export(scene: &Scene, (from, to): (UnixMicros, UnixMicros), into: &Path) -> anyhow::Result<u64> {
    let path = format!("{}/export.mp4?from={}&to={}", scene.camera_path(0, "till-1"), from.0, to.0);
    std::io::copy(&mut scene.rig.hub()?.download(&path)?.1, &mut std::fs::File::create(into)?)?;
    let report = verify_export(std::fs::File::open(into)?);
    ensure!(report.ok && report.frames > 0, "the export: {:?}", report.problems);
    Ok(report.frames as u64)
}
