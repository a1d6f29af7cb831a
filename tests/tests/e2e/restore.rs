//! What the hub has and a site lacks comes back: a standby's recording after a failover, a whole archive to a new box.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::account::{open, settle, settle_with_more_at_hub};
use holdfast_tests::scene::{PATIENCE, QUICK, STANDBY, Scene, Side, camera, number, play, site};
use ops::oracle;
use ops::rig::{programs, wait_until};
use serde_json::Value;
use site_agent::serve::verify_export;
use wire::{StreamId, UnixMicros};

#[test]
fn what_a_standby_recorded_comes_back_to_the_site() {
    play(&[site("shop-1", vec![camera("till-1")])], &STANDBY, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_protected(0)?;
        scene.await_recorded(Side::Hub, 0, began, 3.0)?;
        scene.rig.kill_agent(0)?;
        let killed = wire::clock::wall();
        scene.await_life(0, "the standby has authority", |life| life["Standby"]["mode"] == "Recording")?;
        let taken = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, taken, 6.0)?;
        scene.rig.start_agent(0)?;
        scene.await_life(0, "authority is back home", |life| life == "Home")?;
        let back = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, back, 10.0)?;
        // The site has it all by itself: what nobody recorded is all that is missing.
        await_restored(scene, (began, back))?;
        let at_hub = scene.coverage(Side::Hub, 0, "till-1", (began, back))?;
        let at_site = scene.coverage(Side::Site, 0, "till-1", (began, back))?;
        let recorded = |coverage: &Value| coverage["recorded_s"].as_f64().context("recorded_s");
        let less = recorded(&at_hub)? - recorded(&at_site)?;
        ensure!(less < 0.2, "the site has {less} s less than the hub: {at_site:#}\n{at_hub:#}");
        ensure!(at_site["unexplained_s"] == 0.0, "{at_site:#}");
        let restored = scene.uplink(0)?["restore"].clone();
        ensure!(number(&restored["restored_segments"])? >= 2, "{restored:#}");
        // Also without the hub, and provably.
        scene.rig.sites[0].cable.cut()?;
        scene.await_link(0, false)?;
        let path = format!(
            "{}/export.mp4?from={}&to={}",
            scene.camera_path(0, "till-1"),
            (taken + Duration::from_secs(1)).0,
            (taken + Duration::from_secs(5)).0
        );
        let mut export = Vec::new();
        std::io::copy(&mut scene.rig.site(0)?.download(&path)?.1, &mut export)?;
        let report = verify_export(export.as_slice());
        ensure!(report.ok && report.gaps.is_empty() && report.proven == report.fragments, "{report:?}");
        scene.rig.sites[0].cable.heal()?;
        let healed = wire::clock::wall();
        scene.await_acked(0, (began, healed))?;
        // A restart takes nothing of it for its own, and fetches nothing twice.
        scene.rig.stop_agent(0)?;
        scene.rig.start_agent(0)?;
        scene.await_link(0, true)?;
        await_restored(scene, (began, back))?;
        ensure!(scene.uplink(0)?["restore"]["restored_segments"] == 0, "{:#}", scene.uplink(0)?);
        ensure!(
            scene.uplink(0)?["quarantined"].as_array().is_some_and(Vec::is_empty),
            "{:#}",
            scene.uplink(0)?
        );
        scene.rig.stop()?;
        has_what_was_sent(scene, killed)
    });
}

#[test]
fn a_box_that_was_replaced_gets_its_archive_back() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 10.0)?;
        scene.rig.stop_agent(0)?;
        let stopped = wire::clock::wall();
        let kept = scene.rig.sites[0].archive.clone();
        std::fs::rename(&kept, scene.file("thrown-away")).context("take the old disk away")?;
        let config = scene.rig.sites[0].config.clone();
        let text = std::fs::read_to_string(&config)?;
        std::fs::write(&config, text.replace("\n[archive]\n", "\n[archive]\nrestore = \"all\"\n"))?;
        scene.rig.start_agent(0)?;
        let from = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, from, 4.0)?;
        let any = || Ok(number(&scene.uplink(0)?["restore"]["restored_segments"])? > 0);
        wait_until("something comes back", PATIENCE, any)?;
        await_restored(scene, (began, stopped))?;
        let coverage = scene.coverage(Side::Site, 0, "till-1", (began, stopped))?;
        ensure!(coverage["recorded_s"].as_f64().is_some_and(|s| s >= 10.0), "{coverage:#}");
        ensure!(coverage["unexplained_s"] == 0.0, "{coverage:#}");
        let healed = wire::clock::wall();
        scene.await_acked(0, (began, healed))?;
        // Both are equal again, entry by entry and frame by frame.
        settle(scene).map(drop)
    });
}

#[test]
fn the_old_disk_in_a_new_box_is_adopted_with_its_backlog() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 4.0)?;
        // The hub never sees what is recorded now; then the box dies.
        scene.rig.sites[0].cable.cut()?;
        let cut = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, cut, 8.0)?;
        scene.rig.kill_agent(0)?;
        let killed = wire::clock::wall();
        let (archive, old) = (scene.rig.sites[0].archive.clone(), scene.file("old-disk"));
        std::fs::rename(&archive, &old).context("pull the disk")?;
        // A new one records at once, and a person puts the old disk in later.
        scene.rig.start_agent(0)?;
        let from = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, from, 4.0)?;
        let running = adopt(scene, &old)?;
        ensure!(!running.0 && running.1.contains("in use by another process"), "{}", running.1);
        scene.rig.stop_agent(0)?;
        std::fs::create_dir_all(scene.file("nothing/index"))?;
        for (dir, why) in
            [(scene.file("nothing"), "there is no archive"), (archive, "is this agent's own archive")]
        {
            let refused = adopt(scene, &dir)?;
            ensure!(!refused.0 && refused.1.contains(why), "{}", refused.1);
        }
        let (ok, said) = adopt(scene, &old)?;
        let told: Value =
            serde_json::from_str(said.lines().last().unwrap_or_default()).context("what it says")?;
        ensure!(
            ok && number(&told["unacked"])? >= 3 && told["bad"].as_array().is_some_and(Vec::is_empty),
            "{said}"
        );
        let (ok, again) = adopt(scene, &old)?;
        let again: Value = serde_json::from_str(again.lines().last().unwrap_or_default())?;
        ensure!(ok && again["segments"] == 0 && again["entries"] == 0, "twice: {again:#}");
        scene.rig.start_agent(0)?;
        scene.rig.sites[0].cable.heal()?;
        let healed = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, healed, 3.0)?;
        scene.await_acked(0, (began, healed))?;
        let at_hub = scene.coverage(Side::Hub, 0, "till-1", (cut, killed))?;
        // What was not in a whole fragment when the power went.
        ensure!(at_hub["gaps_s"].as_f64().is_some_and(|gaps| gaps < 1.5), "{at_hub:#}");
        settle(scene).map(drop)
    });
}

#[test]
fn a_lost_index_is_made_anew_on_either_side_and_no_file_crosses_again() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 6.0)?;
        scene.rig.stop_hub()?;
        std::fs::write(scene.rig.vault.join("index/CURRENT"), "MANIFEST-999999\n")
            .context("spoil the hub's index")?;
        let sent = || -> anyhow::Result<u64> { number(&scene.uplink(0)?["backlog_bytes"]) };
        let before = sent()?;
        scene.rig.start_hub()?;
        scene.await_link(0, true)?;
        let now = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, now, 3.0)?;
        scene.await_acked(0, (began, now))?;
        let vault = scene.rig.vault.clone();
        wait_until("the hub's index is whole", PATIENCE, || Ok(!vault.join("index-lost").exists()))?;
        let again = number(&scene.uplink(0)?["backlog_bytes"])? - before;
        // What was recorded while the hub was away, and no more: 300 kbit/s.
        ensure!(again < 600_000, "{again} bytes were sent as backlog");
        // Of these the hub hears nothing before the index is lost.
        scene.rig.sites[0].cable.cut()?;
        let cut = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, cut, 6.0)?;
        scene.rig.kill_agent(0)?;
        let archive = scene.rig.sites[0].archive.clone();
        std::fs::remove_dir_all(archive.join("index")).context("lose the site's index")?;
        scene.rig.sites[0].cable.heal()?;
        scene.rig.start_agent(0)?;
        let whole = || Ok(!archive.join("index-lost").exists());
        wait_until("the site's index is whole", PATIENCE, whole)?;
        let from = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, from, 3.0)?;
        scene.await_acked(0, (began, from))?;
        ensure!(
            scene.uplink(0)?["restore"]["restored_segments"] == 0,
            "files were there: {:#}",
            scene.uplink(0)?
        );
        let at_hub = scene.coverage(Side::Hub, 0, "till-1", (began, cut + Duration::from_secs(5)))?;
        ensure!(at_hub["gaps_s"] == 0.0, "{at_hub:#}");
        // Before the site knew its files again the hub salvaged what nobody spoke of.
        settle_with_more_at_hub(scene)
    });
}

/// `site-agent adopt DIR --json` at the site: whether it succeeded, and what it said.
fn adopt(scene: &Scene, old: &Path) -> anyhow::Result<(bool, String)> {
    let mut command = Command::new(programs::beside_this("site-agent")?);
    command.args(["adopt", "--json", "--config"]).arg(&scene.rig.sites[0].config).arg(old);
    let output = command.output().context("start site-agent adopt")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = if output.status.success() { text(&output.stdout) } else { text(&output.stderr) };
    Ok((output.status.success(), said))
}

/// Waits until the site lacks nothing of a time that the hub has.
fn await_restored(scene: &Scene, range: (UnixMicros, UnixMicros)) -> anyhow::Result<()> {
    let restored = || {
        let coverage = scene.coverage(Side::Site, 0, "till-1", range)?;
        let spans = coverage["spans"].as_array().context("coverage has spans")?;
        Ok(spans.iter().all(|span| span["state"] == "recorded" || span["state"] == "gap")
            && scene.uplink(0)?["restore"]["segments"] == 0)
    };
    wait_until("all that the hub has is at the site", 2 * PATIENCE, restored).map(drop)
}

/// The site alone has every frame the camera sent, but for the time in which nobody recorded.
fn has_what_was_sent(scene: &Scene, killed: UnixMicros) -> anyhow::Result<()> {
    let site = &scene.rig.sites[0];
    let archive = open(&site.archive)?;
    let log = oracle::read_log(&site.camera_logs.join("till-1.log"))?;
    let recorded = oracle::read_merged(&[&archive], &site.id, &StreamId::new("till-1", "main")?)?;
    let found = oracle::compare(&log, &recorded, &recorded)?;
    ensure!(found.lost + found.foreign + found.audio_wrong == 0 && found.sent > 0, "{found:?}");
    let gap = oracle::gap_around(&recorded.gaps, killed).map_or(Duration::ZERO, |(from, to)| to.since(from));
    ensure!(gap < Duration::from_secs(20), "nothing is here of {gap:?}: {:?}", recorded.gaps);
    Ok(())
}
