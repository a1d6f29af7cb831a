//! Archives of two disks each, at a site and at the hub; the second is pulled while cameras record, and returned.
//!
//! What is promised: no daemon stops, recording goes on on the other disk, what was on the one that is gone is wanted and
//! explained, and once it is back everything is held as if nothing had happened: nothing acked is lost, nothing is given
//! up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::account::open;
use holdfast_tests::scene::{PATIENCE, QUICK, Scene, Side, camera, number, site, try_play};
use ops::rig::wait_until;
use serde_json::{Value, json};
use wire::UnixMicros;

use crate::Victim;
use crate::disk::Disk;
use crate::ledger_of_acks::{Acked, Fate};

/// So much more than the first that it gets nearly all.
pub(crate) const BYTES: u64 = 1 << 46;
/// A disk that was pulled is tried again after some seconds, later each time.
const BACK: Duration = Duration::from_secs(120);
const STATUS: &str = "/status";

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pulls: u32,
    /// Segments that were away at once, at most.
    away_max: u64,
    fate: Fate,
    given_up: u64,
    recorded_s: f64,
    unexplained_s: f64,
    /// Segments on each side's second disk in the end.
    on_second: [usize; 2],
}

/// Pulls each side's second disk `rounds` times.
pub fn run(rounds: u32) -> anyhow::Result<Outcome> {
    let cameras = (1..=4).map(|n| camera(&format!("till-{n}"))).collect();
    try_play(&[site("shop-1", cameras)], &QUICK, |scene| {
        let second = |name| scene.rig.dir().join("disks").join(name);
        let (at_site, at_hub) = (Disk::mount(&second("site"), BYTES)?, Disk::mount(&second("hub"), BYTES)?);
        add_disk(&scene.rig.sites[0].config, "archive", at_site.at())?;
        add_disk(scene.rig.hub_config(), "vault", at_hub.at())?;
        scene.start()?;
        let began = wire::clock::wall();
        let (mut acked, mut pulls, mut away_max) = (Acked::default(), 0, 0);
        for round in 0..rounds {
            for (victim, disk) in [(Victim::Agent, &at_site), (Victim::Hub, &at_hub)] {
                let away = pull(scene, victim, disk, &mut acked).with_context(|| format!("{victim:?}"))?;
                eprintln!("round {round}: {victim:?}: {away} segments were away");
                (pulls, away_max) = (pulls + 1, away_max.max(away));
            }
        }
        conclude(scene, began, &mut acked, (pulls, away_max), [&at_site, &at_hub])
    })
}

pub(crate) fn add_disk(config: &Path, section: &str, dir: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(config).context("read a configuration")?;
    let more = format!("\n[[{section}.disk]]\ndir = \"{}\"\n", dir.display());
    std::fs::write(config, text + &more).context("write a configuration")
}

/// Returns how many segments were away.
fn pull(scene: &Scene, victim: Victim, disk: &Disk, acked: &mut Acked) -> anyhow::Result<u64> {
    let from = wire::clock::wall();
    scene.await_recorded(Side::Hub, 0, from, 4.0)?;
    acked.note(scene)?;
    disk.take_away();
    let pulled = wire::clock::wall();
    let mut away = 0;
    let out = || {
        let second = second(scene, victim)?;
        away = second["away"].as_u64().unwrap_or(0);
        Ok(second["in_use"] == false && away > 0)
    };
    wait_until("the disk is out, and what it held is away", PATIENCE, out)?;
    // Both sides go on, and what is recorded now becomes safe now.
    let out_since = wire::clock::wall();
    scene.await_recorded(Side::Site, 0, out_since, 4.0)?;
    scene.await_recorded(Side::Hub, 0, out_since, 4.0)?;
    explained(scene, victim, (pulled, wire::clock::wall()))?;
    disk.bring_back();
    let back = || {
        let second = second(scene, victim)?;
        Ok(second["in_use"] == true && second["away"] == 0)
    };
    wait_until("the disk is in use again", BACK, back)?;
    scene.await_recording(0)?;
    scene.await_recorded(Side::Hub, 0, wire::clock::wall(), 3.0)?;
    Ok(away)
}

fn part(victim: Victim) -> &'static str {
    match victim {
        Victim::Agent => "archive",
        Victim::Hub => "vault",
    }
}

/// How the side's second disk is; a daemon that stopped is an error.
pub(crate) fn second(scene: &Scene, victim: Victim) -> anyhow::Result<Value> {
    let status = scene.client(victim.side(), 0)?.get(STATUS)?;
    let part = &status[part(victim)];
    ensure!(part["stopped"].is_null(), "the whole archive stopped: {}", part["stopped"]);
    Ok(part["disks"][1].clone())
}

/// While the disk is out each instant of before is recorded there, or says why not.
pub(crate) fn explained(
    scene: &Scene,
    victim: Victim,
    range: (UnixMicros, UnixMicros),
) -> anyhow::Result<()> {
    for camera in &scene.rig.sites[0].cameras {
        let coverage = scene.coverage(victim.side(), 0, &camera.id, range)?;
        let unexplained = coverage["unexplained_s"].as_f64().context("what is unexplained")?;
        ensure!(unexplained < 0.001, "{unexplained} s of {} are unexplained: {coverage}", camera.id);
    }
    Ok(())
}

fn conclude(
    scene: &mut Scene,
    began: UnixMicros,
    acked: &mut Acked,
    (pulls, away_max): (u32, u64),
    disks: [&Disk; 2],
) -> anyhow::Result<Outcome> {
    let until = wire::clock::wall();
    scene.await_acked(0, (began, until))?;
    acked.note(scene)?;
    let (mut recorded_s, mut unexplained_s, mut given_up) = (0.0, 0.0, 0);
    for side in [Side::Site, Side::Hub] {
        for camera in scene.rig.sites[0].cameras.clone() {
            let coverage = scene.coverage(side, 0, &camera.id, (began, until))?;
            recorded_s += coverage["recorded_s"].as_f64().context("what is recorded")?;
            unexplained_s += coverage["unexplained_s"].as_f64().context("what is unexplained")?;
            let lost =
                holdfast_tests::scene::spans(&coverage)?.iter().any(|span| span["cause"] == "disk_lost");
            ensure!(!lost, "{} is still said to be on a lost disk: {coverage}", camera.id);
        }
    }
    for victim in [Victim::Agent, Victim::Hub] {
        let status = scene.client(victim.side(), 0)?.get(STATUS)?;
        given_up += number(&status[part(victim)]["scrub"]["given_up"])?;
    }
    scene.rig.stop()?;
    drop((open(&scene.rig.sites[0].archive)?, open(&scene.rig.vault)?));
    let on_second = disks.map(|disk| segments(&disk.at().join("media")));
    Ok(Outcome { pulls, away_max, fate: acked.fate(scene)?, given_up, recorded_s, unexplained_s, on_second })
}

fn segments(folder: &Path) -> usize {
    let files: Vec<PathBuf> = site_agent::archive::layout::files(folder).unwrap_or_default();
    files.len()
}

impl Outcome {
    /// Does what was promised hold?
    pub fn holds(&self) -> bool {
        let Fate { acked, lost, altered } = self.fate;
        let used = self.on_second.iter().all(|segments| *segments > 0);
        acked > 0
            && lost == 0
            && altered == 0
            && self.given_up == 0
            && self.away_max > 0
            && used
            && self.recorded_s > 0.0
            && self.unexplained_s < 0.001
    }

    /// The figures.
    pub fn json(&self) -> Value {
        json!({
            "pulls": self.pulls, "away_max": self.away_max,
            "acked": self.fate.acked, "lost": self.fate.lost, "altered": self.fate.altered,
            "given_up": self.given_up, "on_second": self.on_second,
            "recorded_s": self.recorded_s, "unexplained_s": self.unexplained_s, "ok": self.holds(),
        })
    }
}
