//! Re-reads one file so that nobody else notices: at idle priority, from the disk and not from memory, and without
//! leaving it there.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use wire::proto::Segment;

/// Read at once.
const PIECE: usize = 256 << 10;

/// What re-reading a file found.
#[derive(Debug)]
pub enum Finding {
    /// It is what its entry says.
    Good,
    /// It is not.
    Bad,
    /// It is not there.
    Missing,
    /// The disk can't read it.
    Failing(io::Error),
    /// It could not be read for a reason that says nothing of it.
    Unknown(io::Error),
    /// There was no time to read it to its end.
    Interrupted,
}

/// Compares a file with its entry. After each piece `breath` is told its length and how long it took; it rests, and
/// says whether to go on. What doesn't fit is read once more before that is believed.
pub fn check(path: &Path, segment: &Segment, breath: &mut dyn FnMut(usize, Duration) -> bool) -> Finding {
    match compare(path, segment, breath) {
        Ok(Some(false)) => found(compare(path, segment, breath)),
        other => found(other),
    }
}

fn found(compared: io::Result<Option<bool>>) -> Finding {
    // What disks and file systems answer when a block can't be read or isn't what was written.
    const DISK: [i32; 4] = [libc::EIO, libc::EUCLEAN, libc::EBADMSG, libc::ENODATA];
    match compared {
        Ok(Some(true)) => Finding::Good,
        Ok(Some(false)) => Finding::Bad,
        Ok(None) => Finding::Interrupted,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::Missing,
        Err(error) if error.raw_os_error().is_some_and(|code| DISK.contains(&code)) => {
            Finding::Failing(error)
        }
        Err(error) => Finding::Unknown(error),
    }
}

/// Does the file hash to its entry? `None` if there was no time to tell.
fn compare(
    path: &Path,
    segment: &Segment,
    breath: &mut dyn FnMut(usize, Duration) -> bool,
) -> io::Result<Option<bool>> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() != segment.bytes {
        return Ok(Some(false));
    }
    forget(&file);
    let hashed = hash(&mut file, breath);
    forget(&file);
    Ok(hashed?.map(|hash| hash.as_bytes().as_slice() == segment.hash))
}

fn hash(
    file: &mut File,
    breath: &mut dyn FnMut(usize, Duration) -> bool,
) -> io::Result<Option<blake3::Hash>> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        let began = wire::clock::now();
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(Some(hasher.finalize()));
        }
        hasher.update(&piece[..read]);
        if !breath(read, began.elapsed()) {
            return Ok(None);
        }
    }
}

/// Drops what memory has of the file: so that it is read from the disk, and leaves others their room.
#[allow(unsafe_code)]
fn forget(file: &File) {
    // SAFETY: the descriptor is open as long as `file` is borrowed; no memory is passed. Advice can't fail usefully.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// Makes this thread the last to get the disk and the processor. Where the system refuses, it is merely slower for
/// others.
#[allow(unsafe_code)]
pub(super) fn be_idle() {
    /// `IOPRIO_WHO_PROCESS`; with 0 for whom, the calling thread.
    const WHO: libc::c_int = 1;
    /// `IOPRIO_CLASS_IDLE`, shifted where the class stands.
    const IDLE: libc::c_int = 3 << 13;
    // SAFETY: neither call is passed memory; both are about the calling thread only.
    unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO, 0, IDLE);
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
}
