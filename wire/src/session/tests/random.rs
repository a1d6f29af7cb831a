//! Seeded runs: anything may happen at any moment, and in the end both sides are equal.

use super::world::{Faults, NO_FAULTS, World};

fn run(seed: u64, steps: u32, faults: Faults) -> World {
    let mut world = World::new(seed, faults);
    for _ in 0..steps {
        world.step();
    }
    world
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
    for seed in 0..count {
        let run = std::panic::AssertUnwindSafe(|| heal(run(seed, steps, faults), seed % 2 == 0));
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
