//! Random schedules of an archive over a disk that loses what was not synced: the archive's own code and RocksDB, in a
//! process that dies where chance says, thousands of times.
//!
//! A schedule is three runs into one archive. Each records, gaps, frees as its seed says and tells what it was promised;
//! at some sync the power goes. Then everything promised must be there, and the archive must verify. Between, a disk has
//! little room, stalls, rots, or is put back as it was before the run.
//!
//! | module | |
//! |---|---|
//! | `recorder` | a run |
//! | `promise` | what it tells |
//! | `troubles` | what else happens |
//! | `kept` | is every promise kept? |
//! | `broken` | which were not |
//! | `rule` | what can be left out, to see that promises are broken then |

mod broken;
mod kept;
mod promise;
pub mod recorder;
mod rule;
mod troubles;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::Rng;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

pub use rule::Rule;

use crate::chance;
use crate::disk::{About, Disk, Lost};
use broken::Broken;
use kept::Kept;
use promise::Promise;
use troubles::Troubles;

const BYTES: u64 = 1 << 30;
/// Runs of a schedule.
const RUNS: u64 = 3;
/// Syncs before the power goes, at most: a start takes about half of them.
const SYNCS: u32 = 120;
/// A run comes to its next sync long before.
const SYNC: Duration = Duration::from_secs(30);

/// What is done otherwise than it should be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wrong {
    /// Disks say of every sync that they did it, and don't.
    pub lying_disks: bool,
    /// A rule is not obeyed.
    pub without: Option<Rule>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    schedules: u64,
    cuts: u64,
    promises: u64,
    undone: Lost,
    /// Changes for which there was no room.
    refused: u64,
    stalls: u64,
    rotten: u64,
    put_back: u64,
    broken: Vec<Broken>,
    first_failing: Option<u64>,
}

/// Plays schedules of these seeds.
pub fn run(seeds: u64, from: u64, wrong: Wrong) -> anyhow::Result<Outcome> {
    let scratch = tempfile::Builder::new().prefix("holdfast-torture-").tempdir().context("make a folder")?;
    let mut outcome = Outcome::default();
    for seed in from..from + seeds {
        let broken = outcome.broken.len();
        one(&scratch.path().join("disk"), seed, wrong, &mut outcome)
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

fn one(at: &Path, seed: u64, wrong: Wrong, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut chance = chance(seed);
    let disk = Disk::mount(at, BYTES)?;
    let (mut image, mut kept) = (disk.image()?, Kept::default());
    for run in 0..RUNS {
        let (before, troubles) = (kept.clone(), Troubles::draw(&mut chance));
        let promises = die(&disk, seed * RUNS + run, troubles, wrong, &mut chance)?;
        outcome.undone += disk.lose_power(&mut chance)?;
        outcome.cuts += 1;
        disk.set_free(BYTES);
        outcome.heard(troubles, &promises);
        kept.hear(promises);
        if troubles.rots
            && let Some(file) = kept.sound_file(at, &mut chance)?
            && file.exists()
            && disk.rot(&file, &mut chance)?
        {
            outcome.rotten += 1;
            kept.rot(file);
        }
        let earlier = std::mem::replace(&mut image, disk.image()?);
        let broken = kept.check(disk.at())?;
        broken.iter().for_each(|Broken(_, what)| eprintln!("seed {seed}, run {run}: {what}"));
        if !broken.is_empty() {
            outcome.broken.extend(broken);
            break;
        }
        if troubles.put_back && run + 1 < RUNS {
            disk.put_back(&earlier)?;
            kept.put_back(before);
            image = earlier;
            outcome.put_back += 1;
        }
    }
    Ok(())
}

/// Lets a run record until the power goes at one of its syncs; returns what it was promised until then.
fn die(
    disk: &Disk,
    seed: u64,
    troubles: Troubles,
    wrong: Wrong,
    chance: &mut SmallRng,
) -> anyhow::Result<Vec<Promise>> {
    match wrong {
        Wrong { lying_disks: true, .. } => disk.lie(About::Everything),
        Wrong { without: Some(Rule::FileBeforeIndex), .. } => disk.lie(About::Segments),
        _ => {}
    }
    if let Some(bytes) = troubles.room {
        disk.set_free(bytes);
    }
    disk.hold_sync(chance.random_range(0..SYNCS));
    let own = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(own);
    command.arg("record").arg(disk.at()).arg(seed.to_string());
    if let Some(rule) = wrong.without {
        command.arg("--without").arg(rule.name());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("start a run")?;
    let told = child.stdout.take().context("what the run tells")?;
    let reader =
        std::thread::spawn(move || BufReader::new(told).lines().map_while(Result::ok).collect::<Vec<_>>());
    let mut wait = || disk.await_held_unless(SYNC, || matches!(child.try_wait(), Ok(Some(_))));
    let mut held = wait();
    if held && troubles.stalls {
        disk.let_go(chance.random_range(0..SYNCS));
        held = wait();
    }
    disk.take_away();
    // One that has ended can't be killed any more.
    let killed = child.kill();
    let output = child.wait_with_output().context("wait for a run")?;
    let lines = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
    if !held {
        // What is refused needs no sync: such a run may come to its end.
        let ended = troubles.room.is_some() && output.status.success();
        ensure!(ended, "it came to no sync: {}", String::from_utf8_lossy(&output.stderr));
    } else {
        killed.context("kill a run")?;
    }
    lines.iter().map(|line| line.parse()).collect()
}

impl Outcome {
    /// Was every promise kept?
    pub fn holds(&self) -> bool {
        self.promises > 0 && self.broken.is_empty()
    }

    fn heard(&mut self, troubles: Troubles, told: &[Promise]) {
        let refused = told.iter().filter(|told| **told == Promise::Refused).count() as u64;
        self.refused += refused;
        self.promises += told.len() as u64 - refused;
        self.stalls += u64::from(troubles.stalls);
    }

    /// The figures.
    pub fn json(&self) -> Value {
        json!({
            "seeds": self.schedules, "cuts": self.cuts, "promises": self.promises,
            "pages_undone": self.undone.pages, "pages_torn": self.undone.torn, "names_undone": self.undone.names,
            "refused": self.refused, "stalls": self.stalls, "rotten": self.rotten, "put_back": self.put_back,
            "broken": self.broken.len(), "broken_by": broken::by_kind(&self.broken),
            "first_failing_seed": self.first_failing, "ok": self.holds(),
        })
    }
}
