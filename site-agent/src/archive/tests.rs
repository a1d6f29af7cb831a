use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use media::{Arrival, Output, Segmenter, SegmenterConfig, VideoCodec, VideoFrame, VideoTrack};
use wire::entry::Entry;
use wire::proto::entry::Kind;
use wire::proto::{self, GapCause};
use wire::{LedgerId, OriginId, RangeSet, SegmentNumber, Seq, SiteId, UnixMicros};

use super::verify::{Report, verify};
use super::*;

pub(crate) fn site() -> SiteId {
    SiteId::new("shop-1").unwrap()
}

pub(crate) fn ledger(origin: u8) -> LedgerId {
    LedgerId { origin: OriginId([origin; 16]), stream: "till-1/main".parse().unwrap() }
}

/// A closed segment of four fragments, as its parts and its entry.
pub(crate) fn segment(ledger: &LedgerId, number: u64) -> (Vec<Bytes>, proto::Segment) {
    let second = Duration::from_secs(1);
    let config = SegmenterConfig { segment: 10 * second, fragment: second, first_segment: 10 * second };
    let mut segmenter = Segmenter::new(ledger.clone(), config, 0).starting_at(SegmentNumber(number));
    let track = VideoTrack {
        codec: VideoCodec::H264,
        sample_entry: Bytes::from_static(b"\0\0\0\x08avc1"),
        rfc6381: "avc1".into(),
        width: 16,
        height: 16,
    };
    let mut outputs = segmenter.connected(track, None);
    for n in 0..5 {
        let at = i64::try_from(number).unwrap() * 10 + n;
        outputs.extend(segmenter.video(VideoFrame {
            pts_90k: n * 90_000,
            rtp: 0,
            key: true,
            data: Bytes::from(vec![
                0,
                0,
                0,
                3,
                0x65,
                u8::try_from(number).unwrap(),
                u8::try_from(n).unwrap(),
            ]),
            arrival: Arrival { wall: UnixMicros(at * 1_000_000), boot_us: at.unsigned_abs() * 1_000_000 },
            sender_report: None,
        }));
    }
    outputs.extend(segmenter.cut());
    let (mut parts, mut closed) = (Vec::new(), None);
    for output in outputs {
        match output {
            Output::Part(part) => parts.push(part.data),
            Output::Closed(segment) => closed = Some(*segment),
        }
    }
    (parts, closed.unwrap())
}

pub(crate) fn open_ledger(archive: &Archive, ledger: &LedgerId) {
    let change = Change::Open { ledger: ledger.clone(), site: site(), opened: UnixMicros(0) };
    archive.submit_blocking(change).unwrap();
}

/// Records a segment as a recorder does.
pub(crate) fn record(archive: &Archive, ledger: &LedgerId, number: u64) -> Done {
    let (parts, entry) = segment(ledger, number);
    let mut open = OpenSegment::create(archive.dir(), ledger, SegmentNumber(number)).unwrap();
    parts.iter().for_each(|part| open.append(part).unwrap());
    append(archive, ledger, Kind::Segment(entry), Some(open.close())).unwrap()
}

pub(crate) fn append(
    archive: &Archive,
    ledger: &LedgerId,
    kind: Kind,
    file: Option<std::path::PathBuf>,
) -> Result<Done> {
    archive.submit_blocking(Change::Append { ledger: ledger.clone(), at: UnixMicros(1), kind, file })
}

pub(crate) fn gap(start: i64, end: i64) -> Kind {
    let cause = GapCause::CameraDown.into();
    Kind::Gap(proto::Gap { start_us: start, end_us: end, cause, detail: String::new() })
}

pub(crate) fn check(dir: &Path) -> Report {
    verify(dir, |_| {}).unwrap()
}

#[test]
fn what_is_committed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    let identity = archive.identity();
    let ledger = ledger(1);
    open_ledger(&archive, &ledger);
    let Done::Appended { seq, .. } = record(&archive, &ledger, 0) else { panic!("appended") };
    assert_eq!(seq, Seq(0));
    append(&archive, &ledger, gap(5_000_000, 10_000_000), None).unwrap();
    let Done::Appended { seq, head } = record(&archive, &ledger, 1) else { panic!("appended") };
    assert_eq!(seq, Seq(2), "dense over kinds");
    drop(archive);

    let archive = Archive::open(dir.path()).unwrap();
    assert_eq!(archive.identity(), identity);
    assert_eq!(archive.head_before(&ledger, Seq(3)).unwrap(), Some(head));
    assert_eq!(archive.head_before(&ledger, Seq(4)).unwrap(), None);
    assert_eq!(archive.seq_of(&ledger, SegmentNumber(1)).unwrap(), Some(Seq(2)));
    let found = archive.query(&site(), &ledger.stream, UnixMicros(0), UnixMicros::MAX).unwrap();
    assert_eq!(found.iter().map(|one| one.seq.0).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(found.iter().all(|one| one.held));
    let before = archive.query(&site(), &ledger.stream, UnixMicros(0), found[1].start).unwrap();
    assert_eq!(before.len(), 1, "the range's end is not in it");
    drop(archive);
    let report = check(dir.path());
    assert!(report.ok, "{:?}", report.bad);
    assert_eq!((report.segments, report.entries, report.orphans, report.open), (2, 3, 0, 0));
}

#[test]
fn a_second_user_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _archive = Archive::open(dir.path()).unwrap();
    assert!(matches!(Archive::open(dir.path()), Err(ArchiveError::Locked(_))));
    assert!(matches!(verify(dir.path(), |_| {}), Err(ArchiveError::Locked(_))));
}

#[test]
fn ended_and_unknown_ledgers_take_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    assert!(matches!(append(&archive, &ledger(1), gap(0, 1), None), Err(ArchiveError::UnknownLedger(_))));
    open_ledger(&archive, &ledger(1));
    archive.submit_blocking(Change::End { ledger: ledger(1) }).unwrap();
    assert!(matches!(append(&archive, &ledger(1), gap(0, 1), None), Err(ArchiveError::Ended(_))));
}

#[test]
fn a_crash_leaves_whole_fragments_to_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    open_ledger(&archive, &ledger(1));
    let (parts, _) = segment(&ledger(1), 3);
    let mut open = OpenSegment::create(dir.path(), &ledger(1), SegmentNumber(3)).unwrap();
    parts[..3].iter().for_each(|part| open.append(part).unwrap());
    open.append(&parts[3][..parts[3].len() / 2]).unwrap(); // torn
    drop(open);
    // And one without a single whole fragment.
    let (parts, _) = segment(&ledger(1), 4);
    let mut torn = OpenSegment::create(dir.path(), &ledger(1), SegmentNumber(4)).unwrap();
    torn.append(&parts[0]).unwrap();
    drop(torn);

    let remains = recover(&archive).unwrap();
    assert_eq!(remains.ledgers, [ledger(1)]);
    assert!(!archive.ledger(&ledger(1)).unwrap().ended, "not before its files are entered");
    let found = remains.files;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].ledger, found[0].number), (&ledger(1), SegmentNumber(3)));
    assert_eq!(found[0].segment.fragments.len(), 2);
    let length = std::fs::metadata(&found[0].file).unwrap().len();
    assert_eq!(length, found[0].segment.bytes, "the torn fragment is cut off");
    assert_eq!(layout::files(&dir.path().join("discarded")).unwrap().len(), 1, "kept, not deleted");
}

#[test]
fn a_file_that_no_row_names_is_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    open_ledger(&archive, &ledger(1));
    record(&archive, &ledger(1), 0);
    // As if the power had failed between the rename and the batch.
    let (parts, _) = segment(&ledger(1), 1);
    let path = layout::segment(dir.path(), &site(), &ledger(1), SegmentNumber(1));
    std::fs::write(&path, parts.concat()).unwrap();
    let found = recover(&archive).unwrap().files;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].segment.fragments.len(), parts.len() - 1);
}

#[test]
fn a_vault_takes_entries_in_order_and_refuses_other_bytes() {
    let (source, vault) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (archive, vault) = (Archive::open(source.path()).unwrap(), Archive::open(vault.path()).unwrap());
    let ledger = ledger(1);
    open_ledger(&archive, &ledger);
    open_ledger(&vault, &ledger);
    record(&archive, &ledger, 0);
    append(&archive, &ledger, gap(5_000_000, 10_000_000), None).unwrap();
    record(&archive, &ledger, 1);
    let entries = archive.entries(&ledger, 0..3).unwrap();
    let take = |site: SiteId, first: u64, entries: &[Entry]| {
        let change =
            Change::Entries { site, ledger: ledger.clone(), first: Seq(first), entries: entries.to_vec() };
        vault.submit_blocking(change)
    };
    assert!(matches!(take(site(), 1, &entries[1..]), Err(ArchiveError::OutOfOrder { .. })));
    let other = SiteId::new("shop-2").unwrap();
    assert!(matches!(take(other, 0, &entries), Err(ArchiveError::NotYours { .. })));
    take(site(), 0, &entries[..2]).unwrap();
    take(site(), 0, &entries).unwrap(); // sent again after a cut
    let forged = [Entry::write(UnixMicros(1), gap(0, 1))];
    assert!(matches!(take(site(), 1, &forged), Err(ArchiveError::Conflict { .. })));

    let known = vault.ledger(&ledger).unwrap();
    assert_eq!(known.head(), archive.ledger(&ledger).unwrap().head(), "one chain on both sides");
    assert_eq!(known.held(), RangeSet::from(1..2), "segments are held when their bytes are");
    let file = vault.dir().join("incoming/x.mp4");
    std::fs::write(&file, segment(&ledger, 1).0.concat()).unwrap();
    vault.submit_blocking(Change::Bytes { ledger: ledger.clone(), seq: Seq(2), file }).unwrap();
    assert!(vault.holds(&ledger, Seq(2)) && !vault.holds(&ledger, Seq(0)));
    let dir = vault.dir().to_owned();
    drop(vault);
    let report = check(&dir);
    assert!(report.ok, "{:?}", report.bad);
    assert_eq!((report.segments, report.without_bytes), (1, 1));
}

#[test]
fn verify_finds_flipped_bits_missing_files_and_orphans() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    let ledger = ledger(1);
    open_ledger(&archive, &ledger);
    for number in 0..3 {
        record(&archive, &ledger, number);
    }
    let path = |number| layout::segment(dir.path(), &site(), &ledger, SegmentNumber(number));
    drop(archive);
    let mut bytes = std::fs::read(path(0)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path(0), bytes).unwrap();
    std::fs::rename(path(1), path(9)).unwrap();
    let report = check(dir.path());
    assert!(!report.ok);
    assert_eq!(report.bad.len(), 2, "{:?}", report.bad);
    assert_eq!(report.orphans, 1);
}

#[test]
fn a_failed_sync_stops_the_archive_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    let ledger = ledger(1);
    open_ledger(&archive, &ledger);
    let (_, entry) = segment(&ledger, 0);
    let missing = dir.path().join("open/nowhere.mp4");
    assert!(append(&archive, &ledger, Kind::Segment(entry.clone()), Some(missing)).is_err());
    assert!(archive.poisoned().is_none(), "a file that is not there says nothing about the disk");
    // The kernel refuses to sync a character device.
    assert!(append(&archive, &ledger, Kind::Segment(entry), Some("/dev/null".into())).is_err());
    assert!(archive.poisoned().is_some());
    assert!(matches!(append(&archive, &ledger, gap(0, 1), None), Err(ArchiveError::Poisoned(_))));
    drop(archive);
    assert_eq!(
        Archive::open(dir.path()).unwrap().ledger(&ledger).unwrap().next(),
        Seq(0),
        "nothing half done"
    );
}

#[test]
fn acks_are_remembered_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    let ledger = ledger(1);
    open_ledger(&archive, &ledger);
    let ack = |range: std::ops::Range<u64>, all| {
        let change = Change::Acked { ledger: ledger.clone(), seqs: range.into(), all };
        archive.submit_blocking(change).unwrap();
        archive.acked(&ledger)
    };
    assert_eq!(ack(0..2, false), RangeSet::from(0..2));
    assert_eq!(ack(2..5, false), RangeSet::from(0..5));
    assert_eq!(ack(1..2, true), RangeSet::from(1..2), "a vault that lost something says so");
}

/// What a hub tells of a ledger that it wrote itself.
fn by_standby() -> Returned {
    Returned { site: site(), opened: UnixMicros(0), by: proto::RecalledKind::Standby }
}

#[test]
fn what_comes_back_counts_as_acked_and_is_missing_until_it_is_here_or_not_wanted() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (hub, archive) = (Archive::open(theirs.path()).unwrap(), Archive::open(ours.path()).unwrap());
    open_ledger(&hub, &ledger(1));
    for number in 0..3 {
        record(&hub, &ledger(1), number);
    }
    let entries = hub.entries(&ledger(1), 0..3).unwrap();
    let change = || Change::Returned {
        ledger: ledger(1),
        about: by_standby(),
        first: Seq(0),
        entries: entries.clone(),
        acked: RangeSet::from(0..3),
    };
    archive.submit_blocking(change()).unwrap();
    archive.submit_blocking(change()).unwrap();
    let known = archive.ledger(&ledger(1)).unwrap();
    assert_eq!(
        (known.head(), known.returned, known.ended),
        (hub.ledger(&ledger(1)).unwrap().head(), true, true)
    );
    assert_eq!(known.acked(), RangeSet::from(0..3));
    assert_eq!(archive.missing(), [(ledger(1), 3)]);
    assert!(archive.open_ledgers().is_empty(), "recovery would take it for a run that died here");

    let file = layout::incoming(archive.dir(), &ledger(1), SegmentNumber(1));
    std::fs::copy(hub.segment_path(&ledger(1), SegmentNumber(1)).unwrap(), &file).unwrap();
    archive.submit_blocking(Change::Bytes { ledger: ledger(1), seq: Seq(1), file }).unwrap();
    archive.submit_blocking(Change::Unwanted { ledger: ledger(1), seqs: RangeSet::from(0..2) }).unwrap();
    let left = archive.missing_in(&ledger(1), Seq(0), 10).unwrap();
    assert_eq!(left.iter().map(|placed| placed.seq).collect::<Vec<_>>(), [Seq(2)]);
    assert!(archive.holds(&ledger(1), Seq(1)), "what is held is not given up");

    // Nobody has the last one after all: that is said, and then it is missing no more.
    open_ledger(&archive, &ledger(2));
    let cause = GapCause::LostBeforeReplication;
    let (of, seqs) = (ledger(1), RangeSet::from(2..3));
    let free = Change::Free { ledger: ledger(2), at: UnixMicros(9), of, seqs, cause };
    assert!(matches!(archive.submit_blocking(free).unwrap(), Done::Appended { .. }));
    assert!(archive.missing().is_empty());
    drop(archive);
    let report = verify(ours.path(), |_| {}).unwrap();
    assert!(report.ok && report.orphans == 0, "{report:?}");
    assert_eq!((report.segments, report.at_hub, report.without_bytes), (1, 2, 0));
}

#[test]
fn a_hub_adds_nothing_to_what_runs_here() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    open_ledger(&archive, &ledger(1));
    record(&archive, &ledger(1), 0);
    let (_, segment) = segment(&ledger(1), 1);
    let entries = vec![Entry::write(UnixMicros(5), Kind::Segment(segment))];
    let change = Change::Returned {
        ledger: ledger(1),
        about: by_standby(),
        first: Seq(1),
        entries,
        acked: RangeSet::new(),
    };
    assert!(matches!(archive.submit_blocking(change), Err(ArchiveError::WrittenHere(_))));
    assert_eq!(archive.ledger(&ledger(1)).unwrap().next(), Seq(1));
}

/// An archive with three recorded segments whose index is lost as `how` does it.
fn without_index(dir: &Path, how: impl FnOnce(&Path)) -> (Vec<Entry>, Archive) {
    let archive = Archive::open(dir).unwrap();
    open_ledger(&archive, &ledger(1));
    for number in 0..3 {
        record(&archive, &ledger(1), number);
    }
    let entries = archive.entries(&ledger(1), 0..3).unwrap();
    drop(archive);
    how(&dir.join("index"));
    (entries, Archive::open(dir).unwrap())
}

#[test]
fn an_index_that_is_gone_or_damaged_is_made_anew_from_the_files() {
    let garble = |index: &Path| {
        let manifest = std::fs::read_dir(index).unwrap().flatten().map(|entry| entry.path());
        let mut manifest = manifest.filter(|path| path.to_string_lossy().contains("MANIFEST"));
        std::fs::write(manifest.next().unwrap(), [7; 300]).unwrap();
    };
    let delete = |index: &Path| std::fs::remove_dir_all(index).unwrap();
    let pointer = |index: &Path| std::fs::remove_file(index.join("CURRENT")).unwrap();
    let astray = |index: &Path| std::fs::write(index.join("CURRENT"), "MANIFEST-999999\n").unwrap();
    let ways: [&dyn Fn(&Path); 4] = [&garble, &delete, &pointer, &astray];
    for how in ways {
        let dir = tempfile::tempdir().unwrap();
        let (entries, archive) = without_index(dir.path(), how);
        assert!(archive.is_index_lost() && archive.ledgers().is_empty());

        // The hub knows two of the three entries; of one of these the file rotted too.
        let rotten =
            dir.path().join(format!("media/shop-1/till-1/main/{}/000000/000000001.mp4", ledger(1).origin));
        std::fs::write(&rotten, b"rot").unwrap();
        let change = Change::Returned {
            ledger: ledger(1),
            about: Returned { by: proto::RecalledKind::Unspecified, ..by_standby() },
            first: Seq(0),
            entries: entries[..2].to_vec(),
            acked: RangeSet::from(0..2),
        };
        archive.submit_blocking(change).unwrap();
        let missing = archive.missing_in(&ledger(1), Seq(0), 10).unwrap();
        let found: Vec<_> = missing.iter().map(|placed| archive.found_in_place(placed).unwrap()).collect();
        assert!(found[0].is_some() && found[1].is_none());
        let file = found[0].clone().unwrap();
        archive.submit_blocking(Change::Bytes { ledger: ledger(1), seq: Seq(0), file }).unwrap();

        // Of the third nobody knows.
        assert_eq!(archive.enter_unknown(&site(), false).unwrap(), 1);
        archive.index_is_whole(1).unwrap();
        assert!(!archive.is_index_lost());
        let (other, record) = archive
            .ledgers()
            .into_iter()
            .find(|(id, _)| *id != ledger(1))
            .expect("a ledger for what was found");
        assert!(record.ended && record.held() == RangeSet::from(0..1));
        let entered = archive.entry(&other, Seq(0)).unwrap().unwrap();
        let before = entered.segment().unwrap().recovered_from.clone().unwrap();
        assert_eq!((before.number, &before.origin[..]), (2, &ledger(1).origin.0[..]));
        drop(archive);
        let report = verify(dir.path(), |_| {}).unwrap();
        assert!(report.ok, "{report:?}");
        assert_eq!((report.segments, report.without_bytes, report.orphans), (2, 1, 1));
    }
}

#[test]
fn a_new_archive_has_lost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!Archive::open(dir.path()).unwrap().is_index_lost());
    assert!(!Archive::open(dir.path()).unwrap().is_index_lost());
}
