//! The log's RocksDB: every change is synced, and after the first that fails there is no other.
//!
//! | family | key | value |
//! |---|---|---|
//! | `meta` | name | JSON: `format`, `node`, `store`, others' `store of …`, `vote`, `committed`, `purged`, `snapshot` |
//! | `log` | index, big-endian | JSON of an entry |
//!
//! A kernel that could not write a page forgets that it was to be written, and says so once. So a failed write
//! poisons the disk: nothing is written after it, and the node stops. Opened again, RocksDB writes what it finds
//! in its journal to new files before anybody sees it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use decide::NodeId;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch,
    WriteOptions,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::error::OpenError;
use crate::pace::Pace;

const FAMILIES: [&str; 2] = ["meta", "log"];
const FORMAT: u32 = 1;

/// One change of several rows: all of it or nothing.
pub(crate) struct Change<'a> {
    disk: &'a Disk,
    rows: WriteBatch,
    /// Rows whose value can't be written as JSON: a mistake in this program.
    unwritable: Option<String>,
}

pub(crate) struct Disk {
    dir: PathBuf,
    /// `None` once closed.
    db: RwLock<Option<DB>>,
    failed: watch::Sender<Option<String>>,
    pace: Pace,
    /// Makes writes fail, as a full or broken disk does.
    #[cfg(test)]
    pub(crate) breaks: std::sync::atomic::AtomicBool,
}

impl Disk {
    pub(crate) fn open(dir: PathBuf, me: NodeId) -> Result<Arc<Self>, OpenError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_paranoid_checks(true);
        options.set_track_and_verify_wals_in_manifest(true);
        // A torn last record was never acknowledged. Anything else that is damaged may have been a vote.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_write_buffer_size(4 << 20);
        options.set_max_total_wal_size(32 << 20);
        options.set_keep_log_file_num(4);
        options.set_max_open_files(64);
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
        let db = DB::open_cf_descriptors(&options, &dir, families)
            .map_err(|source| OpenError::Database { dir: dir.clone(), source })?;
        // RocksDB syncs what is in its folder, not the folder's own name.
        let parent =
            dir.parent().map_or(Ok(()), |parent| File::open(parent).and_then(|parent| parent.sync_all()));
        parent.map_err(|source| OpenError::Folder { dir: dir.clone(), source })?;
        let disk = Self {
            dir,
            db: RwLock::new(Some(db)),
            failed: watch::Sender::default(),
            pace: Pace::default(),
            #[cfg(test)]
            breaks: Default::default(),
        };
        disk.belongs_to(me)?;
        Ok(Arc::new(disk))
    }

    fn belongs_to(&self, me: NodeId) -> Result<(), OpenError> {
        let dir = || self.dir.clone();
        let unreadable = |error: io::Error| OpenError::Unreadable { dir: dir(), why: error.to_string() };
        match self.get::<u32>("format").map_err(unreadable)? {
            None => {}
            Some(FORMAT) => {}
            Some(found) => return Err(OpenError::Format { dir: dir(), found, known: FORMAT }),
        }
        match self.get::<NodeId>("node").map_err(unreadable)? {
            Some(found) if found == me => return Ok(()),
            Some(found) => return Err(OpenError::OtherNode { dir: dir(), found, me }),
            None => {}
        }
        let mut change = self.change();
        change.put("format", &FORMAT);
        change.put("node", &me);
        self.write_now(change.finish().map_err(unreadable)?, true).map_err(unreadable)
    }

    /// Begins a change.
    pub(crate) fn change(&self) -> Change<'_> {
        Change { disk: self, rows: WriteBatch::default(), unwritable: None }
    }

    /// Writes a change and syncs it.
    pub(crate) async fn write(self: &Arc<Self>, rows: WriteBatch) -> io::Result<()> {
        self.write_elsewhere(rows, true).await
    }

    /// Writes a change that may be lost in a power cut, and nothing but the last such changes is.
    pub(crate) async fn write_lazily(self: &Arc<Self>, rows: WriteBatch) -> io::Result<()> {
        self.write_elsewhere(rows, false).await
    }

    /// A sync takes as long as the disk likes: not on a thread that others need.
    async fn write_elsewhere(self: &Arc<Self>, rows: WriteBatch, sync: bool) -> io::Result<()> {
        let disk = self.clone();
        let written = tokio::task::spawn_blocking(move || disk.write_now(rows, sync)).await;
        written.map_err(io::Error::other)?
    }

    pub(crate) fn write_now(&self, rows: WriteBatch, sync: bool) -> io::Result<()> {
        if let Some(why) = &*self.failed.borrow() {
            return Err(io::Error::other(why.clone()));
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        let write = |db: &DB| self.broken().and_then(|()| db.write_opt(rows, &options).map_err(other));
        let written = self.pace.of(|| self.with(write));
        if let Err(error) = &written {
            self.poison(error);
        }
        written
    }

    fn poison(&self, error: &io::Error) {
        let why = format!("write control log {}: {error}", self.dir.display());
        tracing::error!(
            "{why}: this node neither leads nor votes until it is started again; check the disk first"
        );
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(why);
            first
        });
    }

    #[cfg(test)]
    fn broken(&self) -> io::Result<()> {
        match self.breaks.load(std::sync::atomic::Ordering::SeqCst) {
            true => Err(io::Error::other("no space left on device")),
            false => Ok(()),
        }
    }

    #[cfg(not(test))]
    fn broken(&self) -> io::Result<()> {
        Ok(())
    }

    /// How long the slowest write took since this was last asked, those included that are not done.
    pub(crate) fn slowest_write(&self) -> Duration {
        self.pace.slowest()
    }

    /// Why nothing is written any more, if so.
    pub(crate) fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    /// What is kept under a name.
    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let value =
            self.with(|db| db.get_pinned_cf(family(db, "meta"), name).map_err(other)?.map(parse).transpose());
        value.map_err(|error| self.about(name, error))
    }

    /// Entries of the log whose index is in `range`, in order.
    pub(crate) fn entries<T: DeserializeOwned>(&self, range: Range<u64>) -> io::Result<Vec<T>> {
        self.with(|db| {
            let (start, mut found) = (range.start.to_be_bytes(), Vec::new());
            for row in db.iterator_cf(family(db, "log"), IteratorMode::From(&start, Direction::Forward)) {
                let (key, value) = row.map_err(other)?;
                let index = index_of(&key)?;
                if index >= range.end {
                    break;
                }
                let entry = parse(value).map_err(|error| self.about(&format!("entry {index}"), error))?;
                found.push(entry);
            }
            Ok(found)
        })
    }

    /// The entry with the highest index.
    pub(crate) fn last_entry<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        self.with(|db| match db.iterator_cf(family(db, "log"), IteratorMode::End).next() {
            None => Ok(None),
            Some(row) => parse(row.map_err(other)?.1).map(Some),
        })
    }

    /// Closes the database, whoever still holds this.
    pub(crate) fn close(&self) {
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn with<T>(&self, act: impl FnOnce(&DB) -> io::Result<T>) -> io::Result<T> {
        match &*self.db.read().unwrap_or_else(PoisonError::into_inner) {
            Some(db) => act(db),
            None => Err(io::Error::other("the control log is closed")),
        }
    }

    fn about(&self, what: &str, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("read {what} of control log {}: {error}", self.dir.display()))
    }
}

impl Change<'_> {
    /// Keeps a value under a name.
    pub(crate) fn put(&mut self, name: &str, value: &impl Serialize) {
        self.row("meta", name.as_bytes(), value);
    }

    /// Keeps an entry of the log.
    pub(crate) fn put_entry(&mut self, index: u64, entry: &impl Serialize) {
        self.row("log", &index.to_be_bytes(), entry);
    }

    /// Removes entries of the log.
    pub(crate) fn remove_entries(&mut self, range: Range<u64>) {
        let Some(db) = &*self.disk.db.read().unwrap_or_else(PoisonError::into_inner) else { return };
        self.rows.delete_range_cf(family(db, "log"), range.start.to_be_bytes(), range.end.to_be_bytes());
    }

    /// The rows, for [`Disk::write`].
    pub(crate) fn finish(self) -> io::Result<WriteBatch> {
        match self.unwritable {
            None => Ok(self.rows),
            Some(why) => Err(io::Error::new(io::ErrorKind::InvalidData, why)),
        }
    }

    fn row(&mut self, name: &'static str, key: &[u8], value: &impl Serialize) {
        let Some(db) = &*self.disk.db.read().unwrap_or_else(PoisonError::into_inner) else { return };
        match serde_json::to_vec(value) {
            Ok(value) => self.rows.put_cf(family(db, name), key, value),
            Err(error) => self.unwritable = Some(format!("{name}: {error}")),
        }
    }
}

fn family<'a>(db: &'a DB, name: &'static str) -> &'a ColumnFamily {
    // Opening made them all; RocksDB would not have opened otherwise.
    db.cf_handle(name).unwrap_or_else(|| unreachable!("column family {name} was opened"))
}

fn index_of(key: &[u8]) -> io::Result<u64> {
    let bytes: [u8; 8] =
        key.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("key {key:02x?}")))?;
    Ok(u64::from_be_bytes(bytes))
}

fn parse<T: DeserializeOwned>(value: impl AsRef<[u8]>) -> io::Result<T> {
    serde_json::from_slice(value.as_ref()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn other(error: rocksdb::Error) -> io::Error {
    io::Error::other(error)
}
