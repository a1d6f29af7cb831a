//! Scrub over a real archive, step by step.

use std::path::{Path, PathBuf};

use wire::proto::GapCause;
use wire::proto::entry::Kind;
use wire::{OriginId, SegmentNumber, UnixMicros, proto};

use super::*;
use crate::archive::layout;
use crate::archive::tests::{append, check as verify, ledger, open_ledger, record, segment, site};
use crate::coverage::What;
use crate::retention::Writer;
use crate::serve::{NoTails, Present, timeline};

const OWN: Writer = Writer::Run(OriginId([9; 16]));
const VAULT: Writer = Writer::Vault(OriginId([8; 16]));

/// A run of four segments of ten seconds, four of which are recorded; number n begins at 10 n s.
fn recorded(dir: &Path) -> Archive {
    let archive = Archive::open(dir).unwrap();
    open_ledger(&archive, &ledger(1));
    for number in 0..4 {
        record(&archive, &ledger(1), number);
    }
    archive
}

fn scrubber(archive: &Archive, elsewhere: Elsewhere) -> Scrubber {
    let rules = Rules { period: None, rate_max: 1e9 };
    let mut scrubber = Scrubber::new(archive.clone(), Settings { rules, elsewhere }, Arc::default()).unwrap();
    if scrubber.progress.pass == 0 {
        scrubber.progress.begin(UnixMicros(1), false);
    }
    scrubber
}

/// Reads on until the pass is over.
fn pass(scrubber: &mut Scrubber) {
    let pass = scrubber.progress.pass;
    while scrubber.progress.pass == pass {
        scrubber.step().unwrap();
    }
}

fn file(archive: &Archive, number: u64) -> PathBuf {
    archive.segment_path(&ledger(1), SegmentNumber(number)).unwrap()
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Why an instant shows no recording, or nothing where it does.
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
fn what_is_damaged_is_held_no_more_and_right_bytes_repair_it() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path());
    let (held, bytes) = (archive.ledger(&ledger(1)).unwrap().held(), archive.held_bytes());
    flip(&file(&archive, 1));
    std::fs::remove_file(file(&archive, 3)).unwrap();
    let mut scrub = scrubber(&archive, Elsewhere::Hub);
    pass(&mut scrub);
    let totals = scrub.progress.totals;
    assert_eq!((totals.read_segments, totals.bad, totals.missing, totals.failing), (4, 1, 1, 0));
    let record = archive.ledger(&ledger(1)).unwrap();
    assert_eq!((record.held().len(), record.damaged().len(), archive.damage().wanted), (2, 2, 2));
    assert!(record.gone().is_empty(), "it is wanted, and not given up");
    assert!(archive.held_bytes() < bytes);
    assert_eq!(
        [2, 12, 22, 32].map(|at| cause_at(&archive, at)),
        [None, Some(GapCause::Corrupt), None, Some(GapCause::Corrupt)]
    );
    drop((scrub, archive));
    let report = verify(dir.path());
    assert!(report.ok && report.damaged == 2 && report.orphans == 0, "{report:?}");

    // It survives a restart, and ends when the bytes come.
    let archive = Archive::open(dir.path()).unwrap();
    let mut scrub = scrubber(&archive, Elsewhere::Hub);
    for (number, placed) in [1, 3].into_iter().zip(archive.damaged(None, 10).unwrap()) {
        assert_eq!(placed.segment.number, number);
        let (parts, _) = segment(&ledger(1), number);
        let file = layout::incoming(dir.path(), &ledger(1), SegmentNumber(number));
        std::fs::write(&file, parts.concat()).unwrap();
        archive.submit_blocking(Change::Bytes { ledger: placed.ledger, seq: placed.seq, file }).unwrap();
    }
    scrub.show();
    assert_eq!((archive.damage().wanted, scrub.progress.totals.repaired), (0, 2));
    assert_eq!((archive.ledger(&ledger(1)).unwrap().held(), archive.held_bytes()), (held, bytes));
    pass(&mut scrub);
    assert_eq!((scrub.progress.totals.bad, scrub.progress.totals.missing), (1, 1), "found once");
    drop((scrub, archive));
    let report = verify(dir.path());
    assert!(report.ok && report.segments == 4 && report.damaged == 0, "{report:?}");
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path());
    let mut first = scrubber(&archive, Elsewhere::Hub);
    first.step().unwrap();
    first.step().unwrap();
    first.note();
    drop((first, archive));
    let archive = Archive::open(dir.path()).unwrap();
    let mut second = scrubber(&archive, Elsewhere::Hub);
    assert_eq!(second.progress.after(), Some((ledger(1), Seq(1))));
    pass(&mut second);
    assert_eq!((second.progress.totals.read_segments, second.progress.pass), (4, 2));
}

#[test]
fn what_nobody_has_is_given_up_with_its_cause_and_its_file_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path());
    flip(&file(&archive, 2));
    let mut scrub = scrubber(&archive, Elsewhere::Nobody(OWN));
    pass(&mut scrub);
    scrub.settle();
    scrub.show();
    archive.delete_freed(10).unwrap();
    assert_eq!((archive.damage().wanted, scrub.progress.totals.given_up), (0, 1));
    assert_eq!(cause_at(&archive, 22), Some(GapCause::Corrupt));
    assert_eq!(cause_at(&archive, 12), None);
    assert!(!file(&archive, 2).exists());
    let aside = layout::files(&dir.path().join("discarded")).unwrap();
    assert_eq!(aside.len(), 1);
    let (parts, _) = segment(&ledger(1), 2);
    assert_eq!(
        std::fs::read(&aside[0]).unwrap().len(),
        parts.concat().len(),
        "what is left of it can be read"
    );
    drop((scrub, archive));
    let report = verify(dir.path());
    assert!(report.ok && report.without_bytes == 1 && report.orphans == 0, "{report:?}");
}

#[test]
fn a_disk_that_was_not_there_and_is_back_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path());
    let (media, away) = (dir.path().join("media"), dir.path().join("away"));
    std::fs::rename(&media, &away).unwrap();
    let mut scrub = scrubber(&archive, Elsewhere::Hub);
    pass(&mut scrub);
    assert_eq!((archive.damage().wanted, scrub.progress.totals.missing), (4, 4));
    scrub.look_again();
    assert_eq!(archive.damage().wanted, 4);
    std::fs::rename(&away, &media).unwrap();
    scrub.look_again();
    assert_eq!(archive.damage().wanted, 0);
    drop((scrub, archive));
    let report = verify(dir.path());
    assert!(report.ok && report.segments == 4, "{report:?}");
}

#[test]
fn what_is_freed_meanwhile_is_not_missing() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path());
    open_ledger(&archive, &ledger(9));
    let mut scrub = scrubber(&archive, Elsewhere::Hub);
    let placed = archive.next_held(None).unwrap().unwrap();
    let (at, of, seqs) = (UnixMicros(1), ledger(1), (0..1).into());
    let free = Change::Free { ledger: ledger(9), at, of, seqs, cause: GapCause::Expired };
    archive.submit_blocking(free).unwrap();
    scrub.found(&placed, Finding::Missing).unwrap();
    assert_eq!((scrub.progress.totals.missing, archive.damage().wanted), (0, 0));
}

#[test]
fn a_vault_waits_for_the_site_and_gives_up_what_that_has_freed() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path()); // as a site's ledger in a vault
    flip(&file(&archive, 0));
    flip(&file(&archive, 1));
    let mut scrub = scrubber(&archive, Elsewhere::Site(VAULT));
    pass(&mut scrub);
    scrub.settle();
    assert_eq!(archive.damage().wanted, 2, "the site may have them");
    // The site tells, in the ledger of a later run, that it has freed one of them.
    open_ledger(&archive, &ledger(2));
    let of = Some(ledger(1).to_proto());
    let seqs = vec![proto::Range { start: 0, end: 1 }];
    let gone =
        proto::Gone { ledger: of, seqs, cause: GapCause::Expired.into(), start_us: 0, end_us: 4_000_000 };
    let entry = wire::entry::Entry::write(UnixMicros(1), Kind::Gone(gone));
    let (ledger_2, first, entries) = (ledger(2), Seq(0), vec![entry]);
    archive.submit_blocking(Change::Entries { site: site(), ledger: ledger_2, first, entries }).unwrap();
    assert_eq!(archive.damage().wanted, 2, "why it is gone here has yet to be said");
    scrub.settle();
    assert_eq!(archive.damage(), crate::archive::Damage { wanted: 1, repaired: 0, given_up: 1 });
    assert_eq!(archive.ledger(&ledger(1)).unwrap().gone().values().collect::<Vec<_>>(), [0]);
    assert_eq!([2, 12].map(|at| cause_at(&archive, at)), [Some(GapCause::Corrupt); 2]);
}

#[test]
fn a_thread_that_is_asked_reads_everything_and_ends_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path());
    flip(&file(&archive, 3));
    let gap = proto::Gap { start_us: 1, end_us: 2, ..proto::Gap::default() };
    append(&archive, &ledger(1), Kind::Gap(gap), None).unwrap();
    let status = Arc::<Status>::default();
    let rules = Rules { period: None, rate_max: 1e9 };
    let settings = Settings { rules, elsewhere: Elsewhere::Nobody(OWN) };
    let scrub = Scrub::start(&archive, settings, status.clone()).unwrap();
    status.ask();
    let began = wire::clock::now();
    while status.snapshot().asked || status.snapshot().totals.given_up == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", status.snapshot());
        std::thread::sleep(Duration::from_millis(10));
    }
    let shown = status.snapshot();
    assert_eq!((shown.totals.read_segments, shown.totals.bad, shown.wanted), (4, 1, 0), "{shown:?}");
    assert!(status.metrics().contains("holdfast_scrub_bad{disk="));
    drop(scrub);
}
