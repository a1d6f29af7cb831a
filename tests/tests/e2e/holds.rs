//! Holds by command: pending while the WAN is cut, confirmed when it heals, obeyed on both sides, over restarts, until they
//! are lifted.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::scene::{PATIENCE, QUICK, Scene, Side, camera, number, play, site};
use ops::rig::{CameraPlan, programs, wait_until};
use serde_json::{Value, json};
use wire::UnixMicros;

use crate::disk_full::{Disk, causes, verify};

/// Half a megabyte a second: the least that a camera may be told to keep is 20 s of it.
fn large(id: &str) -> CameraPlan {
    CameraPlan { spec: "codec=h264,size=640x360,kbit=4000".to_owned(), ..camera(id) }
}

#[test]
fn a_hold_is_pending_while_the_wan_is_cut_then_confirmed_and_keeps_what_everything_else_frees() {
    play(&[site("shop-1", vec![large("till-1"), large("door")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 6.0)?;
        let range = (began, wire::clock::wall());
        scene.await_acked(0, range)?;

        scene.rig.sites[0].cable.cut()?;
        scene.await_link(0, false)?;
        let would = hold(scene, range, &["--camera", "till-1", "--dry-run"])?;
        let found = &would["found"]["till-1/main"];
        ensure!(number(&found["at_hub"]["bytes"])? > 1_000_000, "{would:#}");
        ensure!(found["at_hub"] == found["at_site"] && found["gone"]["segments"] == 0, "{would:#}");
        ensure!(would["found"].get("door/main").is_none() && would["hold"].is_null(), "{would:#}");
        ensure!(holds(scene)?.is_empty(), "a dry run places nothing");
        let unknown = holdfast(scene, &hold_args(range, &["--camera", "till-9"]))?;
        ensure!(unknown["ok"] == false && text(&unknown["error"]).contains("till-9"), "{unknown:#}");
        let placed = hold(scene, range, &["--camera", "till-1"])?;
        let id = number(&placed["hold"])?;
        let held = holds(scene)?;
        ensure!(held.len() == 1 && held[0]["state"] == "pending" && held[0]["hold"] == id, "{held:#?}");
        let status = scene.rig.hub()?.get("/status")?;
        ensure!(status["holds"]["pending"] == 1, "{:#}", status["holds"]);
        ensure!(status["holds"]["not_confirmed_by"] == json!(["shop-1"]), "{:#}", status["holds"]);
        ensure!(at_site(scene)?["holds"] == json!([]), "the site can't know of it");

        scene.rig.sites[0].cable.heal()?;
        await_states(scene, &["confirmed"])?;
        ensure!(at_site(scene)?["holds"][0]["id"] == id, "{:#}", at_site(scene)?);
        ensure!(holds(scene)?[0]["confirmed_us"].is_i64(), "it has a time");

        // Nobody is there to tell it again, and hardly anything is kept from here on.
        scene.rig.sites[0].cable.cut()?;
        scene.await_link(0, false)?;
        scene.rig.stop_agent(0)?;
        scene.rig.environment = vec!["HOLDFAST__ARCHIVE__KEEP_GB_MAX=0.01".to_owned()];
        scene.rig.start_agent(0)?;
        await_freed(scene, Side::Site, "door", range)?;
        without_gap(scene, Side::Site, range)?;

        scene.rig.stop_hub()?;
        scene.rig.environment = vec!["HOLDFAST__VAULT__KEEP_GB_MAX=0.01".to_owned()];
        scene.rig.start_hub()?;
        scene.rig.sites[0].cable.heal()?;
        await_freed(scene, Side::Hub, "door", range)?;
        without_gap(scene, Side::Hub, range)?;
        without_gap(scene, Side::Site, range)?;
        await_states(scene, &["confirmed"])?;

        let lifted = release(scene, id)?;
        ensure!(lifted["ok"] == true, "{lifted:#}");
        await_states(scene, &[])?;
        await_freed(scene, Side::Hub, "till-1", range)?;
        await_freed(scene, Side::Site, "till-1", range)?;
        let again = release(scene, id)?;
        ensure!(again["ok"] == false && text(&again["error"]).contains("holdfast holds shop-1"), "{again:#}");
        scene.rig.stop()?;
        verify(&scene.rig.sites[0].archive)?;
        verify(&scene.rig.vault)
    });
}

#[test]
fn a_disk_full_of_held_footage_says_so_and_loses_none_of_it() {
    play(&[site("shop-1", vec![large("till-1")])], &QUICK, |scene| {
        let disk = Disk::mount(&scene.rig.sites[0].archive)?;
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 6.0)?;
        hold(scene, (began, began + Duration::from_secs(3600)), &[])?;
        await_states(scene, &["confirmed"])?;
        let until = wire::clock::wall();
        scene.await_acked(0, (began, until))?;
        disk.fill(0)?;
        let says = || {
            let status = scene.rig.site(0)?.get("/status")?;
            let retention = &status["archive"]["retention"];
            let stream = text(&status["streams"]["till-1/main"]["detail"]);
            Ok(retention["stuck"] == true
                && retention["kept_bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000)
                && text(&retention["detail"]).contains("holds keep")
                && stream.contains("full")
                && stream.contains("holds keep"))
        };
        wait_until("the site says that holds fill its disk", 2 * PATIENCE, says)?;
        let kept = scene.rig.site(0)?.get("/status")?["archive"]["retention"].clone();
        ensure!(kept["lost_segments"] == 0, "{kept:#}");
        without_gap(scene, Side::Site, (began, until))?;
        disk.empty()?;
        let emptied = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, emptied, 3.0)?;
        without_gap(scene, Side::Site, (began, until))?;
        scene.rig.stop()
    });
}

fn hold_args(range: (UnixMicros, UnixMicros), more: &[&str]) -> Vec<String> {
    let time = |at: UnixMicros| jiff::Timestamp::from_microsecond(at.0).unwrap_or_default().to_string();
    let fixed = ["hold", "shop-1", "--until", "+2h", "--reason", "theft, case 4711"];
    let times = ["--from".to_owned(), time(range.0), "--to".to_owned(), time(range.1)];
    fixed.iter().chain(more).map(|text| (*text).to_owned()).chain(times).collect()
}

/// `holdfast hold shop-1 …`, which must be taken.
fn hold(scene: &Scene, range: (UnixMicros, UnixMicros), more: &[&str]) -> anyhow::Result<Value> {
    let placed = holdfast(scene, &hold_args(range, more))?;
    ensure!(placed["ok"] == true, "{placed:#}");
    Ok(placed)
}

/// `holdfast … --json` at the hub: the last line of what it says.
fn holdfast(scene: &Scene, arguments: &[String]) -> anyhow::Result<Value> {
    let mut command = Command::new(programs::beside_this("holdfast")?);
    command.args(arguments).arg("--json");
    command.args(["--at", &format!("http://{}", scene.rig.hub_http)]);
    command.arg("--token-file").arg(scene.rig.vault.join("http-token"));
    let output = command.output().context("start holdfast")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let told: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).with_context(|| {
        format!("holdfast said `{said}`, and `{}`", String::from_utf8_lossy(&output.stderr))
    })?;
    ensure!(output.status.success() == (told["ok"] == true), "its exit status is {:?}", output.status);
    Ok(told)
}

fn release(scene: &Scene, id: u64) -> anyhow::Result<Value> {
    holdfast(scene, &["release".to_owned(), "shop-1".to_owned(), id.to_string()])
}

/// What the hub says to be held.
fn holds(scene: &Scene) -> anyhow::Result<Vec<Value>> {
    let told = scene.rig.hub()?.get("/sites/shop-1/holds")?;
    Ok(told["holds"].as_array().context("a list of holds")?.clone())
}

/// What the site says that it keeps.
fn at_site(scene: &Scene) -> anyhow::Result<Value> {
    scene.rig.site(0)?.get("/holds")
}

fn await_states(scene: &Scene, states: &[&str]) -> anyhow::Result<()> {
    let right = || {
        let held = holds(scene)?;
        Ok(held.iter().map(|hold| text(&hold["state"])).eq(states.iter().copied()))
    };
    wait_until(&format!("the holds are {states:?}"), 2 * PATIENCE, right).map(drop)
}

/// Waits until nothing is left of a camera's range, because it expired.
fn await_freed(
    scene: &Scene,
    side: Side,
    camera: &str,
    range: (UnixMicros, UnixMicros),
) -> anyhow::Result<()> {
    // A segment that reaches over an end may be kept for what is beyond.
    let inner = (range.0, range.1 - Duration::from_secs(3));
    let freed = || {
        let coverage = scene.coverage(side, 0, camera, inner)?;
        Ok(coverage["recorded_s"] == 0.0 && causes(&coverage)?.iter().all(|cause| cause == "expired"))
    };
    wait_until(&format!("{camera} is freed ({side:?})"), 3 * PATIENCE, freed).map(drop)
}

/// The held camera has every instant.
fn without_gap(scene: &Scene, side: Side, range: (UnixMicros, UnixMicros)) -> anyhow::Result<()> {
    let coverage = scene.coverage(side, 0, "till-1", range)?;
    ensure!(coverage["gaps_s"] == 0.0 && coverage["recorded_s"] != 0.0, "{side:?}: {coverage:#}");
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
