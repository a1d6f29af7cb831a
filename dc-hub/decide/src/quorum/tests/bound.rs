//! The paired bound: never without a majority, and always within seconds when cameras answer.

use super::*;
use crate::fixtures::{hub, ms, secs};
use crate::standby::Stage;
use rand::Rng;

/// From the recorder's last beat to the log's entry that moves authority, over many phases and log delays.
#[test]
fn every_dead_recorder_with_answering_cameras_is_taken_over_within_five_seconds() {
    let mut took = Vec::new();
    for seed in 0..150 {
        let mut world = World::new(1, seed);
        world.log_delay = ms([20, 50, 100, 200][seed as usize % 4]);
        let phase = world.random.random_range(0..1_000);
        world.pass(ms(phase));
        world.places.get_mut(&1).unwrap().alive = false;
        let died = world.now;
        world.until(secs(10), |world| world.stage(1) == Stage::Recording);
        let (at, to) = world.moves(1).pop().unwrap();
        assert_eq!(to, hub(1));
        took.push(at.since(died).as_millis());
    }
    took.sort_unstable();
    let share = |percent: usize| took[took.len() * percent / 100 - 1];
    println!("ms from death to activation: p50 {} p99 {} max {}", share(50), share(99), took[took.len() - 1]);
    assert!(share(99) <= 5_000 && share(100) <= 10_000, "{took:?}");
}

/// The same, with the leader killed somewhere between the recorder's death and the activation.
#[test]
fn a_leader_lost_in_the_middle_delays_it_and_leaves_one_authority() {
    for seed in 0..50 {
        let mut world = World::new(1, seed);
        world.log.state.site(&crate::fixtures::site(1)).unwrap();
        // The candidate host is node 1: let another lead, and die.
        world.elect(2);
        world.pass(secs(20));
        world.places.get_mut(&1).unwrap().alive = false;
        let after = world.random.random_range(0..3_000);
        world.pass(ms(after));
        let died = world.now;
        world.kill(2, secs(3));
        world.until(secs(30), |world| world.stage(1) == Stage::Recording);
        world.pass(secs(30));
        let moves = world.moves(1);
        assert_eq!(moves.len(), 1, "one authority: {moves:?}");
        let took = moves[0].0.since(died);
        assert!(took <= secs(10), "seed {seed}: {took:?}");
    }
}

/// Links that flap for hours, over a recorder that lives: nobody activates anything.
#[test]
fn flapping_links_over_a_living_recorder_move_nothing() {
    for seed in 0..4 {
        let mut world = World::new(1, seed);
        for _ in 0..120 {
            let (cut, held) =
                (world.random.random_range(100..40_000), world.random.random_range(13_000..60_000));
            let all = world.random.random_bool(0.5);
            let place = world.places.get_mut(&1).unwrap();
            // Some cuts take the whole WAN, some only the way to some of the nodes.
            let reaches = if all { Default::default() } else { [2].into() };
            place.reaches = reaches;
            if all {
                place.cameras.clear();
            }
            world.pass(ms(cut));
            // The cameras answer at once when it heals, the agent redials first: up to 10 s.
            let redial = if cut > 12_000 { world.random.random_range(0..10_000) } else { 0 };
            world.places.get_mut(&1).unwrap().cameras = [1, 2].into();
            world.pass(ms(redial));
            world.places.get_mut(&1).unwrap().reaches = [1, 2, 3].into();
            world.pass(ms(held));
        }
        assert!(world.moves(1).is_empty(), "seed {seed}: {:?}", world.moves(1));
        assert_eq!(world.stage(1), Stage::Home);
    }
}

/// A recorder that dies and comes back every minute for three hours: one activation in ten minutes at most.
#[test]
fn a_flapping_recorder_is_activated_once_in_a_window() {
    let mut world = World::new(1, 5);
    for _ in 0..180 {
        world.places.get_mut(&1).unwrap().alive = false;
        world.pass(secs(20));
        world.places.get_mut(&1).unwrap().restart();
        world.pass(secs(40));
    }
    let away: Vec<_> = world.moves(1).into_iter().filter(|(_, host)| *host == hub(1)).collect();
    assert!(!away.is_empty());
    for pair in away.windows(2) {
        assert!(pair[1].0.since(pair[0].0) >= secs(600), "{away:?}");
    }
}
