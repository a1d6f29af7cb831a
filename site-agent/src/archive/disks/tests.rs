//! Disks that are folders: taken away by renaming them, and brought back.

use std::fs;
use std::path::{Path, PathBuf};

use wire::proto::GapCause;
use wire::proto::entry::Kind;
use wire::{LedgerId, OriginId, RangeSet, SegmentNumber, Seq, SiteId, UnixMicros};

use super::identity::FILE;
use super::keeper::Looks;
use super::{FIRST, Place, Whose};
use crate::archive::tests::{append, ledger, open_ledger, segment, site};
use crate::archive::verify::{verify, verify_with};
use crate::archive::{Archive, ArchiveError, Change, Done, layout};
use crate::coverage::What;
use crate::retention::Writer;
use crate::serve::{NoTails, Present, timeline};

/// As many runs as it takes that each of three disks gets some.
const RUNS: u8 = 12;
pub(super) const OWN: Writer = Writer::Run(OriginId([99; 16]));

pub(super) struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    pub(super) fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["second", "third"] {
            fs::create_dir(scene.path(name)).unwrap();
        }
        scene
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn place(&self, name: &str) -> Place {
        Place { dir: self.path(name), same_file_system: true }
    }

    fn open(&self) -> Archive {
        self.open_at(&["second", "third"])
    }

    pub(super) fn open_at(&self, names: &[&str]) -> Archive {
        let places: Vec<_> = names.iter().map(|name| self.place(name)).collect();
        Archive::open_with(&self.path("first"), &places).unwrap()
    }

    pub(super) fn mv(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        let done =
            std::process::Command::new("cp").arg("-a").arg(self.path(from)).arg(self.path(to)).status();
        assert!(done.unwrap().success());
    }
}

pub(super) fn record(archive: &Archive, ledger: &LedgerId, number: u64) -> Result<Done, ArchiveError> {
    let (parts, entry) = segment(ledger, number);
    let mut open = archive.create_segment(ledger, SegmentNumber(number))?;
    for part in &parts {
        open.append(part)?;
    }
    append(archive, ledger, Kind::Segment(entry), Some(open.close()))
}

fn recorded(archive: &Archive) {
    for run in 1..=RUNS {
        open_ledger(archive, &ledger(run));
        for number in 0..2 {
            record(archive, &ledger(run), number).unwrap();
        }
    }
}

pub(super) fn looks(archive: &Archive) -> Looks {
    Looks::new(archive.clone(), Whose::Site(site()))
}

/// The runs whose segments are on a disk.
fn runs_on(archive: &Archive, number: u32) -> Vec<u8> {
    let on = |run: &u8| archive.disk_number(&ledger(*run), SegmentNumber(0)).unwrap() == number;
    (1..=RUNS).filter(on).collect()
}

pub(super) fn number_of(archive: &Archive, dir: &Path) -> u32 {
    archive.disks().all().iter().find(|disk| disk.dir() == dir).unwrap().number()
}

/// A run whose segments go to the second disk.
pub(super) fn on_second(scene: &Scene, archive: &Archive) -> LedgerId {
    let is = |ledger: &LedgerId| {
        archive.disks().choose(ledger, SegmentNumber(0), 0).unwrap().dir() == scene.path("second")
    };
    (1..99).map(ledger).find(is).unwrap()
}

fn held(archive: &Archive) -> u64 {
    archive.ledgers().iter().map(|(_, record)| record.held().len()).sum()
}

pub(super) fn why(archive: &Archive, dir: &Path) -> String {
    let shown = archive.disks_shown();
    let disk = shown.iter().find(|disk| disk.dir == dir.display().to_string()).unwrap();
    assert!(!disk.in_use);
    disk.detail.clone()
}

#[test]
fn segments_go_to_every_disk_and_are_found_after_a_restart() {
    let scene = Scene::new();
    let archive = scene.open();
    recorded(&archive);
    let all = |archive: &Archive| (0..3).all(|disk| !runs_on(archive, disk).is_empty());
    assert!(all(&archive), "each has some");
    for run in 1..=RUNS {
        let of = |number| archive.segment_path(&ledger(run), SegmentNumber(number)).unwrap();
        assert!(of(0).is_file() && of(0).parent() == of(1).parent(), "a ledger's stay together");
    }
    drop(archive);
    let report = verify(&scene.path("first"), |_| {}).unwrap();
    assert!(report.ok, "{:?}", report.bad);
    assert_eq!((report.segments, report.orphans), (u64::from(RUNS) * 2, 0));
    // In other places, in another order.
    scene.mv("second", "was-second");
    let report = verify(&scene.path("first"), |_| {}).unwrap();
    assert!(!report.ok && report.bad[0].contains("is not there"), "{:?}", report.bad);
    let told = [scene.path("was-second"), scene.path("third")];
    assert!(verify_with(&scene.path("first"), &told, |_| {}).unwrap().ok);
    let archive = scene.open_at(&["third", "was-second"]);
    assert!(all(&archive));
    assert!((1..=RUNS).all(|run| archive.open_file(&ledger(run), SegmentNumber(1)).is_ok()));
}

#[test]
fn a_disk_that_goes_and_comes_back_costs_nothing_for_good() {
    let scene = Scene::new();
    let archive = scene.open();
    recorded(&archive);
    let (second, bytes) = (number_of(&archive, &scene.path("second")), archive.held_bytes());
    let theirs = runs_on(&archive, second);
    let lost = ledger(theirs[0]);
    let mut looks = looks(&archive);
    looks.look().unwrap();
    assert_eq!(held(&archive), u64::from(RUNS) * 2);

    scene.mv("second", "unplugged");
    looks.look().unwrap();
    let away = theirs.len() as u64 * 2;
    assert_eq!(held(&archive), u64::from(RUNS) * 2 - away);
    assert_eq!(archive.damaged(None, 99).unwrap().len() as u64, away, "wanted from the other side");
    assert_eq!(archive.damage().wanted, 0, "and no damage");
    assert!(archive.held_bytes() < bytes && archive.poisoned().is_none());
    assert!(why(&archive, &scene.path("second")).contains("not there"));
    assert_eq!(archive.disks_shown()[second as usize].away, away);
    // Nobody says that it is lost.
    let writer = OWN.ledger(&archive, &site(), &lost.stream, UnixMicros(1)).unwrap();
    let (of, cause, at) = (lost.clone(), GapCause::Corrupt, UnixMicros(1));
    let freed = Change::Free { ledger: writer, at, of, seqs: RangeSet::from(0..2), cause };
    assert_eq!(archive.submit_blocking(freed).unwrap(), Done::Stored, "nothing was to be said");

    // Recording goes on, also of what would have gone there; and so it does over a restart.
    record(&archive, &lost, 2).unwrap();
    drop((looks, archive));
    let archive = scene.open();
    record(&archive, &lost, 3).unwrap();
    assert_eq!(archive.ledger(&lost).unwrap().away(), RangeSet::from(0..2));

    let mut looks = self::looks(&archive);
    looks.look().unwrap();
    scene.mv("unplugged", "second");
    looks.trouble.clear(); // it is not tried again at once
    looks.look().unwrap();
    let record = archive.ledger(&lost).unwrap();
    assert_eq!((record.held(), record.damaged_ranges.len()), (RangeSet::from(0..4), 0));
    assert!(
        archive.disks().in_use().len() == 3 && archive.ledgers().iter().all(|(_, one)| one.away().is_empty())
    );
    drop((looks, archive));
    assert!(verify(&scene.path("first"), |_| {}).unwrap().ok);
}

#[test]
fn what_is_on_a_disk_that_is_not_there_is_explained() {
    let scene = Scene::new();
    let archive = scene.open_at(&["second"]);
    let ledger = on_second(&scene, &archive);
    open_ledger(&archive, &ledger);
    record(&archive, &ledger, 0).unwrap();
    let mut looks = looks(&archive);
    looks.look().unwrap();
    scene.mv("second", "unplugged");
    looks.look().unwrap();
    let present = Present { now: UnixMicros(10_000_000_000), ..Present::default() };
    let range = (UnixMicros(1_000_000), UnixMicros(1_000_001));
    let shown = timeline(&archive, &NoTails, (&site(), &ledger.stream), range, present).unwrap().spans;
    let [span] = shown.as_slice() else { panic!("{shown:?}") };
    assert!(matches!(span.what, What::Gap { cause: GapCause::DiskLost, .. }), "{span:?}");
}

#[test]
fn what_came_again_meanwhile_is_not_kept_twice() {
    let scene = Scene::new();
    let archive = scene.open();
    recorded(&archive);
    let second = number_of(&archive, &scene.path("second"));
    let lost = ledger(runs_on(&archive, second)[0]);
    let mut looks = looks(&archive);
    looks.look().unwrap();
    scene.mv("second", "unplugged");
    looks.look().unwrap();
    let old = layout::segment(&scene.path("second"), &site(), &lost, SegmentNumber(0));
    let (parts, _) = segment(&lost, 0);
    let file = archive.incoming(&lost, SegmentNumber(0), 1).unwrap();
    fs::write(&file, parts.concat()).unwrap();
    archive.submit_blocking(Change::Bytes { ledger: lost.clone(), seq: Seq(0), file }).unwrap();
    assert!(archive.holds(&lost, Seq(0)) && !archive.holds(&lost, Seq(1)));
    assert_eq!(archive.ledger(&lost).unwrap().away(), RangeSet::from(1..2));
    scene.mv("unplugged", "second");
    looks.trouble.clear();
    looks.look().unwrap();
    assert!(archive.holds(&lost, Seq(1)) && old.is_file());
    assert_eq!(archive.delete_freed(9).unwrap(), 1);
    assert!(!old.exists() && archive.open_file(&lost, SegmentNumber(0)).is_ok());
    assert_eq!(archive.delete_freed(9).unwrap(), 0);
    drop((looks, archive));
    let report = verify(&scene.path("first"), |_| {}).unwrap();
    assert!(report.ok && report.orphans == 0, "{report:?}");
}

#[test]
fn what_is_no_disk_of_this_archive_is_said_and_not_touched() {
    let scene = Scene::new();
    drop(scene.open_at(&["second", "third"]));
    let other = Archive::open_with(&scene.path("others-first"), &[scene.place("others")]);
    assert!(other.is_ok(), "its folder is not there: that is no error");
    drop(other);
    fs::create_dir(scene.path("others")).unwrap();
    drop(Archive::open_with(&scene.path("others-first"), &[scene.place("others")]).unwrap());

    let says = |names: &[&str], which: &str| {
        let before = fs::read(scene.path(which).join(FILE)).ok();
        let archive = scene.open_at(names);
        let said = why(&archive, &scene.path(which));
        assert_eq!(fs::read(scene.path(which).join(FILE)).ok(), before, "not touched");
        said
    };
    assert!(says(&["second", "others"], "others").contains("another archive"));
    scene.copy("second", "copy");
    assert!(says(&["second", "copy"], "copy").contains("a copy of the disk"));
    // By now the disk has another mark than the copy; they change places.
    scene.mv("second", "kept");
    scene.mv("copy", "second");
    assert!(says(&["second"], "second").contains("older copy"));
    scene.mv("second", "copy");
    fs::create_dir(scene.path("second")).unwrap();
    assert!(says(&["second"], "second").contains("is its disk mounted?"));
    fs::write(scene.path("second/holiday.jpg"), b"").unwrap();
    assert!(says(&["second"], "second").contains("holiday.jpg"));
    fs::remove_dir_all(scene.path("second")).unwrap();
    assert!(says(&["second"], "second").contains("not there"));
    // A person says that the copy is the right one.
    scene.mv("copy", "second");
    let text = fs::read_to_string(scene.path("second").join(FILE)).unwrap();
    let mut identity: serde_json::Value = serde_json::from_str(&text).unwrap();
    identity["mark"] = "".into();
    fs::write(scene.path("second").join(FILE), identity.to_string()).unwrap();
    assert!(scene.open_at(&["second"]).disks().in_use().len() == 2);
    // Of a folder on the system's own file system nobody can tell whether a disk is mounted there.
    let shared = Place { dir: scene.path("fourth"), same_file_system: false };
    fs::create_dir(&shared.dir).unwrap();
    let archive = Archive::open_with(&scene.path("first"), &[shared]).unwrap();
    assert!(why(&archive, &scene.path("fourth")).contains("is its disk mounted?"));
}

#[test]
fn a_failed_sync_on_a_further_disk_puts_that_out_and_nothing_else() {
    let scene = Scene::new();
    let archive = scene.open_at(&["second"]);
    open_ledger(&archive, &ledger(1));
    let (_, entry) = segment(&ledger(1), 0);
    // The kernel refuses to sync a character device.
    let file = scene.path("second/open/x.mp4");
    std::os::unix::fs::symlink("/dev/null", &file).unwrap();
    let refused = append(&archive, &ledger(1), Kind::Segment(entry), Some(file));
    assert!(matches!(refused, Err(ArchiveError::Io { .. })), "{refused:?}");
    assert!(archive.poisoned().is_none() && archive.disks().in_use().len() == 1);
    record(&archive, &ledger(1), 1).unwrap();
    assert_eq!(archive.disk_number(&ledger(1), SegmentNumber(1)).unwrap(), FIRST);
}

#[test]
fn what_was_open_when_a_disk_went_out_is_entered_when_it_is_back() {
    let scene = Scene::new();
    let archive = scene.open_at(&["second"]);
    let ledger = on_second(&scene, &archive);
    open_ledger(&archive, &ledger);
    let (parts, entry) = segment(&ledger, 0);
    let mut open = archive.create_segment(&ledger, SegmentNumber(0)).unwrap();
    parts[..3].iter().for_each(|part| open.append(part).unwrap());
    let mut looks = looks(&archive);
    looks.look().unwrap();
    scene.mv("second", "unplugged");
    looks.look().unwrap();
    assert!(open.append(&parts[3]).is_err(), "its disk is out");
    assert!(append(&archive, &ledger, Kind::Segment(entry), Some(open.close())).is_err());
    scene.mv("unplugged", "second");
    looks.trouble.clear();
    looks.look().unwrap();
    let entered: Vec<_> = archive.query(&site(), &ledger.stream, UnixMicros(0), UnixMicros::MAX).unwrap();
    let [one] = entered.as_slice() else { panic!("{entered:?}") };
    let from = one.entry.segment().unwrap().recovered_from.as_ref().unwrap();
    assert!(one.held && from.origin == ledger.origin.0.as_slice());
    assert_eq!(one.entry.segment().unwrap().fragments.len(), 2);
}

#[test]
fn a_lost_index_and_a_lost_first_disk_are_made_anew_from_all_there_are() {
    let scene = Scene::new();
    let archive = scene.open();
    recorded(&archive);
    let on_first = runs_on(&archive, FIRST).len() as u64 * 2;
    drop(archive);
    fs::remove_dir_all(scene.path("first/index")).unwrap();
    let archive = scene.open();
    assert!(archive.is_index_lost() && archive.disks().in_use().len() == 3);
    // What is known again by its entry is where it was.
    assert_eq!(archive.enter_unknown(&site(), false).unwrap(), u64::from(RUNS) * 2);
    drop(archive);
    assert!(verify(&scene.path("first"), |_| {}).unwrap().ok);

    scene.mv("first", "broken");
    let archive = scene.open();
    assert!(archive.is_index_lost() && archive.disks().in_use().len() == 3);
    assert!(archive.enter_unknown(&SiteId::new("shop-1").unwrap(), false).unwrap() <= u64::from(RUNS) * 2);
    assert!(held(&archive) > 0 && on_first > 0);
}

#[test]
fn a_disk_that_was_not_there_when_the_index_was_lost_is_taken_in_later() {
    let scene = Scene::new();
    let archive = scene.open_at(&["second"]);
    recorded(&archive);
    let second = number_of(&archive, &scene.path("second"));
    let theirs = runs_on(&archive, second);
    let told = ledger(theirs[0]);
    let entries = archive.entries(&told, 0..2).unwrap();
    drop(archive);
    fs::remove_dir_all(scene.path("first/index")).unwrap();
    scene.mv("second", "unplugged");
    let archive = scene.open_at(&["second"]);
    archive.enter_unknown(&site(), false).unwrap();
    // The hub told of one ledger meanwhile.
    open_ledger(&archive, &told);
    let change = Change::Entries { site: site(), ledger: told.clone(), first: Seq(0), entries };
    archive.submit_blocking(change).unwrap();
    let before = held(&archive);
    scene.mv("unplugged", "second");
    looks(&archive).look().unwrap();
    assert!(archive.holds(&told, Seq(0)) && archive.holds(&told, Seq(1)));
    assert_eq!(held(&archive), before + theirs.len() as u64 * 2, "the others under new names");
}
