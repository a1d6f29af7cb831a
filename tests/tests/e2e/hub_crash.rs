//! The hub dies in mid-stream.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use holdfast_tests::account::{settle, still_held};
use holdfast_tests::scene::{PATIENCE, QUICK, Side, camera, number, play, site};
use ops::rig::wait_until;

/// A beat, a round trip, a moment's wait and a handshake; the idle timeout would take twice as long.
const NOTICED: Duration = Duration::from_secs(4);

#[test]
fn what_was_acked_survives_a_killed_hub() {
    play(&[site("shop-1", vec![camera("till-1"), camera("door-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        let mut acked = BTreeSet::new();
        for _ in 0..2 {
            // In mid-stream: some segments are acked, and the next have begun.
            let from = wire::clock::wall();
            scene.await_recorded(Side::Hub, 0, from, 5.0)?;
            for id in ["till-1", "door-1"] {
                acked.extend(scene.acked(0, id, began)?);
            }
            scene.rig.kill_hub()?;
            let killed = wire::clock::wall();
            scene.await_recorded(Side::Site, 0, killed, 3.0)?;
            let connects = number(&scene.uplink(0)?["connects"])?;
            scene.rig.start_hub()?;
            // The new hub knows its former connections: nobody waits out an idle timeout.
            let again = || Ok(number(&scene.uplink(0)?["connects"])? > connects);
            let after = wait_until("the site dials the restarted hub", PATIENCE, again)?;
            ensure!(after < NOTICED, "the restart was noticed after {after:?}");
            let mut held = scene.held_at_hub(0, "till-1", began)?;
            held.append(&mut scene.held_at_hub(0, "door-1", began)?);
            let missing: Vec<_> = acked.difference(&held).collect();
            assert!(missing.is_empty(), "acked, and not held after the restart: {missing:?}");
            let restarted = wire::clock::wall();
            scene.await_recording(0)?;
            scene.await_acked(0, (began, restarted))?;
        }
        for account in settle(scene)? {
            account.without_gap()?;
        }
        still_held(&scene.rig, 0, &acked)
    });
}
