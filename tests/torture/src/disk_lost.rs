//! Archives of two disks each, at a site and at the hub; the second is pulled for good, and a person says so.
//!
//! What is promised: what was on it comes from the other side, or is said to be lost with the disk; nothing acked is
//! lost; and the disk, should it turn up after all, is refused by name.

use std::path::Path;

use anyhow::{Context, ensure};
use holdfast_tests::scene::{PATIENCE, QUICK, Scene, Side, camera, number, site, try_play};
use ops::rig::wait_until;
use serde_json::{Value, json};

use crate::Victim;
use crate::disk::Disk;
use crate::disks::{BYTES, add_disk, explained, second};
use crate::ledger_of_acks::{Acked, Fate};

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Segments that were on the disks.
    lost_with: u64,
    /// Of the hub's, those that it has not got again.
    wanted_at_hub: u64,
    refused: u32,
    fate: Fate,
}

/// Loses each side's second disk.
pub fn run() -> anyhow::Result<Outcome> {
    let cameras = (1..=2).map(|n| camera(&format!("till-{n}"))).collect();
    try_play(&[site("shop-1", cameras)], &QUICK, |scene| {
        let place = |name| scene.rig.dir().join("disks").join(name);
        let (at_site, at_hub) = (Disk::mount(&place("site"), BYTES)?, Disk::mount(&place("hub"), BYTES)?);
        add_disk(&scene.rig.sites[0].config, "archive", at_site.at())?;
        add_disk(scene.rig.hub_config(), "vault", at_hub.at())?;
        scene.start()?;
        let began = wire::clock::wall();
        let (mut acked, mut outcome) = (Acked::default(), Outcome::default());
        for (victim, disk) in [(Victim::Hub, &at_hub), (Victim::Agent, &at_site)] {
            scene.await_recorded(Side::Hub, 0, wire::clock::wall(), 8.0)?;
            scene.await_acked(0, (began, wire::clock::wall()))?;
            acked.note(scene)?;
            lose(scene, victim, disk, &mut outcome).with_context(|| format!("{victim:?}"))?;
        }
        let until = wire::clock::wall();
        scene.await_acked(0, (began, until))?;
        for victim in [Victim::Hub, Victim::Agent] {
            explained(scene, victim, (began, until))?;
        }
        outcome.wanted_at_hub = number(&second(scene, Victim::Hub)?["away"])?;
        scene.rig.stop()?;
        outcome.fate = acked.fate(scene)?;
        Ok(outcome)
    })
}

fn lose(scene: &Scene, victim: Victim, disk: &Disk, outcome: &mut Outcome) -> anyhow::Result<()> {
    disk.take_away();
    let away = || Ok(second(scene, victim)?["away"].as_u64().is_some_and(|away| away > 0));
    wait_until("what the disk held is away", PATIENCE, away)?;
    let told = say(scene, victim, disk.at())?;
    ensure!(told["ok"] == true, "{told:#}");
    outcome.lost_with += number(&told["segments"])?;
    if victim == Victim::Hub {
        let again = || Ok(second(scene, victim)?["away"] == 0);
        wait_until("the site has sent all of it again", PATIENCE, again)?;
    }
    disk.bring_back();
    let mut detail = Value::Null;
    let refused = || {
        let second = second(scene, victim)?;
        detail = second["detail"].clone();
        let named = detail.as_str().is_some_and(|why| why.contains("given up"));
        Ok(named && second["given_up"] == true && second["in_use"] == false)
    };
    wait_until("the disk is refused by name", PATIENCE, refused).with_context(|| detail.to_string())?;
    outcome.refused += 1;
    Ok(())
}

fn say(scene: &Scene, victim: Victim, dir: &Path) -> anyhow::Result<Value> {
    let dir = dir.to_str().context("a folder's name")?;
    scene.holdfast(victim.side(), 0, &["disk", "lost", dir, "--yes"])
}

impl Outcome {
    /// Does what was promised hold?
    pub fn holds(&self) -> bool {
        let Fate { acked, lost, altered } = self.fate;
        let kept = acked > 0 && lost == 0 && altered == 0;
        kept && self.lost_with > 0 && self.wanted_at_hub == 0 && self.refused == 2
    }

    /// The figures.
    pub fn json(&self) -> Value {
        json!({
            "lost_with": self.lost_with, "wanted_at_hub": self.wanted_at_hub, "refused": self.refused,
            "acked": self.fate.acked, "lost": self.fate.lost, "altered": self.fate.altered, "ok": self.holds(),
        })
    }
}
