use proptest::prelude::*;
use wire::OriginId;

use super::*;

const S: i64 = 1_000_000;

fn ledger(origin: u8) -> LedgerId {
    LedgerId { origin: OriginId([origin; 16]), stream: "till-1/main".parse().unwrap() }
}

fn at(seconds: i64) -> UnixMicros {
    UnixMicros(seconds * S)
}

fn recording(origin: u8, seq: u64, start: i64, end: i64) -> Recording {
    Recording {
        ledger: ledger(origin),
        seq: Seq(seq),
        segment: SegmentNumber(seq),
        start: at(start),
        end: at(end),
        held: true,
        damaged: false,
        away: false,
        acked: false,
        missing: false,
        gone: false,
    }
}

fn run(origin: u8, opened: i64, last: i64, ended: bool) -> Run {
    Run { ledger: ledger(origin), opened: at(opened), last: at(last), ended, stopped_cleanly: false }
}

/// The timeline in short: start, end, and one word.
fn told(spans: &[Span]) -> Vec<(i64, i64, String)> {
    let word = |what: &What| match what {
        What::Recorded { ledger, seq, .. } => match seq {
            Some(seq) => format!("{}#{seq}", ledger.origin.0[0]),
            None => format!("{}#tail", ledger.origin.0[0]),
        },
        What::Elsewhere { seq, restoring: true, .. } => format!("restoring#{seq}"),
        What::Elsewhere { seq, .. } => format!("arriving#{seq}"),
        What::AtSite { seq, replicate, .. } => format!("at site#{seq} {}", replicate.word()),
        What::Gap { cause, .. } => format!("{cause:?}"),
        What::Pending { .. } => "pending".to_owned(),
        What::Future => "future".to_owned(),
    };
    spans.iter().map(|span| (span.start.0 / S, span.end.0 / S, word(&span.what))).collect()
}

fn assert_told(known: &Known, range: (i64, i64), expected: &[(i64, i64, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(start, end, word)| (*start, *end, (*word).to_owned())).collect();
    assert_eq!(told(&cover(known, at(range.0), at(range.1))), expected);
}

#[test]
fn what_stays_at_the_site_is_told_so_and_what_is_gone_there_is_a_gap() {
    let away = |seq, start, end| Recording { held: false, ..recording(1, seq, start, end) };
    let mut known = Known {
        recordings: vec![recording(1, 0, 100, 110), away(1, 110, 120), away(2, 120, 130)],
        gone: vec![Gone {
            ledger: ledger(1),
            seqs: RangeSet::from(2..3),
            start: at(120),
            end: at(130),
            cause: GapCause::Expired,
        }],
        runs: vec![run(1, 100, 130, false)],
        viewpoint: Viewpoint::Vault { late: None },
        now: at(130),
        ..Known::default()
    };
    for (replicate, word) in Replicate::WORDS {
        known.replicate = word;
        let between = match word.withholds() {
            true => format!("at site#1 {replicate}"),
            false => "arriving#1".to_owned(),
        };
        let expected = [(100, 110, "1#0"), (110, 120, between.as_str()), (120, 130, "Expired")];
        assert_told(&known, (100, 130), &expected);
    }
    known.replicate = Replicate::OnDemand;
    let spans = cover(&known, at(100), at(130));
    assert_eq!(totals(&spans).at_site, Duration::from_secs(10));
    assert_eq!(summary(&spans)[1].detail, "at the site, not replicated: on_demand");
    // At the site itself bytes that are not there are missing.
    known.viewpoint = Viewpoint::Recorder;
    assert_told(&known, (110, 120), &[(110, 120, "Unspecified")]);
}

#[test]
fn every_kind_of_hole_is_named() {
    let known = Known {
        recordings: vec![recording(1, 0, 100, 110), recording(1, 1, 110, 120), recording(2, 0, 205, 230)],
        gaps: vec![KnownGap {
            start: at(200),
            end: at(205),
            cause: GapCause::CameraDown,
            detail: "connecting".into(),
        }],
        runs: vec![run(1, 100, 150, true), run(2, 200, 230, false)],
        now: at(1000),
        ..Known::default()
    };
    assert_told(
        &known,
        (50, 1100),
        &[
            (50, 100, "NotScheduled"),
            (100, 110, "1#0"),
            (110, 120, "1#1"),
            (120, 150, "Unspecified"),
            (150, 200, "HostDown"),
            (200, 205, "CameraDown"),
            (205, 230, "2#0"),
            (230, 910, "Unspecified"),
            (910, 1000, "pending"),
            (1000, 1100, "future"),
        ],
    );
}

#[test]
fn a_stop_is_told_from_a_death_and_the_recorder_speaks_for_right_now() {
    let mut known = Known {
        recordings: vec![recording(1, 0, 0, 10), recording(2, 0, 20, 30)],
        runs: vec![Run { stopped_cleanly: true, ..run(1, 0, 10, true) }, run(2, 20, 30, false)],
        current: Some((GapCause::CameraRefused, "401".into())),
        now: at(300),
        ..Known::default()
    };
    assert_told(
        &known,
        (0, 300),
        &[(0, 10, "1#0"), (10, 20, "Stopped"), (20, 30, "2#0"), (30, 300, "CameraRefused")],
    );
    known.viewpoint = Viewpoint::Vault { late: None };
    assert_eq!(told(&cover(&known, at(25), at(300)))[1], (30, 300, "CameraRefused".to_owned()));
    known.viewpoint = Viewpoint::Vault { late: Some("the site is not connected".into()) };
    assert_eq!(told(&cover(&known, at(25), at(300)))[1], (30, 300, "pending".to_owned()));
}

#[test]
fn overlapping_origins_change_hands_only_where_a_recording_ends() {
    let known = Known {
        recordings: vec![
            recording(1, 0, 0, 10),
            recording(1, 1, 10, 20),
            recording(2, 0, 5, 15),
            recording(2, 1, 15, 25),
            recording(1, 2, 24, 34),
        ],
        runs: vec![run(1, 0, 34, true), run(2, 5, 25, true)],
        now: at(100),
        ..Known::default()
    };
    assert_told(&known, (0, 34), &[(0, 10, "1#0"), (10, 20, "1#1"), (20, 25, "2#1"), (25, 34, "1#2")]);
}

#[test]
fn what_the_hub_gives_back_is_restoring_until_it_is_here_or_not_wanted() {
    let returned = Recording { held: false, acked: true, missing: true, ..recording(2, 0, 10, 20) };
    let mut known = Known {
        recordings: vec![recording(1, 0, 0, 10), returned, recording(3, 0, 18, 30)],
        runs: vec![run(1, 0, 10, true), run(2, 10, 20, true), run(3, 18, 30, false)],
        now: at(40),
        ..Known::default()
    };
    assert_told(&known, (0, 30), &[(0, 10, "1#0"), (10, 18, "restoring#0"), (18, 30, "3#0")]);
    (known.recordings[1].missing, known.recordings[1].gone) = (false, true);
    assert_told(&known, (0, 30), &[(0, 10, "1#0"), (10, 18, "Expired"), (18, 30, "3#0")]);
}

#[test]
fn held_beats_tail_beats_arriving_beats_gone() {
    let absent = |seq, start, end| Recording { held: false, ..recording(1, seq, start, end) };
    let gone = Gone {
        ledger: ledger(1),
        seqs: std::iter::once(0..1).collect(),
        start: at(0),
        end: at(10),
        cause: GapCause::Expired,
    };
    let known = Known {
        recordings: vec![absent(0, 0, 10), absent(1, 10, 20), recording(2, 0, 15, 18)],
        tails: vec![Tail { ledger: ledger(3), segment: SegmentNumber(4), start: at(12), end: at(16) }],
        gone: vec![gone],
        viewpoint: Viewpoint::Vault { late: None },
        now: at(100),
        ..Known::default()
    };
    assert_told(
        &known,
        (0, 20),
        &[
            (0, 10, "Expired"),
            (10, 12, "arriving#1"),
            (12, 15, "3#tail"),
            (15, 18, "2#0"),
            (18, 20, "arriving#1"),
        ],
    );
}

#[test]
fn a_summary_merges_and_totals_add_up() {
    let known = Known {
        recordings: vec![recording(1, 0, 0, 10), recording(1, 1, 10, 20)],
        runs: vec![run(1, 0, 20, true)],
        now: at(30),
        ..Known::default()
    };
    let spans = cover(&known, at(0), at(40));
    let stretches = summary(&spans);
    let states: Vec<_> = stretches.iter().map(|stretch| (stretch.state, stretch.spans)).collect();
    assert_eq!(states, [(State::Recorded, 2), (State::Gap, 1), (State::Future, 1)]);
    let totals = totals(&spans);
    assert_eq!((totals.recorded.as_secs(), totals.gaps.as_secs(), totals.unexplained.as_secs()), (20, 10, 0));
}

fn recordings() -> impl Strategy<Value = Vec<Recording>> {
    let one = (0u8..3, 0u64..8, 0i64..200, 0i64..30, any::<bool>()).prop_map(
        |(origin, seq, start, length, held)| Recording {
            held,
            ..recording(origin, seq, start, start + length)
        },
    );
    proptest::collection::vec(one, 0..30)
}

fn known() -> impl Strategy<Value = Known> {
    let tails = proptest::collection::vec((0u8..3, 0i64..200, 0i64..30), 0..3);
    let gaps = proptest::collection::vec((0i64..200, 0i64..60), 0..5);
    let gone = proptest::collection::vec((0u8..3, 0u64..8, 0i64..200, 0i64..60), 0..3);
    let runs = proptest::collection::vec((0u8..3, 0i64..150, 0i64..80, any::<bool>()), 0..4);
    (recordings(), tails, gaps, gone, runs, 0i64..300, (any::<bool>(), 0..4_usize)).prop_map(
        |(recordings, tails, gaps, gone, runs, now, (vault, word))| Known {
            replicate: Replicate::WORDS[word].1,
            recordings,
            tails: tails
                .into_iter()
                .map(|(origin, start, length)| Tail {
                    ledger: ledger(origin),
                    segment: SegmentNumber(99),
                    start: at(start),
                    end: at(start + length),
                })
                .collect(),
            gaps: gaps
                .into_iter()
                .map(|(start, length)| KnownGap {
                    start: at(start),
                    end: at(start + length),
                    cause: GapCause::CameraDown,
                    detail: String::new(),
                })
                .collect(),
            gone: gone
                .into_iter()
                .map(|(origin, seq, start, length)| Gone {
                    ledger: ledger(origin),
                    seqs: std::iter::once(seq..seq + 2).collect(),
                    start: at(start),
                    end: at(start + length),
                    cause: GapCause::Expired,
                })
                .collect(),
            runs: runs
                .into_iter()
                .map(|(origin, opened, length, ended)| run(origin, opened, opened + length, ended))
                .collect(),
            current: None,
            viewpoint: if vault { Viewpoint::Vault { late: None } } else { Viewpoint::Recorder },
            now: at(now),
        },
    )
}

/// Even a single picture is seen.
fn seen_until(start: UnixMicros, end: UnixMicros) -> UnixMicros {
    end.max(UnixMicros(start.0 + 1))
}

proptest! {
    #[test]
    fn spans_tile_the_range(known in known(), from in -20i64..250, length in 0i64..250) {
        let spans = cover(&known, at(from), at(from + length));
        prop_assert!(spans.iter().all(|span| span.start < span.end));
        prop_assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].what != pair[1].what));
        prop_assert_eq!(spans.first().map(|span| span.start), (length > 0).then(|| at(from)));
        prop_assert_eq!(spans.last().map(|span| span.end), (length > 0).then(|| at(from + length)));
    }

    #[test]
    fn what_is_here_is_shown(known in known()) {
        for span in cover(&known, at(0), at(250)) {
            let covers = |start, end| start <= span.start && span.start < seen_until(start, end);
            let held = known.recordings.iter().any(|one| one.held && covers(one.start, one.end));
            let tail = known.tails.iter().any(|tail| covers(tail.start, tail.end));
            let state = span.what.state();
            prop_assert_eq!(state == State::Recorded, held);
            prop_assert_eq!(state == State::Tail, tail && !held);
        }
    }

    #[test]
    fn what_is_shown_is_there(known in known()) {
        for span in cover(&known, at(0), at(250)) {
            if let What::Recorded { ledger, seq: Some(seq), .. }
            | What::Elsewhere { ledger, seq, .. }
            | What::AtSite { ledger, seq, .. } = &span.what
        {
                let there = known.recordings.iter().any(|one| {
                    let is_it = one.ledger == *ledger && one.seq == *seq;
                    is_it && one.start <= span.start && span.start < seen_until(one.start, one.end)
                });
                prop_assert!(there);
            }
            if span.start >= known.now && !known.recordings.iter().any(|one| one.end > span.start) {
                prop_assert!(span.what.state() != State::Pending);
            }
        }
    }

    #[test]
    fn an_entry_explains_before_the_runs_do(known in known()) {
        for span in cover(&known, at(0), at(250)) {
            let gap = known.gaps.iter().any(|gap| gap.start <= span.start && span.start < gap.end);
            if gap {
                let explained = !matches!(
                    span.what,
                    What::Pending { .. } | What::Future | What::Gap { cause: GapCause::HostDown, .. }
                );
                prop_assert!(explained);
            }
        }
    }
}
