//! Planned takeovers, healing, failback.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::UnixMicros;

use super::*;
use crate::beat::Bye;
use crate::control::{FailbackPolicy, Plan, Refusal, Return};
use crate::fixtures::{camera, origin, secs, site_spec};
use crate::standby::{NoSuchEdge, Stage};

fn planned(n: u64, expected: Epoch) -> Command {
    Command::TakeOver { site: site(n), expected, host: hub(1), ground: TakeOverGround::Planned }
}

fn declare(plan: Plan) -> Command {
    Command::Declare { site: site(1), plan: Some(plan) }
}

fn heal(log: &mut Log) {
    let expected = log.epoch(1);
    log.must(Command::Heal { site: site(1), expected });
}

fn failback(log: &mut Log) {
    let expected = log.epoch(1);
    log.must(Command::Failback { site: site(1), expected, by: None });
}

/// The standby records both cameras; the site has so many keyframes of each.
fn back(log: &Log, keyframes: [u64; 2]) -> Command {
    let cameras = [1, 2].map(|c| camera(&site(1), c));
    Command::Return(Return {
        site: site(1),
        expected: log.epoch(1),
        standby: Some(cameras.iter().cloned().collect()),
        overlap: cameras.into_iter().zip(keyframes).collect(),
        silent_for: Duration::ZERO,
    })
}

#[test]
fn a_shutdown_hands_over_without_a_round_and_a_restart_does_not() {
    let mut log = Log::fleet(1);
    let epoch = log.epoch(1);
    assert_eq!(log.apply(planned(1, epoch)), Err(Refusal::NotPlanned(site(1))));
    log.must(declare(Plan::Bye { origin: origin(1), bye: Bye::Restart { back_in: secs(30) } }));
    assert_eq!(log.apply(planned(1, epoch)), Err(Refusal::NotPlanned(site(1))));
    log.must(declare(Plan::Bye { origin: origin(1), bye: Bye::Shutdown }));
    let events = log.must(planned(1, epoch));
    assert_eq!(authorities(&events), [(epoch.next(), hub(1))]);
    assert_eq!(log.apply(planned(1, epoch.next())), Err(Refusal::NotPlanned(site(1))), "it is away already");
}

#[test]
fn a_goodbye_does_not_end_maintenance() {
    let mut log = Log::fleet(1);
    log.must(declare(Plan::Maintenance { until: UnixMicros(1), by: "ada".into() }));
    let bye = declare(Plan::Bye { origin: origin(1), bye: Bye::Restart { back_in: secs(1) } });
    assert_eq!(log.apply(bye), Err(Refusal::AlreadySo));
    let epoch = log.epoch(1);
    log.must(planned(1, epoch));
}

#[test]
fn failback_makes_before_it_breaks() {
    let mut log = Log::fleet(1);
    let away = activate(&mut log, 1);
    let no_edge = NoSuchEdge { from: Stage::Recording, to: Stage::Failback };
    let early = log.apply(Command::Failback { site: site(1), expected: away, by: None });
    assert_eq!(early, Err(Refusal::Edge(no_edge)), "the site isn't back");
    // While it stands by, another gets ready to be the next.
    log.must(Command::Place { site: site(1), host: Some(hub(2)) });
    heal(&mut log);
    failback(&mut log);
    let refused = log.apply(back(&log, [2, 1]));
    assert_eq!(refused, Err(Refusal::NoOverlap { camera: camera(&site(1), 2), keyframes: 1 }));
    let events = log.must(back(&log, [2, 2]));
    assert_eq!(authorities(&events), [(away.next(), home(1))]);
    let known = log.state.site(&site(1)).unwrap();
    let place = known.placement.as_ref();
    assert_eq!((known.life.stage(), place), (Stage::Home, Some(&hub(1))), "it stood by well, and goes on");
}

#[test]
fn a_standby_that_is_gone_needs_no_overlap() {
    let mut log = Log::fleet(1);
    let expected = activate(&mut log, 1);
    log.must(Command::Place { site: site(1), host: Some(hub(2)) });
    heal(&mut log);
    failback(&mut log);
    let (standby, overlap) = (None, BTreeMap::new());
    log.must(Command::Return(Return { site: site(1), expected, standby, overlap, silent_for: secs(15) }));
    let known = log.state.site(&site(1)).unwrap();
    assert_eq!((known.holder(), known.placement.as_ref()), (&home(1), Some(&hub(2))));
}

#[test]
fn a_camera_with_one_session_breaks_before_it_makes() {
    let mut log = Log::fleet(1);
    let mut cameras = log.state.site(&site(1)).unwrap().cameras.clone();
    cameras.get_mut(&camera(&site(1), 2)).unwrap().single_session = true;
    log.must(Command::Config { site: site(1), revision: 2, cameras, log_ins_since: None });
    activate(&mut log, 1);
    heal(&mut log);
    failback(&mut log);
    log.must(back(&log, [2, 0]));
}

#[test]
fn a_site_that_dies_again_while_it_is_given_back_stays_away() {
    let mut log = Log::fleet(1);
    let expected = activate(&mut log, 1);
    heal(&mut log);
    failback(&mut log);
    log.must(Command::Relapse { site: site(1), expected });
    let refused = log.apply(back(&log, [9, 9]));
    assert_eq!(refused, Err(Refusal::Edge(NoSuchEdge { from: Stage::Recording, to: Stage::Home })));
    assert_eq!(log.epoch(1), expected, "authority did not move");
}

#[test]
fn what_a_policy_leaves_to_a_person_needs_one() {
    for policy in [FailbackPolicy::Manual, FailbackPolicy::Never] {
        let mut log = Log::fleet(1);
        log.must(Command::SetSite {
            site: site(1),
            spec: crate::control::SiteSpec { failback: policy, ..site_spec(1) },
        });
        let expected = activate(&mut log, 1);
        heal(&mut log);
        let by_itself = Command::Failback { site: site(1), expected, by: None };
        assert_eq!(log.apply(by_itself), Err(Refusal::NotAutomatic(site(1))));
        log.must(Command::Failback { site: site(1), expected, by: Some("ada".into()) });
        log.must(back(&log, [2, 2]));
    }
}

#[test]
fn what_a_person_moved_only_a_person_gives_back() {
    let mut log = Log::fleet(1);
    let epoch = log.epoch(1);
    log.must(person(1, epoch, hub(2)));
    heal(&mut log);
    let by_itself = Command::Failback { site: site(1), expected: epoch.next(), by: None };
    assert_eq!(log.apply(by_itself), Err(Refusal::NotAutomatic(site(1))));
}

#[test]
fn help_with_a_stalled_camera_leaves_authority_at_home() {
    let mut log = Log::fleet(1);
    let epoch = log.epoch(1);
    let cameras = BTreeSet::from([camera(&site(1), 2), camera(&site(9), 1)]);
    let events = log.must(Command::Assist { site: site(1), cameras });
    let known = BTreeSet::from([camera(&site(1), 2)]);
    assert_eq!(
        events,
        [Event::Assisting { site: site(1), cameras: known }],
        "not a camera of another site's"
    );
    assert_eq!(log.epoch(1), epoch);
    activate(&mut log, 1);
    assert!(log.state.site(&site(1)).unwrap().assisted.is_empty(), "the standby records everything now");
}
