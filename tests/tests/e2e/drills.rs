//! Drills: a recorder's death over a shadow and for real, and a cut way, each with the operator's own command.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::account::merged;
use holdfast_tests::scene::{QUICK, STANDBY, Scene, Side, camera, play, site};
use ops::rig::{Settings, programs};
use serde_json::{Value, json};

/// A standby that gives back late by itself: what is rehearsed is given back at once all the same.
const LATE: Settings = Settings { failback_s: QUICK.failback_s, ..STANDBY };
/// Far more than a takeover takes, on a machine that is busy otherwise.
const TAKEOVER_MS: u64 = 20_000;

#[test]
fn a_shadow_drill_shows_a_takeover_and_touches_nothing() {
    play(&[site("shop-1", vec![camera("till-1"), camera("door-1")])], &LATE, |scene| {
        start(scene)?;
        let began = wire::clock::wall();
        let pictures = scene.file("pictures");
        let told = drill(scene, &["shop-1", "--shadow", "--for", "12s"], Some(&pictures))?;
        ensure!(told["ok"] == true, "{told:#}");
        let report = &told["reports"][0];
        ensure!(report["course"]["verdict"] == "recorder-lost" && report["shadow"] == true, "{report:#}");
        ensure!(told["cameras"] == 2 && told["frames_lost"] == 0, "{told:#}");
        for camera in report["cameras"].as_array().into_iter().flatten() {
            let gap = camera["gap_ms"].as_u64().context("a camera has a gap")?;
            ensure!((1..TAKEOVER_MS).contains(&gap), "{camera:#}");
            ensure!(camera["frames"]["compared"].as_u64() > Some(50), "{camera:#}");
        }
        let picture = std::fs::read_to_string(pictures.join("shop-1.svg")).context("the picture")?;
        ensure!(picture.starts_with("<svg") && picture.contains("till-1/main"), "{picture}");
        ensure!(scene.moves(0)? == 2, "authority moved {} times", scene.moves(0)?);
        let why = scene.why(0)?;
        ensure!(why["known"]["life"] == "Home" && why["known"]["drill"].is_null(), "{why:#}");
        ensure!(why["known"]["last_good_drill"].is_i64(), "{why:#}");
        let now = wire::clock::wall();
        for camera in ["till-1", "door-1"] {
            let coverage = scene.coverage(Side::Site, 0, camera, (began, now))?;
            let spans = coverage["spans"].as_array().cloned().unwrap_or_default();
            let recorded = |span: &Value| span["state"] == "recorded" || span["state"] == "tail";
            ensure!(spans.iter().all(recorded), "{coverage:#}");
        }
        scene.await_acked(0, (began, now))?;
        merged(scene)?.iter().try_for_each(|account| {
            ensure!(account.holes.is_empty(), "{}: {:?}", account.camera, account.holes);
            Ok(())
        })
    });
}

#[test]
fn a_drill_for_real_stops_the_recorder_and_lets_it_come_back_by_itself() {
    play(&[site("shop-1", vec![camera("till-1")])], &LATE, |scene| {
        start(scene)?;
        let began = wire::clock::wall();
        let told = drill(scene, &["shop-1", "--for", "12s"], None)?;
        ensure!(told["ok"] == true && told["reports"][0]["shadow"] == false, "{told:#}");
        let gap = told["gap_ms"]["max"].as_u64().context("there is a gap")?;
        ensure!((1_000..TAKEOVER_MS).contains(&gap), "{told:#}");
        let back = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, back, 3.0)?;
        let coverage = scene.coverage(Side::Site, 0, "till-1", (began, back))?;
        let spans = coverage["spans"].as_array().cloned().unwrap_or_default();
        let drilled = |span: &&Value| span["detail"].as_str().is_some_and(|detail| detail.contains("drill"));
        ensure!(spans.iter().filter(drilled).count() > 0, "the site says nothing of the drill: {coverage:#}");
        scene.await_acked(0, (began, wire::clock::wall()))?;
        for account in merged(scene)? {
            ensure!(account.holes.len() == 1, "{}: {:?}", account.camera, account.holes);
        }
        Ok(())
    });
}

#[test]
fn a_drill_of_the_way_activates_nobody() {
    play(&[site("shop-1", vec![camera("till-1")])], &STANDBY, |scene| {
        start(scene)?;
        let began = wire::clock::wall();
        let told = drill(scene, &["shop-1", "--kind", "wan", "--for", "30s"], None)?;
        ensure!(told["ok"] == true, "{told:#}");
        ensure!(told["reports"][0]["course"]["verdict"] == "dark", "{told:#}");
        ensure!(scene.moves(0)? == 0, "authority moved, though the recorder lived");
        scene.await_link(0, true)?;
        scene.await_acked(0, (began, wire::clock::wall()))?;
        let refused = drill(scene, &["shop-1", "--kind", "site"], None).err().map(|error| error.to_string());
        ensure!(refused.is_some_and(|why| why.contains("accept that loss")), "a whole site was lost");
        scene.await_protected(0)?;
        let wish = json!({ "wish": "maintenance", "for_s": 600, "by": "tester" });
        scene.rig.hub()?.post("/sites/shop-1/wishes", &wish)?;
        let asked = json!({ "sites": ["shop-1"], "kind": "wan", "length_s": 30, "by": "tester" });
        let came = scene.rig.hub()?.post("/drills", &asked)?;
        let says = came["sites"]["shop-1"]["says"].as_str().unwrap_or_default().to_owned();
        ensure!(came["ok"] == false && says.contains("maintenance"), "{came:#}");
        scene.rig.hub()?.post("/sites/shop-1/wishes", &json!({ "wish": "maintenance", "by": "tester" }))?;
        scene.await_life(0, "authority is home", |life| life == "Home")?;
        scene.await_acked(0, (began, wire::clock::wall()))?;
        merged(scene)?.iter().try_for_each(|account| {
            ensure!(account.holes.is_empty(), "{}: {:?}", account.camera, account.holes);
            Ok(())
        })
    });
}

fn start(scene: &mut Scene) -> anyhow::Result<()> {
    scene.start()?;
    let began = wire::clock::wall();
    scene.await_protected(0)?;
    // Nothing was there to be compared with before the drill otherwise.
    scene.await_recorded(Side::Hub, 0, began, Duration::from_secs(3).as_secs_f64())
}

/// `holdfast drill … --json`: the last line of what it says, or what it complains of.
fn drill(scene: &Scene, arguments: &[&str], pictures: Option<&Path>) -> anyhow::Result<Value> {
    let mut command = Command::new(programs::beside_this("holdfast")?);
    command.arg("drill").args(arguments).args(["--json", "--by", "tester"]);
    command.args(["--at", &format!("http://{}", scene.rig.hub_http)]);
    command.arg("--token-file").arg(scene.rig.vault.join("http-token"));
    if let Some(folder) = pictures {
        command.arg("--svg").arg(folder);
    }
    let output = command.output().context("start holdfast drill")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let told: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).with_context(|| {
        format!("holdfast drill said `{said}`, and `{}`", String::from_utf8_lossy(&output.stderr))
    })?;
    ensure!(
        output.status.success() == (told["ok"] == true),
        "its exit status is {:?}: {told:#}",
        output.status
    );
    match told["error"].as_str() {
        Some(error) => anyhow::bail!("{error}"),
        None => Ok(told),
    }
}
