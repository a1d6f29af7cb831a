//! Bits that flip in segments of both sides, and one scrub of each that finds them all.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use holdfast_tests::account::settle;
use holdfast_tests::rot::{await_repaired, flip_bits, names, scrub};
use holdfast_tests::scene::{QUICK, Scene, Side, try_play};
use serde_json::{Value, json};

use crate::ledger_of_acks::{Acked, Fate};
use crate::sites;

/// A scrub of what a few minutes leave, and the other side's answers.
const SCRUBBED: Duration = Duration::from_secs(120);
/// Each camera's segments are so long.
const SEGMENT_S: f64 = 2.0;

/// What came of it, both sides together.
#[derive(Debug, Default)]
pub struct Outcome {
    flipped: u64,
    found: u64,
    repaired: u64,
    fate: Fate,
}

/// Flips a bit in so many segments of each side, none of them in the same one, and scrubs each side once.
pub fn run(bits: usize, seed: u64) -> anyhow::Result<Outcome> {
    try_play(&sites(), &QUICK, |scene| {
        scene.start()?;
        let (began, mut acked) = (wire::clock::wall(), Acked::default());
        // As many for each side as rot there, and some that don't, of two cameras.
        scene.await_recorded(Side::Hub, 0, began, bits as f64 * SEGMENT_S + 10.0)?;
        let until = wire::clock::wall();
        scene.await_acked(0, (began, until))?;
        acked.note(scene)?;
        let mut outcome = Outcome::default();
        rot(scene, bits, seed, &mut outcome)?;
        scene.await_acked(0, (began, until))?;
        settle(scene)?;
        outcome.fate = acked.fate(scene)?;
        Ok(outcome)
    })
}

fn rot(scene: &Scene, bits: usize, seed: u64, outcome: &mut Outcome) -> anyhow::Result<()> {
    let (ours, vault) = (&scene.rig.sites[0].archive, &scene.rig.vault);
    let at_hub: BTreeSet<_> = names(vault)?.into_iter().collect();
    // The newest may still be on its way.
    let new: BTreeSet<_> = names(ours)?.into_iter().filter(|name| !at_hub.contains(name)).collect();
    let at_site = flip_bits(ours, bits, seed, &new)?;
    let at_hub = flip_bits(vault, bits, seed.wrapping_add(1), &at_site)?;
    outcome.flipped = (at_site.len() + at_hub.len()) as u64;
    let daemons = [scene.rig.site(0)?, scene.rig.hub()?];
    for daemon in &daemons {
        outcome.found += scrub(daemon, SCRUBBED)?["bad"].as_u64().unwrap_or(0);
    }
    for daemon in &daemons {
        let repaired = await_repaired(daemon, SCRUBBED)?;
        ensure!(repaired["given_up"] == 0, "given up: {repaired:#}");
        outcome.repaired += repaired["repaired"].as_u64().unwrap_or(0);
    }
    Ok(())
}

impl Outcome {
    /// Was all found, and repaired?
    pub fn holds(&self) -> bool {
        let Fate { acked, lost, altered } = self.fate;
        let all = self.flipped > 0 && self.found == self.flipped && self.repaired == self.flipped;
        all && acked > 0 && lost == 0 && altered == 0
    }

    /// The figures.
    pub fn json(&self) -> Value {
        json!({
            "flipped": self.flipped, "found": self.found, "repaired": self.repaired,
            "acked": self.fate.acked, "lost": self.fate.lost, "altered": self.fate.altered, "ok": self.holds(),
        })
    }
}
