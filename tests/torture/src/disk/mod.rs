//! A disk that loses what was not synced, tears pages, rots, fills up, goes away, stalls, and is put back as it was: a file
//! system in memory, mounted by FUSE.
//!
//! | module | |
//! |---|---|
//! | `model` | what is on it, now and after a power cut (pure) |
//! | `file` | one file of it (pure) |
//! | `mounted` | the same as the kernel asks for it |

mod file;
mod model;
mod mounted;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fuser::{BackgroundSession, Config, Errno, MountOption, ReplyEmpty, SessionACL};
use rand::Rng;

pub use model::{Facts, Inode, Lost, Model, ROOT, Refusal};

/// How long a disk may be in use after its last user ended.
const LET_GO: Duration = Duration::from_secs(10);
/// Between two looks whether there is anybody left to wait for.
const LOOK: Duration = Duration::from_millis(20);

/// A mounted one. It goes with this.
pub struct Disk {
    at: PathBuf,
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
}

/// What a disk does that a good one would not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    /// Every request fails.
    Away,
    /// Says that it synced, and didn't.
    Lies(About),
}

/// What a disk lies about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Every sync.
    Everything,
    /// Syncs of segment files. Those of names and of the index are real.
    Segments,
}

/// What a process wants durable.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    File(Inode),
    Folder(Inode),
}

/// A disk as it was.
pub struct Image(Model);

#[derive(Debug)]
struct State {
    model: Model,
    trouble: Trouble,
    /// So many syncs from now, one is held back.
    hold_in: Option<u32>,
    /// The syncs that wait.
    held: Vec<(ReplyEmpty, Wanted)>,
    syncs: u64,
}

impl State {
    fn sync(&mut self, what: Wanted) -> Result<(), Refusal> {
        let lies = match (self.trouble, what) {
            (Trouble::Lies(About::Everything), _) => true,
            (Trouble::Lies(About::Segments), Wanted::File(inode)) => self.model.name_ends_with(inode, ".mp4"),
            _ => false,
        };
        if lies {
            return Ok(());
        }
        self.syncs += 1;
        match what {
            Wanted::File(inode) => self.model.sync_file(inode),
            Wanted::Folder(inode) => self.model.sync_folder(inode),
        }
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    /// An empty one, with room for so many bytes.
    pub fn mount(at: &Path, capacity: u64) -> anyhow::Result<Self> {
        let state = State {
            model: Model::new(capacity),
            trouble: Trouble::None,
            hold_in: None,
            held: Vec::new(),
            syncs: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        std::fs::create_dir_all(at).with_context(|| format!("make {}", at.display()))?;
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("holdfast-torture".to_owned()), MountOption::RW];
        config.acl = SessionACL::All;
        let session = fuser::spawn_mount(mounted::Mounted(shared.clone()), at, &config);
        let session = session.with_context(|| format!("mount a FUSE file system at {}", at.display()))?;
        Ok(Self { at: at.to_owned(), shared, session: Some(session) })
    }

    /// Copies a folder's files onto it, synced.
    pub fn fill_from(&self, folder: &Path) -> anyhow::Result<()> {
        copy(folder, &self.at)?;
        self.shared.lock().model.sync_all();
        Ok(())
    }

    /// Holds back the sync after `skip` others, and all later ones, until the power goes or they are let go.
    pub fn hold_sync(&self, skip: u32) {
        self.shared.lock().hold_in = Some(skip);
    }

    /// Waits until one is held back; false if none is in time.
    pub fn await_held(&self, limit: Duration) -> bool {
        self.await_held_unless(limit, || false)
    }

    /// Likewise; false also once whoever would sync has ended.
    pub fn await_held_unless(&self, limit: Duration, mut ended: impl FnMut() -> bool) -> bool {
        let deadline = wire::clock::now() + limit;
        let mut state = self.shared.lock();
        while state.held.is_empty() {
            let left = left(deadline);
            if left.is_zero() || ended() {
                return false;
            }
            let wait = left.min(LOOK);
            state = self.shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// What is held back is carried out after all, and the sync after `skip` others is held back next.
    pub fn let_go(&self, skip: u32) {
        let mut state = self.shared.lock();
        state.hold_in = Some(skip);
        for (reply, what) in std::mem::take(&mut state.held) {
            match state.sync(what) {
                Ok(()) => reply.ok(),
                Err(refusal) => reply.error(mounted::errno(refusal)),
            }
        }
    }

    /// From here on every request fails, those that wait too.
    pub fn take_away(&self) {
        let mut state = self.shared.lock();
        state.trouble = Trouble::Away;
        state.hold_in = None;
        for (held, _) in state.held.drain(..) {
            held.error(Errno::EIO);
        }
    }

    /// It answers again.
    pub fn bring_back(&self) {
        self.shared.lock().trouble = Trouble::None;
    }

    /// From here on it says that it syncs, and doesn't.
    pub fn lie(&self, about: About) {
        self.shared.lock().trouble = Trouble::Lies(about);
    }

    /// Once whoever used it has ended: the power was gone, and is back.
    pub fn lose_power(&self, chance: &mut impl Rng) -> anyhow::Result<Lost> {
        let mut state = self.unused()?;
        state.trouble = Trouble::None;
        state.hold_in = None;
        Ok(state.model.lose_power(chance))
    }

    /// Once nobody uses it: all that is on it.
    pub fn image(&self) -> anyhow::Result<Image> {
        Ok(Image(self.unused()?.model.clone()))
    }

    /// Once nobody uses it: it is as it was when the image was made.
    pub fn put_back(&self, image: &Image) -> anyhow::Result<()> {
        self.unused()?.model.put_back(&image.0);
        Ok(())
    }

    /// A bit of a file flips, beneath whoever uses it; false if there is none that is durable.
    pub fn rot(&self, file: &Path, chance: &mut impl Rng) -> anyhow::Result<bool> {
        let path = file.strip_prefix(&self.at).context("it is on another disk")?;
        let model = &mut self.shared.lock().model;
        let inode = model.find_path(path);
        let rotten = inode.and_then(|inode| model.rot(inode, chance));
        rotten.map_err(|refusal| anyhow::anyhow!("{}: {refusal:?}", file.display()))
    }

    /// Waits until nothing on it is open: a process that was killed has let go of its files a moment after it is said to
    /// have ended.
    fn unused(&self) -> anyhow::Result<MutexGuard<'_, State>> {
        let deadline = wire::clock::now() + LET_GO;
        let mut state = self.shared.lock();
        while state.model.open_files() > 0 {
            let left = left(deadline);
            ensure!(!left.is_zero(), "{} files of the disk are still open", state.model.open_files());
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(state)
    }

    /// Changes how much there is room for: no less than is used.
    pub fn set_free(&self, bytes: u64) {
        let mut state = self.shared.lock();
        let (used, _) = state.model.room();
        state.model.set_capacity(used + bytes);
    }

    /// How many syncs it has carried out.
    pub fn syncs(&self) -> u64 {
        self.shared.lock().syncs
    }

    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        &self.at
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.take_away(); // what is held back is waited for in the kernel
        // Its copies in other namespaces go with these.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.at).status();
        drop(self.session.take());
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(wire::clock::now())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).with_context(|| format!("copy to {}", target.display()))?;
        }
    }
    Ok(())
}
