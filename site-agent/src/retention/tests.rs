//! Retention over a real archive, step by step, with crashes between the steps.

use std::path::Path;

use wire::proto::entry::Kind;
use wire::{RangeSet, Replicate, SegmentNumber, Seq};

use super::plan::{Hold, Marks, Policy, Unacked};
use super::*;
use crate::archive::layout;
use crate::archive::tests::{append, check, gap, ledger, open_ledger, record, segment, site};
use crate::coverage::What;
use crate::serve::{NoTails, Present, timeline};

/// The run that goes on; 1, 2, … ended.
const RUN: u8 = 9;

fn now(at_s: i64) -> Reading {
    Reading {
        wall: UnixMicros(at_s * 1_000_000),
        boot_us: at_s.unsigned_abs() * 1_000_000,
        boot_id: "a".into(),
    }
}

fn keeper(archive: &Archive, rules: Rules) -> Keeper {
    let holds = Arc::new(Holds::default());
    holds.set(rules.holds.clone());
    let writer = Writer::Run(ledger(RUN).origin);
    let settings = Settings { rules, holds, ballast_bytes: 0, writer, replication: None };
    Keeper::new(archive.clone(), settings, Arc::default(), now(0))
}

fn for_room(low: u64, more: u64) -> Rules {
    Rules { marks: Some(Marks { low, high: low + more }), acked_by_hub: true, ..Rules::default() }
}

fn ack(archive: &Archive, run: u8, seqs: std::ops::Range<u64>) {
    let change = Change::Acked { ledger: ledger(run), seqs: seqs.into(), all: false };
    archive.submit_blocking(change).unwrap();
}

/// A run of `count` segments of ten seconds, four of which are recorded; number n begins at 10 n s.
fn recorded(dir: &Path, run: u8, count: u64) -> Archive {
    let archive = Archive::open(dir).unwrap();
    open_ledger(&archive, &ledger(run));
    for number in 0..count {
        record(&archive, &ledger(run), number);
    }
    archive
}

fn bytes_of(archive: &Archive) -> u64 {
    archive.ledgers().iter().map(|(_, record)| record.bytes).sum()
}

fn files(dir: &Path) -> usize {
    layout::files(&dir.join("media")).unwrap().len()
}

/// The cause at an instant, or nothing where it is recorded.
fn cause_at(archive: &Archive, at_s: i64) -> Option<GapCause> {
    let (from, to) = (UnixMicros(at_s * 1_000_000), UnixMicros(at_s * 1_000_000 + 1));
    let present = Present { now: UnixMicros(10_000_000_000), ..Present::default() };
    let spans = timeline(archive, &NoTails, (&site(), &ledger(1).stream), (from, to), present).unwrap().spans;
    match &spans[0].what {
        What::Gap { cause, .. } => Some(*cause),
        What::Recorded { .. } => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_acked_goes_first_and_the_timeline_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), RUN, 6);
    ack(&archive, RUN, 2..4);
    let before = bytes_of(&archive);
    let size = before / 6; // about
    let mut keeper = keeper(&archive, for_room(1_000_000, 2 * size));
    assert_eq!(keeper.step(&now(100), &[(0, 1_000_000)].into()).unwrap(), 0, "there is room");
    assert_eq!(keeper.step(&now(100), &[(0, 999_999)].into()).unwrap(), 2, "all that is acked");
    assert_eq!(
        keeper.step(&now(100), &[(0, 999_999 - size)].into()).unwrap(),
        2,
        "and as much of the rest as must be"
    );
    assert_eq!(files(dir.path()), 2);
    assert!(bytes_of(&archive).abs_diff(2 * size) < size / 2);
    let causes: Vec<_> = (0..6).map(|n| cause_at(&archive, 10 * n + 1)).collect();
    let (lost, expired) = (Some(GapCause::LostBeforeReplication), Some(GapCause::Expired));
    assert_eq!(causes, [lost, lost, expired, expired, None, None]);
    let shown = keeper.status.snapshot();
    assert_eq!(
        (shown.freed_segments, shown.lost_segments, shown.freed_bytes),
        (4, 2, before - bytes_of(&archive))
    );

    let known = archive.ledger(&ledger(RUN)).unwrap();
    assert_eq!((known.gone(), known.next()), (RangeSet::from(0..4), Seq(8)), "two entries say it");
    drop((keeper, archive));
    let report = check(dir.path());
    assert!(report.ok, "{:?}", report.bad);
    assert_eq!((report.segments, report.without_bytes, report.orphans), (2, 4, 0));
    let archive = Archive::open(dir.path()).unwrap();
    assert_eq!(cause_at(&archive, 1), lost);
    assert_eq!(crate::archive::recover(&archive).unwrap().files.len(), 0);
}

#[test]
fn nothing_left_is_said_and_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), RUN, 1);
    let mut keeper = keeper(&archive, Rules { unacked: Unacked::Keep, ..for_room(1000, 1) });
    assert_eq!(keeper.step(&now(100), &[(0, 999)].into()).unwrap(), 0);
    assert!(keeper.status.snapshot().stuck);
    ack(&archive, RUN, 0..1);
    assert_eq!(keeper.step(&now(100), &[(0, 999)].into()).unwrap(), 1);
    assert_eq!(keeper.step(&now(100), &[(0, 2000)].into()).unwrap(), 0);
    assert!(!keeper.status.snapshot().stuck);
}

/// Between the entry and the deleting of files, and between that and the rows, a crash is mended by the next step.
#[test]
fn a_crash_leaves_files_that_the_next_step_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), 1, 4);
    archive.submit_blocking(Change::End { ledger: ledger(1) }).unwrap();
    open_ledger(&archive, &ledger(RUN));
    let free = Change::Free {
        ledger: ledger(RUN),
        at: UnixMicros(0),
        of: ledger(1),
        seqs: (0..3).into(),
        cause: GapCause::Expired,
    };
    archive.submit_blocking(free).unwrap();
    drop(archive);
    let report = check(dir.path());
    assert!(report.ok, "{:?}", report.bad);
    assert_eq!((report.segments, report.orphans), (1, 3), "gone, and not deleted yet");

    let archive = Archive::open(dir.path()).unwrap();
    assert!(archive.holds(&ledger(1), Seq(3)) && !archive.holds(&ledger(1), Seq(2)));
    std::fs::remove_file(archive.segment_path(&ledger(1), SegmentNumber(1)).unwrap()).unwrap();
    assert_eq!(archive.delete_freed(2).unwrap(), 2);
    drop(archive);
    let archive = Archive::open(dir.path()).unwrap();
    keeper(&archive, Rules::default()).step(&now(1), &[(0, 0)].into()).unwrap();
    assert_eq!(files(dir.path()), 1);
    assert_eq!(archive.delete_freed(9).unwrap(), 0);
    drop(archive);
    assert_eq!(check(dir.path()).orphans, 0);
}

/// A camera that is not configured any more has no recorder: retention opens a ledger to say what is gone.
#[test]
fn a_camera_that_is_gone_grows_old_too() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), 1, 4);
    append(&archive, &ledger(1), gap(35_000_000, 40_000_000), None).unwrap();
    archive.submit_blocking(Change::End { ledger: ledger(1) }).unwrap();
    let policy = Policy { age_max: Some(Duration::from_secs(60)), bytes_max: None };
    let mut keeper = keeper(&archive, Rules { policy, ..Rules::default() });
    assert_eq!(keeper.step(&now(90), &[(0, 0)].into()).unwrap(), 3);
    assert_eq!(keeper.step(&now(95), &[(0, 0)].into()).unwrap(), 1);
    assert_eq!((files(dir.path()), bytes_of(&archive)), (0, 0));
    assert!(!dir.path().join("media/shop-1/till-1/main").join(ledger(1).origin.to_string()).exists());
    assert_eq!(cause_at(&archive, 1), Some(GapCause::Expired));
    assert_eq!(cause_at(&archive, 36), Some(GapCause::CameraDown), "what was never recorded stays so");
    assert_eq!(
        cause_at(&archive, 9000),
        Some(GapCause::HostDown),
        "nobody records, and nobody is expected to"
    );
    assert_eq!(archive.ledger(&ledger(1)).unwrap().gone(), RangeSet::from(0..4));
}

#[test]
fn after_a_jump_of_the_clock_nothing_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), RUN, 4);
    let policy = Policy { age_max: Some(Duration::from_secs(86_400)), bytes_max: None };
    let mut keeper = keeper(&archive, Rules { policy, ..Rules::default() });
    let jumped = Reading { wall: UnixMicros(400 * 86_400 * 1_000_000), ..now(60) };
    assert_eq!(keeper.step(&jumped, &[(0, 0)].into()).unwrap(), 0);
    assert!(keeper.status.snapshot().clock_in_doubt);
    assert_eq!(
        keeper.step(&now(90_000), &[(0, 0)].into()).unwrap(),
        4,
        "the clocks agree again, a day later"
    );
    drop(keeper);
    record(&archive, &ledger(RUN), 4);
    // The next run knows what the clocks showed; then a person says that it is right.
    let settings = Settings {
        rules: Rules { policy, ..Rules::default() },
        holds: Arc::default(),
        ballast_bytes: 0,
        writer: Writer::Run(ledger(RUN).origin),
        replication: None,
    };
    let mut keeper = Keeper::new(archive.clone(), settings, Arc::default(), jumped.clone());
    assert_eq!(keeper.step(&jumped, &[(0, 0)].into()).unwrap(), 0);
    confirm_clock(dir.path()).unwrap();
    assert_eq!(keeper.step(&jumped, &[(0, 0)].into()).unwrap(), 1);
    assert!(!keeper.status.snapshot().clock_in_doubt);
}

#[test]
fn a_hold_keeps_what_would_go() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), RUN, 30);
    let rules = Rules { holds: vec![hold(0, 201)], acked_by_hub: false, ..for_room(u64::MAX - 1, 1) };
    let mut keeper = keeper(&archive, rules);
    while keeper.step(&now(4000), &[(0, 0)].into()).unwrap() > 0 {}
    assert_eq!(archive.ledger(&ledger(RUN)).unwrap().gone(), RangeSet::from(21..30), "all that is not held");
    assert!(keeper.status.snapshot().stuck);
    while keeper.step(&now(5001), &[(0, 0)].into()).unwrap() > 0 {}
    assert_eq!(files(dir.path()), 0);
}

/// Windows or not: what goes is the oldest, over all ledgers.
#[test]
fn the_oldest_of_all_ledgers_go_however_few_are_seen_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    let mut numbers: Vec<(u8, u64)> = Vec::new();
    for run in 1..=3u8 {
        open_ledger(&archive, &ledger(run));
        // Every run has another rhythm; two overlap wholly.
        for n in 0..40 {
            numbers.push((run, n * u64::from(run)));
        }
    }
    for (run, number) in &numbers {
        record(&archive, &ledger(*run), *number);
    }
    let mut expected: Vec<_> = numbers.iter().map(|(run, number)| (*number, *run)).collect();
    expected.sort_unstable();
    let seq_of = |number: u64, run: u8| Seq(number / u64::from(run));
    let bytes = |(number, run): &(u64, u8)| {
        archive.entry(&ledger(*run), seq_of(*number, *run)).unwrap().unwrap().segment().unwrap().bytes
    };
    let enough: u64 = expected[..70].iter().map(bytes).sum();
    let mut keeper = keeper(&archive, Rules { acked_by_hub: false, ..for_room(1000, enough - 1) });
    let before = bytes_of(&archive);
    let (mut freed, mut steps) = (0, 0);
    loop {
        let more = keeper.step(&now(100_000), &[(0, 999 + before - bytes_of(&archive))].into()).unwrap();
        if more == 0 {
            break;
        }
        (freed, steps) = (freed + more, steps + 1);
    }
    assert_eq!(freed, 70, "not more than is needed, in {steps} steps");
    for (at, (number, run)) in expected.into_iter().enumerate() {
        let held = archive.holds(&ledger(run), seq_of(number, run));
        assert_eq!(held, at >= 70, "run {run}, segment {number}, the {at}th in age");
    }
}

#[test]
fn what_nobody_waits_for_expires_and_is_never_lost() {
    for replicate in [Replicate::OnDemand, Replicate::Never] {
        let dir = tempfile::tempdir().unwrap();
        let archive = recorded(dir.path(), RUN, 3);
        let policy = wire::Policy { replicate, ..wire::Policy::default() };
        let withheld = [(ledger(RUN).stream, policy)].into_iter().collect();
        // Also where what the hub waits for is kept: it waits for nothing here, and recording goes on.
        let rules = Rules { unacked: Unacked::Keep, withheld, ..for_room(1000, 1) };
        let mut keeper = keeper(&archive, rules);
        assert_eq!(keeper.step(&now(100), &[(0, 999)].into()).unwrap(), 1);
        assert_eq!(cause_at(&archive, 1), Some(GapCause::Expired), "{replicate:?}");
        assert_eq!(keeper.status.snapshot().lost_segments, 0);
        // Another policy counts from the next step on.
        keeper.settings.rules.withheld = wire::Policies::default();
        assert_eq!(keeper.step(&now(101), &[(0, 999)].into()).unwrap(), 0);
        keeper.settings.rules.unacked = Unacked::Free;
        assert_eq!(keeper.step(&now(102), &[(0, 999)].into()).unwrap(), 1);
        assert_eq!(cause_at(&archive, 11), Some(GapCause::LostBeforeReplication), "{replicate:?}");
    }
}

#[test]
fn a_vault_learns_what_will_not_come() {
    let (source, vault) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let archive = recorded(source.path(), RUN, 3);
    let mut keeper = keeper(&archive, Rules { acked_by_hub: true, ..for_room(1000, 1) });
    assert_eq!(keeper.step(&now(100), &[(0, 999)].into()).unwrap(), 1);
    let vault = Archive::open(vault.path()).unwrap();
    open_ledger(&vault, &ledger(RUN));
    let entries = archive.entries(&ledger(RUN), 0..4).unwrap();
    assert!(matches!(entries[3].kind(), Some(Kind::Gone(_))));
    let take = Change::Entries { site: site(), ledger: ledger(RUN), first: Seq(0), entries };
    vault.submit_blocking(take).unwrap();
    let known = vault.ledger(&ledger(RUN)).unwrap();
    assert_eq!((known.gone(), known.held()), (RangeSet::from(0..1), RangeSet::from(3..4)));
    assert_eq!(cause_at(&vault, 1), Some(GapCause::LostBeforeReplication));
    // Its parts may all have been on their way.
    let file = vault.dir().join("incoming/x.mp4");
    std::fs::write(&file, segment(&ledger(RUN), 0).0.concat()).unwrap();
    vault.submit_blocking(Change::Bytes { ledger: ledger(RUN), seq: Seq(0), file }).unwrap();
    assert_eq!(vault.ledger(&ledger(RUN)).unwrap().gone(), RangeSet::new());
    assert_eq!(cause_at(&vault, 1), None);
}

fn second(at: i64) -> UnixMicros {
    UnixMicros(at * 1_000_000)
}

/// Keeps what was recorded in these seconds, until 5000 s.
fn hold(from_s: i64, to_s: i64) -> Hold {
    Hold {
        site: site(),
        cameras: [ledger(1).stream.camera().to_owned()].into(),
        from: second(from_s),
        to: second(to_s),
        until: second(5000),
        reason: "theft".into(),
    }
}

fn segment_bytes(archive: &Archive, seq: u64) -> u64 {
    archive.entry(&ledger(RUN), Seq(seq)).unwrap().unwrap().segment().unwrap().bytes
}

#[test]
fn what_is_held_is_beside_what_is_kept_of_a_camera() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), RUN, 10);
    let most = (7..10).map(|seq| segment_bytes(&archive, seq)).sum();
    let held = (0..4).map(|seq| segment_bytes(&archive, seq)).sum();
    let policy = Policy { bytes_max: Some(most), age_max: None };
    let mut keeper = keeper(&archive, Rules { policy, holds: vec![hold(0, 31)], ..Rules::default() });
    // How much is held is measured beside; till then nothing goes.
    let patience = wire::clock::now() + Duration::from_secs(60);
    loop {
        let freed = keeper.step(&now(4000), &[(0, u64::MAX)].into()).unwrap();
        if keeper.status.snapshot().kept_bytes.is_some() {
            break;
        }
        assert_eq!(freed, 0);
        assert!(wire::clock::now() < patience, "it is never measured");
        std::thread::yield_now();
    }
    assert_eq!(keeper.status.snapshot().kept_bytes, Some(held));
    while keeper.step(&now(4000), &[(0, u64::MAX)].into()).unwrap() > 0 {}
    assert_eq!(archive.ledger(&ledger(RUN)).unwrap().gone(), RangeSet::from(4..7));
}

#[test]
fn nothing_is_freed_before_it_is_known_what_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), RUN, 4);
    let policy = Policy { age_max: Some(Duration::from_secs(60)), bytes_max: None };
    let mut keeper = keeper(&archive, Rules { policy, ..Rules::default() });
    keeper.settings.holds.suspend("nobody has told".into());
    assert_eq!(keeper.step(&now(4000), &[(0, 0)].into()).unwrap(), 0);
    assert!(keeper.status.snapshot().detail.contains("nobody has told"));
    keeper.settings.holds.set_suspended(vec![hold(0, 11)], "a person is to look".into());
    assert_eq!(keeper.step(&now(4000), &[(0, 0)].into()).unwrap(), 0, "known, and suspended");
    assert!(keeper.status.snapshot().suspended);
    keeper.settings.holds.set(vec![hold(0, 11)]);
    assert_eq!(keeper.step(&now(4000), &[(0, 0)].into()).unwrap(), 2);
    assert!(!keeper.status.snapshot().suspended);
    assert_eq!(archive.ledger(&ledger(RUN)).unwrap().gone(), RangeSet::from(2..4));
}

/// A clock that jumps past the end of a hold ends nothing; nor does what is acked meanwhile make it look away.
#[test]
fn a_jump_of_the_clock_ends_no_hold() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), RUN, 12);
    let rules = Rules { holds: vec![hold(0, 91)], ..for_room(1000, u64::MAX - 2000) };
    let mut keeper = keeper(&archive, rules);
    let jumped = Reading { wall: second(9000), ..now(60) };
    ack(&archive, RUN, 0..5);
    while keeper.step(&jumped, &[(0, 0)].into()).unwrap() > 0 {}
    ack(&archive, RUN, 0..12);
    while keeper.step(&jumped, &[(0, 0)].into()).unwrap() > 0 {}
    assert!(keeper.status.snapshot().clock_in_doubt && keeper.status.trusted_wall().is_none());
    assert_eq!(archive.ledger(&ledger(RUN)).unwrap().gone(), RangeSet::from(10..12));
    while keeper.step(&now(5001), &[(0, 0)].into()).unwrap() > 0 {}
    assert_eq!(files(dir.path()), 0, "it was, by a clock that goes on as it should");
}

/// Whoever has set a hold may say so: no step that began before frees what it keeps.
#[test]
fn a_hold_is_obeyed_once_it_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), RUN, 200);
    let policy = Policy { age_max: Some(Duration::from_secs(60)), bytes_max: None };
    let mut keeper = keeper(&archive, Rules { policy, ..Rules::default() });
    let holds = keeper.settings.holds.clone();
    let stepping =
        std::thread::spawn(move || while keeper.step(&now(4000), &[(0, 0)].into()).unwrap() > 0 {});
    holds.set(vec![hold(0, 100_000)]);
    let held = archive.ledger(&ledger(RUN)).unwrap().held();
    stepping.join().unwrap();
    assert_eq!(archive.ledger(&ledger(RUN)).unwrap().held(), held);
}

#[test]
fn what_there_is_of_a_range_is_told_side_by_side() {
    let (source, vault) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let archive = recorded(source.path(), RUN, 4);
    let bytes = |seq| segment_bytes(&archive, seq);
    let vault = Archive::open(vault.path()).unwrap();
    open_ledger(&vault, &ledger(RUN));
    let told = |entries: std::ops::Range<u64>| {
        let first = Seq(entries.start);
        let entries = archive.entries(&ledger(RUN), entries).unwrap();
        let take = Change::Entries { site: site(), ledger: ledger(RUN), first, entries };
        vault.submit_blocking(take).unwrap();
    };
    told(0..4);
    let file = vault.dir().join("incoming/x.mp4");
    std::fs::write(&file, segment(&ledger(RUN), 0).0.concat()).unwrap();
    vault.submit_blocking(Change::Bytes { ledger: ledger(RUN), seq: Seq(0), file }).unwrap();
    let found = || found(&vault, (&site(), &ledger(RUN).stream), (second(0), second(25))).unwrap();
    let amount = |seqs: &[u64]| Amount {
        segments: seqs.len() as u64,
        bytes: seqs.iter().map(|seq| bytes(*seq)).sum(),
    };
    let expected = Found { at_hub: amount(&[0]), at_site: amount(&[0, 1, 2]), gone: amount(&[]) };
    assert_eq!(found(), expected, "3 is behind the range");
    // The site frees the first two.
    let free = |seqs: std::ops::Range<u64>| Change::Free {
        ledger: ledger(RUN),
        at: second(100),
        of: ledger(RUN),
        seqs: seqs.into(),
        cause: GapCause::Expired,
    };
    archive.submit_blocking(free(0..2)).unwrap();
    told(4..5);
    let expected = Found { at_hub: amount(&[0]), at_site: amount(&[2]), gone: amount(&[1]) };
    assert_eq!(found(), expected);
}
