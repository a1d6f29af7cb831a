//! Seeded runs: anything may happen at any moment, and in the end both sides are equal.

use rand::Rng;
use rand::seq::IteratorRandom;

use super::world::{Faults, NO_FAULTS, World};
use crate::policy::{PRIORITY, Policy, Replicate};
use crate::session::hub::VaultView;

fn run(seed: u64, steps: u32, faults: Faults) -> World {
    let mut world = World::new(seed, faults);
    for _ in 0..steps {
        world.step();
    }
    world
}

/// Likewise, with a stream of each policy, people who ask for what the hub has heard of, and windows that open and close.
fn run_with_policies(seed: u64, steps: u32, faults: Faults) -> World {
    let mut world = World::new(seed, faults);
    let streams = (0..).map(|at| format!("cam-{at}/main").parse().unwrap());
    let policies = streams.zip(Replicate::WORDS);
    world.site.policies =
        policies.map(|(stream, (_, replicate))| (stream, Policy { replicate, priority: PRIORITY })).collect();
    (0..2).for_each(|_| drop(world.site.add_stream()));
    for _ in 0..steps {
        world.step();
        if world.chance(10) {
            ask_for_something(&mut world);
        }
        let opens = world.random.random();
        if world.chance(5)
            && let Some(link) = &mut world.link
        {
            link.set_window(opens);
        }
    }
    world
}

fn ask_for_something(world: &mut World) {
    let ledgers: Vec<_> = world.vault.ledgers.keys().cloned().collect();
    let Some(ledger) = ledgers.iter().choose(&mut world.random) else { return };
    let known = world.vault.ledger(ledger).0.0;
    if known > 0 {
        let from = world.random.random_range(0..known);
        let to = world.random.random_range(from..known) + 1;
        world.ask(ledger, from..to);
    }
}

/// Heals everything, and checks that both sides become equal.
fn heal(mut world: World, on_a_new_connection: bool) {
    let thrifty = world.faults.rot == 0 && world.faults.loss == 0;
    world.faults = NO_FAULTS;
    if on_a_new_connection || world.store_failed {
        world.cut();
    }
    if world.link.is_none() {
        world.connect();
    }
    world.link.as_mut().unwrap().set_window(true);
    world.settle();
    for stream in 0..world.site.streams.len() {
        let committed = world.site.commit_segment(stream);
        world.tell(committed);
    }
    world.settle();
    world.check_equal();
    if thrifty {
        world.check_thrift();
    }
}

fn seeds(count: u64, steps: u32, faults: Faults) {
    seeds_of(run, count, steps, faults);
}

fn seeds_of(of: fn(u64, u32, Faults) -> World, count: u64, steps: u32, faults: Faults) {
    for seed in 0..count {
        let run = std::panic::AssertUnwindSafe(|| heal(of(seed, steps, faults), seed % 2 == 0));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("failing seed: {seed} with {faults:?}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_connection_that_lasts() {
    seeds(200, 1500, NO_FAULTS);
}

#[test]
fn cuts_at_any_moment() {
    seeds(400, 2000, Faults { cut: 10, ..NO_FAULTS });
}

#[test]
fn cuts_so_often_that_hardly_anything_gets_through() {
    seeds(200, 2000, Faults { cut: 60, ..NO_FAULTS });
}

#[test]
fn restarts_of_the_site() {
    seeds(400, 2000, Faults { cut: 5, restart: 5, ..NO_FAULTS });
}

#[test]
fn everything_at_once() {
    seeds(400, 2000, Faults { cut: 8, restart: 4, rot: 30, store_fails: 30, ..NO_FAULTS });
}

#[test]
fn a_vault_that_loses_what_it_had() {
    seeds(400, 2000, Faults { cut: 10, restart: 5, loss: 300, ..NO_FAULTS });
}

#[test]
fn policies_of_all_kinds() {
    seeds_of(run_with_policies, 400, 2000, NO_FAULTS);
}

#[test]
fn policies_of_all_kinds_and_cuts_at_any_moment() {
    seeds_of(run_with_policies, 400, 2000, Faults { cut: 10, restart: 3, ..NO_FAULTS });
}

#[test]
fn policies_of_all_kinds_and_everything_at_once() {
    seeds_of(
        run_with_policies,
        400,
        2000,
        Faults { cut: 8, restart: 4, rot: 30, store_fails: 30, ..NO_FAULTS },
    );
}
