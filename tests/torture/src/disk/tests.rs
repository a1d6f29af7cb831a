//! The disk is no kinder than it says, and no worse.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::{Disk, Model, ROOT, Refusal};

fn chance(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

fn model() -> Model {
    Model::new(1 << 20)
}

#[test]
fn what_was_synced_is_there_after_every_power_cut() {
    for seed in 0..200 {
        let mut disk = model();
        let folder = disk.create(ROOT, "f".as_ref(), true).unwrap();
        let file = disk.create(folder, "a".as_ref(), false).unwrap();
        disk.write(file, 0, &[7; 5000]).unwrap();
        disk.sync_file(file).unwrap();
        disk.sync_folder(folder).unwrap();
        disk.sync_folder(ROOT).unwrap();
        disk.write(file, 5000, &[8; 9000]).unwrap();
        disk.lose_power(&mut chance(seed));
        let found = disk.find(disk.find(ROOT, "f".as_ref()).unwrap(), "a".as_ref()).unwrap();
        assert_eq!(disk.read(found, 0, 5000).unwrap(), [7; 5000]);
    }
}

#[test]
fn what_was_not_synced_may_be_lost_torn_or_kept() {
    let (mut lengths, mut named) = (std::collections::BTreeSet::new(), 0);
    for seed in 0..200 {
        let mut disk = model();
        let file = disk.create(ROOT, "a".as_ref(), false).unwrap();
        disk.write(file, 0, &[7; 12_288]).unwrap();
        disk.lose_power(&mut chance(seed));
        if let Ok(file) = disk.find(ROOT, "a".as_ref()) {
            named += 1;
            lengths.insert(disk.facts(file).unwrap().size);
        }
    }
    assert!((20..180).contains(&named), "the name was there {named} times of 200");
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [0, 4096, 8192, 12_288]);
}

#[test]
fn a_synced_folder_in_a_folder_that_was_not_is_lost() {
    let gone = (0..100).filter(|seed| {
        let mut disk = model();
        let folder = disk.create(ROOT, "f".as_ref(), true).unwrap();
        let file = disk.create(folder, "a".as_ref(), false).unwrap();
        disk.sync_file(file).unwrap();
        disk.sync_folder(folder).unwrap();
        disk.lose_power(&mut chance(*seed));
        disk.find(ROOT, "f".as_ref()) == Err(Refusal::Missing)
    });
    assert!(gone.count() > 20);
}

#[test]
fn a_rename_is_one_step_and_durable_with_either_folder() {
    for seed in 0..100 {
        let mut disk = model();
        let [from, to] = ["from", "to"].map(|name| disk.create(ROOT, name.as_ref(), true).unwrap());
        let file = disk.create(from, "a".as_ref(), false).unwrap();
        disk.sync_all();
        disk.rename((from, "a".as_ref()), (to, "b".as_ref())).unwrap();
        if seed % 2 == 0 {
            disk.sync_folder(to).unwrap();
        }
        disk.lose_power(&mut chance(seed));
        let places = [disk.find(from, "a".as_ref()), disk.find(to, "b".as_ref())];
        assert_eq!(places.iter().filter(|place| **place == Ok(file)).count(), 1, "{places:?}");
        assert!(seed % 2 == 1 || places[1] == Ok(file));
    }
}

#[test]
fn a_full_disk_takes_nothing_and_room_comes_back() {
    let mut disk = model();
    let file = disk.create(ROOT, "a".as_ref(), false).unwrap();
    disk.opened(file).unwrap();
    disk.write(file, 0, &vec![0; 1 << 20]).unwrap();
    assert_eq!(disk.write(file, 1 << 20, &[0]), Err(Refusal::Full));
    disk.remove(ROOT, "a".as_ref()).unwrap();
    assert_eq!(disk.room().0, 1 << 20, "it is still open");
    disk.closed(file);
    assert_eq!(disk.room().0, 0);
}

#[test]
fn it_is_a_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&dir.path().join("disk"), 1 << 20).expect("mounting needs root and /dev/fuse");
    let at = disk.at().to_owned();
    fs::create_dir_all(at.join("a/b")).unwrap();
    let mut file = File::create(at.join("a/b/kept")).unwrap();
    file.write_all(b"synced").unwrap();
    file.sync_all().unwrap();
    for folder in ["a/b", "a", ""] {
        File::open(at.join(folder)).unwrap().sync_all().unwrap();
    }
    file.write_all(b", and more").unwrap();
    drop(file);
    assert_eq!(fs::read(at.join("a/b/kept")).unwrap(), b"synced, and more");
    assert_eq!(fs::read_dir(at.join("a")).unwrap().count(), 1);
    disk.lose_power(&mut chance(1)).unwrap();
    assert!(fs::read(at.join("a/b/kept")).unwrap().starts_with(b"synced"));

    disk.set_free(4096);
    let full = fs::write(at.join("large"), vec![0; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    disk.take_away();
    assert!(fs::read(at.join("a/b/kept")).is_err());
    disk.bring_back();
    assert!(fs::read(at.join("a/b/kept")).is_ok());
}

#[test]
fn a_sync_is_held_back_until_the_disk_goes() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&dir.path().join("disk"), 1 << 20).expect("mounting needs root and /dev/fuse");
    let file = OpenOptions::new().create(true).append(true).open(disk.at().join("a")).unwrap();
    file.sync_all().unwrap();
    disk.hold_sync(1);
    file.sync_all().unwrap();
    assert!(!disk.await_held(Duration::ZERO));
    let waiting = std::thread::spawn(move || file.sync_all());
    assert!(disk.await_held(Duration::from_secs(10)));
    disk.take_away();
    assert!(waiting.join().unwrap().is_err());
}
