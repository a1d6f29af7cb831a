//! `holdfast reconcile`: what a cut leaves to be sent is foretold at the site, and followed until both are equal.

use anyhow::ensure;
use holdfast_tests::account::{CameraAccount, settle};
use holdfast_tests::scene::{QUICK, Scene, Side, camera, number, play, site};
use serde_json::Value;

#[test]
fn what_a_cut_leaves_is_foretold_and_followed_until_both_are_equal() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 4.0)?;
        scene.rig.sites[0].cable.cut()?;
        let cut = wire::clock::wall();
        scene.await_link(0, false)?;
        scene.await_recorded(Side::Site, 0, cut, 20.0)?;
        let plan = reconcile(scene, &["--dry-run"])?;
        let (segments, bytes) = (number(&plan["to_hub"]["segments"])?, number(&plan["to_hub"]["bytes"])?);
        // 20 s of 300 kbit/s in segments of 2 s, of which the newest may be open; what was recorded meanwhile beside.
        ensure!((8..=40).contains(&segments), "{segments} segments: {plan:#}");
        ensure!((200_000..6_000_000).contains(&bytes), "{bytes} bytes: {plan:#}");
        ensure!(plan["connected"] == false && plan["equal"] == false, "{plan:#}");
        ensure!(plan["lag_s"].as_f64().is_some_and(|lag| lag >= 15.0), "{plan:#}");
        // The line was measured before it was cut; it has room for a camera.
        ensure!(plan["rate_bps"].is_u64() && plan["lost"].as_array().is_some_and(Vec::is_empty), "{plan:#}");
        let early = reconcile(scene, &["--timeout", "1"])?;
        ensure!(early["ok"] == false, "equal while the cable is cut: {early:#}");
        scene.rig.sites[0].cable.heal()?;
        let after = reconcile(scene, &["--timeout", "60"])?;
        ensure!(after["ok"] == true && after["connected"] == true, "{after:#}");
        let at_hub = scene.rig.hub()?.get(&format!("/sites/shop-1/reconcile?before_us={}", cut.0))?;
        ensure!(at_hub["equal"] == true, "the hub still waits: {at_hub:#}");
        settle(scene)?.iter().try_for_each(CameraAccount::without_gap)
    });
}

/// `holdfast reconcile shop-1 …` at the site.
fn reconcile(scene: &Scene, arguments: &[&str]) -> anyhow::Result<Value> {
    scene.holdfast(Side::Site, 0, &[&["reconcile", "shop-1"], arguments].concat())
}
