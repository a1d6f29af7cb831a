//! The power goes, at a site and at the hub: what was not synced is lost, or half lost.
//!
//! Two cuts of three fall into a sync: it is held back, with everything that waits for it, for long enough that whoever
//! doesn't wait has said what it should not have said. Then the power goes.

use std::time::Duration;

use anyhow::Context;
use holdfast_tests::account::settle_with_more_at_hub;
use holdfast_tests::scene::{QUICK, Scene, Side, try_play};
use rand::Rng;
use serde_json::{Value, json};

use crate::disk::{About, Disk, Lost};
use crate::ledger_of_acks::{Acked, Fate};
use crate::{Victim, chance, moment, p99_ms, sites};

const BYTES: u64 = 4 << 30;
/// A daemon that records syncs more often than this.
const SYNC: Duration = Duration::from_secs(5);
/// What is said too early has arrived after this.
const TOO_EARLY: Duration = Duration::from_millis(300);

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    cuts: u32,
    /// Cuts within a sync.
    in_sync: u32,
    /// What the disks lost.
    undone: Lost,
    fate: Fate,
    starts: Vec<Duration>,
}

/// Takes each side's power `times` times. With `lying`, disks say that they sync and don't: then something must be lost.
pub fn run(times: u32, seed: u64, lying: bool) -> anyhow::Result<Outcome> {
    let mut chance = chance(seed);
    try_play(&sites(), &QUICK, |scene| {
        let site = Disk::mount(&scene.rig.sites[0].archive, BYTES)?;
        let hub = Disk::mount(&scene.rig.vault, BYTES)?;
        scene.start()?;
        let (mut acked, mut outcome) = (Acked::default(), Outcome { cuts: 2 * times, ..Outcome::default() });
        for turn in 0..2 * times {
            let victim = Victim::of(turn);
            let disk = match victim {
                Victim::Agent => &site,
                Victim::Hub => &hub,
            };
            if lying {
                disk.lie(About::Everything);
            }
            cut(scene, victim, disk, &mut chance, &mut acked, &mut outcome)?;
            eprintln!("{}/{}: {victim:?}, {:?} undone so far", turn + 1, 2 * times, outcome.undone);
        }
        let last = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, last, 3.0)?;
        acked.note(scene)?;
        settle_with_more_at_hub(scene)?;
        outcome.fate = acked.fate(scene)?;
        Ok(outcome)
    })
}

fn cut(
    scene: &mut Scene,
    victim: Victim,
    disk: &Disk,
    chance: &mut impl Rng,
    acked: &mut Acked,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let from = wire::clock::wall();
    scene.await_recorded(Side::Site, 0, from, moment(chance, 2.5))?;
    // What the site knows before its own power goes; afterwards the hub's word is as good as ever.
    acked.note(scene)?;
    if chance.random_range(0..3) > 0 {
        disk.hold_sync(chance.random_range(0..12));
        if disk.await_held(SYNC) {
            outcome.in_sync += 1;
            // Nothing is awaited here but what must not happen.
            std::thread::sleep(TOO_EARLY);
        }
        if victim == Victim::Hub {
            acked.note(scene)?;
        }
    }
    disk.take_away();
    victim.kill(scene)?;
    outcome.undone += disk.lose_power(chance).context("take the power")?;
    outcome.starts.push(victim.start(scene)?);
    scene.await_recording(0)?;
    Ok(())
}

impl Outcome {
    /// Does what was promised hold?
    pub fn holds(&self) -> bool {
        self.fate.acked > 0 && self.fate.lost == 0 && self.fate.altered == 0
    }

    /// The figures.
    pub fn json(&self) -> Value {
        json!({
            "cuts": self.cuts, "in_sync": self.in_sync,
            "pages_undone": self.undone.pages, "pages_torn": self.undone.torn, "names_undone": self.undone.names,
            "acked": self.fate.acked, "lost": self.fate.lost, "altered": self.fate.altered,
            "recover_ms_p99": p99_ms(self.starts.clone()), "ok": self.holds(),
        })
    }
}
