//! openraft's log and vote on our disk. Whatever a method promises is synced before it returns, so that openraft
//! may tell others; writes follow each other, since each is awaited.
//!
//! What is committed is kept as well, unsynced: it is a hint that spares a restarted node an old state, and
//! Raft finds it out again if a power cut takes it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};

use crate::disk::Disk;
use crate::raft::{Entry, LogId, Types, Vote};

/// The log of one node.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) disk: Arc<Disk>,
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        self.disk.entries(half_open(&range))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.disk.get("vote")
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let last_purged_log_id: Option<LogId> = self.disk.get("purged")?;
        let last: Option<Entry> = self.disk.last_entry()?;
        let last_log_id = last.map(|entry| entry.log_id()).or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let mut change = self.disk.change();
        change.put("vote", vote);
        self.disk.write(change.finish()?).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut change = self.disk.change();
        change.put("committed", &committed);
        self.disk.write_lazily(change.finish()?).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.disk.get::<Option<LogId>>("committed")?.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut change = self.disk.change();
        for entry in entries {
            change.put_entry(entry.log_id.index, &entry);
        }
        let written = self.disk.write(change.finish()?).await;
        let told = written.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string()));
        callback.io_completed(told);
        written
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let mut change = self.disk.change();
        change.remove_entries(last.map_or(0, |last| last.index + 1)..u64::MAX);
        self.disk.write(change.finish()?).await
    }

    async fn purge(&mut self, last: LogId) -> io::Result<()> {
        let mut change = self.disk.change();
        change.put("purged", &last);
        change.remove_entries(0..last.index + 1);
        self.disk.write(change.finish()?).await
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
