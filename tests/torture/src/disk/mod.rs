//! A disk that loses what was not synced, fills up, goes away, and holds a sync back: a file system in memory, mounted
//! by FUSE.
//!
//! | module | |
//! |---|---|
//! | `model` | what is on it, now and after a power cut (pure) |
//! | `mounted` | the same as the kernel asks for it |

mod model;
mod mounted;
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
    Lies,
}

#[derive(Debug)]
struct State {
    model: Model,
    trouble: Trouble,
    /// So many syncs from now, one is held back.
    hold_in: Option<u32>,
    /// The syncs that wait.
    held: Vec<ReplyEmpty>,
    syncs: u64,
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

    /// Holds back the sync after `skip` others, until the power goes.
    pub fn hold_sync(&self, skip: u32) {
        self.shared.lock().hold_in = Some(skip);
    }

    /// Waits until one is held back; false if none is in time.
    pub fn await_held(&self, limit: Duration) -> bool {
        let deadline = wire::clock::now() + limit;
        let mut state = self.shared.lock();
        while state.held.is_empty() {
            let left = left(deadline);
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// From here on every request fails, those that wait too.
    pub fn take_away(&self) {
        let mut state = self.shared.lock();
        state.trouble = Trouble::Away;
        state.hold_in = None;
        for held in state.held.drain(..) {
            held.error(Errno::EIO);
        }
    }

    /// It answers again.
    pub fn bring_back(&self) {
        self.shared.lock().trouble = Trouble::None;
    }

    /// From here on it says that it syncs, and doesn't.
    pub fn lie(&self) {
        self.shared.lock().trouble = Trouble::Lies;
    }

    /// Once whoever used it has ended: the power was gone, and is back.
    pub fn lose_power(&self, chance: &mut impl Rng) -> anyhow::Result<Lost> {
        // A process that was killed has let go of its files a moment after it is said to have ended.
        let deadline = wire::clock::now() + LET_GO;
        let mut state = self.shared.lock();
        while state.model.open_files() > 0 {
            let left = left(deadline);
            ensure!(!left.is_zero(), "{} files of the disk are still open", state.model.open_files());
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.trouble = Trouble::None;
        state.hold_in = None;
        Ok(state.model.lose_power(chance))
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
