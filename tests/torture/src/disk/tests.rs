//! The disk is no kinder than it says, and no worse.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::{About, Disk, Model, ROOT, Refusal};

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
    let (mut lengths, mut named, mut torn) = (std::collections::BTreeSet::new(), 0, 0);
    for seed in 0..200 {
        let mut disk = model();
        let file = disk.create(ROOT, "a".as_ref(), false).unwrap();
        disk.write(file, 0, &[7; 12_288]).unwrap();
        torn += disk.lose_power(&mut chance(seed)).torn;
        if let Ok(file) = disk.find(ROOT, "a".as_ref()) {
            named += 1;
            lengths.insert(disk.facts(file).unwrap().size);
        }
    }
    assert!((20..180).contains(&named), "the name was there {named} times of 200");
    assert!([0, 4096, 8192, 12_288].iter().all(|whole| lengths.contains(whole)), "{lengths:?}");
    assert!(lengths.iter().all(|length| length % 512 == 0), "a sector was torn: {lengths:?}");
    assert!(torn > 50 && lengths.len() > 8, "{torn} pages were torn: {lengths:?}");
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
fn a_bit_that_rots_is_rotten_for_everybody_until_it_is_written_over() {
    for seed in 0..50 {
        let mut disk = model();
        let file = disk.create(ROOT, "a".as_ref(), false).unwrap();
        assert!(!disk.rot(file, &mut chance(seed)).unwrap(), "nothing of it is on the disk");
        disk.write(file, 0, &[7; 100]).unwrap();
        disk.sync_all();
        assert!(disk.rot(file, &mut chance(seed)).unwrap());
        let flipped = |disk: &Model, file| -> u32 {
            disk.read(file, 0, 100).unwrap().iter().map(|byte| (byte ^ 7).count_ones()).sum()
        };
        assert_eq!(flipped(&disk, file), 1);
        disk.lose_power(&mut chance(seed));
        assert_eq!(flipped(&disk, file), 1);
        disk.write(file, 0, &[7; 100]).unwrap();
        disk.rot(file, &mut chance(seed)).unwrap();
        assert_eq!(flipped(&disk, file), 0, "what was written is in memory still");
        disk.sync_file(file).unwrap();
        disk.lose_power(&mut chance(seed));
        assert_eq!(flipped(&disk, file), 0, "and goes over it");
    }
}

#[test]
fn an_image_that_is_put_back_is_all_there_is() {
    let mut disk = model();
    let file = disk.create(ROOT, "a".as_ref(), false).unwrap();
    disk.write(file, 0, b"before").unwrap();
    disk.sync_all();
    let image = disk.clone();
    disk.write(file, 0, b"after!").unwrap();
    let other = disk.create(ROOT, "b".as_ref(), false).unwrap();
    disk.sync_all();
    disk.put_back(&image);
    assert_eq!(disk.read(disk.find(ROOT, "a".as_ref()).unwrap(), 0, 6).unwrap(), b"before");
    assert_eq!(disk.find(ROOT, "b".as_ref()), Err(Refusal::Missing));
    assert_ne!(disk.create(ROOT, "c".as_ref(), false).unwrap(), other, "the kernel knows that number");
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

#[test]
fn a_sync_that_is_let_go_is_carried_out() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&dir.path().join("disk"), 1 << 20).expect("mounting needs root and /dev/fuse");
    let at = disk.at().join("a");
    let mut file = OpenOptions::new().create(true).append(true).open(&at).unwrap();
    File::open(disk.at()).unwrap().sync_all().unwrap();
    file.write_all(b"late").unwrap();
    disk.hold_sync(0);
    let waiting = std::thread::spawn(move || file.sync_all());
    assert!(disk.await_held(Duration::from_secs(10)));
    disk.let_go(100);
    assert!(waiting.join().unwrap().is_ok());
    disk.take_away();
    disk.lose_power(&mut chance(1)).unwrap();
    assert_eq!(fs::read(&at).unwrap(), b"late");
}

#[test]
fn a_disk_that_lies_about_segments_tells_the_truth_about_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&dir.path().join("disk"), 1 << 20).expect("mounting needs root and /dev/fuse");
    let names = ["1.mp4", "1.log"].map(|name| disk.at().join(name));
    let lost = (0..40).filter(|seed| {
        disk.lie(About::Segments);
        for name in &names {
            let mut file = File::create(name).unwrap();
            file.write_all(&[7; 100]).unwrap();
            file.sync_all().unwrap();
        }
        File::open(disk.at()).unwrap().sync_all().unwrap();
        disk.take_away();
        disk.lose_power(&mut chance(*seed)).unwrap();
        assert_eq!(fs::read(&names[1]).unwrap(), [7; 100]);
        let lost = fs::read(&names[0]).unwrap() != [7; 100];
        names.iter().for_each(|name| fs::remove_file(name).unwrap());
        lost
    });
    assert!(lost.count() > 5);
}
