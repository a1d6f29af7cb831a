//! Drills: what a rehearsed failure leads to, and that it is given back.

use super::*;
use crate::control::{Command, DrillKind, DrillOrder};
use crate::fixtures::{home, hub, ms, secs, site};
use crate::quorum::Line;
use crate::standby::Stage;

fn begin(world: &mut World, kind: DrillKind) {
    begin_as(world, kind, true);
}

fn begin_as(world: &mut World, kind: DrillKind, shadow: bool) {
    let order = DrillOrder { id: "drill-1".into(), kind, shadow, length: secs(30), by: "ada".into() };
    world.commit(Command::Drill { site: site(1), order });
}

fn drilled(world: &World) -> bool {
    world.log.state.site(&site(1)).unwrap().drill.is_some()
}

#[test]
fn a_drilled_recorder_is_taken_over_and_given_back_at_once() {
    let mut world = World::new(1, 1);
    begin(&mut world, DrillKind::Recorder);
    let took = world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    assert!(took <= secs(4), "{took:?}");
    assert_eq!(world.holder(1), hub(1));
    // Policy would keep it away for minutes.
    let took = world.until(secs(60), |world| world.stage(1) == Stage::Home);
    assert!(took <= secs(40), "{took:?}");
    assert_eq!(world.holder(1), home(1));
    world.until(secs(5), |world| !drilled(world));
    let moves = world.moves(1).len();
    world.pass(secs(60));
    assert_eq!((world.moves(1).len(), moves), (2, 2), "there and back, once");
}

#[test]
fn a_drilled_way_activates_nobody_and_the_site_comes_home() {
    for kind in [DrillKind::Wan, DrillKind::Site] {
        let mut world = World::new(1, 2);
        begin(&mut world, kind);
        world.until(secs(25), |world| world.stage(1) == Stage::Armed);
        assert_eq!(world.told.get(&1), Some(&Line::Dark));
        world.until(secs(20), |world| world.stage(1) == Stage::Home);
        world.until(secs(5), |world| !drilled(world));
        world.pass(secs(60));
        assert_eq!(world.moves(1).len(), 0, "{kind:?}: the cameras come back before or after the recorder");
    }
}

#[test]
fn a_new_leader_ends_a_drill_and_gives_back_at_once() {
    let mut world = World::new(1, 3);
    begin(&mut world, DrillKind::Recorder);
    let began = world.now;
    world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    // Who led lives on, and stands by.
    world.elect(2);
    world.until(secs(90), |world| world.stage(1) == Stage::Home && !drilled(world));
    assert_eq!(world.holder(1), home(1));
    assert!(world.now.since(began) < secs(25), "the drill's own time had not passed");
    let last = world.log.state.site(&site(1)).unwrap().drilled[&DrillKind::Recorder].clone();
    assert!(last.interrupted);
}

/// Whoever left the network for a drill would be taken for lost if the hub ended it alone.
#[test]
fn a_new_leader_lets_a_site_be_that_hears_nothing() {
    let mut world = World::new(1, 7);
    begin_as(&mut world, DrillKind::Wan, false);
    world.pass(secs(5));
    world.elect(2);
    world.pass(secs(15));
    assert!(drilled(&world) && !world.log.state.site(&site(1)).unwrap().drill.as_ref().unwrap().over);
    world.until(secs(60), |world| world.stage(1) == Stage::Home && !drilled(world));
    assert_eq!(world.moves(1).len(), 0);
    assert!(world.log.state.site(&site(1)).unwrap().drilled[&DrillKind::Wan].interrupted);
}

#[test]
fn a_recorder_that_dies_in_its_drill_stays_with_its_standby() {
    let mut world = World::new(1, 4);
    begin(&mut world, DrillKind::Recorder);
    world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    world.places.get_mut(&1).unwrap().alive = false;
    world.until(secs(120), |world| !drilled(world));
    assert_eq!((world.stage(1), world.holder(1)), (Stage::Recording, hub(1)));
}

#[test]
fn a_recorder_that_dies_while_its_way_is_drilled_is_taken_over_afterwards() {
    let mut world = World::new(1, 5);
    begin(&mut world, DrillKind::Wan);
    world.pass(secs(5));
    world.places.get_mut(&1).unwrap().alive = false;
    world.until(secs(120), |world| !drilled(world));
    let took = world.until(secs(20), |world| world.stage(1) == Stage::Recording);
    assert!(took >= ms(1), "the cameras were hidden until the drill ended");
}

#[test]
fn a_recorder_is_not_kept_still_where_no_camera_answers_the_standby() {
    let mut world = World::new(1, 6);
    world.places.get_mut(&1).unwrap().cameras.clear();
    world.pass(secs(10));
    begin_as(&mut world, DrillKind::Recorder, false);
    let took = world.until(secs(10), |world| !drilled(world));
    assert!(took <= secs(3), "{took:?}");
    world.pass(secs(30));
    assert_eq!((world.stage(1), world.moves(1).len()), (Stage::Home, 0));
    // Over a shadow nothing is lost by it: the drill shows that nobody would have taken over.
    begin(&mut world, DrillKind::Recorder);
    world.pass(secs(25));
    assert!(drilled(&world));
}
