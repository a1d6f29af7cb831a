//! The archive: segment files on disk, and an index in RocksDB that says what they are.
//!
//! The site keeps what it records in one, the hub keeps what its sites send in another; both are this
//! code. The index is the truth about *what* was recorded, the files are the bytes.
//!
//! What holds, in this order of events (see `docs/design/archive.md`):
//!  1. a file's bytes are synced before it is renamed into place;
//!  2. the rename is synced (its folder) before the index names it;
//!  3. the index names it in one synced write batch together with its entry, its `seq` and the chain's
//!     head: an entry is either there with all of that, or not there;
//!  4. nobody hears of an entry before that batch is synced.
//!
//! After a failed sync nothing can be believed any more: the archive is *poisoned*, refuses every
//! further change, and says so. It never knows of networks or cameras.

pub mod adopt;
mod change;
mod damage;
pub mod disks;
mod gone;
mod index;
pub mod layout;
mod open_segment;
mod placing;
mod query;
mod rebuild;
mod records;
mod recover;
mod returned;
pub mod room;
mod settled;
#[cfg(test)]
pub(crate) mod tests;
pub mod verify;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use tokio::sync::{broadcast, oneshot};
use wire::chain::Head;
use wire::entry::Entry;
use wire::{LedgerId, OriginId, RangeSet, SegmentNumber, Seq, SiteId, StreamId, VaultId};

pub use change::{Change, Done, Returned};
pub use damage::{Damage, Placed};
pub use disks::{Disk, DiskNumber, Disks, GivenUp, NotGivenUp};
pub use gone::{GONE_SPAN_MAX, HeldSegment};
pub use open_segment::OpenSegment;
pub use query::Located;
pub use records::{LedgerRecord, Sender};
pub use recover::{Recovered, Remains, recover, recover_standbys};
pub use room::{Room, Use};

use index::Index;

/// Why an archive could not do something.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file could not be read or written.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was being done, as "open segment".
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The index could not be read or written.
    #[error("index {dir}: {source}")]
    Index {
        /// Where it is.
        dir: PathBuf,
        /// What RocksDB said.
        source: rocksdb::Error,
    },
    /// The index holds something impossible.
    #[error("index record of {0} is damaged: {1}")]
    Damaged(String, String),
    /// Somebody else has it open.
    #[error("archive {0} is in use by another process; stop it first")]
    Locked(PathBuf),
    /// A sync failed earlier: nothing more is accepted.
    #[error("archive stopped accepting changes after a failed write: {0}; restart to recover from the files")]
    Poisoned(String),
    /// The ledger is not known here.
    #[error("ledger {0} is not known")]
    UnknownLedger(LedgerId),
    /// The ledger belongs to another site.
    #[error("ledger {ledger} belongs to site {owner}")]
    NotYours {
        /// Which.
        ledger: LedgerId,
        /// Whose it is.
        owner: SiteId,
    },
    /// Somebody else brings the ledger, for the same site.
    #[error("ledger {0} is brought by somebody else: it has one writer")]
    NotTheirs(LedgerId),
    /// The vault writes the ledger itself.
    #[error("ledger {0} is this vault's own: no site continues it")]
    WrittenHere(LedgerId),
    /// Entries that don't continue what is known.
    #[error("ledger {ledger}: entries begin at {first}, {next} is the next")]
    OutOfOrder {
        /// Which.
        ledger: LedgerId,
        /// Where the offered entries begin.
        first: Seq,
        /// What would continue the ledger.
        next: Seq,
    },
    /// A known seq with other bytes.
    #[error("ledger {ledger}: entry {seq} is known with other bytes")]
    Conflict {
        /// Which.
        ledger: LedgerId,
        /// Where.
        seq: Seq,
    },
    /// So little room is left that even the index stops.
    #[error("the disk of archive {0} is full; free some of it, and it goes on by itself")]
    Full(PathBuf),
    /// Bytes came again before the file that was freed was deleted.
    #[error("ledger {0}: the file of entry {1} was freed and is being deleted")]
    BeingFreed(LedgerId, Seq),
    /// Nothing is written to an ended ledger.
    #[error("ledger {0} has ended")]
    Ended(LedgerId),
    /// The writer is gone.
    #[error("archive is closed")]
    Closed,
}

impl ArchiveError {
    /// Is there no room left, rather than something broken?
    pub fn is_out_of_space(&self) -> bool {
        use std::io::ErrorKind;
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            }
            Self::Full(_) => true,
            Self::Index { source, .. } => source.as_ref().contains("No space left"),
            _ => false,
        }
    }
}

/// A result of the archive.
pub type Result<T, E = ArchiveError> = std::result::Result<T, E>;

/// What has become durable, told to whoever listens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A ledger was opened here by its writer.
    Opened(LedgerId),
    /// An entry was appended to an own ledger.
    Appended {
        /// Which.
        ledger: LedgerId,
        /// Its place.
        seq: Seq,
        /// The chain's head after it.
        head: Head,
        /// The segment's number and how many parts it has, if it is one.
        segment: Option<(SegmentNumber, u32)>,
    },
    /// A host brought entries of a ledger that it wrote as a site's standby.
    Taken(LedgerId),
    /// Bytes that were held are damaged, and wanted again.
    Damaged {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which entry.
        seq: Seq,
        /// Its number.
        segment: SegmentNumber,
    },
    /// A disk that held something went out, or is back: of many ledgers other segments are held than before.
    Moved {
        /// Is it back?
        back: bool,
    },
    /// Bytes are held no more.
    Gone {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which entries.
        seqs: RangeSet,
    },
}

/// An open archive. Clones share it.
#[derive(Clone)]
pub struct Archive {
    // Dropped in this order: the writer ends before what it works on, and the lock with it, goes.
    writer: Arc<writer::Writer>,
    inner: Arc<Inner>,
}

/// What readers and the writer share.
pub(crate) struct Inner {
    dir: PathBuf,
    index: Index,
    vault: VaultId,
    generation: u64,
    ledgers: RwLock<BTreeMap<LedgerId, LedgerRecord>>,
    sites: Mutex<settled::Sites>,
    poison: OnceLock<String>,
    events: broadcast::Sender<Event>,
    disks: Disks,
    damage: damage::Counts,
    _lock: File,
}

impl Archive {
    /// Opens the archive in `dir`, making it if there is none, and starts its writer thread.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, &[])
    }

    /// [`Archive::open`], with further disks at these places.
    pub fn open_with(dir: &Path, places: &[disks::Place]) -> Result<Self> {
        layout::make(dir)?;
        let lock = layout::lock(dir)?;
        layout::clear_incoming(dir)?;
        // Opening an index writes.
        Room::new(dir).admits(0, room::Use::Index);
        let index = rebuild::open_index(dir, places)?;
        let (vault, generation) = index.identity()?;
        let ledgers = index.ledgers()?;
        let away = ledgers.values().any(|record| !record.away_ranges.is_empty());
        let disks = Disks::open(&index, dir, places, away)?;
        let sites = Mutex::new(ledgers.iter().collect());
        let (events, _) = broadcast::channel(4096);
        let inner = Arc::new(Inner {
            dir: dir.to_owned(),
            index,
            vault,
            generation,
            ledgers: RwLock::new(ledgers),
            sites,
            poison: OnceLock::new(),
            events,
            disks,
            damage: damage::Counts::default(),
            _lock: lock,
        });
        let writer = Arc::new(writer::start(inner.clone())?);
        Ok(Self { writer, inner })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Room on the disk with the index.
    pub fn room(&self) -> &Room {
        self.inner.disks.first().room()
    }

    /// Its disks.
    pub fn disks(&self) -> &Disks {
        &self.inner.disks
    }

    /// A file for a segment that is to be recorded, on one of the disks.
    pub fn create_segment(&self, ledger: &LedgerId, number: SegmentNumber) -> Result<OpenSegment> {
        let disk = self.inner.disks.choose(ledger, number, 0)?;
        OpenSegment::create_on(disk, ledger, number)
    }

    /// Where a segment of so many bytes is to be put together, on one of the disks: an error if none has room.
    pub fn incoming(&self, ledger: &LedgerId, number: SegmentNumber, bytes: u64) -> Result<PathBuf> {
        let disk = self.inner.disks.choose(ledger, number, bytes)?;
        Ok(layout::incoming(disk.dir(), ledger, number))
    }

    /// The number of the disk that a segment's file is on.
    pub(crate) fn disk_number(&self, ledger: &LedgerId, number: SegmentNumber) -> Result<DiskNumber> {
        self.inner.index.disk_of(ledger, number)
    }

    /// The disk that a segment's file is on.
    pub(crate) fn disk_of(&self, ledger: &LedgerId, number: SegmentNumber) -> Result<Arc<Disk>> {
        let disk = self.inner.index.disk_of(ledger, number)?;
        let unknown =
            || ArchiveError::Damaged(format!("{ledger} segment {number}"), format!("no disk {disk}"));
        self.inner.disks.get(disk).ok_or_else(unknown)
    }

    /// Who it is, and which life of it: what acks name.
    pub fn identity(&self) -> (VaultId, u64) {
        (self.inner.vault, self.inner.generation)
    }

    /// Makes a change durable. Changes submitted together are synced together.
    pub async fn submit(&self, change: Change) -> Result<Done> {
        let (reply, done) = oneshot::channel();
        self.writer.jobs()?.send(writer::Job { change, reply }).await.map_err(|_| ArchiveError::Closed)?;
        done.await.map_err(|_| ArchiveError::Closed)?
    }

    /// [`Archive::submit`] for threads that are not async.
    pub fn submit_blocking(&self, change: Change) -> Result<Done> {
        let (reply, done) = oneshot::channel();
        self.writer.jobs()?.blocking_send(writer::Job { change, reply }).map_err(|_| ArchiveError::Closed)?;
        done.blocking_recv().map_err(|_| ArchiveError::Closed)?
    }

    /// Makes many changes durable, with one sync or a few, for threads that are not async. Each has its own result.
    pub fn submit_all_blocking(&self, changes: Vec<Change>) -> Vec<Result<Done>> {
        let send = |change| {
            let (reply, done) = oneshot::channel();
            let sent = self.writer.jobs()?.blocking_send(writer::Job { change, reply });
            sent.map(|()| done).map_err(|_| ArchiveError::Closed)
        };
        let waiting: Vec<Result<oneshot::Receiver<Result<Done>>>> = changes.into_iter().map(send).collect();
        waiting.into_iter().map(|done| done?.blocking_recv().map_err(|_| ArchiveError::Closed)?).collect()
    }

    /// What becomes durable from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// Why it accepts no more changes, if so.
    pub fn poisoned(&self) -> Option<&str> {
        self.inner.poison.get().map(String::as_str)
    }

    /// All ledgers, in the order of their ids.
    pub fn ledgers(&self) -> Vec<(LedgerId, LedgerRecord)> {
        self.inner.read_ledgers().iter().map(|(id, record)| (id.clone(), record.clone())).collect()
    }

    /// Is there a ledger with such a record?
    pub fn any_ledger(&self, wanted: impl Fn(&LedgerRecord) -> bool) -> bool {
        self.inner.read_ledgers().values().any(wanted)
    }

    /// One ledger.
    pub fn ledger(&self, ledger: &LedgerId) -> Option<LedgerRecord> {
        self.inner.read_ledgers().get(ledger).cloned()
    }

    /// Which sites and streams there are.
    pub fn streams(&self) -> Vec<(SiteId, StreamId)> {
        let streams: std::collections::BTreeSet<_> = self
            .inner
            .read_ledgers()
            .iter()
            .filter_map(|(id, record)| Some((record.site().ok()?, id.stream.clone())))
            .collect();
        streams.into_iter().collect()
    }

    /// Another site than this, whose recordings are here, but for those that this machine made for it as its host.
    pub fn other_than(&self, site: &SiteId) -> Option<SiteId> {
        let ledgers = self.inner.read_ledgers();
        let others = ledgers.values().filter(|record| !record.is_standby_here());
        others.filter_map(|record| record.site().ok()).find(|owner| owner != site)
    }

    /// The chain's head before entry `next`: `genesis` for 0, `None` beyond what is known.
    pub fn head_before(&self, ledger: &LedgerId, next: Seq) -> Result<Option<Head>> {
        match next.0.checked_sub(1) {
            None => Ok(Some(Head::genesis(ledger))),
            Some(before) => Ok(self.inner.index.entry(ledger, Seq(before))?.map(|(head, _)| head)),
        }
    }

    /// One entry.
    pub fn entry(&self, ledger: &LedgerId, seq: Seq) -> Result<Option<Entry>> {
        Ok(self.inner.index.entry(ledger, seq)?.map(|(_, entry)| entry))
    }

    /// Entries `seqs`, as many as there are.
    pub fn entries(&self, ledger: &LedgerId, seqs: std::ops::Range<u64>) -> Result<Vec<Entry>> {
        self.inner.index.entries(ledger, seqs)
    }

    /// The seq of a ledger's segment `number`.
    pub fn seq_of(&self, ledger: &LedgerId, number: SegmentNumber) -> Result<Option<Seq>> {
        self.inner.index.seq_of(ledger, number)
    }

    /// Are the bytes of this entry here?
    pub fn holds(&self, ledger: &LedgerId, seq: Seq) -> bool {
        self.inner.read_ledgers().get(ledger).is_some_and(|record| record.held().contains(seq.0))
    }

    /// Segments and gaps of one stream that touch `from..to`, in order of their beginning.
    pub fn query(
        &self,
        site: &SiteId,
        stream: &StreamId,
        from: wire::UnixMicros,
        to: wire::UnixMicros,
    ) -> Result<Vec<Located>> {
        query::query(&self.inner, site, stream, from, to)
    }

    /// Where the file of a segment is.
    pub fn segment_path(&self, ledger: &LedgerId, number: SegmentNumber) -> Result<PathBuf> {
        let record = self.ledger(ledger).ok_or_else(|| ArchiveError::UnknownLedger(ledger.clone()))?;
        Ok(layout::segment(self.disk_of(ledger, number)?.dir(), &record.site()?, ledger, number))
    }

    /// Opens the file of a segment: it can be read to its end, also if it is deleted meanwhile.
    pub fn open_file(&self, ledger: &LedgerId, number: SegmentNumber) -> Result<File> {
        let path = self.segment_path(ledger, number)?;
        File::open(&path).map_err(|source| ArchiveError::Io { what: "open segment", path, source })
    }

    /// Reads `length` bytes at `offset` of a segment's file.
    pub fn read(
        &self,
        ledger: &LedgerId,
        number: SegmentNumber,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>> {
        let file = self.open_file(ledger, number)?;
        read_at(&file, offset, length).map_err(|source| ArchiveError::Io {
            what: "read segment",
            path: self.segment_path(ledger, number).unwrap_or_default(),
            source,
        })
    }

    /// Ledgers of a run that has not ended.
    pub fn open_ledgers(&self) -> Vec<LedgerId> {
        self.inner
            .read_ledgers()
            .iter()
            .filter(|(_, record)| !record.ended)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// All seqs of a ledger that its vault has acked.
    pub fn acked(&self, ledger: &LedgerId) -> RangeSet {
        self.ledger(ledger).map(|record| record.acked()).unwrap_or_default()
    }
}

impl Inner {
    pub(crate) fn read_ledgers(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<LedgerId, LedgerRecord>> {
        self.ledgers.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn write_ledgers(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<LedgerId, LedgerRecord>> {
        self.ledgers.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Stops all further changes.
    pub(crate) fn poison(&self, why: &str) {
        if self.poison.set(why.to_owned()).is_ok() {
            tracing::error!(archive = %self.dir.display(), why, "archive stops accepting changes");
        }
    }
}

/// Reads `length` bytes at `offset` of a file.
pub fn read_at(file: &File, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// A fresh origin: the id of one run.
pub fn new_origin() -> OriginId {
    OriginId(wire::clock::random_id())
}
