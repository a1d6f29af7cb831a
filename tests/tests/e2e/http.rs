//! The hub's HTTP surface, while everything runs.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::account::{CameraAccount, settle};
use holdfast_tests::play::{decoded_frames, decodes};
use holdfast_tests::scene::{QUICK, Scene, Side, camera, ends, play, site, spans};
use wire::UnixMicros;

#[test]
fn the_hub_serves_what_is_recorded() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        strangers_are_refused(scene)?;
        scene.await_recorded(Side::Hub, 0, began, 7.0)?;
        let ended = wire::clock::wall();
        scene.await_acked(0, (began, ended))?;
        cameras_are_listed(scene)?;
        both_sides_tell_the_same(scene, (began, ended))?;
        let frames = playlist_frames(scene, (began, ended))?;
        decodes(&scene.hub_url(&format!("{}/live.mp4", scene.camera_path(0, "till-1")))?, 2)?;
        let metrics = get(&format!("http://{}/metrics", scene.rig.hub_http), Some(&token(scene)?))?;
        ensure!(metrics.1.contains("holdfast_site_connected{site=\"shop-1\"} 1"), "{}", metrics.1);
        let accounts = settle(scene)?;
        accounts.iter().try_for_each(CameraAccount::without_gap)?;
        let touched = |from: i64, to: i64| from < ended.0 && to > began.0;
        let segments = accounts[0].segments.iter().filter(|(_, one)| touched(one.start_us, one.end_us));
        let recorded: u64 = segments
            .flat_map(|(_, one)| &one.fragments)
            .map(|fragment| u64::from(fragment.video_frames))
            .sum();
        ensure!(
            frames == recorded,
            "{recorded} frames are in the playlist's segments, {frames} were decoded"
        );
        Ok(())
    });
}

fn strangers_are_refused(scene: &Scene) -> anyhow::Result<()> {
    let base = format!("http://{}", scene.rig.hub_http);
    ensure!(
        get(&format!("{base}/healthz"), None)? == (200, "ok".to_owned()),
        "it is well, and says so to anybody"
    );
    let camera = scene.camera_path(0, "till-1");
    for path in ["/api/v1/status", "/api/v1/cameras", "/metrics", "/api/v1/nothing"]
        .map(str::to_owned)
        .into_iter()
        .chain(
            ["coverage", "hls.m3u8", "export.mp4", "live.mp4"].map(|what| format!("/api/v1{camera}/{what}")),
        )
    {
        for token in [None, Some("0123456789abcdef0123456789abcdef")] {
            let (status, said) = get(&format!("{base}{path}"), token)?;
            ensure!(status == 401 && !said.contains("till-1"), "{path} with {token:?}: {status} {said}");
        }
        let (status, _) = get(&format!("{base}{path}?token=wrong-wrong-wrong-wrong"), None)?;
        ensure!(status == 401, "{path} with a wrong token in the query: {status}");
    }
    Ok(())
}

fn cameras_are_listed(scene: &Scene) -> anyhow::Result<()> {
    let cameras = scene.rig.hub()?.get("/cameras")?;
    let cameras = cameras.as_array().context("a list of cameras")?;
    ensure!(cameras.len() == 1, "{cameras:?}");
    let camera = &cameras[0];
    ensure!(camera["site"] == "shop-1" && camera["camera"] == "till-1", "{camera}");
    ensure!(camera["state"] == "recording" && camera["bytes"].as_u64() > Some(0), "{camera}");
    Ok(())
}

/// Of a time that is committed and acked both sides tell the same, down to the entries.
fn both_sides_tell_the_same(scene: &Scene, range: (UnixMicros, UnixMicros)) -> anyhow::Result<()> {
    let told = |side| {
        let mut coverage = scene.coverage(side, 0, "till-1", range)?;
        let spans = coverage["spans"].as_array_mut().context("a timeline has spans")?;
        spans.iter_mut().filter_map(|span| span.as_object_mut()).for_each(|span| drop(span.remove("acked")));
        anyhow::Ok(coverage)
    };
    let (at_site, at_hub) = (told(Side::Site)?, told(Side::Hub)?);
    ensure!(at_site == at_hub, "the site says {at_site:#}, the hub {at_hub:#}");
    ensure!(at_hub["unexplained_s"] == 0.0 && at_hub["gaps_s"] == 0.0, "{at_hub:#}");
    let all = spans(&at_hub)?;
    ensure!(all.first().map(|span| ends(span).0) == Some(range.0), "the timeline begins late: {at_hub:#}");
    ensure!(all.last().map(|span| ends(span).1) == Some(range.1), "the timeline ends early: {at_hub:#}");
    Ok(())
}

fn playlist_frames(scene: &Scene, (from, to): (UnixMicros, UnixMicros)) -> anyhow::Result<u64> {
    let path = format!("{}/hls.m3u8?from={}&to={}", scene.camera_path(0, "till-1"), from.0, to.0);
    decoded_frames(&scene.hub_url(&path)?)
}

fn token(scene: &Scene) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(scene.rig.vault.join("http-token"))?.trim().to_owned())
}

/// Status and body, as anybody gets them.
fn get(url: &str, token: Option<&str>) -> anyhow::Result<(u16, String)> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)));
    let agent: ureq::Agent = config.build().into();
    let mut request = agent.get(url);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut response = request.call().with_context(|| format!("get {url}"))?;
    Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
}
