//! Random schedules of an archive over a disk that loses what was not synced: the archive's own code and RocksDB, in a
//! process that dies where chance says, thousands of times.
//!
//! A schedule is three runs into one archive. Each records, gaps, frees as its seed says and tells what it was promised;
//! at some sync the power goes. Then everything promised must be there, and the archive must verify.

mod kept;
mod promise;
pub mod recorder;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::Rng;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

use crate::chance;
use crate::disk::{Disk, Lost};
use kept::Kept;
use promise::Promise;

const BYTES: u64 = 1 << 30;
/// Runs of a schedule.
const RUNS: u64 = 3;
/// Syncs before the power goes, at most: a start takes about half of them.
const SYNCS: u32 = 120;
/// A run comes to its next sync long before.
const SYNC: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    schedules: u64,
    cuts: u64,
    promises: u64,
    undone: Lost,
    broken: Vec<String>,
    first_failing: Option<u64>,
}

/// Plays schedules of these seeds.
pub fn run(seeds: u64, from: u64, lying: bool) -> anyhow::Result<Outcome> {
    let scratch = tempfile::Builder::new().prefix("holdfast-torture-").tempdir().context("make a folder")?;
    let mut outcome = Outcome::default();
    for seed in from..from + seeds {
        let broken = outcome.broken.len();
        one(&scratch.path().join("disk"), seed, lying, &mut outcome)
            .with_context(|| format!("--from {seed}"))?;
        outcome.schedules += 1;
        if outcome.broken.len() > broken {
            outcome.first_failing.get_or_insert(seed);
            eprintln!("broken promises: holdfast-torture schedules --seeds 1 --from {seed}");
        }
        if outcome.schedules.is_multiple_of(500) {
            eprintln!("{} schedules, {} promises", outcome.schedules, outcome.promises);
        }
    }
    Ok(outcome)
}

fn one(at: &Path, seed: u64, lying: bool, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut chance = chance(seed);
    let disk = Disk::mount(at, BYTES)?;
    let mut kept = Kept::default();
    for run in 0..RUNS {
        if lying {
            disk.lie();
        }
        let promises = die(&disk, seed * RUNS + run, &mut chance)?;
        let lost = disk.lose_power(&mut chance)?;
        outcome.undone.pages += lost.pages;
        outcome.undone.names += lost.names;
        outcome.cuts += 1;
        outcome.promises += promises.len() as u64;
        kept.hear(promises);
        let broken = kept.check(disk.at())?;
        broken.iter().for_each(|what| eprintln!("seed {seed}, run {run}: {what}"));
        if !broken.is_empty() {
            outcome.broken.extend(broken);
            break;
        }
    }
    Ok(())
}

/// Lets a run record until the power goes at one of its syncs; returns what it was promised until then.
fn die(disk: &Disk, seed: u64, chance: &mut SmallRng) -> anyhow::Result<Vec<Promise>> {
    disk.hold_sync(chance.random_range(0..SYNCS));
    let own = std::env::current_exe().context("find this program")?;
    let mut child = Command::new(own)
        .arg("record")
        .arg(disk.at())
        .arg(seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start a run")?;
    let told = child.stdout.take().context("what the run tells")?;
    let reader =
        std::thread::spawn(move || BufReader::new(told).lines().map_while(Result::ok).collect::<Vec<_>>());
    let held = disk.await_held(SYNC);
    disk.take_away();
    child.kill().context("kill a run")?;
    let output = child.wait_with_output().context("wait for a run")?;
    let lines = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
    ensure!(held, "it came to no sync: {}", String::from_utf8_lossy(&output.stderr));
    lines.iter().map(|line| line.parse()).collect()
}

impl Outcome {
    /// Was every promise kept?
    pub fn holds(&self) -> bool {
        self.promises > 0 && self.broken.is_empty()
    }

    /// The figures.
    pub fn json(&self) -> Value {
        json!({
            "seeds": self.schedules, "cuts": self.cuts, "promises": self.promises, "broken": self.broken.len(),
            "pages_undone": self.undone.pages, "names_undone": self.undone.names,
            "first_failing_seed": self.first_failing, "ok": self.holds(),
        })
    }
}
