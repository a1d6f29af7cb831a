//! A recorder dies and its cameras live; a WAN dies and the recorder lives; a person asks.

use std::time::Duration;

use anyhow::ensure;
use holdfast_tests::account::merged;
use holdfast_tests::scene::{STANDBY, Scene, Side, camera, play, site};
use serde_json::{Value, json};
use wire::UnixMicros;

/// Far more than a takeover takes, on a machine that is busy otherwise.
const TAKEOVER: Duration = Duration::from_secs(20);

fn is_recording(life: &Value) -> bool {
    life["Standby"]["mode"] == "Recording"
}

fn is_home(life: &Value) -> bool {
    life == "Home"
}

#[test]
fn a_dead_recorder_is_taken_over_and_gets_its_authority_back() {
    play(&[site("shop-1", vec![camera("till-1"), camera("door-1")])], &STANDBY, |scene| {
        let began = start(scene)?;
        scene.rig.kill_agent(0)?;
        let killed = wire::clock::wall();
        let took = scene.await_life(0, "the standby has authority", is_recording)?;
        ensure!(took < TAKEOVER, "it took {took:?}");
        let taken = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, taken, 4.0)?;
        scene.rig.start_agent(0)?;
        scene.await_life(0, "authority is back home", is_home)?;
        let back = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, back, 3.0)?;
        scene.await_acked(0, (began, back))?;
        ensure!(scene.moves(0)? == 2, "authority moved {} times", scene.moves(0)?);
        for account in merged(scene)? {
            let gap = account.gap_around(killed);
            ensure!(gap < TAKEOVER, "{}: nothing was recorded for {gap:?}", account.camera);
            ensure!(account.holes_after(killed).len() == 1, "{}: {:?}", account.camera, account.holes);
        }
        Ok(())
    });
}

#[test]
fn a_cut_wan_is_no_reason_to_take_over() {
    play(&[site("shop-1", vec![camera("till-1")])], &STANDBY, |scene| {
        let began = start(scene)?;
        scene.rig.sites[0].cable.cut()?;
        let cut = wire::clock::wall();
        // Longer than silence alone is waited for, and than every connection lives.
        scene.await_recorded(Side::Site, 0, cut, 20.0)?;
        scene.rig.sites[0].cable.heal()?;
        let healed = wire::clock::wall();
        scene.await_acked(0, (began, healed))?;
        scene.await_life(0, "the site is at home", is_home)?;
        ensure!(scene.moves(0)? == 0, "authority moved, though the recorder lived: {:#}", scene.why(0)?);
        for account in merged(scene)? {
            ensure!(account.holes.is_empty(), "{}: {:?}", account.camera, account.holes);
        }
        Ok(())
    });
}

#[test]
fn what_a_person_asks_for_costs_no_frame() {
    play(&[site("shop-1", vec![camera("till-1")])], &STANDBY, |scene| {
        let began = start(scene)?;
        let wish = json!({ "wish": "failover", "reason": "a test", "by": "tester", "dry_run": true });
        scene.rig.hub()?.post("/sites/shop-1/wishes", &wish)?;
        ensure!(scene.moves(0)? == 0, "a dry run moved authority");
        let wish = json!({ "wish": "failover", "reason": "a test", "by": "tester" });
        scene.rig.hub()?.post("/sites/shop-1/wishes", &wish)?;
        scene.await_life(0, "the standby has authority", |life| !is_home(life))?;
        let taken = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, taken, 3.0)?;
        scene.rig.hub()?.post("/sites/shop-1/wishes", &json!({ "wish": "failback", "by": "tester" }))?;
        scene.await_life(0, "authority is back home", is_home)?;
        let back = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, back, 3.0)?;
        scene.await_acked(0, (began, back))?;
        let again =
            scene.rig.hub()?.post("/sites/shop-1/wishes", &json!({ "wish": "failback", "by": "tester" }));
        let refused = again.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(refused.contains("nothing to give back"), "{refused}");
        for account in merged(scene)? {
            ensure!(account.holes.is_empty(), "{}: {:?}", account.camera, account.holes);
        }
        Ok(())
    });
}

/// Starts everything, and waits until the site is protected and some seconds are at the hub.
fn start(scene: &mut Scene) -> anyhow::Result<UnixMicros> {
    scene.start()?;
    let began = wire::clock::wall();
    scene.await_protected(0)?;
    scene.await_recorded(Side::Hub, 0, began, 3.0)?;
    Ok(began)
}
