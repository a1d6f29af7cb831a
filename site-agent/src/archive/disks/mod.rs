//! The disks of an archive: its own folder, which has the index and is the first of them, and further folders that
//! have nothing but segment files.
//!
//! A further disk is known by a file in its folder ([`identity`]), never by its path: what is not there, is another
//! archive's, a copy, or an empty mount point is said by name and never written to. One that fails is *out*: nothing is
//! written to it, the others go on, and what it held is wanted from the other side ([`keeper`]) until it is back.
//!
//! The first disk is no such thing: without the index nothing can be entered, and the archive stops if it fails.

mod choose;
mod given_up;
mod identity;
mod keeper;
mod place;
mod returned;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use wire::{LedgerId, SegmentNumber};

use super::index::Index;
use super::room::{Room, Use};
use super::{ArchiveError, Result, layout};

pub use given_up::{GivenUp, NotGivenUp};
pub use identity::FILE as IDENTITY_FILE;
pub use keeper::{Keeper, Whose};
pub use status::Shown;

use place::Registered;
pub(super) use place::folders;

/// Which disk of an archive; the first has the index.
pub type DiskNumber = u32;
/// The archive's own folder.
pub const FIRST: DiskNumber = 0;
/// So many further disks make sense.
pub const DISKS_MAX: usize = 64;
/// As many segments of a ledger go to one disk, as long as it is well and has room: so what is on a disk is few ranges.
const TOGETHER: u64 = 1000;

/// Where a further disk is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its folder.
    pub dir: PathBuf,
    /// It may be on a file system that something else of ours is on: then nobody can tell whether a disk is mounted.
    pub same_file_system: bool,
}

/// One disk.
pub struct Disk {
    number: DiskNumber,
    dir: PathBuf,
    room: Room,
    /// The index did not know it: what is on it is from before that was lost.
    unlisted: bool,
    state: Mutex<State>,
}

struct State {
    /// Its identity file, locked, while it is ours; always none of the first.
    pin: Option<Pin>,
    /// What it holds is still being given back: nothing new goes there yet.
    returning: bool,
    /// Why it is out.
    why: String,
}

/// Shows that the folder is still the same: it keeps the file system, and is what is at the path.
struct Pin {
    _file: File,
    device: u64,
    inode: u64,
}

impl Disk {
    fn first(dir: &Path) -> Self {
        Self::new(FIRST, dir, None)
    }

    fn new(number: DiskNumber, dir: &Path, pin: Option<Pin>) -> Self {
        let state = State { pin, returning: false, why: "it was not there at the start".to_owned() };
        let state = Mutex::new(state);
        Self { number, dir: dir.to_owned(), room: Room::new(dir), unlisted: false, state }
    }

    /// Which.
    pub fn number(&self) -> DiskNumber {
        self.number
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Room on it.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Do recordings go there? Of the first the archive as a whole says that.
    pub fn is_in_use(&self) -> bool {
        let state = self.state();
        self.number == FIRST || (state.pin.is_some() && !state.returning)
    }

    /// May what is on it already be moved to its place there?
    pub(super) fn is_ours(&self) -> bool {
        self.number == FIRST || self.state().pin.is_some()
    }

    /// Why it is out, if it is.
    pub fn why_out(&self) -> Option<String> {
        (!self.is_in_use()).then(|| self.state().why.clone())
    }

    /// Is what is at its path still that disk?
    fn is_there(&self) -> bool {
        let expected = match &self.state().pin {
            Some(pin) => (pin.device, pin.inode),
            None => return self.number == FIRST,
        };
        let found = std::fs::metadata(self.dir.join(identity::FILE));
        found.is_ok_and(|found| (found.dev(), found.ino()) == expected)
    }

    /// Is it out, or to be put out now that it was looked at?
    pub(crate) fn is_lost(&self) -> bool {
        if self.is_in_use() && !self.is_there() {
            self.fail("it is not there any more");
        }
        !self.is_in_use()
    }

    /// Puts it out. Nothing is written to it any more: another [`Disk`] takes its place when it is back.
    pub(super) fn fail(&self, why: &str) {
        let mut state = self.state();
        if self.number != FIRST && state.pin.take().is_some() {
            state.returning = false;
            why.clone_into(&mut state.why);
            layout::forget_durable(&self.dir);
            tracing::error!(
                disk = %self.dir.display(), why,
                "a disk of the archive is out: recording goes on on the others, and what it holds is wanted from the other side"
            );
        }
    }

    /// Something went wrong with a file on it: is that the disk's fault?
    pub(super) fn suspect(&self, error: &io::Error) {
        // What disks, and file systems on them, answer when they are not what they were.
        const BROKEN: [i32; 8] = [
            libc::EIO,
            libc::EUCLEAN,
            libc::EBADMSG,
            libc::ENODATA,
            libc::EROFS,
            libc::ENODEV,
            libc::ENXIO,
            libc::ENOTCONN,
        ];
        if error.raw_os_error().is_some_and(|code| BROKEN.contains(&code)) || !self.is_there() {
            self.fail(&error.to_string());
        }
    }

    /// [`Disk::suspect`], unless it is merely full.
    pub(super) fn suspect_unless_full(&self, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            self.suspect(error);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All disks of an archive.
pub struct Disks {
    archive: String,
    first: Arc<Disk>,
    places: Vec<Place>,
    /// All that ever were the archive's, by number.
    known: RwLock<BTreeMap<DiskNumber, Arc<Disk>>>,
    registered: Mutex<Vec<Registered>>,
    /// Places without a disk of ours, and why.
    trouble: Mutex<BTreeMap<PathBuf, String>>,
    /// Held by whoever takes disks back, or gives one up.
    turn: Mutex<()>,
    /// Is somebody to look at once?
    look: (Mutex<Wake>, Condvar),
}

#[derive(Default)]
struct Wake {
    look: bool,
    ending: bool,
}

impl Disks {
    /// Finds them. What is at a place and can't be used is said, and does not keep the archive from opening. Where
    /// something is `away`, disks are left to whoever gives back what they hold ([`Keeper`]).
    pub(super) fn open(index: &Index, dir: &Path, places: &[Place], away: bool) -> Result<Self> {
        let registered = place::registered(index)?;
        let archive = place::archive_id(index, dir, places, !registered.is_empty())?;
        let first = Arc::new(Disk::first(dir));
        let mut known = BTreeMap::from([(FIRST, first.clone())]);
        for one in &registered {
            known.insert(one.number, Arc::new(Disk::new(one.number, &one.dir, None)));
        }
        let disks = Self {
            archive,
            first,
            places: places.to_vec(),
            known: RwLock::new(known),
            registered: Mutex::new(registered),
            trouble: Mutex::default(),
            turn: Mutex::default(),
            look: Default::default(),
        };
        if !away {
            for disk in disks.find_those(index, |_| true)? {
                disks.use_disk(&disks.put(disk));
            }
        }
        Ok(disks)
    }

    /// The one with the index.
    pub fn first(&self) -> &Arc<Disk> {
        &self.first
    }

    /// Is there more than the first, or was there ever?
    pub fn are_several(&self) -> bool {
        !self.places.is_empty() || self.read().len() > 1
    }

    /// All that are the archive's, also those that are out.
    pub fn all(&self) -> Vec<Arc<Disk>> {
        self.read().values().cloned().collect()
    }

    /// Those that may be written to.
    pub fn in_use(&self) -> Vec<Arc<Disk>> {
        self.read().values().filter(|disk| disk.is_in_use()).cloned().collect()
    }

    /// One of them.
    pub fn get(&self, number: DiskNumber) -> Option<Arc<Disk>> {
        self.read().get(&number).cloned()
    }

    /// The disk that a path is on.
    pub fn of_path(&self, path: &Path) -> Arc<Disk> {
        let known = self.read();
        let on = |disk: &&Arc<Disk>| disk.number != FIRST && path.starts_with(&disk.dir);
        // Where a disk was replaced, two had the same folder.
        let on: Vec<_> = known.values().filter(on).collect();
        let ours = on.iter().find(|disk| disk.is_ours()).or(on.first());
        ours.map_or_else(|| self.first.clone(), |disk| Arc::clone(disk))
    }

    /// May a recording of so many bytes be written somewhere?
    pub fn admit(&self, bytes: u64) -> bool {
        self.in_use().iter().any(|disk| disk.room.admits(bytes, Use::Media))
    }

    /// Bytes free where most are.
    pub fn most_free(&self) -> io::Result<u64> {
        let free = self.in_use().into_iter().map(|disk| disk.room.free_bytes());
        free.max_by_key(|free| *free.as_ref().unwrap_or(&0)).unwrap_or(Ok(0))
    }

    /// The disk that a file of so many bytes goes to.
    pub(super) fn choose(&self, ledger: &LedgerId, number: SegmentNumber, bytes: u64) -> Result<Arc<Disk>> {
        let key = format!("{ledger} {}", number.0 / TOGETHER);
        let mut fit = Vec::new();
        for disk in self.in_use() {
            if disk.number != FIRST && !disk.is_there() {
                disk.fail("it is not there any more");
                self.look_now();
            } else if disk.room.admits(bytes, Use::Media) {
                // One that doesn't tell is as good as one with little.
                let free = disk.room.free_bytes().unwrap_or(1);
                fit.push((disk, free));
            }
        }
        let rooms: Vec<_> = fit.iter().map(|(disk, free)| (disk.number, *free)).collect();
        let chosen = choose::choose(key.as_bytes(), &rooms);
        let chosen = chosen.and_then(|number| fit.into_iter().find(|(disk, _)| disk.number == number));
        chosen.map(|(disk, _)| disk).ok_or_else(|| ArchiveError::Full(self.first.dir.clone()))
    }

    /// Has whoever looks after the disks look at once.
    pub(super) fn look_now(&self) {
        self.wake().look = true;
        self.look.1.notify_all();
    }

    fn end(&self) {
        self.wake().ending = true;
        self.look.1.notify_all();
    }

    /// Waits so long, or until it is to be looked at once; `false` when it is time to end.
    fn wait(&self, patience: Duration) -> bool {
        let idle = |wake: &mut Wake| !wake.look && !wake.ending;
        let waited = self.look.1.wait_timeout_while(self.wake(), patience, idle);
        let mut wake = waited.unwrap_or_else(PoisonError::into_inner).0;
        wake.look = false;
        !wake.ending
    }

    fn wake(&self) -> MutexGuard<'_, Wake> {
        self.look.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<DiskNumber, Arc<Disk>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on files on it may be entered, and nothing new goes there.
    fn return_disk(&self, disk: Disk) -> Arc<Disk> {
        disk.state().returning = true;
        self.put(disk)
    }

    fn put(&self, disk: Disk) -> Arc<Disk> {
        let disk = Arc::new(disk);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(disk.number, disk.clone());
        disk
    }
}
