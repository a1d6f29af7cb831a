//! Runs: one seed, or many on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::fault::plan;
use crate::invariants::{Violation, takeover};
use crate::mutant::Mutant;
use crate::params::Params;
use crate::reach::Reach;
use crate::world::World;

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which seed.
    pub seed: u64,
    /// Rules that were broken.
    pub violations: Vec<Violation>,
    /// Rare states it reached.
    pub reach: Reach,
    /// How much time passed in it.
    pub simulated: Duration,
    /// How many events it had.
    pub events: u64,
    /// How long take-overs took that nothing stood in the way of.
    pub takeovers: Vec<Duration>,
    /// How often authority left home.
    pub activations: u64,
    /// How often it left a recorder that lived.
    pub needless: u64,
    /// The timeline, if it was asked for.
    pub trace: Vec<String>,
}

/// What seeds are made into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suite {
    /// Everything may go wrong.
    #[default]
    Everything,
    /// Links come and go, and recorders die.
    Flapping,
}

/// Runs one seed.
pub fn one(suite: Suite, seed: u64, mutant: Option<Mutant>, trace: bool) -> Outcome {
    let (mut params, plan) = match suite {
        Suite::Everything => {
            let params = Params::of(seed);
            let plan = plan::of(&params);
            (params, plan)
        }
        Suite::Flapping => {
            let params = Params::flapping(seed);
            let plan = plan::flapping(&params);
            (params, plan)
        }
    };
    params.clean_beats = plan::has_clean_beats(&plan);
    let mut world = World::new(params, plan, mutant, trace);
    world.run();
    Outcome {
        seed,
        violations: world.stage.violations.clone(),
        reach: world.stage.reach.clone(),
        simulated: world.stage.now.since(crate::time::Time::ZERO),
        events: world.stage.queue.scheduled(),
        takeovers: world.watched.takeovers.clone(),
        activations: world.watched.activations,
        needless: world.watched.needless,
        trace: world.stage.trace.lines().to_vec(),
    }
}

/// What came of many.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many were run.
    pub seeds: u64,
    /// Seeds that broke a rule, in order, with the first thing they broke.
    pub failures: Vec<(u64, String)>,
    /// Rare states they reached together.
    pub reach: Reach,
    /// How much time passed in all of them.
    pub simulated: Duration,
    /// How many events they had.
    pub events: u64,
    /// How long take-overs took that nothing stood in the way of.
    pub takeovers: Vec<Duration>,
    /// How often authority left home.
    pub activations: u64,
    /// How often it left a recorder that lived.
    pub needless: u64,
}

impl Summary {
    /// Of one seed.
    pub fn of(outcome: &Outcome) -> Self {
        let mut summary = Self::default();
        summary.add(outcome);
        summary
    }

    /// How many of the take-overs took longer than 99 of 100 may, if those are more than one in 100.
    pub fn slow_takeovers(&self) -> Option<usize> {
        let slow = self.takeovers.iter().filter(|took| **took > takeover::MOST_WITHIN).count();
        (slow > (self.takeovers.len() / 100).max(1)).then_some(slow)
    }

    /// So many of a thousand take-overs took at most this.
    pub fn takeover_permille(&self, permille: usize) -> Duration {
        let mut sorted = self.takeovers.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * permille / 1000).min(sorted.len().saturating_sub(1));
        sorted.get(index).copied().unwrap_or_default()
    }

    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        if let Some(first) = outcome.violations.first() {
            self.failures.push((outcome.seed, first.to_string()));
        }
        self.reach.add(&outcome.reach);
        self.simulated += outcome.simulated;
        self.events += outcome.events;
        self.takeovers.extend(&outcome.takeovers);
        self.activations += outcome.activations;
        self.needless += outcome.needless;
    }
}

/// Runs `count` seeds beginning with `from`, on `threads` threads. `each` is told of every one that failed.
pub fn many(
    suite: Suite,
    from: u64,
    count: u64,
    mutant: Option<Mutant>,
    threads: usize,
    each: &(dyn Fn(&Outcome) + Sync),
) -> Summary {
    let next = AtomicU64::new(0);
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let offset = next.fetch_add(1, Ordering::Relaxed);
                    if offset >= count {
                        return;
                    }
                    let outcome = one(suite, from + offset, mutant, false);
                    if !outcome.violations.is_empty() {
                        each(&outcome);
                    }
                    if let Ok(mut summary) = summary.lock() {
                        summary.add(&outcome);
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_default();
    summary.failures.sort_unstable();
    summary
}
