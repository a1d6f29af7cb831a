//! Where things lie in an archive's folder.
//!
//! ```text
//! index/                                              RocksDB
//! media/<site>/<camera>/<stream>/<origin>/<thousands>/<number>.mp4
//! open/<camera>/<stream>/<origin>/<number>.mp4        being recorded
//! incoming/                                           being put together: by a vault, or what is fetched again
//! lock                                                held while somebody has the archive open
//! ```
//! A further disk of the archive has `media`, `open` and `incoming`, and the file by which it is known.
//! A folder takes a thousand segments, so that none grows without bound.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use wire::{LedgerId, SegmentNumber, SiteId};

use super::{ArchiveError, Result};

const SEGMENTS_PER_FOLDER: u64 = 1000;

/// Makes the folders, names durable and all.
pub fn make(dir: &Path) -> Result<()> {
    if let Some(there) = dir.ancestors().find(|folder| folder.is_dir()) {
        make_synced(there, dir)?;
    }
    ["index", "media", "open", "incoming"].iter().try_for_each(|part| make_synced(dir, &dir.join(part)))
}

/// Makes the folders of a disk that has no index.
pub(super) fn make_segment_folders(dir: &Path) -> Result<()> {
    ["media", "open", "incoming"].iter().try_for_each(|part| make_synced(dir, &dir.join(part)))
}

/// Takes the lock; it is let go when the file is closed, however the process ends.
pub fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|source| ArchiveError::Io { what: "open lock", path, source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(ArchiveError::Locked(dir.to_owned())),
    }
}

/// The file of a committed segment.
pub fn segment(dir: &Path, site: &SiteId, ledger: &LedgerId, number: SegmentNumber) -> PathBuf {
    ledger_media(dir, site, ledger)
        .join(format!("{:06}", number.0 / SEGMENTS_PER_FOLDER))
        .join(format!("{:09}.mp4", number.0))
}

/// The folder with all segments of a ledger.
pub fn ledger_media(dir: &Path, site: &SiteId, ledger: &LedgerId) -> PathBuf {
    dir.join("media").join(site.as_str()).join(ledger.stream.as_str()).join(ledger.origin.to_string())
}

/// The file of a segment that is being recorded.
pub fn open_segment(dir: &Path, ledger: &LedgerId, number: SegmentNumber) -> PathBuf {
    dir.join("open")
        .join(ledger.stream.as_str())
        .join(ledger.origin.to_string())
        .join(format!("{:09}.mp4", number.0))
}

/// Where a vault puts a segment together: another file at every attempt, so that one whose connection is
/// gone can't write into the next one's.
pub fn incoming(dir: &Path, ledger: &LedgerId, number: SegmentNumber) -> PathBuf {
    static ATTEMPTS: AtomicU64 = AtomicU64::new(0);
    let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
    let stream = ledger.stream.as_str().replace('/', "_");
    dir.join("incoming").join(format!("{stream}-{}-{:09}-{attempt}.mp4", ledger.origin, number.0))
}

/// Deletes what was being put together when the last run ended; whoever did that begins again.
pub fn clear_incoming(dir: &Path) -> Result<()> {
    for path in files(&dir.join("incoming"))? {
        fs::remove_file(&path).map_err(|source| ArchiveError::Io { what: "delete", path, source })?;
    }
    Ok(())
}

/// The ledger and number of a file in `open/`; `None` for anything else.
pub fn parse_open_segment(dir: &Path, path: &Path) -> Option<(LedgerId, SegmentNumber)> {
    let parts: Vec<_> =
        path.strip_prefix(dir.join("open")).ok()?.iter().filter_map(|part| part.to_str()).collect();
    let [camera, stream, origin, file] = parts.as_slice() else { return None };
    let stream = wire::StreamId::new(camera, stream).ok()?;
    let number = file.strip_suffix(".mp4")?.parse().ok()?;
    Some((LedgerId { origin: origin.parse().ok()?, stream }, SegmentNumber(number)))
}

/// The number of a committed segment's file.
pub fn parse_number(path: &Path) -> Option<SegmentNumber> {
    path.file_name()?.to_str()?.strip_suffix(".mp4")?.parse().ok().map(SegmentNumber)
}

/// Names of what is in `dir`; nothing if there is no such folder.
pub fn names(dir: &Path) -> Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(listed) => Ok(listed.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(ArchiveError::Io { what: "list folder", path: dir.to_owned(), source }),
    }
}

/// All files below `dir`, in order; nothing if there is no such folder.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(ArchiveError::Io { what: "list folder", path: folder, source }),
        };
        for entry in listed.flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// Syncs a folder, so that the names in it survive a power cut.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|source| ArchiveError::Io {
        what: "sync folder",
        path: folder.to_owned(),
        source,
    })
}

/// Removes a folder of segments of an ended ledger if it is empty, and then the ledger's if it is.
pub fn remove_emptied(folder: &Path) {
    for folder in folder.ancestors().take(2) {
        if fs::remove_dir(folder).is_err() {
            return; // something is in it
        }
    }
}

/// Folders that this process knows to survive a power cut, by their names.
static DURABLE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// So many are remembered; then it begins anew, which costs a sync each.
const DURABLE_MAX: usize = 10_000;

/// What is below `dir` may be another disk's next time.
pub(super) fn forget_durable(dir: &Path) {
    DURABLE.lock().unwrap_or_else(PoisonError::into_inner).retain(|folder| !folder.starts_with(dir));
}

/// Makes a folder below `root`, and its name durable, and those of all folders in between. One that exists may have been
/// made a moment ago, by a process that was killed before it synced the name, or by another thread: it is synced too.
pub fn make_synced(root: &Path, folder: &Path) -> Result<()> {
    let durable = || DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(parent) = folder.parent().filter(|_| folder != root) else { return Ok(()) };
    if folder.is_dir() && durable().contains(folder) {
        return Ok(());
    }
    make_synced(root, parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(ArchiveError::Io { what: "make folder", path: folder.to_owned(), source: error });
        }
        _ => {}
    }
    sync_folder(parent)?;
    let mut durable = durable();
    if durable.len() >= DURABLE_MAX {
        durable.clear();
    }
    durable.insert(folder.to_owned());
    Ok(())
}

/// The site, ledger and number of a committed segment's file; `None` for anything else.
pub(super) fn parse_any_segment(dir: &Path, path: &Path) -> Option<(SiteId, LedgerId, SegmentNumber)> {
    let parts: Vec<_> =
        path.strip_prefix(dir.join("media")).ok()?.iter().filter_map(|part| part.to_str()).collect();
    let [site, camera, stream, origin, _, _] = parts.as_slice() else { return None };
    let stream = wire::StreamId::new(camera, stream).ok()?;
    let ledger = LedgerId { origin: origin.parse().ok()?, stream };
    Some((SiteId::new(*site).ok()?, ledger, parse_number(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::OriginId;

    #[test]
    fn open_segments_are_recognised() {
        let dir = Path::new("/a");
        let ledger = LedgerId { origin: OriginId([7; 16]), stream: "till-1/main".parse().unwrap() };
        let path = open_segment(dir, &ledger, SegmentNumber(12));
        assert_eq!(parse_open_segment(dir, &path), Some((ledger, SegmentNumber(12))));
        assert_eq!(parse_open_segment(dir, Path::new("/a/open/x.mp4")), None);
    }
}
