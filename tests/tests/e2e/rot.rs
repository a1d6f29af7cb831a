//! Bits flip in segments on both sides, and files vanish.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use holdfast_tests::account::settle;
use holdfast_tests::rot::{await_repaired, flip_bits, names, scrub};
use holdfast_tests::scene::{PATIENCE, QUICK, Scene, Side, camera, number, play, site, spans};

/// Segments that rot on each side.
const ROTTEN: usize = 4;

#[test]
fn one_scrub_on_each_side_finds_all_that_rots_and_the_other_side_repairs_it() {
    play(&[site("shop-1", vec![camera("till-1"), camera("door-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 14.0)?;
        let until = wire::clock::wall();
        scene.await_acked(0, (began, until))?;

        let (ours, vault) = (scene.rig.sites[0].archive.clone(), scene.rig.vault.clone());
        // What is on both sides: the newest may still be on its way.
        let at_hub: BTreeSet<_> = names(&vault)?.into_iter().collect();
        let new: BTreeSet<_> = names(&ours)?.into_iter().filter(|name| !at_hub.contains(name)).collect();
        let at_site = flip_bits(&ours, ROTTEN, 1, &new)?;
        let at_hub = flip_bits(&vault, ROTTEN, 2, &at_site)?;
        let lost = names(&vault)?.into_iter().find(|name| !at_site.contains(name) && !at_hub.contains(name));
        let lost = lost.context("one more segment at the hub")?;
        std::fs::remove_file(vault.join(&lost)).context("delete a file of the vault")?;

        let (site, hub) = (scene.rig.site(0)?, scene.rig.hub()?);
        let found = scrub(&site, PATIENCE)?;
        ensure!(number(&found["bad"])? == ROTTEN as u64 && found["missing"] == 0, "at the site: {found:#}");
        let found = scrub(&hub, PATIENCE)?;
        ensure!(number(&found["bad"])? == ROTTEN as u64 && found["missing"] == 1, "at the hub: {found:#}");
        for (side, daemon, count) in [("site", &site, ROTTEN), ("hub", &hub, ROTTEN + 1)] {
            let repaired = await_repaired(daemon, PATIENCE)?;
            let all = repaired["given_up"] == 0 && number(&repaired["repaired"])? == count as u64;
            ensure!(all, "at the {side}: {repaired:#}");
        }
        for name in at_site.iter().chain(&at_hub).chain([&lost]) {
            ensure!(same(&ours, &vault, name)?, "{} is not the same on both sides", name.display());
        }
        scene.await_acked(0, (began, until))?;
        for account in settle(scene)? {
            account.without_gap()?;
        }
        Ok(())
    });
}

#[test]
fn what_rots_on_both_sides_is_said_to_be_corrupt_and_is_not_thrown_away() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 8.0)?;
        let until = wire::clock::wall();
        scene.await_acked(0, (began, until))?;
        let (ours, vault) = (scene.rig.sites[0].archive.clone(), scene.rig.vault.clone());
        let only = names(&vault)?.into_iter().find(|name| ours.join(name).exists()).context("a segment")?;
        let others: BTreeSet<_> = names(&ours)?.into_iter().filter(|name| *name != only).collect();
        flip_bits(&ours, 1, 3, &others)?;
        let others: BTreeSet<_> = names(&vault)?.into_iter().filter(|name| *name != only).collect();
        flip_bits(&vault, 1, 4, &others)?;

        let (site, hub) = (scene.rig.site(0)?, scene.rig.hub()?);
        // The site asks the hub, which looks at its own, finds that damaged too, and hears that it is gone.
        let found = scrub(&site, PATIENCE)?;
        ensure!(found["bad"] == 1, "{found:#}");
        let given_up = await_repaired(&site, PATIENCE)?;
        ensure!(given_up["given_up"] == 1 && given_up["repaired"] == 0, "{given_up:#}");
        ops::rig::wait_until("the hub has given it up too", PATIENCE, || {
            Ok(hub.get("/scrub")?["given_up"] == 1 && hub.get("/scrub")?["wanted"] == 0)
        })?;
        for side in [Side::Site, Side::Hub] {
            let causes = causes(scene, side, (began, until))?;
            ensure!(causes == ["corrupt"], "{side:?}: {causes:?}");
        }
        ops::rig::wait_until("both files are kept aside", PATIENCE, || {
            Ok([&ours, &vault].iter().all(|archive| aside(archive, &only).exists()))
        })?;
        scene.rig.stop()
    });
}

#[test]
fn a_site_is_scrubbed_through_its_hub_and_who_can_not_be_asked_is_said() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 8.0)?;
        let until = wire::clock::wall();
        scene.await_acked(0, (began, until))?;
        let (ours, vault) = (scene.rig.sites[0].archive.clone(), scene.rig.vault.clone());
        let at_hub: BTreeSet<_> = names(&vault)?.into_iter().collect();
        let new: BTreeSet<_> = names(&ours)?.into_iter().filter(|name| !at_hub.contains(name)).collect();
        let rotten = flip_bits(&ours, 2, 5, &new)?;

        let told = scene.holdfast(Side::Hub, 0, &["scrub", "shop-1"])?;
        let right = told["ok"] == true && told["bad"] == 2 && told["repaired"] == 2 && told["wanted"] == 0;
        ensure!(right, "{told:#}");
        for name in &rotten {
            ensure!(same(&ours, &vault, name)?, "{} is not the same on both sides", name.display());
        }
        let hub = scene.rig.hub()?;
        ensure!(hub.get("/scrub")?["bad"] == 0, "the hub's own archive was asked");

        let refused =
            hub.post("/sites/shop-2/scrub", &serde_json::json!({})).err().context("it is unknown")?;
        ensure!(refused.to_string().contains("unknown site"), "{refused:#}");
        scene.rig.kill_agent(0)?;
        ops::rig::wait_until("the hub says that the site is not connected", PATIENCE, || {
            let refused = hub.get("/sites/shop-1/scrub").err().map(|error| error.to_string());
            Ok(refused.is_some_and(|why| why.contains("the site is not connected")))
        })?;
        scene.rig.stop()
    });
}

fn same(ours: &Path, vault: &Path, name: &Path) -> anyhow::Result<bool> {
    let read = |archive: &Path| {
        std::fs::read(archive.join(name)).with_context(|| format!("read {}", name.display()))
    };
    Ok(read(ours)? == read(vault)?)
}

fn aside(archive: &Path, name: &Path) -> PathBuf {
    archive.join("discarded").join(name.to_string_lossy().replace('/', "_"))
}

fn causes(
    scene: &Scene,
    side: Side,
    range: (wire::UnixMicros, wire::UnixMicros),
) -> anyhow::Result<Vec<String>> {
    let coverage = scene.coverage(side, 0, "till-1", range)?;
    let gaps = spans(&coverage)?.iter().filter(|span| span["state"] == "gap");
    Ok(gaps.map(|span| span["cause"].as_str().unwrap_or_default().to_owned()).collect())
}
