//! A disk in memory, with the ordering rules of a POSIX file system and no kinder.
//!
//! - What was written to a file and not synced may be lost at a power cut, from the end; the last write may
//!   be torn.
//! - A new, changed or removed *name* is durable only once its folder was synced; of the names that were not,
//!   each may or may not be there after the cut, whatever the order they were changed in. A rename is one step.
//! - A killed process loses nothing: the page cache is the kernel's.
//!
//! A sync takes time, and covers what was written before it *began*: [`Disk::begin_sync`] marks that,
//! [`Disk::finish_sync`] makes it durable. How long it takes, and what happens in between, is the caller's.
//!
//! Room for what comes later: a disk that is full or failing refuses writes ([`Disk::trouble`]); bit rot is
//! [`Disk::flip`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::chance::Chance;

/// A folder.
pub type Folder = u32;

/// A file's name: its folder, and a number in it. What the numbers mean is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Where it is.
    pub folder: Folder,
    /// Which it is there: by convention ledger and segment number.
    pub file: (u32, u64),
}

type Inode = u64;

/// A sync that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sync {
    inode: Inode,
    writes: usize,
}

impl Sync {
    /// How many of the file's writes it covers.
    pub fn writes(&self) -> usize {
        self.writes
    }
}

/// Why the disk does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No room left.
    Full,
    /// It does not answer any more.
    Failed,
}

#[derive(Clone, Debug, Default)]
struct File {
    writes: Vec<Bytes>,
    synced: usize,
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Writes that are gone.
    pub writes: usize,
    /// Writes of which a part is left.
    pub torn: usize,
    /// Changes of names that are undone.
    pub names: usize,
}

/// A disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// What refuses writes, if anything does.
    pub trouble: Option<Trouble>,
    files: BTreeMap<Inode, File>,
    /// As running processes see it.
    names: BTreeMap<Name, Inode>,
    /// As it would be after a power cut that takes all it may.
    durable: BTreeMap<Name, Inode>,
    /// Names that may differ between the two, in groups that stand or fall together: a rename is one step.
    changed: Vec<Vec<Name>>,
    next: Inode,
}

impl Disk {
    /// Makes an empty file; one of that name is replaced.
    pub fn create(&mut self, name: Name) -> Result<(), Trouble> {
        self.check()?;
        self.next += 1;
        self.files.insert(self.next, File::default());
        self.names.insert(name, self.next);
        self.note(&[name]);
        Ok(())
    }

    /// Writes at the end of a file that exists.
    pub fn append(&mut self, name: Name, data: Bytes) -> Result<(), Trouble> {
        self.check()?;
        if let Some(file) = self.names.get(&name).and_then(|inode| self.files.get_mut(inode)) {
            file.writes.push(data);
        }
        Ok(())
    }

    /// Begins to make durable what was written so far.
    pub fn begin_sync(&self, name: Name) -> Option<Sync> {
        let inode = *self.names.get(&name)?;
        Some(Sync { inode, writes: self.files.get(&inode)?.writes.len() })
    }

    /// What [`Self::begin_sync`] marked is durable.
    pub fn finish_sync(&mut self, sync: Sync) {
        if let Some(file) = self.files.get_mut(&sync.inode) {
            file.synced = file.synced.max(sync.writes);
        }
    }

    /// Renames, at once for those who look and durably with [`Self::sync_folder`].
    pub fn rename(&mut self, from: Name, to: Name) {
        if let Some(inode) = self.names.remove(&from) {
            self.names.insert(to, inode);
            self.note(&[from, to]);
        }
    }

    /// Removes a name.
    pub fn remove(&mut self, name: Name) {
        if self.names.remove(&name).is_some() {
            self.note(&[name]);
        }
    }

    /// Makes a folder's names durable.
    pub fn sync_folder(&mut self, folder: Folder) {
        for group in std::mem::take(&mut self.changed) {
            if group.iter().any(|name| name.folder == folder) {
                self.settle(&group);
            } else {
                self.changed.push(group);
            }
        }
        self.forget_nameless();
    }

    /// What a file holds, write by write.
    pub fn read(&self, name: Name) -> Option<&[Bytes]> {
        Some(&self.files.get(self.names.get(&name)?)?.writes)
    }

    /// The names in a folder, in order.
    pub fn list(&self, folder: Folder) -> impl Iterator<Item = Name> + '_ {
        let from = Name { folder, file: (0, 0) };
        self.names.range(from..).map(|(name, _)| *name).take_while(move |name| name.folder == folder)
    }

    /// Cuts a file after its first `writes` writes, as recovery does.
    pub fn truncate(&mut self, name: Name, writes: usize) {
        if let Some(file) = self.names.get(&name).and_then(|inode| self.files.get_mut(inode)) {
            file.writes.truncate(writes);
            file.synced = file.synced.min(writes);
        }
    }

    /// Flips a bit of a file's `write`-th write.
    pub fn flip(&mut self, name: Name, write: usize) {
        let file = self.names.get(&name).and_then(|inode| self.files.get_mut(inode));
        if let Some(data) = file.and_then(|file| file.writes.get_mut(write)) {
            let mut bytes = data.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            *data = bytes.into();
        }
    }

    /// The power goes: of what was not synced, chance takes what it likes.
    pub fn power_cut(&mut self, chance: &mut Chance) -> Lost {
        let mut lost = Lost::default();
        for group in std::mem::take(&mut self.changed) {
            if chance.coin() {
                self.settle(&group);
            } else {
                lost.names += group.len();
            }
        }
        self.names = self.durable.clone();
        self.forget_nameless();
        for file in self.files.values_mut() {
            let unsynced = file.writes.len() - file.synced;
            let kept = chance.below(unsynced + 1);
            if kept < unsynced {
                lost.writes += unsynced - kept;
                file.writes.truncate(file.synced + kept);
                if kept > 0
                    && chance.coin()
                    && let Some(last) = file.writes.last_mut()
                {
                    *last = last.slice(..last.len() / 2);
                    lost.torn += 1;
                }
            }
            // What survived is on the platter now.
            file.synced = file.writes.len();
        }
        lost
    }

    fn check(&self) -> Result<(), Trouble> {
        self.trouble.map_or(Ok(()), Err)
    }

    /// These names have changed, together.
    fn note(&mut self, names: &[Name]) {
        let mut together = names.to_vec();
        for group in std::mem::take(&mut self.changed) {
            if group.iter().any(|name| together.contains(name)) {
                together.extend(group);
            } else {
                self.changed.push(group);
            }
        }
        self.changed.push(together);
    }

    /// Makes names durable as they are seen.
    fn settle(&mut self, names: &[Name]) {
        for name in names {
            match self.names.get(name) {
                Some(inode) => drop(self.durable.insert(*name, *inode)),
                None => drop(self.durable.remove(name)),
            }
        }
    }

    /// Files without a name are free.
    fn forget_nameless(&mut self) {
        if self.changed.is_empty() && self.files.len() > self.names.len() {
            let named: BTreeSet<_> = self.names.values().chain(self.durable.values()).copied().collect();
            self.files.retain(|inode, _| named.contains(inode));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Name = Name { folder: 0, file: (1, 1) };
    const MEDIA: Name = Name { folder: 1, file: (1, 1) };

    fn written() -> Disk {
        let mut disk = Disk::default();
        disk.create(OPEN).unwrap();
        disk.append(OPEN, Bytes::from_static(b"header")).unwrap();
        disk
    }

    fn cuts(disk: &Disk) -> impl Iterator<Item = Disk> + '_ {
        (0..64).map(|seed| {
            let mut cut = disk.clone();
            cut.power_cut(&mut Chance::of(seed, "disk"));
            cut
        })
    }

    #[test]
    fn what_is_synced_with_its_folder_stays() {
        let mut disk = written();
        let sync = disk.begin_sync(OPEN).unwrap();
        disk.append(OPEN, Bytes::from_static(b"later")).unwrap();
        disk.finish_sync(sync);
        disk.sync_folder(0);
        assert!(cuts(&disk).all(|cut| cut.read(OPEN).unwrap()[0] == "header"));
        assert!(cuts(&disk).any(|cut| cut.read(OPEN).unwrap().len() == 1), "the later write was not synced");
    }

    #[test]
    fn a_synced_file_without_its_name_may_be_lost() {
        let mut disk = written();
        let sync = disk.begin_sync(OPEN).unwrap();
        disk.finish_sync(sync);
        assert!(cuts(&disk).any(|cut| cut.read(OPEN).is_none()));
        assert!(cuts(&disk).any(|cut| cut.read(OPEN).is_some()));
    }

    #[test]
    fn a_rename_is_durable_with_its_folder() {
        let mut disk = written();
        let sync = disk.begin_sync(OPEN).unwrap();
        disk.finish_sync(sync);
        disk.sync_folder(0);
        disk.rename(OPEN, MEDIA);
        assert!(cuts(&disk).any(|cut| cut.read(MEDIA).is_none()));
        assert!(cuts(&disk).all(|cut| cut.read(MEDIA).is_some() != cut.read(OPEN).is_some()));
        disk.sync_folder(1);
        assert!(cuts(&disk).all(|cut| cut.read(MEDIA).is_some()));
    }

    #[test]
    fn a_torn_write_is_shorter() {
        let mut disk = written();
        disk.sync_folder(0);
        disk.append(OPEN, Bytes::from_static(b"fragment")).unwrap();
        disk.append(OPEN, Bytes::from_static(b"fragment")).unwrap();
        let torn = |cut: Disk| cut.read(OPEN).unwrap().iter().any(|write| write == "frag");
        assert!(cuts(&disk).any(torn));
    }
}
