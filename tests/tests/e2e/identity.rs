//! Disks that were cloned, restored or put into the wrong machine: noticed, said, and harmless.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use holdfast_tests::scene::{PATIENCE, QUICK, Scene, Side, camera, play, site};
use ops::rig::wait_until;
use wire::UnixMicros;

#[test]
fn a_cloned_disk_is_noticed_and_harms_nothing() {
    let sites = ["shop-1", "shop-2"].map(|id| site(id, vec![camera("till-1")]));
    play(&sites, &QUICK, |scene| {
        scene.rig.start_hub()?;
        for site in 0..2 {
            scene.rig.start_cameras(site)?;
        }
        scene.rig.start_agent(0)?;
        scene.await_recording(0)?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 4.0)?;
        scene.rig.stop_agent(0)?;

        // The other machine becomes the first one's twin: its disk, its identity.
        let (first, second) = (&scene.rig.sites[0], &scene.rig.sites[1]);
        let own = std::fs::read_to_string(&second.config)?;
        let folder = second.config.parent().context("the site's folder")?.to_owned();
        let from = first.config.parent().context("the site's folder")?.to_owned();
        let kept = scene.file("kept");
        copy(&folder, &kept)?;
        for name in ["site.pem", "site-key.pem"] {
            std::fs::copy(from.join(name), folder.join(name))?;
        }
        std::fs::write(&second.config, own.replace("id = \"shop-2\"", "id = \"shop-1\""))?;
        copy(&first.archive, &second.archive)?;
        scene.rig.start_agent(0)?;
        scene.rig.start_agent(1)?;
        let noticed = || {
            let status = scene.rig.hub()?.get("/status")?;
            Ok(status["sites"]["shop-1"]["twins"].as_array().is_some_and(|twins| twins.len() == 2))
        };
        wait_until("the hub says that two agents run as shop-1", PATIENCE, noticed)?;
        scene.rig.stop_agent(1)?;

        all_is_well(scene, began)?;

        // Its own identity again, over the other's recordings.
        std::fs::remove_dir_all(&folder)?;
        copy(&kept, &folder)?;
        let error = match scene.rig.start_agent(1) {
            Ok(()) => anyhow::bail!("it mixes its recordings with another site's"),
            Err(error) => format!("{error:#}"),
        };
        ensure!(error.contains("holds recordings of site shop-1"), "it did not say what is wrong: {error}");
        all_is_well(scene, began)?;
        scene.rig.stop()
    });
}

#[test]
fn a_restored_disk_or_index_brings_no_conflict() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 4.0)?;
        scene.rig.stop_agent(0)?;
        let archive = scene.rig.sites[0].archive.clone();
        let backup = scene.file("backup");
        copy(&archive, &backup)?;
        record_more(scene)?;

        // The whole disk as it was: the hub knows more of the last run than the site.
        std::fs::remove_dir_all(&archive)?;
        copy(&backup, &archive)?;
        record_more(scene)?;

        // The index alone: files are there that it doesn't know.
        let index = archive.join("index");
        std::fs::remove_dir_all(&index)?;
        copy(&backup.join("index"), &index)?;
        record_more(scene)?;
        scene.rig.start_agent(0)?;
        all_is_well(scene, began)?;
        scene.rig.stop()
    });
}

/// A run that records a few seconds, and ends.
fn record_more(scene: &mut Scene) -> anyhow::Result<()> {
    scene.rig.start_agent(0)?;
    let from = wire::clock::wall();
    scene.await_recorded(Side::Hub, 0, from, 4.0)?;
    nothing_is_quarantined(scene)?;
    scene.rig.stop_agent(0)
}

/// It records, all of it gets to the hub, and no ledger has two pasts.
fn all_is_well(scene: &Scene, began: UnixMicros) -> anyhow::Result<()> {
    let from = wire::clock::wall();
    scene.await_recorded(Side::Hub, 0, from, 3.0)?;
    scene.await_acked(0, (began, from))?;
    let coverage = scene.coverage(Side::Hub, 0, "till-1", (began, from))?;
    ensure!(coverage["unexplained_s"] == 0.0, "{coverage:#}");
    nothing_is_quarantined(scene)
}

fn nothing_is_quarantined(scene: &Scene) -> anyhow::Result<()> {
    let uplink = scene.uplink(0)?;
    ensure!(uplink["quarantined"].as_array().is_some_and(Vec::is_empty), "{uplink:#}");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    let done = Command::new("cp").args(["-a", "-T"]).arg(from).arg(to).status().context("start cp")?;
    ensure!(done.success(), "copy {} to {}", from.display(), to.display());
    Ok(())
}
