//! A bounded run: the seeds that are always played, and a few that nobody has seen.

use sim::mutant::Mutant;
use sim::run::{self, Outcome, Suite};

const THREADS: usize = 2;

fn play(suite: Suite, from: u64, count: u64) {
    let told = |outcome: &Outcome| {
        let flapping = if suite == Suite::Flapping { " --flapping" } else { "" };
        for violation in &outcome.violations {
            eprintln!("seed {}: {violation}", outcome.seed);
            eprintln!("  replay: holdfast-sim --seed {} --trace{flapping}", outcome.seed);
        }
    };
    let summary = run::many(suite, from, count, None, THREADS, &told);
    assert!(summary.failures.is_empty(), "{} of {count} seeds failed", summary.failures.len());
}

#[test]
fn fixed_seeds_break_nothing() {
    play(Suite::Everything, 0, 300);
}

#[test]
fn fresh_seeds_break_nothing() {
    let from = wire::clock::seed() >> 16;
    println!("fresh seeds {from} to {}", from + 60);
    play(Suite::Everything, from, 60);
}

#[test]
fn flapping_links_activate_nothing() {
    play(Suite::Flapping, 0, 12);
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in [3, 77] {
        let [one, other] = [(); 2].map(|()| run::one(Suite::Everything, seed, None, true).trace);
        assert_eq!(one, other);
        assert!(one.len() > 50);
    }
}

#[test]
fn every_rule_that_is_switched_off_is_missed() {
    for (name, mutant) in Mutant::ALL {
        let found = (0..1000)
            .find(|seed| !run::one(Suite::Everything, *seed, Some(mutant), false).violations.is_empty());
        println!("{name}: seed {found:?}");
        assert!(found.is_some(), "{name} is not found in 1,000 seeds");
    }
}
