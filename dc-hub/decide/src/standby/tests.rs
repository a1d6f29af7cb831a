//! Edges, places, ramps, evidence, and what one host does.

use std::collections::{BTreeMap, BTreeSet};

use super::life::{EDGES, checked_transition};
use super::ramp::protection;
use super::*;
use crate::control::{
    BitsPerSecond, CameraSpec, Command, Finding, Ineligible, SiteSpec, TakeOverGround, Tier, Verdict,
};
use crate::epoch::Epoch;
use crate::evidence::Answer;
use crate::fixtures::{
    Log, MEGABIT, answers, camera, camera_spec, home, hub, ms, quiet, room_for, secs, site, site_spec, wan,
};
use crate::ids::{CameraId, HostId, NodeId};
use crate::time::Boot;

fn lives() -> [Life; 6] {
    let (epoch, host) = (Epoch::default(), hub(1));
    [
        Life::Home,
        Life::Suspect,
        Life::Standby { epoch, host: host.clone(), mode: Mode::Armed },
        Life::Standby { epoch, host: host.clone(), mode: Mode::Recording },
        Life::Healing { epoch, host: host.clone() },
        Life::Failback { epoch, host },
    ]
}

#[test]
fn only_the_edges_of_the_table_are_taken() {
    for (from, to) in lives().iter().flat_map(|from| lives().map(|to| (from.clone(), to))) {
        let mut life = from.clone();
        let edge = (from.stage(), to.stage());
        match checked_transition(&mut life, to.clone()) {
            Ok(was) => assert!(EDGES.contains(&edge) && was == from && life == to),
            Err(no) => assert!(!EDGES.contains(&edge) && (no.from, no.to) == edge && life == from),
        }
    }
}

#[test]
fn authority_is_at_the_standby_exactly_while_it_may_record_for_the_site() {
    let away: Vec<Stage> =
        lives().iter().filter(|life| life.authority().is_some()).map(Life::stage).collect();
    assert_eq!(away, [Stage::Recording, Stage::Healing, Stage::Failback]);
}

#[test]
fn nobody_comes_home_without_a_failback_unless_authority_never_left() {
    for (from, _) in EDGES.iter().filter(|(_, to)| *to == Stage::Home) {
        assert!([Stage::Suspect, Stage::Armed, Stage::Failback].contains(from), "{from:?}");
    }
}

fn need(n: u64, priority: u8, cameras: u32) -> SiteNeed {
    SiteNeed {
        site: site(n),
        priority,
        load: room_for(cameras),
        prefer: Vec::new(),
        now: None,
        apart_from: None,
        never: BTreeMap::new(),
        beside: BTreeSet::new(),
    }
}

fn hosts(rooms: &[(u64, u32, &str)]) -> BTreeMap<HostId, HostRoom> {
    let room = |(n, cameras, domain): &(u64, u32, &str)| {
        (hub(*n), HostRoom { room: room_for(*cameras), domain: (*domain).to_owned() })
    };
    rooms.iter().map(room).collect()
}

#[test]
fn the_higher_priority_gets_the_place_and_the_other_is_told_why_not() {
    let hosts = hosts(&[(1, 4, "a"), (2, 2, "b")]);
    let never = BTreeMap::from([(hub(2), Ineligible::Draining)]);
    let placement = place(&[need(1, 1, 3), SiteNeed { never, ..need(2, 9, 3) }], &hosts);
    assert_eq!(placement.placed, BTreeMap::from([(site(2), hub(1))]));
    let reasons = BTreeMap::from([(hub(1), Ineligible::Full), (hub(2), Ineligible::Full)]);
    assert_eq!(placement.unplaced, BTreeMap::from([(site(1), Unplaced { reasons })]));
}

#[test]
fn a_machine_at_the_sites_own_place_comes_last_unless_it_is_preferred() {
    let hosts = hosts(&[(1, 9, "a"), (2, 9, "b"), (3, 1, "c")]);
    let with = |prefer: Vec<HostId>, now, cameras| {
        let beside = BTreeSet::from([hub(1)]);
        place(&[SiteNeed { prefer, now, beside, ..need(1, 1, cameras) }], &hosts).placed[&site(1)].clone()
    };
    assert_eq!(with(Vec::new(), None, 1), hub(2));
    assert_eq!(with(Vec::new(), Some(hub(1)), 1), hub(2), "also if it has the place");
    assert_eq!(with(vec![hub(1)], Some(hub(2)), 1), hub(1));
    let full = BTreeMap::from([(hub(2), Ineligible::Draining)]);
    let need = SiteNeed { beside: BTreeSet::from([hub(1)]), never: full, ..need(1, 1, 5) };
    assert_eq!(place(&[need], &hosts).placed[&site(1)], hub(1), "nobody else has room");
}

#[test]
fn a_host_in_another_room_is_taken_before_the_preferred_and_the_preferred_before_the_present() {
    let hosts = hosts(&[(1, 9, "same"), (2, 9, "other"), (3, 9, "third")]);
    let with = |prefer: Vec<HostId>, now| {
        let need = SiteNeed { prefer, now, apart_from: Some("same".into()), ..need(1, 1, 1) };
        place(&[need], &hosts).placed[&site(1)].clone()
    };
    assert_eq!(with(vec![hub(1), hub(3)], None), hub(3));
    assert_eq!(with(vec![hub(3)], Some(hub(2))), hub(3));
    assert_eq!(with(Vec::new(), Some(hub(3))), hub(3), "what stays needs no move");
}

#[test]
fn without_hosts_everybody_is_told() {
    let placement = place(&[need(1, 1, 1)], &BTreeMap::new());
    assert_eq!(placement.unplaced, BTreeMap::from([(site(1), Unplaced::default())]));
}

proptest::proptest! {
    #[test]
    fn no_host_is_overfilled_and_nobody_is_forgotten(
        needs in proptest::collection::vec((0..5u8, 0..6u32), 0..20),
        rooms in proptest::collection::vec(0..12u32, 0..4),
    ) {
        let needs: Vec<SiteNeed> = (1..).zip(&needs).map(|(n, (priority, cameras))| need(n, *priority, *cameras)).collect();
        let rooms: Vec<(u64, u32, &str)> = (1..).zip(&rooms).map(|(n, room)| (n, *room, "d")).collect();
        let hosts = hosts(&rooms);
        let placement = place(&needs, &hosts);
        for need in &needs {
            proptest::prop_assert!(placement.placed.contains_key(&need.site) != placement.unplaced.contains_key(&need.site));
        }
        for (host, spec) in &hosts {
            let here = needs.iter().filter(|need| placement.placed.get(&need.site) == Some(host));
            let load = here.fold(Default::default(), |sum: crate::control::Load, need| sum + need.load);
            proptest::prop_assert!(load.fits(spec.room));
        }
    }

    #[test]
    fn a_ramp_stays_within_the_uplink(
        cameras in proptest::collection::vec((0..4u8, 1..9u64, proptest::option::of(1..9u64), proptest::bool::ANY), 0..12),
        budget in 0..40u64,
    ) {
        let spec = |(priority, main, sub, _): &(u8, u64, Option<u64>, bool)| CameraSpec {
            priority: *priority,
            main: BitsPerSecond(*main),
            sub: sub.map(BitsPerSecond),
            single_session: false,
        };
        let specs: BTreeMap<CameraId, CameraSpec> =
            (1..).zip(&cameras).map(|(c, camera_of)| (camera(&site(1), c), spec(camera_of))).collect();
        let answering = (1..).zip(&cameras).filter(|(_, camera_of)| camera_of.3);
        let answering = answering.map(|(c, _)| (camera(&site(1), c), Answer::Free)).collect();
        let ramp = ramp(&specs, &answering, BitsPerSecond(budget));
        let spent: u64 = ramp.chosen.iter().map(|(camera, stream)| super::ramp::rate(&specs[camera], *stream)).sum();
        proptest::prop_assert!(spent <= budget);
        let told: BTreeSet<&CameraId> = ramp.chosen.iter().map(|(camera, _)| camera).chain(ramp.left_out.keys()).collect();
        proptest::prop_assert_eq!(told.len(), specs.len());
    }
}

fn cameras(n: u64) -> BTreeMap<CameraId, CameraSpec> {
    (1..=n).map(|c| (camera(&site(1), c), camera_spec())).collect()
}

fn answering(n: u64) -> BTreeMap<CameraId, Answer> {
    (1..=n).map(|c| (camera(&site(1), c), Answer::Free)).collect()
}

#[test]
fn everybody_in_the_small_stream_before_anybody_in_the_large() {
    // Three cameras of 4 and 0.5 Mbit/s on 5.5 Mbit/s: one in full, by priority, and two small ones.
    let mut specs = cameras(4);
    specs.get_mut(&camera(&site(1), 3)).unwrap().priority = 7;
    let ramp = ramp(&specs, &answering(3), BitsPerSecond(11 * MEGABIT / 2));
    let chosen: Vec<_> = ramp.chosen.into_iter().collect();
    let expected = [(3, Stream::Main), (1, Stream::Sub), (2, Stream::Sub)];
    assert_eq!(chosen, expected.map(|(c, stream)| (camera(&site(1), c), stream)));
    assert_eq!(ramp.left_out, BTreeMap::from([(camera(&site(1), 4), LeftOut::NoAnswer)]));
}

#[test]
fn protection_is_told_before_anything_happens() {
    let mut seen = answering(3);
    seen.insert(camera(&site(1), 2), Answer::Busy);
    let told = protection(&cameras(5), &seen, BitsPerSecond(5 * MEGABIT));
    let of = |c| told[&camera(&site(1), c)];
    assert_eq!((of(1), of(2), of(3)), (Protection::Protected, Protection::Scarce, Protection::SubStreamOnly));
    assert_eq!(of(4), Protection::Unprotected(LeftOut::NoAnswer));
}

#[test]
fn a_break_of_the_path_is_noticed_within_one_asking_and_its_deadline() {
    let mut prober = Prober::new(site(1), hub(1), wan(), secs(1));
    let at = |tenths: u64| Boot(tenths * 100_000);
    assert_eq!(prober.report(at(0)).unbroken, None);
    for tenths in [0, 5, 10, 15, 20] {
        prober.handle_answer(at(tenths), &camera(&site(1), 1), Some(Answer::Busy));
    }
    let report = prober.report(at(24));
    assert_eq!((report.unbroken, report.age), (Some(secs(2)), ms(400)));
    assert_eq!(prober.report(at(31)).unbroken, None, "1.1 s without any answer");
    prober.handle_answer(at(35), &camera(&site(1), 1), Some(Answer::Busy));
    assert_eq!(prober.report(at(35)).unbroken, Some(ms(0)), "and counts anew");
    prober.handle_answer(at(40), &camera(&site(1), 1), None);
    assert!(!prober.report(at(40)).any(), "the path holds, and no camera answers");
}

/// Hub-1's runner for site 1, following a log.
struct Hub {
    log: Log,
    runner: Runner,
    now: Boot,
    seen: BTreeMap<CameraId, Answer>,
}

impl Hub {
    fn new(log: Log) -> Self {
        let runner = Runner::new(site(1), hub(1), RunnerSettings::default());
        let mut hub = Self { log, runner, now: Boot(0), seen: answering(2) };
        hub.follow();
        hub
    }

    fn follow(&mut self) -> Vec<Act> {
        self.runner.handle_state(&self.log.state)
    }

    fn must(&mut self, command: Command) -> Vec<Act> {
        self.log.must(command);
        self.follow()
    }

    /// All that is begun when there is time enough.
    fn begin(&mut self) -> Vec<Act> {
        let mut acts = Vec::new();
        for _ in 0..20 {
            self.now = self.now + ms(50);
            acts.extend(self.runner.next(self.now, &self.seen));
        }
        acts
    }

    fn round(&mut self) -> crate::epoch::Round {
        self.must(Command::Suspect { site: site(1), holder: home(1), answers: None });
        self.log.state.site(&site(1)).unwrap().round.as_ref().unwrap().round
    }

    fn activate(&mut self) -> Vec<Act> {
        let (round, expected) = (self.round(), self.log.epoch(1));
        for voter in [1, 2] {
            self.must(Command::Silent { site: site(1), round, voter: NodeId(voter), quiet: quiet() });
        }
        let finding = Finding::RecorderLost { answers: answers(1, hub(1)) };
        self.must(Command::Verdict(Verdict { site: site(1), round, expected, proposer: NodeId(1), finding }))
    }

    fn give_back(&mut self) -> Vec<Act> {
        let expected = self.log.epoch(1);
        self.must(Command::Heal { site: site(1), expected });
        self.must(Command::Failback { site: site(1), expected, by: None })
    }
}

fn record(c: u64) -> Act {
    Act::Record { camera: camera(&site(1), c), stream: Stream::Main }
}

fn stop(c: u64, hand_over: bool) -> Act {
    Act::Stop { camera: camera(&site(1), c), hand_over }
}

#[test]
fn a_suspect_site_is_prepared_and_a_lost_one_recorded_one_camera_after_the_other() {
    let mut hub = Hub::new(Log::fleet(1));
    assert_eq!(hub.begin(), []);
    hub.round();
    assert_eq!(hub.begin(), [1, 2].map(|c| Act::Prepare(camera(&site(1), c))));
    let mut hub = Hub::new(Log::fleet(1));
    let epoch = hub.log.epoch(1).next();
    assert_eq!(hub.activate(), [Act::Authority(Some(epoch))]);
    assert_eq!(hub.runner.next(hub.now, &hub.seen), Some(record(1)));
    assert_eq!(hub.runner.next(hub.now, &hub.seen), None, "not all at once");
    assert_eq!(hub.begin(), [record(2)]);
}

#[test]
fn what_was_prepared_is_let_go_when_the_suspicion_was_wrong() {
    let mut hub = Hub::new(Log::fleet(1));
    let round = hub.round();
    hub.begin();
    let arrival = crate::beat::Arrival::Direct(wan());
    let acts = hub.must(Command::Heard { site: site(1), round, voter: NodeId(3), arrival });
    assert_eq!(acts, [stop(1, false), stop(2, false)]);
}

#[test]
fn a_ramp_gives_way_to_a_fresh_beat_and_goes_on_when_it_was_the_last() {
    let mut hub = Hub::new(Log::fleet(1));
    hub.activate();
    assert_eq!(hub.runner.next(hub.now, &hub.seen), Some(record(1)));
    hub.runner.handle_home_beat(hub.now);
    assert_eq!(hub.begin(), [], "a second with a beat");
    assert_eq!(hub.begin(), [record(2)]);
}

#[test]
fn a_camera_that_answers_late_or_whose_recording_ended_is_begun() {
    let mut hub = Hub::new(Log::fleet(1));
    hub.seen = answering(1);
    hub.activate();
    assert_eq!(hub.begin(), [record(1)]);
    hub.seen = answering(2);
    assert_eq!(hub.begin(), [record(2)]);
    hub.runner.handle_ended(&camera(&site(1), 1));
    assert_eq!(hub.begin(), [record(1)]);
}

#[test]
fn a_failback_freezes_what_is_recorded_and_lets_single_sessions_go() {
    // Were a camera begun now that the site doesn't record, giving back would lose it.
    let mut log = Log::fleet(1);
    let mut specs = cameras(3);
    specs.get_mut(&camera(&site(1), 2)).unwrap().single_session = true;
    log.must(Command::Config { site: site(1), revision: 2, cameras: specs, log_ins_since: None });
    let mut hub = Hub::new(log);
    hub.activate();
    hub.begin();
    assert_eq!(hub.give_back(), [stop(2, true)]);
    hub.seen = answering(3);
    assert_eq!(hub.begin(), []);
    assert_eq!(
        hub.runner.recording().map(|(camera, _)| camera.clone()).collect::<Vec<_>>(),
        [camera(&site(1), 1)]
    );
}

#[test]
fn a_hot_standby_records_before_and_after() {
    let mut log = Log::fleet(1);
    log.must(Command::SetSite { site: site(1), spec: SiteSpec { tier: Tier::Hot, ..site_spec(1) } });
    let mut hub = Hub::new(log);
    assert_eq!(hub.begin(), [record(1), record(2)]);
    let epoch = hub.log.epoch(1).next();
    assert_eq!(hub.activate(), [Act::Authority(Some(epoch))], "nothing is begun anew");
    assert_eq!(hub.begin(), []);
}

#[test]
fn an_armed_host_records_nothing() {
    let mut hub = Hub::new(Log::fleet(1));
    let (round, expected) = (hub.round(), hub.log.epoch(1));
    for voter in [1, 2] {
        hub.must(Command::Silent { site: site(1), round, voter: NodeId(voter), quiet: quiet() });
    }
    let finding = Finding::Dark { host: Some(self::hub(1)) };
    hub.must(Command::Verdict(Verdict { site: site(1), round, expected, proposer: NodeId(1), finding }));
    hub.begin();
    assert_eq!((hub.runner.recording().count(), hub.runner.authority()), (0, None));
}

#[test]
fn help_with_one_camera_records_that_one() {
    let mut hub = Hub::new(Log::fleet(1));
    hub.must(Command::Assist { site: site(1), cameras: BTreeSet::from([camera(&site(1), 2)]) });
    assert_eq!(hub.begin(), [record(2)]);
    assert_eq!(hub.must(Command::Assist { site: site(1), cameras: BTreeSet::new() }), [stop(2, false)]);
}

#[test]
fn a_replaced_standby_stops_and_acts_no_more() {
    let mut hub = Hub::new(Log::fleet(1));
    hub.activate();
    hub.begin();
    let ground = TakeOverGround::Person { by: "ada".into(), reason: "relocate".into() };
    let expected = hub.log.epoch(1);
    let acts = hub.must(Command::TakeOver { site: site(1), expected, host: self::hub(2), ground });
    assert_eq!(acts, [Act::Authority(None), stop(1, false), stop(2, false)]);
}

#[test]
fn a_drill_hides_the_cameras_and_the_path_then_opens_anew() {
    let mut prober = Prober::new(site(1), hub(1), wan(), secs(1));
    let at = |tenths: u64| Boot(tenths * 100_000);
    let answer = |prober: &mut Prober, tenths| {
        prober.handle_answer(at(tenths), &camera(&site(1), 1), Some(Answer::Free));
    };
    [0, 5, 10].into_iter().for_each(|tenths| answer(&mut prober, tenths));
    prober.hide(true);
    answer(&mut prober, 15);
    let report = prober.report(at(15));
    assert!(!report.any() && report.unbroken.is_none() && prober.answering().is_empty());
    prober.hide(false);
    answer(&mut prober, 20);
    assert_eq!(prober.report(at(20)).unbroken, Some(ms(0)), "as after a cut");
}
