//! Each rule of the detector, with the schedule that breaks it.

use std::time::Duration;

use super::fitness::FitnessBounds;
use super::*;
use crate::beat::CameraState;
use crate::evidence::Answers;
use crate::fixtures::{answers, beat, camera, hub, ms, no_answers, secs, site, wan};
use crate::ids::PathId;

/// A detector in virtual time: beats every 500 ms and reports every 500 ms, unless told otherwise.
struct Scene {
    detector: Detector,
    timers: Timers,
    now: Boot,
    number: u64,
    run: u8,
    beats: bool,
    /// The path holds since, if it does.
    path: Option<Boot>,
    via: PathId,
}

impl Scene {
    /// After ten minutes of quiet work.
    fn running() -> Self {
        let timers = Timers::default();
        let mut scene = Self {
            detector: Detector::new(Boot(0)),
            timers,
            now: Boot(0),
            number: 0,
            run: 1,
            beats: true,
            path: Some(Boot(0)),
            via: wan(),
        };
        scene.pass(secs(600));
        scene
    }

    fn report(&self) -> Answers {
        let unbroken = self.path.map(|since| self.now.since(since));
        let base = if unbroken.is_some() { answers(1, hub(1)) } else { no_answers(1, hub(1)) };
        Answers { unbroken, path: self.via.clone(), ..base }
    }

    fn beat(&mut self) {
        self.number += 1;
        let beat = beat(1, self.run, self.number);
        self.detector.handle_beat(self.now, &Arrival::Direct(wan()), &beat, &self.timers);
    }

    /// Lets time pass, in steps of half a second.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now + ms(500) <= until {
            self.now = self.now + ms(500);
            if self.beats {
                self.beat();
            }
            let report = self.report();
            self.detector.handle_answers(self.now, &report);
        }
        self.now = until;
    }

    fn quiet(&self) -> Option<Quiet> {
        self.detector.quiet(self.now, &self.timers)
    }

    /// For how long the recorder is silent until the detector says so.
    fn silence_until_quiet(&mut self) -> Duration {
        self.beats = false;
        let from = self.now;
        while self.quiet().is_none() {
            self.pass(ms(100));
            // `pass` counts in steps; keep reports coming every half second of silence.
            if (self.now.0 / 100_000).is_multiple_of(5) {
                let report = self.report();
                self.detector.handle_answers(self.now, &report);
            }
            assert!(self.now.since(from) < secs(120), "never quiet");
        }
        self.now.since(from)
    }
}

#[test]
fn cameras_that_answer_over_the_unbroken_path_make_two_seconds_enough() {
    let mut scene = Scene::running();
    let silence = scene.silence_until_quiet();
    assert!((secs(2)..=ms(2_100)).contains(&silence), "{silence:?}");
    assert!(matches!(scene.quiet().unwrap().basis, Basis::Unbroken { .. }));
}

#[test]
fn silence_alone_waits_for_the_long_timer() {
    let mut scene = Scene::running();
    scene.path = None;
    let silence = scene.silence_until_quiet();
    assert!((secs(15)..=ms(15_100)).contains(&silence), "{silence:?}");
    assert_eq!(scene.quiet().unwrap().basis, Basis::Silence);
}

#[test]
fn cameras_that_answer_over_another_path_accuse_nobody() {
    // The site's fibre is cut, its cameras answer over LTE: the agent is redialling, not dead.
    let mut scene = Scene::running();
    scene.via = PathId::new("lte").unwrap();
    assert!(scene.silence_until_quiet() >= secs(15));
}

#[test]
fn a_beat_that_came_over_two_paths_came_over_both() {
    // The site has LTE beside its line, and the last beat was heard there first.
    let mut scene = Scene::running();
    scene.pass(ms(500));
    let (beat, beside) = (beat(1, scene.run, scene.number + 1), Arrival::Direct(PathId::new("lte").unwrap()));
    let told = [&beside, &Arrival::Direct(wan()), &beside];
    let worth = told.map(|arrival| scene.detector.handle_beat(scene.now, arrival, &beat, &scene.timers));
    assert_eq!(worth, [Novelty::Fresh { first: false }, Novelty::Old, Novelty::Old]);
    let silence = scene.silence_until_quiet();
    assert!((secs(2)..=ms(2_100)).contains(&silence), "{silence:?}");
}

#[test]
fn after_the_path_reopened_the_longest_redial_is_waited_for() {
    // The path is cut for 14 s. At 15 s of silence cameras answer again for 1 s: the agent is still redialling.
    let mut scene = Scene::running();
    scene.beats = false;
    scene.path = None;
    scene.pass(secs(14));
    scene.path = Some(scene.now);
    scene.pass(secs(2));
    assert!(scene.quiet().is_none(), "16 s of silence, but the path is open for 2 s");
    scene.pass(secs(9));
    assert!(scene.quiet().is_none());
    scene.pass(secs(1));
    assert!(matches!(scene.quiet().unwrap().basis, Basis::Reopened { open_for } if open_for >= secs(12)));
}

#[test]
fn a_short_break_of_the_path_is_not_forgotten_when_the_silence_goes_on() {
    let mut scene = Scene::running();
    scene.beats = false;
    scene.path = None;
    scene.pass(secs(1));
    scene.path = Some(scene.now);
    scene.pass(secs(10));
    assert!(scene.quiet().is_none(), "a break since the last beat: not the short timer");
}

#[test]
fn a_path_that_broke_with_the_last_beat_proves_nothing_however_late_that_is_noticed() {
    // Recorder and path go at once. The last report before the break is still fresh when two seconds are over.
    let mut scene = Scene::running();
    let last = Answers { age: ms(400), ..scene.report() };
    let beat_at = scene.now;
    scene.detector.handle_answers(beat_at + ms(900), &last);
    let now = beat_at + ms(2_100);
    assert!(scene.detector.answers(now, &scene.timers).is_some(), "the report counts as fresh");
    assert!(scene.detector.quiet(now, &scene.timers).is_none(), "and covers half a second of the silence");
}

#[test]
fn the_short_timer_is_three_times_the_longest_usual_gap() {
    // An agent that beats once in two seconds now and then, over a path that holds.
    let mut scene = Scene::running();
    for _ in 0..40 {
        scene.beats = false;
        scene.pass(ms(1_500));
        scene.beats = true;
        scene.pass(secs(10));
    }
    let p999 = scene.detector.gap_p999();
    assert!(p999 >= secs(2), "{p999:?}");
    assert!(scene.silence_until_quiet() >= Timers::default().short_max, "three times that, but for the cap");
}

#[test]
fn what_a_cut_does_to_the_beats_is_not_held_against_the_recorder() {
    // A link that flaps every minute for an hour. The gaps are the path's; the short timer stays short.
    let mut scene = Scene::running();
    for _ in 0..60 {
        scene.beats = false;
        scene.path = None;
        scene.pass(secs(5));
        scene.path = Some(scene.now);
        scene.beats = true;
        scene.pass(secs(55));
    }
    assert!(scene.detector.gap_p999() < ms(700), "{:?}", scene.detector.gap_p999());
    assert!(scene.silence_until_quiet() <= ms(2_100));
}

#[test]
fn old_and_repeated_beats_are_no_life() {
    let mut scene = Scene::running();
    let old = beat(1, 1, scene.number);
    scene.run = 2;
    scene.number = 0;
    scene.beat();
    let arrival = Arrival::Direct(wan());
    let mut novelty = |beat: &Beat| scene.detector.handle_beat(scene.now, &arrival, beat, &scene.timers);
    assert_eq!(novelty(&beat(1, 2, 1)), Novelty::Old, "the same again");
    assert_eq!(novelty(&old), Novelty::Old, "from the run before");
    assert_eq!(novelty(&beat(1, 2, 2)), Novelty::Fresh { first: false });
    assert_eq!(novelty(&beat(1, 3, 1)), Novelty::Fresh { first: true });
}

#[test]
fn a_late_beat_of_an_earlier_run_does_not_silence_the_living_one() {
    // A voter that has just started hears run 2, and then, out of a clogged link, run 1.
    let timers = Timers::default();
    let (mut detector, arrival, mut now) = (Detector::new(Boot(0)), Arrival::Direct(wan()), Boot(0));
    let hear = |detector: &mut Detector, now: Boot, run: u8, number: u64| {
        detector.handle_beat(now, &arrival, &beat(1, run, number), &timers)
    };
    hear(&mut detector, now, 2, 10);
    assert_eq!(hear(&mut detector, now, 1, 900), Novelty::Fresh { first: true }, "as a restart would look");
    for number in 11..20 {
        now = now + ms(500);
        hear(&mut detector, now, 2, number);
        assert!(detector.silent_for(now) <= secs(2), "{number}");
    }
    assert_eq!(detector.origin(), Some(crate::fixtures::origin(2)));
    assert_eq!(hear(&mut detector, now, 1, 901), Novelty::Old);
}

#[test]
fn however_bad_the_gaps_a_recorder_is_given_up_in_four_seconds() {
    let timers = Timers::default();
    assert_eq!(timers.short(ms(500)), secs(2));
    assert_eq!(timers.short(ms(1_200)), ms(3_600));
    assert_eq!(timers.short(secs(14)), secs(4));
}

#[test]
fn a_voter_that_was_not_itself_counts_silence_from_when_it_was() {
    let mut scene = Scene::running();
    scene.beats = false;
    scene.now = scene.now + secs(60);
    scene.detector.forgive(scene.now);
    assert!(scene.quiet().is_none(), "a minute of silence that was its own");
    scene.pass(ms(1_900));
    assert!(scene.quiet().is_none());
    scene.pass(ms(600));
    assert!(scene.quiet().is_some());
}

#[test]
fn a_voter_that_never_heard_it_waits_the_long_timer() {
    let timers = Timers::default();
    let mut detector = Detector::new(Boot(0));
    detector.handle_answers(Boot(0) + secs(14), &answers(1, hub(1)));
    assert!(detector.quiet(Boot(0) + secs(14), &timers).is_none());
    assert!(detector.quiet(Boot(0) + secs(15), &timers).is_some());
}

#[test]
fn a_camera_that_answers_and_gives_nothing_new_has_stalled() {
    let mut scene = Scene::running();
    assert!(scene.detector.stalled(scene.now, &scene.timers).is_empty());
    let stuck = beat(1, 1, scene.number).cameras[0].clone();
    for _ in 0..12 {
        scene.number += 1;
        scene.now = scene.now + ms(500);
        let mut beat = beat(1, 1, scene.number);
        beat.cameras[0] = stuck.clone();
        scene.detector.handle_beat(scene.now, &Arrival::Direct(wan()), &beat, &scene.timers);
        let report = scene.report();
        scene.detector.handle_answers(scene.now, &report);
    }
    let stalled = scene.detector.stalled(scene.now, &scene.timers);
    assert_eq!(stalled.into_iter().collect::<Vec<_>>(), [camera(&site(1), 1)]);
    // One that nobody can see either is dark, not gray.
    scene.path = None;
    let report = scene.report();
    scene.detector.handle_answers(scene.now, &report);
    assert!(scene.detector.stalled(scene.now, &scene.timers).is_empty());
}

#[test]
fn a_camera_that_is_not_to_record_never_stalls() {
    let mut scene = Scene::running();
    for _ in 0..20 {
        scene.number += 1;
        scene.now = scene.now + ms(500);
        let mut beat = beat(1, 1, scene.number);
        (beat.cameras[0].state, beat.cameras[0].durable) = (CameraState::Idle, None);
        scene.detector.handle_beat(scene.now, &Arrival::Direct(wan()), &beat, &scene.timers);
        let report = scene.report();
        scene.detector.handle_answers(scene.now, &report);
    }
    assert!(scene.detector.stalled(scene.now, &scene.timers).is_empty());
}

#[test]
fn a_node_abstains_while_it_is_sick_and_for_a_while_after() {
    let bounds = FitnessBounds::default();
    let well = Vitals { lag: Duration::ZERO, disk: ms(1), canaries: (2, 3) };
    for (vitals, why) in [
        (Vitals { lag: secs(1), ..well }, Unfit::Lag(secs(1))),
        (Vitals { disk: secs(3), ..well }, Unfit::Disk(secs(3))),
        (Vitals { canaries: (0, 3), ..well }, Unfit::Alone),
    ] {
        let mut fitness = Fitness::new(bounds.clone());
        assert_eq!(fitness.unfit(Boot(0)), None);
        assert_eq!(fitness.handle(Boot(0), vitals), matches!(why, Unfit::Lag(_)));
        assert_eq!(fitness.unfit(Boot(0) + secs(1)), Some(why));
        fitness.handle(Boot(0) + secs(1), well);
        assert_eq!(fitness.unfit(Boot(0) + bounds.calm), None);
    }
    let mut alone = Fitness::new(bounds);
    alone.handle(Boot(0), Vitals { canaries: (0, 0), ..well });
    assert_eq!(alone.unfit(Boot(0)), None, "without canaries nothing is asked of them");
}
