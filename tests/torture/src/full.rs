//! Disks that fill up, are emptied, go away and come back, at a site and at the hub, while cameras record.
//!
//! What is promised: recording goes on or says why, nothing acked is lost, and once the disk is as it should be everything
//! is as before without a person. A daemon whose disk failed ends when it works again; who supervises it, here this,
//! starts it anew.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::account::open;
use holdfast_tests::scene::{PATIENCE, QUICK, Scene, Side, try_play};
use ops::client::Client;
use ops::rig::wait_until;
use serde_json::{Value, json};
use wire::UnixMicros;

use crate::disk::Disk;
use crate::ledger_of_acks::{Acked, Fate};
use crate::{Victim, sites};

const BYTES: u64 = 4 << 30;
/// More than a daemon needs to be well.
const FREE: u64 = 2 << 30;
/// A daemon sees that its disk works again within seconds, and a start takes some more.
const RENEWED: Duration = Duration::from_secs(60);

/// What is done to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing is free any more, then plenty.
    Filled,
    /// Every request fails, then none.
    Pulled,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    steps: u32,
    fate: Fate,
    recorded_s: f64,
    unexplained_s: f64,
}

/// Does each step to each side, `rounds` times.
pub fn run(rounds: u32) -> anyhow::Result<Outcome> {
    try_play(&sites(), &QUICK, |scene| {
        let site = Disk::mount(&scene.rig.sites[0].archive, BYTES)?;
        let hub = Disk::mount(&scene.rig.vault, BYTES)?;
        scene.start()?;
        let (began, mut acked, mut steps) = (wire::clock::wall(), Acked::default(), 0);
        for _ in 0..rounds {
            for (victim, disk) in [(Victim::Agent, &site), (Victim::Hub, &hub)] {
                for step in [Step::Filled, Step::Pulled] {
                    eprintln!("{victim:?}: {step:?}");
                    spoil(scene, victim, disk, step, &mut acked)
                        .with_context(|| format!("{victim:?}, {step:?}"))?;
                    steps += 1;
                }
            }
        }
        conclude(scene, began, &mut acked, steps)
    })
}

fn spoil(
    scene: &mut Scene,
    victim: Victim,
    disk: &Disk,
    step: Step,
    acked: &mut Acked,
) -> anyhow::Result<()> {
    let from = wire::clock::wall();
    scene.await_recorded(Side::Hub, 0, from, 4.0)?;
    acked.note(scene)?;
    // Its token is on the disk.
    let client = scene.client(victim.side(), 0)?;
    match step {
        Step::Filled => disk.set_free(0),
        Step::Pulled => disk.take_away(),
    }
    let spoilt = wire::clock::wall();
    await_said(&client, victim)?;
    // A full disk is not one that failed: nobody has to start anything anew, and sites stay connected to a full hub.
    if step == Step::Filled {
        ensure!(!stopped(victim, &client.get("/status")?), "{victim:?} stopped for a full disk");
    }
    // The other side goes on as far as it can: a site records without its hub.
    if victim == Victim::Hub {
        scene.await_recorded(Side::Site, 0, spoilt, 3.0)?;
    }
    if step == Step::Filled {
        ensure!(scene.uplink(0)?["connected"] == true, "the site lost its hub");
    }
    match step {
        Step::Filled => disk.set_free(FREE),
        Step::Pulled => disk.bring_back(),
    }
    if victim.await_end(scene, renewal(&client, victim)) {
        victim.start(scene)?;
    }
    let well = wire::clock::wall();
    scene.await_recording(0)?;
    scene.await_recorded(Side::Hub, 0, well, 3.0)
}

/// A daemon that stopped writing ends by itself; one that did not stays.
fn renewal(client: &Client, victim: Victim) -> Duration {
    let stopped = match client.get("/status") {
        Ok(status) => stopped(victim, &status),
        Err(_) => true, // it is ending already
    };
    if stopped { RENEWED } else { Duration::ZERO }
}

/// Waits until whoever's disk it is says that something is wrong with it.
fn await_said(client: &Client, victim: Victim) -> anyhow::Result<()> {
    let said = || {
        let status = client.get("/status")?;
        let stuck =
            status["archive"]["retention"]["stuck"] == true || status["vault"]["retention"]["stuck"] == true;
        let streams = status["streams"].as_object().cloned().unwrap_or_default();
        let full = streams
            .values()
            .any(|stream| stream["detail"].as_str().is_some_and(|text| text.contains("full")));
        Ok(stopped(victim, &status) || stuck || full)
    };
    wait_until("it says that its disk is full, or failed", PATIENCE, said).map(drop)
}

fn stopped(victim: Victim, status: &Value) -> bool {
    let part = match victim {
        Victim::Agent => "archive",
        Victim::Hub => "vault",
    };
    !status[part]["stopped"].is_null()
}

fn conclude(scene: &mut Scene, began: UnixMicros, acked: &mut Acked, steps: u32) -> anyhow::Result<Outcome> {
    let until = wire::clock::wall();
    scene.await_acked(0, (began, until))?;
    acked.note(scene)?;
    let (mut recorded_s, mut unexplained_s) = (0.0, 0.0);
    for camera in scene.rig.sites[0].cameras.clone() {
        let coverage = scene.coverage(Side::Hub, 0, &camera.id, (began, until))?;
        recorded_s += coverage["recorded_s"].as_f64().context("what is recorded")?;
        unexplained_s += coverage["unexplained_s"].as_f64().context("what is unexplained")?;
    }
    scene.rig.stop()?;
    let vault = open(&scene.rig.vault)?;
    ensure!(!vault.ledgers().is_empty(), "the vault is empty");
    drop(vault);
    Ok(Outcome { steps, fate: acked.fate(scene)?, recorded_s, unexplained_s })
}

impl Outcome {
    /// Does what was promised hold?
    pub fn holds(&self) -> bool {
        let Fate { acked, lost, altered } = self.fate;
        acked > 0 && lost == 0 && altered == 0 && self.recorded_s > 0.0 && self.unexplained_s < 0.001
    }

    /// The figures.
    pub fn json(&self) -> Value {
        json!({
            "steps": self.steps, "acked": self.fate.acked, "lost": self.fate.lost, "altered": self.fate.altered,
            "recorded_s": self.recorded_s, "unexplained_s": self.unexplained_s, "ok": self.holds(),
        })
    }
}
