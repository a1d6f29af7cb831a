//! The disk held against a plain one: names that mean files, files that are bytes, and of each what a power cut may leave.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::model::{Inode, Model, ROOT, Refusal};

const FOLDERS: usize = 3;
const NAMES: [&str; 3] = ["a", "b", "c"];
const SECTOR: usize = 512;
/// A few files of the size that is written fill it.
const CAPACITY: usize = 60_000;

/// A folder and a name in it.
type Slot = (usize, usize);

#[derive(Clone, Debug)]
enum Op {
    Create(Slot),
    Write(Slot, usize, usize),
    Resize(Slot, usize),
    Rename(Slot, Slot),
    Remove(Slot),
    SyncFile(Slot),
    SyncFolder(usize),
    SyncAll,
    Cut(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let slot = || (0..FOLDERS, 0..NAMES.len());
    prop_oneof![
        3 => slot().prop_map(Op::Create),
        8 => (slot(), 0..12_000usize, 1..9_000usize).prop_map(|(slot, at, size)| Op::Write(slot, at, size)),
        2 => (slot(), 0..16_000usize).prop_map(|(slot, size)| Op::Resize(slot, size)),
        3 => (slot(), slot()).prop_map(|(from, to)| Op::Rename(from, to)),
        1 => slot().prop_map(Op::Remove),
        3 => slot().prop_map(Op::SyncFile),
        2 => (0..FOLDERS).prop_map(Op::SyncFolder),
        1 => Just(Op::SyncAll),
        1 => any::<u64>().prop_map(Op::Cut),
    ]
}

/// A file, plainly.
struct Plain {
    inode: Inode,
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// The shortest it was since the last sync.
    shortest: usize,
    changed: bool,
}

impl Plain {
    fn sync(&mut self) {
        self.synced.clone_from(&self.bytes);
        (self.shortest, self.changed) = (self.bytes.len(), false);
    }

    /// May a power cut leave this of it?
    fn may_be(&self, left: &[u8]) -> Result<(), String> {
        let (old, new) = (&self.synced, &self.bytes);
        if !self.changed && left != old {
            return Err("it was synced, and is otherwise".to_owned());
        }
        let lengths = old.len().min(self.shortest)..=old.len().max(new.len());
        if !lengths.contains(&left.len()) {
            return Err(format!("{} bytes are left, not {lengths:?}", left.len()));
        }
        for (at, byte) in left.iter().enumerate() {
            let hole = *byte == 0 && at >= old.len().min(self.shortest);
            if !hole && ![old.get(at), new.get(at)].contains(&Some(byte)) {
                return Err(format!("byte {at} is neither the old one nor the new one"));
            }
        }
        let whole = old.len().min(new.len()).min(self.shortest).min(left.len()) / SECTOR;
        let sectors = (0..whole).map(|n| n * SECTOR..(n + 1) * SECTOR);
        let is_whole = |at: &std::ops::Range<usize>| {
            let left = &left[at.clone()];
            left == &old[at.clone()] || left == &new[at.clone()]
        };
        match sectors.into_iter().find(|at| !is_whole(at)) {
            Some(at) => Err(format!("the sector at {} is torn", at.start)),
            None => Ok(()),
        }
    }
}

/// Both disks.
struct Pair {
    model: Model,
    folders: Vec<Inode>,
    files: Vec<Plain>,
    names: BTreeMap<Slot, usize>,
    /// What a name may mean after a power cut, if it isn't sure.
    may: BTreeMap<Slot, BTreeSet<Option<usize>>>,
    /// What is written next: never 0.
    value: u8,
}

impl Pair {
    fn new() -> Self {
        let mut model = Model::new(CAPACITY as u64);
        let further = ["f", "g"].map(|name| model.create(ROOT, name.as_ref(), true).unwrap());
        model.sync_all();
        let folders = [ROOT].into_iter().chain(further).collect();
        let (files, names, may) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { model, folders, files, names, may, value: 1 }
    }

    fn place(&self, (folder, name): Slot) -> (Inode, &'static std::ffi::OsStr) {
        (self.folders[folder], NAMES[name].as_ref())
    }

    fn used(&self) -> usize {
        self.names.values().map(|file| self.files[*file].bytes.len()).sum()
    }

    fn name(&mut self, slot: Slot, file: Option<usize>) {
        let before = self.names.get(&slot).copied();
        self.may.entry(slot).or_default().extend([before, file]);
        match file {
            Some(file) => drop(self.names.insert(slot, file)),
            None => drop(self.names.remove(&slot)),
        }
    }

    /// The file a slot means, and whether so many bytes more fit on the disk.
    fn grown(&self, slot: Slot, to: usize) -> Option<(usize, bool)> {
        let file = *self.names.get(&slot)?;
        let more = to.saturating_sub(self.files[file].bytes.len());
        Some((file, more == 0 || self.used() + more <= CAPACITY))
    }

    fn play(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Create(slot) => self.create(slot),
            Op::Write(slot, at, size) => self.write(slot, at, size),
            Op::Resize(slot, size) => self.resize(slot, size),
            Op::Rename(from, to) => self.rename(from, to),
            Op::Remove(slot) => {
                let (folder, name) = self.place(slot);
                let known = self.names.contains_key(&slot);
                prop_assert_eq!(self.model.remove(folder, name).is_ok(), known);
                if known {
                    self.name(slot, None);
                }
                Ok(())
            }
            Op::SyncFile(slot) => {
                let Some(file) = self.names.get(&slot) else { return Ok(()) };
                let file = &mut self.files[*file];
                prop_assert_eq!(self.model.sync_file(file.inode), Ok(()));
                file.sync();
                Ok(())
            }
            Op::SyncFolder(folder) => {
                prop_assert_eq!(self.model.sync_folder(self.folders[folder]), Ok(()));
                self.may.retain(|slot, _| slot.0 != folder);
                Ok(())
            }
            Op::SyncAll => {
                self.model.sync_all();
                self.may.clear();
                self.files.iter_mut().for_each(Plain::sync);
                Ok(())
            }
            Op::Cut(seed) => self.cut(seed),
        }
    }

    fn create(&mut self, slot: Slot) -> Result<(), TestCaseError> {
        let (folder, name) = self.place(slot);
        let created = self.model.create(folder, name, false);
        if self.names.contains_key(&slot) {
            prop_assert_eq!(created, Err(Refusal::Exists));
            return Ok(());
        }
        let inode = created.map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
        let (bytes, synced) = (Vec::new(), Vec::new());
        self.files.push(Plain { inode, bytes, synced, shortest: 0, changed: false });
        self.name(slot, Some(self.files.len() - 1));
        Ok(())
    }

    fn write(&mut self, slot: Slot, at: usize, size: usize) -> Result<(), TestCaseError> {
        let Some((file, fits)) = self.grown(slot, at + size) else { return Ok(()) };
        let (file, data) = (&mut self.files[file], vec![self.value; size]);
        let written = self.model.write(file.inode, at as u64, &data);
        prop_assert_eq!(written, if fits { Ok(()) } else { Err(Refusal::Full) });
        if fits {
            self.value = self.value.checked_add(1).unwrap_or(1);
            let length = file.bytes.len().max(at + size);
            file.bytes.resize(length, 0);
            file.bytes[at..at + size].copy_from_slice(&data);
            file.changed = true;
        }
        Ok(())
    }

    fn resize(&mut self, slot: Slot, size: usize) -> Result<(), TestCaseError> {
        let Some((file, fits)) = self.grown(slot, size) else { return Ok(()) };
        let file = &mut self.files[file];
        let resized = self.model.resize(file.inode, size as u64);
        prop_assert_eq!(resized, if fits { Ok(()) } else { Err(Refusal::Full) });
        if fits {
            file.bytes.resize(size, 0);
            file.shortest = file.shortest.min(size);
            file.changed = true;
        }
        Ok(())
    }

    fn rename(&mut self, from: Slot, to: Slot) -> Result<(), TestCaseError> {
        let renamed = self.model.rename(self.place(from), self.place(to));
        let file = self.names.get(&from).copied();
        prop_assert_eq!(renamed, if file.is_some() { Ok(()) } else { Err(Refusal::Missing) });
        if file.is_some() && from != to {
            self.name(to, file);
            self.name(from, None);
        }
        Ok(())
    }

    /// The power goes. Whatever it left is what both go on with.
    fn cut(&mut self, seed: u64) -> Result<(), TestCaseError> {
        self.model.lose_power(&mut SmallRng::seed_from_u64(seed));
        let before = std::mem::take(&mut self.names);
        for slot in slots() {
            let (folder, name) = self.place(slot);
            let found = self.model.find(folder, name).ok();
            let file = found.and_then(|inode| self.files.iter().position(|file| file.inode == inode));
            prop_assert_eq!(found.is_some(), file.is_some(), "a file nobody made");
            let sure = BTreeSet::from([before.get(&slot).copied()]);
            let may = self.may.get(&slot).unwrap_or(&sure);
            prop_assert!(may.contains(&file), "{:?} means file {:?}, not one of {:?}", slot, file, may);
            let Some(file) = file else { continue };
            let named = self.names.insert(slot, file);
            prop_assert_eq!(named, None);
            let (plain, left) = (&mut self.files[file], self.model.read(found.unwrap_or(0), 0, usize::MAX));
            let left = left.map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
            plain.may_be(left).map_err(|why| TestCaseError::fail(format!("file {file}: {why}")))?;
            plain.bytes = left.to_vec();
            plain.sync();
        }
        let named: BTreeSet<_> = self.names.values().collect();
        prop_assert_eq!(named.len(), self.names.len(), "a file has two names");
        self.may.clear();
        Ok(())
    }

    /// Do processes see the same on both?
    fn compare(&self) -> Result<(), TestCaseError> {
        for slot in slots() {
            let (folder, name) = self.place(slot);
            let seen = self.model.find(folder, name).and_then(|inode| self.model.read(inode, 0, usize::MAX));
            let plain = self.names.get(&slot).map(|file| self.files[*file].bytes.as_slice());
            prop_assert!(seen.ok() == plain, "{:?} is not what was written there", slot);
        }
        prop_assert_eq!(self.model.room().0, self.used() as u64);
        Ok(())
    }
}

fn slots() -> impl Iterator<Item = Slot> {
    (0..FOLDERS).flat_map(|folder| (0..NAMES.len()).map(move |name| (folder, name)))
}

proptest! {
    #[test]
    fn processes_see_what_they_wrote_and_a_power_cut_leaves_nothing_else(ops in prop::collection::vec(op(), 1..120)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.play(op)?;
            pair.compare()?;
        }
        pair.cut(7)?;
        pair.compare()?;
    }
}
