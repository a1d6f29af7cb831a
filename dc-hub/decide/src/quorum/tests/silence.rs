//! Silence of one kind and another.

use super::*;
use crate::control::{Call, Command, Event};
use crate::fixtures::{Log, hub, ms, secs, site};
use crate::quorum::{Line, Output};
use crate::standby::Stage;

#[test]
fn a_cut_wan_with_a_living_agent_arms_and_never_records() {
    let mut world = World::new(1, 1);
    let epoch = world.log.epoch(1);
    let place = world.places.get_mut(&1).unwrap();
    place.reaches.clear();
    place.cameras.clear();
    world.pass(secs(300));
    assert_eq!((world.stage(1), world.told[&1]), (Stage::Armed, Line::Dark));
    let place = world.places.get_mut(&1).unwrap();
    place.cameras = [1, 2].into();
    world.pass(secs(8));
    world.places.get_mut(&1).unwrap().reaches = [1, 2, 3].into();
    world.pass(secs(5));
    assert_eq!((world.stage(1), world.told[&1], world.log.epoch(1)), (Stage::Home, Line::Well, epoch));
    assert!(world.moves(1).is_empty());
}

#[test]
fn a_site_that_went_dark_and_lost_its_recorder_is_taken_over_when_its_cameras_answer() {
    let mut world = World::new(1, 2);
    let place = world.places.get_mut(&1).unwrap();
    place.alive = false;
    place.cameras.clear();
    world.pass(secs(60));
    assert_eq!(world.stage(1), Stage::Armed);
    world.places.get_mut(&1).unwrap().cameras = [1].into();
    let took = world.until(secs(60), |world| world.stage(1) == Stage::Recording);
    assert!((secs(12)..secs(15)).contains(&took), "the longest redial is waited for: {took:?}");
}

#[test]
fn heard_by_one_node_is_heard() {
    let mut world = World::new(1, 3);
    world.places.get_mut(&1).unwrap().reaches = [3].into();
    world.pass(secs(120));
    assert!(world.moves(1).is_empty());
    assert_eq!((world.stage(1), world.told[&1]), (Stage::Home, Line::PathFault));
    assert!(
        world.log.state.site(&site(1)).unwrap().assisted.is_empty(),
        "who hears no beats sees no progress"
    );
    let rounds = world.events.iter().filter(|(_, event)| matches!(event, Event::RoundOpened { .. })).count();
    assert!(rounds <= 6, "{rounds} rounds in two minutes: the log is not for asking again and again");

    // Then its recorder dies. The node that heard it says so, though it does not lead.
    world.places.get_mut(&1).unwrap().alive = false;
    let took = world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    assert!(took <= secs(5), "{took:?}");
}

#[test]
fn heard_through_another_site_is_isolated() {
    let mut world = World::new(1, 4);
    let place = world.places.get_mut(&1).unwrap();
    (place.relayed, place.reaches) = (true, Default::default());
    world.pass(secs(60));
    assert!(world.moves(1).is_empty());
    assert_eq!(world.told[&1], Line::Isolated);
}

#[test]
fn a_majority_is_of_the_configured_voters_not_of_the_living() {
    let mut world = World::new(1, 6);
    world.kill(2, secs(3));
    world.kill(3, secs(3));
    world.places.get_mut(&1).unwrap().alive = false;
    // The model's log goes on committing: even then one voter's word moves nothing.
    world.pass(secs(120));
    assert!(world.moves(1).is_empty());
}

#[test]
fn a_node_that_stood_still_neither_accuses_nor_vetoes() {
    let mut world = World::new(1, 7);
    // Node 1 leads and is stopped for a minute; its timers and its socket's buffers wait. Nobody is elected.
    let place = world.places.get_mut(&1).unwrap();
    place.reaches = [2, 3].into();
    let member = world.members.get_mut(&1).unwrap();
    member.up = false;
    world.pass(secs(60));
    let now = world.now;
    let member = world.members.get_mut(&1).unwrap();
    member.up = true;
    let state = member.state.clone();
    member.node.handle_timeout(now, &state);
    assert!(member.node.poll_output().is_none_or(|output| matches!(output, crate::quorum::Output::Told(_))));
    world.places.get_mut(&1).unwrap().reaches = [1, 2, 3].into();
    world.pass(secs(10));
    let rounds = world.events.iter().filter(|(_, event)| matches!(event, Event::RoundOpened { .. })).count();
    assert_eq!((rounds, world.moves(1).len()), (0, 0));
}

#[test]
fn beats_that_waited_in_a_buffer_are_no_life() {
    // Node 3 is stopped; the recorder dies a second later and its site goes dark. Node 3 wakes up with that
    // second's beats in its buffer, and an open round.
    let mut world = World::new(1, 13);
    world.members.get_mut(&3).unwrap().up = false;
    let place = world.places.get_mut(&1).unwrap();
    (place.alive, place.cameras) = (false, Default::default());
    world.pass(secs(60));
    assert_eq!(world.stage(1), Stage::Armed);
    world.wake(3);
    let arrival = crate::beat::Arrival::Direct(crate::fixtures::wan());
    let late = crate::fixtures::beat(1, 1, 100_000);
    let says_heard = |world: &mut World| {
        let now = world.now;
        let node = &mut world.members.get_mut(&3).unwrap().node;
        node.handle_beat(now, &site(1), &crate::fixtures::home(1), &arrival, &late);
        let heard = |output: &Output| matches!(output, Output::Propose(Command::Heard { .. }));
        std::iter::from_fn(|| node.poll_output()).any(|output| heard(&output))
    };
    assert!(!says_heard(&mut world));
    world.pass(secs(1));
    assert!(says_heard(&mut world), "a second later it is one");
}

#[test]
fn many_dark_sites_at_once_are_frozen_and_a_person_is_called() {
    let mut world = World::with(Log::fleet(5), 8);
    for place in world.places.values_mut() {
        place.reaches.clear();
        place.cameras.clear();
    }
    world.pass(secs(60));
    assert!((1..=5).all(|n| world.stage(n) != Stage::Armed && world.moves(n).is_empty()));
    let called = |(_, event): &(_, Event)| matches!(event, Event::CallPerson(Call::ManyDark { sites, of: 5 }) if sites.len() == 5);
    assert!(world.events.iter().any(called));
    for place in world.places.values_mut() {
        (place.reaches, place.cameras) = ([1, 2, 3].into(), [1, 2].into());
    }
    world.pass(secs(10));
    assert!((1..=5).all(|n| world.stage(n) == Stage::Home) && world.log.state.frozen().is_empty());
}

#[test]
fn many_dead_recorders_with_answering_cameras_are_taken_over_by_priority_within_capacity() {
    // A bad roll-out kills five recorders. The hub has room for three of them.
    let mut log = Log::fleet(0);
    for n in 1..=3 {
        let spec = crate::fixtures::host_spec(crate::control::HostKind::Node(crate::NodeId(n)), "dc", 2);
        log.must(Command::SetHost { host: hub(n), spec });
    }
    for n in 1..=5 {
        log.add_site(n);
        let spec = crate::control::SiteSpec { priority: n as u8, ..crate::fixtures::site_spec(n) };
        log.must(Command::SetSite { site: site(n), spec });
    }
    // The lowest got its place first.
    log.must(Command::Place { site: site(1), host: Some(hub(1)) });
    let mut world = World::with(log, 9);
    for place in world.places.values_mut() {
        place.alive = false;
    }
    world.pass(secs(60));
    let away: Vec<u64> = (1..=5).filter(|n| world.stage(*n) == Stage::Recording).collect();
    assert_eq!(away, [3, 4, 5]);
}

#[test]
fn a_host_that_became_too_small_gives_up_the_lowest_priority() {
    let mut log = Log::fleet(2);
    let spec = crate::control::SiteSpec { priority: 9, ..crate::fixtures::site_spec(2) };
    log.must(Command::SetSite { site: site(2), spec });
    let mut world = World::with(log, 14);
    let placed = |world: &World, n| world.log.state.site(&site(n)).unwrap().placement.clone();
    assert_eq!((placed(&world, 1), placed(&world, 2)), (Some(hub(1)), Some(hub(1))));
    let kind = crate::control::HostKind::Node(crate::NodeId(1));
    world.commit(Command::SetHost { host: hub(1), spec: crate::fixtures::host_spec(kind, "dc-1", 2) });
    world.pass(secs(5));
    assert_eq!(placed(&world, 2), Some(hub(1)));
    assert!(placed(&world, 1).is_some_and(|host| host != hub(1)));
}

/// What its cameras need decides where there is room; until that is known, every host would seem to have it.
#[test]
fn a_site_gets_a_place_only_when_its_cameras_are_known() {
    use crate::control::{HostKind, SiteSpec};
    let mut log = Log::fleet(1);
    let narrow = crate::fixtures::host_spec(HostKind::Node(crate::NodeId(1)), "dc-1", 2);
    log.must(Command::SetHost { host: hub(1), spec: narrow });
    let own = crate::fixtures::host_spec(HostKind::Site(site(2)), "place-2", 0);
    log.must(Command::SetHost { host: crate::fixtures::home(2), spec: own });
    let spec = SiteSpec { prefer: vec![hub(1)], ..crate::fixtures::site_spec(2) };
    log.must(Command::SetSite { site: site(2), spec });
    let mut world = World::with(log, 15);
    world.pass(secs(5));
    let placed = |world: &World, n| world.log.state.site(&site(n)).unwrap().placement.clone();
    assert_eq!((placed(&world, 1), placed(&world, 2)), (Some(hub(1)), None));
    let cameras =
        (1..=2).map(|c| (crate::fixtures::camera(&site(2), c), crate::fixtures::camera_spec())).collect();
    world.commit(Command::Config { site: site(2), revision: 1, cameras, log_ins_since: None });
    world.pass(secs(5));
    assert_eq!(placed(&world, 1), Some(hub(1)));
    assert!(placed(&world, 2).is_some_and(|host| host != hub(1)));
}

#[test]
fn a_candidate_that_dies_with_the_recorder_is_replaced_by_who_looked_all_along() {
    for seed in 0..20 {
        let mut world = World::new(1, 100 + seed);
        assert_eq!(world.log.state.reserve(&site(1)), Some(&hub(2)));
        world.places.get_mut(&1).unwrap().alive = false;
        // The leader, the candidate and the vault's node in one, at any moment of the activation.
        world.pass(ms(seed * 120));
        world.kill(1, secs(2));
        let took = world.until(secs(20), |world| world.stage(1) == Stage::Recording);
        if world.holder(1) == hub(1) {
            continue; // it was decided before
        }
        assert!(took <= secs(8), "seed {seed}: {took:?}");
        assert_eq!(world.holder(1), hub(2), "seed {seed}");
        assert_eq!(world.moves(1).len(), 1, "seed {seed}");
    }
}

#[test]
fn a_standby_whose_host_dies_moves_on() {
    let mut world = World::new(1, 10);
    world.places.get_mut(&1).unwrap().alive = false;
    world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    world.elect(2);
    world.pass(secs(60));
    world.kill(1, secs(3));
    let took = world.until(secs(60), |world| world.holder(1) != hub(1));
    assert!(took <= secs(25), "{took:?}");
    assert_eq!(world.moves(1).len(), 2);
    assert_ne!(world.holder(1), crate::fixtures::home(1));
}

#[test]
fn a_candidate_that_reports_nothing_gives_its_place_to_another() {
    let mut world = World::new(1, 11);
    world.elect(2);
    world.kill(1, secs(3));
    world.until(secs(40), |world| {
        let known = world.log.state.site(&site(1)).unwrap();
        known.placement.as_ref().is_some_and(|host| *host != hub(1))
    });
    world.pass(secs(5));
    world.places.get_mut(&1).unwrap().alive = false;
    let took = world.until(secs(10), |world| world.stage(1) == Stage::Recording);
    assert!(took <= secs(5), "{took:?}");
}

#[test]
fn a_late_fallback_over_tcp_is_no_dead_recorder() {
    // UDP is blocked; RTSP and the cameras' answers are TCP and go on. The agent's beats stop for 1.3 s.
    let mut world = World::new(1, 12);
    for _ in 0..20 {
        world.places.get_mut(&1).unwrap().reaches.clear();
        world.pass(ms(1_300));
        world.places.get_mut(&1).unwrap().reaches = [1, 2, 3].into();
        world.pass(secs(30));
    }
    assert!(world.moves(1).is_empty());
}
