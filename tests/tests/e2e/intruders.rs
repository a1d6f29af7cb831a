//! Sites that are not who they should be are told so, and disturb nobody.

use std::path::Path;

use anyhow::{Context, ensure};
use holdfast_tests::account::{CameraAccount, settle};
use holdfast_tests::scene::{PATIENCE, QUICK, Side, camera, number, play, site};
use ops::init::{Plan, SitePlan, init};
use ops::rig::wait_until;
use serde_json::json;
use wire::SiteId;

#[test]
fn a_strange_site_is_refused_and_disturbs_nobody() {
    let sites = [site("shop-1", vec![camera("till-1")]), site("shop-2", vec![camera("till-2")])];
    play(&sites, &QUICK, |scene| {
        let folder = scene.rig.sites[1].config.parent().context("the site's folder")?.to_owned();
        scene.rig.start_hub()?;
        for site in 0..2 {
            scene.rig.start_cameras(site)?;
        }
        scene.rig.start_agent(0)?;
        scene.await_recording(0)?;
        let began = wire::clock::wall();

        // A certificate that another authority has signed: refused, and recorded all the same.
        let own = take_certificate(&folder)?;
        strange_certificate(&scene.file("strangers"), &folder)?;
        scene.rig.start_agent(1)?;
        let refused = || Ok(scene.uplink(1)?["detail"].as_str().is_some_and(|why| why.contains("authority")));
        wait_until("the strange site is told why it is refused", PATIENCE, refused)?;
        ensure!(scene.uplink(1)?["connects"] == 0, "it was let in");
        let log = std::fs::read_to_string(scene.rig.hub_log())?;
        ensure!(log.contains("refused a connection"), "the hub did not say that it refused a connection");
        scene.await_recorded(Side::Site, 1, began, 3.0)?;
        scene.rig.stop_agent(1)?;

        // The other's id in the configuration.
        own.iter().try_for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes))?;
        let config = std::fs::read_to_string(folder.join("site.toml"))?;
        std::fs::write(folder.join("site.toml"), config.replace("id = \"shop-2\"", "id = \"shop-1\""))?;
        let error = match scene.rig.start_agent(1) {
            Ok(()) => anyhow::bail!("it started with another's id"),
            Err(error) => format!("{error:#}"),
        };
        let clear = error.contains("site.id is `shop-1`") && error.contains("says `shop-2`");
        ensure!(clear, "it did not say what is wrong: {error}");

        // Nobody was disturbed.
        scene.await_recorded(Side::Hub, 0, wire::clock::wall(), 2.0)?;
        ensure!(number(&scene.uplink(0)?["connects"])? == 1, "the other site's connection broke");

        // Put right, the site is welcome, and brings what it recorded meanwhile.
        std::fs::write(folder.join("site.toml"), config)?;
        scene.rig.start_agent(1)?;
        scene.await_recording(1)?;
        let now = wire::clock::wall();
        scene.await_recorded(Side::Hub, 1, now, 2.0)?;
        let accounts = settle(scene)?;
        let undisturbed = accounts.iter().find(|account| account.camera == "till-1");
        undisturbed.context("the first site's camera").and_then(CameraAccount::without_gap)
    });
}

const CERTIFICATE: [&str; 2] = ["site.pem", "site-key.pem"];

fn take_certificate(folder: &Path) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    CERTIFICATE.iter().map(|name| Ok((*name, std::fs::read(folder.join(name))?))).collect()
}

/// Makes a whole other installation, and takes the certificate from there.
fn strange_certificate(elsewhere: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut plan = Plan::new(elsewhere);
    plan.sites.push(SitePlan::new(SiteId::new("shop-2")?));
    let made = init(&plan)?;
    let theirs = made.sites[0].1.parent().context("the other site's folder")?;
    for (name, bytes) in take_certificate(theirs)? {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

#[test]
fn a_revoked_site_is_cut_at_once_and_records_on() {
    let sites = [site("shop-1", vec![camera("till-1")]), site("shop-2", vec![camera("till-2")])];
    play(&sites, &QUICK, |scene| {
        scene.start()?;
        let known = || Ok(scene.why(1).is_ok_and(|why| why["known"]["vault"].is_number()));
        wait_until("the control log knows the site", PATIENCE, known)?;
        let wish = json!({ "wish": "revoke", "by": "tester", "dry_run": true });
        scene.rig.hub()?.post("/sites/shop-2/wishes", &wish)?;
        ensure!(scene.uplink(1)?["connected"] == true, "a dry run revoked it");
        scene.rig.hub()?.post("/sites/shop-2/wishes", &json!({ "wish": "revoke", "by": "tester" }))?;
        let took = scene.await_link(1, false)?;
        ensure!(took.as_secs() < 5, "it was cut after {took:?}");
        let refused = || Ok(scene.uplink(1)?["detail"].as_str().is_some_and(|why| why.contains("revoked")));
        wait_until("the site is told that it was revoked", PATIENCE, refused)?;
        let cut = wire::clock::wall();
        scene.await_recorded(Side::Site, 1, cut, 3.0)?;
        scene.await_recorded(Side::Hub, 0, cut, 3.0)?;
        ensure!(number(&scene.uplink(1)?["connects"])? == 1, "it was let in again");
        ensure!(number(&scene.uplink(0)?["connects"])? == 1, "the other site's connection broke");
        scene.rig.stop()
    });
}
