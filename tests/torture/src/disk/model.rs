//! What is on a disk: as processes see it, and as it would be after a power cut. Pure.
//!
//! No kinder than POSIX: a file's bytes are durable once *it* was synced, a name once one of the *folders* it was changed in
//! was. Of what was not synced a power cut leaves what chance leaves: pages of a file in any choice, some of them torn;
//! changes of names up to some point, a rename as one step.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};

use rand::Rng;

use super::file::File;

/// A file or folder, whatever it is called.
pub type Inode = u64;

/// The folder that is mounted.
pub const ROOT: Inode = 1;

/// Why something can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such name.
    Missing,
    /// The name is taken.
    Exists,
    /// A folder with something in it.
    NotEmpty,
    /// A folder where a file is wanted, or the other way round.
    WrongKind,
    /// No room left.
    Full,
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Pages of files that were written and not synced, those of `torn` too.
    pub pages: usize,
    /// Pages that are partly as they were written, and partly as before.
    pub torn: usize,
    /// Changes of names that no folder's sync covered.
    pub names: usize,
}

impl std::ops::AddAssign for Lost {
    fn add_assign(&mut self, more: Self) {
        self.pages += more.pages;
        self.torn += more.torn;
        self.names += more.names;
    }
}

#[derive(Clone, Debug)]
enum Node {
    File(File),
    Folder { names: BTreeMap<OsString, Inode>, synced: BTreeMap<OsString, Inode> },
}

type Name = (Inode, OsString);

/// A change of names: each now means another file, or none. It happens as one.
type Change = Vec<(Name, Option<Inode>)>;

/// What is known of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Bytes, of a file.
    pub size: u64,
    /// Is it a folder?
    pub is_folder: bool,
}

/// A disk.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: BTreeMap<Inode, Node>,
    next: Inode,
    /// Changes of names that are not durable, oldest first.
    pending: Vec<Change>,
    capacity: u64,
    used: u64,
}

impl Model {
    /// An empty one.
    pub fn new(capacity: u64) -> Self {
        let root = Node::Folder { names: BTreeMap::new(), synced: BTreeMap::new() };
        Self { nodes: [(ROOT, root)].into(), next: ROOT + 1, pending: Vec::new(), capacity, used: 0 }
    }

    /// How many bytes files have, and how many they may have.
    pub fn room(&self) -> (u64, u64) {
        (self.used, self.capacity)
    }

    /// Changes how much there is room for.
    pub fn set_capacity(&mut self, bytes: u64) {
        self.capacity = bytes;
    }

    /// What a name means.
    pub fn find(&self, folder: Inode, name: &OsStr) -> Result<Inode, Refusal> {
        self.names(folder)?.get(name).copied().ok_or(Refusal::Missing)
    }

    /// Of a file or folder.
    pub fn facts(&self, inode: Inode) -> Result<Facts, Refusal> {
        match self.nodes.get(&inode).ok_or(Refusal::Missing)? {
            Node::File(file) => Ok(Facts { size: file.bytes().len() as u64, is_folder: false }),
            Node::Folder { .. } => Ok(Facts { size: 0, is_folder: true }),
        }
    }

    /// Everything in a folder, in order.
    pub fn list(&self, folder: Inode) -> Result<Vec<(OsString, Inode)>, Refusal> {
        Ok(self.names(folder)?.iter().map(|(name, inode)| (name.clone(), *inode)).collect())
    }

    /// A new file or folder.
    pub fn create(&mut self, folder: Inode, name: &OsStr, is_folder: bool) -> Result<Inode, Refusal> {
        if self.find(folder, name).is_ok() {
            return Err(Refusal::Exists);
        }
        let node = match is_folder {
            true => Node::Folder { names: BTreeMap::new(), synced: BTreeMap::new() },
            false => Node::File(File::default()),
        };
        let inode = self.next;
        self.next += 1;
        self.nodes.insert(inode, node);
        self.change(vec![((folder, name.to_owned()), Some(inode))])?;
        Ok(inode)
    }

    /// Takes a name away; the file is there until nobody has it open.
    pub fn remove(&mut self, folder: Inode, name: &OsStr) -> Result<(), Refusal> {
        let inode = self.find(folder, name)?;
        if let Some(Node::Folder { names, .. }) = self.nodes.get(&inode)
            && !names.is_empty()
        {
            return Err(Refusal::NotEmpty);
        }
        self.change(vec![((folder, name.to_owned()), None)])
    }

    /// Gives a file another name, in one step; what had that name loses it.
    pub fn rename(&mut self, from: (Inode, &OsStr), to: (Inode, &OsStr)) -> Result<(), Refusal> {
        let inode = self.find(from.0, from.1)?;
        if from == to {
            return Ok(());
        }
        let change = vec![((to.0, to.1.to_owned()), Some(inode)), ((from.0, from.1.to_owned()), None)];
        self.change(change)
    }

    /// A process has it open once more.
    pub fn opened(&mut self, inode: Inode) -> Result<(), Refusal> {
        match self.nodes.get_mut(&inode).ok_or(Refusal::Missing)? {
            Node::File(file) => file.open += 1,
            Node::Folder { .. } => return Err(Refusal::WrongKind),
        }
        Ok(())
    }

    /// A process has closed it.
    pub fn closed(&mut self, inode: Inode) {
        if let Some(Node::File(file)) = self.nodes.get_mut(&inode) {
            file.open = file.open.saturating_sub(1);
        }
        self.forget_unnamed();
    }

    /// How often files are open.
    pub fn open_files(&self) -> usize {
        let open = |node: &Node| match node {
            Node::File(file) => file.open,
            Node::Folder { .. } => 0,
        };
        self.nodes.values().map(open).sum()
    }

    /// Part of a file, as far as it goes.
    pub fn read(&self, inode: Inode, at: u64, size: usize) -> Result<&[u8], Refusal> {
        match self.nodes.get(&inode) {
            Some(Node::File(file)) => {
                let bytes = file.bytes();
                let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Ok(&bytes[from..from.saturating_add(size).min(bytes.len())])
            }
            Some(Node::Folder { .. }) => Err(Refusal::WrongKind),
            None => Err(Refusal::Missing),
        }
    }

    /// Writes, as a whole or not at all.
    pub fn write(&mut self, inode: Inode, at: u64, data: &[u8]) -> Result<(), Refusal> {
        let room = self.capacity.saturating_sub(self.used);
        let file = self.file(inode)?;
        let from = usize::try_from(at).map_err(|_| Refusal::Full)?;
        let grown = (from + data.len()).saturating_sub(file.bytes().len()) as u64;
        if grown > room {
            return Err(Refusal::Full);
        }
        file.write(from, data);
        self.used += grown;
        Ok(())
    }

    /// Cuts a file short, or fills it up with zeros.
    pub fn resize(&mut self, inode: Inode, size: u64) -> Result<(), Refusal> {
        let room = self.capacity.saturating_sub(self.used);
        let file = self.file(inode)?;
        let (old, new) = (file.bytes().len(), usize::try_from(size).map_err(|_| Refusal::Full)?);
        if new.saturating_sub(old) as u64 > room {
            return Err(Refusal::Full);
        }
        file.resize(new);
        self.used = self.used + new as u64 - old as u64;
        Ok(())
    }

    /// A file's bytes are durable.
    pub fn sync_file(&mut self, inode: Inode) -> Result<(), Refusal> {
        self.file(inode)?.sync();
        Ok(())
    }

    /// A folder's names are durable, and what it takes for them.
    pub fn sync_folder(&mut self, folder: Inode) -> Result<(), Refusal> {
        self.names(folder)?;
        let mut needed: BTreeSet<Name> = BTreeSet::new();
        let mut covered = Vec::new();
        // A change of another folder goes with it if a later one of the same name does.
        for index in (0..self.pending.len()).rev() {
            let names = || self.pending[index].iter().map(|(name, _)| name);
            if names().any(|name| name.0 == folder || needed.contains(name)) {
                needed.extend(names().cloned());
                covered.push(index);
            }
        }
        for index in covered.iter().rev() {
            self.make_durable(&self.pending[*index].clone());
        }
        covered.iter().for_each(|index| drop(self.pending.remove(*index)));
        self.forget_unnamed();
        Ok(())
    }

    /// Everything is durable.
    pub fn sync_all(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            self.make_durable(&change);
        }
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.sync();
            }
        }
        self.forget_unnamed();
    }

    /// The power goes: what is not durable is as chance has it. Nobody has anything open any more.
    pub fn lose_power(&mut self, chance: &mut impl Rng) -> Lost {
        let pending = std::mem::take(&mut self.pending);
        let kept = match chance.random_range(0..3) {
            0 => 0,
            1 => pending.len(),
            _ => chance.random_range(0..=pending.len()),
        };
        pending[..kept].iter().for_each(|change| self.make_durable(change));
        let mut lost = Lost { names: pending.len() - kept, ..Lost::default() };
        for node in self.nodes.values_mut() {
            match node {
                Node::File(file) => file.lose_power(chance, &mut lost),
                Node::Folder { names, synced } => names.clone_from(synced),
            }
        }
        self.forget_unnamed();
        lost
    }

    /// A bit of a file rots: of what is durable, and of what processes see unless they wrote there since. False if nothing
    /// of it is durable.
    pub fn rot(&mut self, inode: Inode, chance: &mut impl Rng) -> Result<bool, Refusal> {
        Ok(self.file(inode)?.rot(chance))
    }

    /// The disk is as it was earlier: an image of it was put back. Nobody has anything open.
    pub fn put_back(&mut self, image: &Self) {
        // A number that the kernel knows must not mean another file.
        let next = self.next;
        *self = image.clone();
        self.next = next;
    }

    /// What a path from the mounted folder leads to.
    pub fn find_path(&self, path: &Path) -> Result<Inode, Refusal> {
        path.components().try_fold(ROOT, |folder, part| match part {
            Component::Normal(name) => self.find(folder, name),
            _ => Ok(folder),
        })
    }

    /// Does a name of it end like this?
    pub fn name_ends_with(&self, inode: Inode, end: &str) -> bool {
        let is =
            |(name, named): (&OsString, &Inode)| *named == inode && name.to_string_lossy().ends_with(end);
        self.nodes.values().any(|node| matches!(node, Node::Folder { names, .. } if names.iter().any(is)))
    }

    fn names(&self, folder: Inode) -> Result<&BTreeMap<OsString, Inode>, Refusal> {
        match self.nodes.get(&folder) {
            Some(Node::Folder { names, .. }) => Ok(names),
            Some(Node::File(_)) => Err(Refusal::WrongKind),
            None => Err(Refusal::Missing),
        }
    }

    fn file(&mut self, inode: Inode) -> Result<&mut File, Refusal> {
        match self.nodes.get_mut(&inode) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder { .. }) => Err(Refusal::WrongKind),
            None => Err(Refusal::Missing),
        }
    }

    fn change(&mut self, change: Change) -> Result<(), Refusal> {
        for ((folder, name), inode) in &change {
            match (self.nodes.get_mut(folder), inode) {
                (Some(Node::Folder { names, .. }), Some(inode)) => drop(names.insert(name.clone(), *inode)),
                (Some(Node::Folder { names, .. }), None) => drop(names.remove(name)),
                (Some(Node::File(_)), _) => return Err(Refusal::WrongKind),
                (None, _) => return Err(Refusal::Missing),
            }
        }
        self.pending.push(change);
        self.forget_unnamed();
        Ok(())
    }

    fn make_durable(&mut self, change: &Change) {
        for ((folder, name), inode) in change {
            if let Some(Node::Folder { synced, .. }) = self.nodes.get_mut(folder) {
                match inode {
                    Some(inode) => drop(synced.insert(name.clone(), *inode)),
                    None => drop(synced.remove(name)),
                }
            }
        }
    }

    /// What no name leads to, now or after a power cut, and nobody has open, is no more. Room takes only what can still be
    /// read.
    fn forget_unnamed(&mut self) {
        let (mut seen, mut durable) = (BTreeSet::new(), BTreeSet::from([ROOT]));
        for node in self.nodes.values() {
            if let Node::Folder { names, synced } = node {
                seen.extend(names.values().copied());
                durable.extend(synced.values().copied());
            }
        }
        durable.extend(self.pending.iter().flatten().filter_map(|(_, inode)| *inode));
        let mut used = 0;
        self.nodes.retain(|inode, node| {
            let (bytes, open) = match node {
                Node::File(file) => (file.bytes().len() as u64, file.open > 0),
                Node::Folder { .. } => (0, false),
            };
            let readable = seen.contains(inode) || open;
            used += if readable { bytes } else { 0 };
            readable || durable.contains(inode)
        });
        self.used = used;
    }
}
