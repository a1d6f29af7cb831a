//! The table, line by line and against each other.

use std::collections::BTreeSet;

use super::*;
use crate::beat::Bye;
use crate::control::{Plan, Tally};
use crate::detector::{Basis, Quiet, Unfit};
use crate::epoch::Round;
use crate::fixtures::{answers, camera, home, hub, origin, quiet, secs, site};
use crate::ids::NodeId;
use crate::quorum::{Facts, Hearing, Line, read};
use crate::standby::Stage;

/// Silent to two of three, cameras answering.
fn lost() -> Facts {
    Facts {
        holder: home(1),
        plan: None,
        unfit: None,
        hearing: Hearing::Nobody,
        stalled: BTreeSet::new(),
        round: Some(Round(7)),
        silent: [1, 2].map(|n| (NodeId(n), quiet())).into(),
        tallies: vec![Tally { said: 2, voters: 3 }],
        answers: Some(answers(1, hub(1))),
        candidate_silent: true,
        settled: true,
        listened: true,
        long: false,
    }
}

#[test]
fn the_first_line_that_matches() {
    let plan = |bye| Some(Plan::Bye { origin: origin(1), bye });
    let stalled = BTreeSet::from([camera(&site(1), 1)]);
    let long = Facts { answers: None, long: true, ..lost() };
    for (facts, line) in [
        (Facts { plan: plan(Bye::Shutdown), unfit: Some(Unfit::Alone), ..lost() }, Line::Planned),
        (Facts { plan: plan(Bye::Restart { back_in: secs(9) }), ..lost() }, Line::Open),
        (Facts { unfit: Some(Unfit::Alone), hearing: Hearing::Here, ..lost() }, Line::Abstain),
        (Facts { hearing: Hearing::Here, ..lost() }, Line::Well),
        (Facts { hearing: Hearing::Elsewhere, ..lost() }, Line::PathFault),
        (Facts { hearing: Hearing::Relayed, ..lost() }, Line::Isolated),
        (Facts { hearing: Hearing::Elsewhere, stalled, ..lost() }, Line::Gray),
        (lost(), Line::RecorderLost),
        (Facts { candidate_silent: false, ..lost() }, Line::Open),
        (Facts { candidate_silent: false, long: true, ..lost() }, Line::RecorderLost),
        (long.clone(), Line::Dark),
        (Facts { long: false, ..long.clone() }, Line::Open),
        (Facts { tallies: vec![Tally { said: 1, voters: 3 }], ..lost() }, Line::Open),
        (Facts { listened: false, ..lost() }, Line::Open),
        (
            Facts { listened: false, tallies: vec![Tally { said: 3, voters: 3 }], ..lost() },
            Line::RecorderLost,
        ),
        (Facts { tallies: Vec::new(), ..long }, Line::Open),
    ] {
        assert_eq!(read(&facts), line, "{facts:?}");
    }
}

#[test]
fn both_sets_count_while_joint() {
    let tallies = vec![Tally { said: 2, voters: 3 }, Tally { said: 1, voters: 3 }];
    assert_eq!(read(&Facts { tallies, ..lost() }), Line::Open);
}

#[test]
fn silence_alone_does_not_accuse_on_a_path_that_has_just_reopened() {
    // Two voters said Silent after 15 s of nothing; one second later the WAN is back, and cameras answer first.
    let alone = Quiet { basis: Basis::Silence, ..quiet() };
    let silent = [(NodeId(1), quiet()), (NodeId(2), alone)].into();
    let facts = Facts { silent, settled: false, ..lost() };
    assert_eq!(read(&facts), Line::Open);
    assert_eq!(read(&Facts { settled: true, ..facts }), Line::RecorderLost);
}

#[test]
fn a_camera_that_stalls_is_recorded_by_the_standby_and_authority_stays() {
    let mut world = World::new(1, 1);
    world.places.get_mut(&1).unwrap().stuck = [2].into();
    let assisted = |world: &World| world.log.state.site(&site(1)).unwrap().assisted.clone();
    let took = world.until(secs(30), |world| !assisted(world).is_empty());
    assert!(took <= secs(7), "{took:?}");
    assert_eq!(world.told[&1], Line::Gray);
    world.pass(secs(600));
    assert_eq!((world.stage(1), world.moves(1).len()), (Stage::Home, 0));
    world.places.get_mut(&1).unwrap().stuck.clear();
    let took = world.until(secs(60), |world| assisted(world).is_empty());
    assert!(took >= secs(9), "it must have been well for a while: {took:?}");
}

#[test]
fn a_telling_can_be_told() {
    let facts = lost();
    let telling = crate::quorum::Telling { site: site(1), line: read(&facts), facts };
    let text = serde_json::to_string(&telling).unwrap();
    assert_eq!(serde_json::from_str::<crate::quorum::Telling>(&text).unwrap(), telling);
}
