//! Beats over whatever lets them through.

use std::time::Duration;

use anyhow::ensure;
use holdfast_tests::scene::{QUICK, Scene, camera, play, site};
use ops::rig::wait_until;

/// A second without acks, the beat that is due then, and the way to the hub; the shortest timer of a detector is
/// over after this.
const DEAF_MAX: Duration = Duration::from_secs(2);
/// Longer than a QUIC connection lives without an answer.
const BLOCKED: Duration = Duration::from_secs(15);

/// The longest time between two beats as the hub tells, while `until` does not hold.
fn longest_gap(scene: &Scene, until: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<Duration> {
    let id = scene.rig.sites[0].id.to_string();
    let hub = scene.rig.hub()?;
    let last = || -> anyhow::Result<i64> {
        Ok(hub.get("/status")?["sites"][id.as_str()]["last_beat_us"].as_i64().unwrap_or_default())
    };
    let (mut before, mut longest) = (last()?, 0);
    while !until()? {
        let now = last()?;
        longest = longest.max(now - before);
        before = now;
        std::thread::sleep(Duration::from_millis(50));
    }
    longest = longest.max(wire::clock::wall().0 - before);
    Ok(Duration::from_micros(u64::try_from(longest)?))
}

#[test]
fn where_udp_is_blocked_beats_go_over_tcp() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let way = |name: &str| -> anyhow::Result<bool> {
            Ok(scene.rig.site(0)?.get("/status")?["voters"]["hub-1"]["over"] == name)
        };
        wait_until("beats go over QUIC", DEAF_MAX * 10, || way("quic"))?;
        let began = wire::clock::wall();
        scene.rig.sites[0].cable.block_udp()?;
        let gap = longest_gap(scene, || Ok(wire::clock::wall().since(began) > BLOCKED))?;
        ensure!(gap < DEAF_MAX, "the hub heard nothing for {gap:?} after UDP was blocked");
        ensure!(way("tcp")?, "beats don't go over TCP");
        ensure!(scene.uplink(0)?["connected"] == false, "the session outlived the block");
        scene.rig.sites[0].cable.heal()?;
        let gap = longest_gap(scene, || way("quic"))?;
        ensure!(gap < DEAF_MAX, "the hub heard nothing for {gap:?} on the way back");
        Ok(())
    });
}
