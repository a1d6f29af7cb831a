//! The tail journal: parts of segments that are not complete yet, of all sites, in one group-synced log.
//!
//! A part is written twice at the hub, once here and once into its segment's file: that is the price for
//! one sync for all cameras at once instead of one each. What is in a synced record survives a power
//! cut; a torn record at a file's end is where that file ends. A file is deleted when nothing in it is
//! needed any more. A start never appends to an old file.

mod file;
mod index;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock};

use bytes::Bytes;
use site_agent::archive::layout;
use tokio::sync::{mpsc, oneshot};
use wire::{LedgerId, RangeSet, SegmentNumber, SiteId, StreamId, UnixMicros};

use index::{Index, Key};

/// Why the journal could not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// A file could not be read or written.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// The disk is full. Nothing was written, and later parts may be.
    #[error("the disk of the tail journal {0} is full; free some of it, and it goes on by itself")]
    Full(PathBuf),
    /// A sync failed earlier: nothing more is accepted.
    #[error("the tail journal stopped after a failed write: {0}; restart the hub to recover")]
    Poisoned(String),
    /// A record no longer has the bytes that were written.
    #[error("record at {offset} of {path} is damaged")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// The writer is gone.
    #[error("the tail journal is closed")]
    Closed,
}

/// One part to keep.
#[derive(Clone, Debug)]
pub struct TailPart {
    /// Whose.
    pub site: SiteId,
    /// Of which ledger.
    pub ledger: LedgerId,
    /// Of which segment.
    pub segment: SegmentNumber,
    /// Which part.
    pub part: u32,
    /// When its first frame arrived at the site, as the part says.
    pub start: UnixMicros,
    /// The instant up to which it has recorded, likewise.
    pub end: UnixMicros,
    /// Does it begin with a keyframe?
    pub key: bool,
    /// The bytes.
    pub data: Bytes,
}

/// An unfinished segment, as it lies in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    /// Whose.
    pub site: SiteId,
    /// Of which ledger.
    pub ledger: LedgerId,
    /// Which segment.
    pub segment: SegmentNumber,
    /// Which parts are there.
    pub parts: RangeSet,
    /// The first instant of its fragments.
    pub start: UnixMicros,
    /// The last.
    pub end: UnixMicros,
    /// The parts that are there, in order.
    pub fragments: Vec<Fragment>,
}

/// A part of a tail, as its sender told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its number; 0 is the header.
    pub part: u32,
    /// Its first instant.
    pub start: UnixMicros,
    /// The first one after it.
    pub end: UnixMicros,
    /// Does it begin with a keyframe?
    pub key: bool,
}

/// The open journal. Clones share it.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
    jobs: mpsc::Sender<writer::Job>,
}

struct Inner {
    dir: PathBuf,
    index: RwLock<Index>,
    poison: OnceLock<String>,
}

impl Journal {
    /// Opens the journal in `dir`, reads what earlier runs left, and starts its writer thread. Files are
    /// closed at `file_bytes`. `is_held` tells which segments need no tail any more.
    pub fn open(
        dir: &Path,
        file_bytes: u64,
        is_held: impl Fn(&LedgerId, SegmentNumber) -> bool,
    ) -> Result<Self, JournalError> {
        let made = layout::make_synced(dir.parent().unwrap_or(dir), dir);
        made.map_err(|error| io("make folder", dir, std::io::Error::other(error)))?;
        let mut index = Index::default();
        let mut last = 0;
        for (number, path) in file::list(dir)? {
            last = number;
            file::replay(&path, |record, offset, length| {
                if !is_held(&record.ledger, record.segment) {
                    index.insert(&record, number, offset, length);
                }
            })?;
            if index.is_unused(number) {
                std::fs::remove_file(&path).map_err(|error| io("delete journal file", &path, error))?;
            }
        }
        let inner =
            Arc::new(Inner { dir: dir.to_owned(), index: RwLock::new(index), poison: OnceLock::new() });
        let jobs = writer::start(inner.clone(), last + 1, file_bytes)?;
        Ok(Self { inner, jobs })
    }

    /// Makes a part durable. Parts that come together are synced together.
    pub async fn append(&self, part: TailPart) -> Result<(), JournalError> {
        let (reply, done) = oneshot::channel();
        self.jobs.send(writer::Job { part, reply }).await.map_err(|_| JournalError::Closed)?;
        done.await.map_err(|_| JournalError::Closed)?
    }

    /// Which parts of a segment are durable here.
    pub fn parts(&self, ledger: &LedgerId, segment: SegmentNumber) -> RangeSet {
        self.inner.read().parts(&(ledger.clone(), segment))
    }

    /// All unfinished segments of a ledger.
    pub fn of_ledger(&self, ledger: &LedgerId) -> Vec<Tail> {
        self.inner.read().of_ledger(ledger)
    }

    /// All unfinished segments of one stream of a site.
    pub fn of_stream(&self, site: &SiteId, stream: &StreamId) -> Vec<Tail> {
        self.inner.read().select(|key, owner| owner == site && key.0.stream == *stream)
    }

    /// All unfinished segments.
    pub fn all(&self) -> Vec<Tail> {
        self.inner.read().select(|_, _| true)
    }

    /// Bytes kept for a site.
    pub fn site_bytes(&self, site: &SiteId) -> u64 {
        self.inner.read().site_bytes(site)
    }

    /// Reads one part.
    pub fn read(
        &self,
        ledger: &LedgerId,
        segment: SegmentNumber,
        part: u32,
    ) -> Result<Option<Bytes>, JournalError> {
        let place = self.inner.read().place(&(ledger.clone(), segment), part);
        let Some(place) = place else { return Ok(None) };
        let path = file::path(&self.inner.dir, place.file);
        file::read(&path, place.offset, place.length).map(Some)
    }

    /// The segment needs no tail any more; files that held nothing else are deleted.
    pub fn forget(&self, ledger: &LedgerId, segment: SegmentNumber) {
        let key: Key = (ledger.clone(), segment);
        let unused = self.inner.write().remove(&key);
        for number in unused {
            let path = file::path(&self.inner.dir, number);
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "delete journal file");
            }
        }
    }

    /// Why it accepts nothing more, if so.
    pub fn poisoned(&self) -> Option<&str> {
        self.inner.poison.get().map(String::as_str)
    }
}

impl Inner {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Io { what, path: path.to_owned(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests;
