//! Room on the archive's disk: how much there is, a reserve that can be given up at once, and who waits for more.
//!
//! The index must always be able to write, or nothing could ever be freed. So recorders stop before the disk is
//! full ([`Use::Media`]), other changes a little later ([`Use::Index`]), and what frees room last of all
//! ([`Use::Freeing`]). Where others than the archive fill the disk there is the *ballast*: a file of nothing,
//! deleted when room runs out and made again when there is plenty.
//!
//! It never decides what is freed; that is retention's (`crate::retention`).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// After an attempt to make room that found none, the next is not asked for before this.
const AGAIN: Duration = Duration::from_secs(1);

/// What room is wanted for. Each leaves so much to those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Recordings.
    Media,
    /// Entries.
    Index,
    /// Acks, by which recordings may be freed; entries that say what is freed, and that ledgers begin and end.
    Freeing,
}

impl Use {
    /// What stays free on the disk.
    fn leaves(self) -> u64 {
        match self {
            Self::Media => 8 * MIB,
            Self::Index => 4 * MIB,
            Self::Freeing => MIB / 16,
        }
    }
}

/// The archive's view of its disk.
pub struct Room {
    dir: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Is somebody there to make room?
    served: bool,
    /// Somebody waits for room.
    wanted: bool,
    /// Whoever serves is to end.
    ending: bool,
    /// How often an attempt to make room ended, and whether the last found anything.
    attempts: u64,
    made: bool,
    /// What the disk is full of that nobody may free, for people.
    full_of: Option<String>,
    /// When.
    at: Option<Instant>,
}

impl Room {
    /// Of the archive in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), state: Mutex::default(), changed: Condvar::new() }
    }

    /// Bytes that are free to us on the archive's disk.
    pub fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(&self.dir)
    }

    /// May so many bytes be written for this? Gives the ballast up rather than say no. A disk that doesn't tell
    /// is written to until it refuses.
    pub fn admits(&self, bytes: u64, purpose: Use) -> bool {
        let enough = || self.free_bytes().map_or(true, |free| free >= bytes.saturating_add(purpose.leaves()));
        enough() || (purpose != Use::Media && self.give_up_ballast() && enough())
    }

    /// Makes the ballast if there is plenty of room for it; of another size it is made anew.
    pub fn keep_ballast(&self, bytes: u64) -> io::Result<()> {
        let file = self.ballast();
        let has = fs::metadata(&file).map(|known| known.len()).unwrap_or(0);
        if has == bytes {
            return Ok(());
        }
        if has > 0 {
            fs::remove_file(&file)?;
        }
        if bytes == 0 || self.free_bytes()? < bytes.saturating_mul(2) + Use::Media.leaves() {
            return Ok(());
        }
        let made = File::create(&file)?;
        let done = allocate(&made, bytes).and_then(|()| made.sync_all());
        if done.is_err() {
            let _ = fs::remove_file(&file); // half of it would look like all of it at the next start
        }
        done
    }

    /// Bytes of the ballast that is there.
    pub fn ballast_bytes(&self) -> u64 {
        fs::metadata(self.ballast()).map(|known| known.len()).unwrap_or(0)
    }

    /// Deletes the ballast; was there any?
    pub(super) fn give_up_ballast(&self) -> bool {
        let given = fs::remove_file(self.ballast()).is_ok();
        if given {
            tracing::warn!(archive = %self.dir.display(), "the disk is full: the ballast is given up");
        }
        given
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// Asks for room and waits for the answer: is there any now? At once no if nobody makes room, or could a moment
    /// ago.
    pub fn ask(&self, patience: Duration) -> bool {
        let mut state = self.state();
        let now = wire::clock::now();
        let tried = state.at.is_some_and(|at| now.saturating_duration_since(at) < AGAIN);
        if !state.served || (tried && !state.made) {
            return false;
        }
        let before = state.attempts;
        state.wanted = true;
        self.changed.notify_all();
        let answered = |state: &mut State| state.served && state.attempts == before;
        let waited = self.changed.wait_timeout_while(state, patience, answered);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.attempts != before && state.made
    }

    /// What the disk is full of that nobody may free, for people.
    pub(crate) fn explain(&self, full_of: Option<String>) {
        self.state().full_of = full_of;
    }

    /// See [`Room::explain`].
    pub(crate) fn full_of(&self) -> Option<String> {
        self.state().full_of.clone()
    }

    /// From now on somebody answers those who ask.
    pub(crate) fn serve(&self) {
        self.state().served = true;
    }

    /// Waits until somebody asks, or for so long; false when it is time to end.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let state = self.state();
        let idle = |state: &mut State| !state.wanted && !state.ending;
        let waited = self.changed.wait_timeout_while(state, patience, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wanted = false;
        !state.ending
    }

    /// Answers all who asked.
    pub(crate) fn answer(&self, made: bool) {
        let mut state = self.state();
        (state.attempts, state.made) = (state.attempts + 1, made);
        state.at = Some(wire::clock::now());
        self.changed.notify_all();
    }

    /// Is it time to end?
    pub(crate) fn is_ending(&self) -> bool {
        self.state().ending
    }

    /// Tells whoever serves to end; those who ask are told no again.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        (state.ending, state.served) = (true, false);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(unsafe_code)]
fn free_bytes(dir: &Path) -> io::Result<u64> {
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes())?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` ends with a zero byte and outlives the call, which writes one statvfs to the one it is given.
    let failed = unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) } != 0;
    if failed {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is all zeros, which is a statvfs, or what the call wrote.
    let found = unsafe { found.assume_init() };
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Takes disk blocks for a file, whose length becomes `bytes`.
#[allow(unsafe_code)]
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
    // SAFETY: the descriptor is open as long as `file` is borrowed; no memory is passed.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_ballast_takes_room_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::new(dir.path());
        room.keep_ballast(3 * MIB).unwrap();
        assert_eq!(room.ballast_bytes(), 3 * MIB);
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(room.ballast()).unwrap());
        assert!(blocks * 512 >= 3 * MIB, "it is not a hole: {blocks} blocks");
        room.keep_ballast(MIB).unwrap();
        assert_eq!(room.ballast_bytes(), MIB);
        // Recordings never cost the ballast; everything else does before it is refused.
        assert!(!room.admits(u64::MAX, Use::Media));
        assert_eq!(room.ballast_bytes(), MIB);
        assert!(!room.admits(u64::MAX, Use::Index));
        assert_eq!(room.ballast_bytes(), 0);
    }

    #[test]
    fn who_asks_is_answered_and_with_nobody_there_at_once() {
        let room = Arc::new(Room::new(Path::new("/")));
        let minute = Duration::from_secs(60);
        assert!(!room.ask(minute), "nobody is there");
        room.serve();
        let server = room.clone();
        let thread = std::thread::spawn(move || {
            let mut answers = [true, false].into_iter();
            while server.wait(minute) {
                server.answer(answers.next().unwrap());
            }
        });
        assert!(room.ask(minute));
        assert!(!room.ask(minute));
        room.end();
        thread.join().unwrap();
        assert!(!room.ask(minute));
    }
}
