//! Plans, and the way home.

use std::time::Duration;

use wire::UnixMicros;

use super::*;
use crate::beat::Bye;
use crate::control::{Command, FailbackPolicy, Plan, SiteSpec, TakeOverGround};
use crate::fixtures::{Log, home, hub, ms, origin, secs, site, site_spec};
use crate::standby::Stage;

/// The recorder dies and a standby takes over.
fn away(seed: u64) -> World {
    let mut world = World::new(1, seed);
    world.places.get_mut(&1).unwrap().alive = false;
    world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    world.pass(secs(10));
    world
}

fn bye(world: &mut World, bye: Bye) {
    world.say_bye(1, origin(1), bye);
    world.places.get_mut(&1).unwrap().alive = false;
    world.pass(ms(500));
}

#[test]
fn a_healed_site_gets_its_authority_back_after_five_and_ten_minutes() {
    let mut world = away(1);
    world.places.get_mut(&1).unwrap().restart();
    let took = world.until(secs(60), |world| world.stage(1) == Stage::Healing);
    assert!(took <= secs(3), "{took:?}");
    let took = world.until(secs(1_000), |world| world.stage(1) == Stage::Home);
    assert!((secs(600)..secs(610)).contains(&took), "{took:?}");
    assert_eq!(world.holder(1), home(1));
    assert_eq!(world.moves(1).len(), 2);
}

#[test]
fn a_new_leader_goes_on_with_a_failback_that_has_begun() {
    let mut world = away(2);
    world.places.get_mut(&1).unwrap().restart();
    world.until(secs(700), |world| world.stage(1) == Stage::Failback);
    world.kill(1, secs(3));
    // Node 1 was the standby's host as well: nothing is left to overlap with.
    world.until(secs(40), |world| world.stage(1) == Stage::Home);
    assert_eq!(world.holder(1), home(1));
}

#[test]
fn a_site_that_dies_while_it_is_given_back_stays_with_its_standby() {
    let mut world = away(3);
    world.places.get_mut(&1).unwrap().restart();
    world.until(secs(700), |world| world.stage(1) == Stage::Failback);
    world.places.get_mut(&1).unwrap().alive = false;
    world.pass(secs(20));
    let stage = world.stage(1);
    assert!(matches!(stage, Stage::Recording | Stage::Home), "{stage:?}");
    let before = world.moves(1).len();
    world.pass(secs(60));
    assert_eq!(world.stage(1), Stage::Recording, "given back or not, hub-1 has it now");
    assert!(world.moves(1).len() <= before + 1);
}

#[test]
fn the_standby_keeps_what_its_site_can_not_record() {
    let mut world = away(4);
    let place = world.places.get_mut(&1).unwrap();
    place.restart();
    place.stuck = [2].into();
    world.pass(secs(2_000));
    assert_eq!(world.stage(1), Stage::Healing, "a camera that doesn't progress at home is no stable home");
    world.places.get_mut(&1).unwrap().stuck.clear();
    world.until(secs(700), |world| world.stage(1) == Stage::Home);
}

#[test]
fn cameras_with_one_session_come_home_too() {
    // The standby has the only session. The site's recorder comes back and is refused by its cameras: were
    // that held against it, it would never come home, and the standby would never let go.
    let mut log = Log::fleet(1);
    let mut cameras = log.state.site(&site(1)).unwrap().cameras.clone();
    cameras.values_mut().for_each(|camera| camera.single_session = true);
    log.must(Command::Config { site: site(1), revision: 2, cameras, log_ins_since: None });
    let mut world = World::with(log, 12);
    let place = world.places.get_mut(&1).unwrap();
    (place.one_session, place.alive) = (true, false);
    world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    world.places.get_mut(&1).unwrap().restart();
    let took = world.until(secs(1_000), |world| world.stage(1) == Stage::Home);
    assert!((secs(600)..secs(610)).contains(&took), "{took:?}");
}

#[test]
fn a_shutdown_hands_over_at_once() {
    let mut world = World::new(1, 5);
    bye(&mut world, Bye::Shutdown);
    assert_eq!((world.stage(1), world.holder(1)), (Stage::Recording, hub(1)));
    world.pass(secs(60));
    assert_eq!(world.moves(1).len(), 1);
    world.places.get_mut(&1).unwrap().restart();
    world.until(secs(700), |world| world.stage(1) == Stage::Home);
}

#[test]
fn a_restart_is_waited_for_as_long_as_it_said() {
    let mut world = World::new(1, 6);
    bye(&mut world, Bye::Restart { back_in: secs(30) });
    world.pass(secs(25));
    assert!(world.moves(1).is_empty());
    world.places.get_mut(&1).unwrap().restart();
    world.pass(secs(60));
    assert!(world.moves(1).is_empty() && world.log.state.site(&site(1)).unwrap().plan.is_none());

    let mut world = World::new(1, 7);
    bye(&mut world, Bye::Restart { back_in: secs(30) });
    let took = world.until(secs(60), |world| world.stage(1) == Stage::Recording);
    assert!((secs(29)..secs(33)).contains(&took), "it never came back: {took:?}");

    let mut world = World::new(1, 8);
    bye(&mut world, Bye::Restart { back_in: Duration::MAX });
    let took = world.until(secs(700), |world| world.stage(1) == Stage::Recording);
    assert!((secs(599)..secs(603)).contains(&took), "nobody is waited for for ever: {took:?}");
}

#[test]
fn maintenance_moves_recording_beforehand_and_back_when_it_is_over() {
    let mut world = World::new(1, 9);
    let until = UnixMicros(i64::try_from((world.now + secs(3_600)).0).unwrap());
    let plan = Some(Plan::Maintenance { until, by: "ada".into() });
    world.commit(Command::Declare { site: site(1), plan });
    let took = world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    assert!(took <= secs(2), "{took:?}");
    world.pass(secs(3_000));
    assert_eq!(world.stage(1), Stage::Recording, "the recorder beats on, and is being worked on");
    world.pass(secs(600));
    let took = world.until(secs(1_000), |world| world.stage(1) == Stage::Home);
    assert!(took <= secs(620), "{took:?}");
}

#[test]
fn what_a_person_moved_stays_until_a_person_gives_it_back() {
    let mut world = World::new(1, 10);
    let ground = TakeOverGround::Person { by: "ada".into(), reason: "drill".into() };
    let expected = world.log.epoch(1);
    world.commit(Command::TakeOver { site: site(1), expected, host: hub(2), ground });
    world.pass(secs(3_600));
    assert_eq!((world.stage(1), world.holder(1)), (Stage::Healing, hub(2)));
    let expected = world.log.epoch(1);
    world.commit(Command::Failback { site: site(1), expected, by: Some("ada".into()) });
    let took = world.until(secs(30), |world| world.stage(1) == Stage::Home);
    assert!(took <= secs(5), "{took:?}");
}

#[test]
fn a_manual_site_waits_for_its_person_even_when_its_standby_moves() {
    let mut log = Log::fleet(1);
    log.must(Command::SetSite {
        site: site(1),
        spec: SiteSpec { failback: FailbackPolicy::Manual, ..site_spec(1) },
    });
    let mut world = World::with(log, 11);
    world.places.get_mut(&1).unwrap().alive = false;
    world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    world.elect(2);
    world.places.get_mut(&1).unwrap().restart();
    world.pass(secs(3_600));
    assert_eq!(world.stage(1), Stage::Healing);
    world.kill(1, secs(3));
    world.until(secs(60), |world| world.holder(1) != hub(1));
    assert_ne!(world.holder(1), home(1));
}
