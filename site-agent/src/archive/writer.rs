//! The one thread that changes an archive: takes all changes that wait, makes their files durable, then
//! their rows, in one batch, then tells everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rocksdb::WriteBatch;
use tokio::sync::{mpsc, oneshot};
use wire::chain::Head;
use wire::entry::{Entry, part_count};
use wire::proto::entry::Kind;
use wire::{LedgerId, SegmentNumber, Seq, SiteId};

use super::change::{Change, Done};
use super::disks::{DiskNumber, FIRST};
use super::gone::Freed;
use super::placing::Placed;
use super::records::{LedgerRecord, Sender};
use super::room::Use;
use super::{ArchiveError, Event, Inner, Result, layout, placing};
use crate::failpoint;

/// Changes that wait at most; whoever submits more waits.
const QUEUE: usize = 1024;
/// Changes synced together at most.
const GROUP: usize = 256;

pub(super) struct Job {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<Done>>,
}

/// The thread, from its users' side. It ends with its last user, who waits for that: the archive is then
/// free for the next.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Where jobs go.
    pub(super) fn jobs(&self) -> Result<&mpsc::Sender<Job>> {
        self.jobs.as_ref().ok_or(ArchiveError::Closed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // one that panicked has let go as well
        }
    }
}

/// Starts the thread.
pub(super) fn start(inner: Arc<Inner>) -> Result<Writer> {
    let dir = inner.dir.clone();
    let (jobs, mut waiting) = mpsc::channel::<Job>(QUEUE);
    let run = move || {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(job) = waiting.try_recv()
            {
                group.push(job);
            }
            commit(&inner, group);
        }
    };
    let spawned = std::thread::Builder::new().name("archive-writer".into()).spawn(run);
    let thread = spawned.map_err(|source| ArchiveError::Io {
        what: "start the writer of archive",
        path: dir,
        source,
    })?;
    Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
}

/// A change whose rows are in the batch, waiting for the sync.
struct Prepared {
    reply: oneshot::Sender<Result<Done>>,
    done: Done,
    event: Option<Event>,
}

fn commit(inner: &Inner, group: Vec<Job>) {
    if let Some(why) = inner.poison.get() {
        for job in group {
            let _ = job.reply.send(Err(ArchiveError::Poisoned(why.clone())));
        }
        return;
    }
    failpoint::pass("commit/begun");
    // An index that meets a full disk in the middle of a write is poisoned; one that never tries is not.
    let group = admitted(inner, group);
    let (group, placed) = placing::place_group(inner, group);
    let mut pass = Pass {
        inner,
        changed: BTreeMap::new(),
        batch: WriteBatch::default(),
        placed,
        folders: BTreeSet::new(),
        told: Vec::new(),
    };
    let mut prepared = Vec::new();
    for job in group {
        match pass.apply(job.change) {
            Ok((done, event)) => prepared.push(Prepared { reply: job.reply, done, event }),
            Err(error) => {
                let _ = job.reply.send(Err(error));
            }
        }
    }
    match pass.finish() {
        Ok(told) => {
            told.into_iter().for_each(|event| drop(inner.events.send(event))); // nobody may be listening
            prepared.into_iter().for_each(|prepared| publish(inner, prepared));
        }
        Err(error) => {
            inner.poison(&error.to_string());
            for prepared in prepared {
                let _ = prepared.reply.send(Err(ArchiveError::Poisoned(error.to_string())));
            }
        }
    }
}

/// Those of a group for which there is room in the index; the others are told. Asked once for all of them.
fn admitted(inner: &Inner, group: Vec<Job>) -> Vec<Job> {
    let room = inner.disks.first().room();
    let index = room.admits(0, Use::Index);
    let freeing = index || room.admits(0, Use::Freeing);
    let mut admitted = Vec::with_capacity(group.len());
    for job in group {
        if if job.change.purpose() == Use::Freeing { freeing } else { index } {
            admitted.push(job);
        } else {
            let _ = job.reply.send(Err(ArchiveError::Full(inner.dir.clone())));
        }
    }
    admitted
}

fn publish(inner: &Inner, prepared: Prepared) {
    if let Some(event) = prepared.event {
        let _ = inner.events.send(event); // nobody may be listening
    }
    let _ = prepared.reply.send(Ok(prepared.done)); // whoever asked may be gone; it is durable all the same
}

/// One group of changes on their way to one batch.
pub(super) struct Pass<'a> {
    pub(super) inner: &'a Inner,
    pub(super) changed: BTreeMap<LedgerId, LedgerRecord>,
    pub(super) batch: WriteBatch,
    /// Files that are in their place already, on further disks.
    placed: Placed,
    /// Folders that took a file.
    folders: BTreeSet<PathBuf>,
    /// What is to be told beside the events of single changes.
    pub(super) told: Vec<Event>,
}

impl Pass<'_> {
    fn apply(&mut self, change: Change) -> Result<(Done, Option<Event>)> {
        match change {
            Change::Open { ledger, site, opened } => {
                if let Some(known) = self.record(&ledger) {
                    self.check_sender(&ledger, &known, &Sender::agent(&site))?;
                    return Ok((Done::Stored, None));
                }
                let record = LedgerRecord::new(&site, Head::genesis(&ledger), opened);
                self.changed.insert(ledger.clone(), record);
                Ok((Done::Stored, Some(Event::Opened(ledger))))
            }
            Change::OpenStandby { ledger, site, opened } => {
                let mut record = LedgerRecord::new(&site, Head::genesis(&ledger), opened);
                record.standby = true;
                self.changed.insert(ledger.clone(), record);
                Ok((Done::Stored, Some(Event::Opened(ledger))))
            }
            Change::OpenHosted { ledger, by, opened } => {
                if let Some(known) = self.record(&ledger) {
                    self.check_sender(&ledger, &known, &by)?;
                    return Ok((Done::Stored, None));
                }
                let mut record = LedgerRecord::new(&by.site, Head::genesis(&ledger), opened);
                (record.standby, record.host) = (true, by.host_name().to_owned());
                self.changed.insert(ledger, record);
                Ok((Done::Stored, None))
            }
            Change::OpenSalvage { ledger, site, opened } => {
                if self.record(&ledger).is_none() {
                    let mut record = LedgerRecord::new(&site, Head::genesis(&ledger), opened);
                    record.salvage = true;
                    self.changed.insert(ledger, record);
                }
                Ok((Done::Stored, None))
            }
            Change::End { ledger } => {
                let mut record = self.known(&ledger)?;
                record.ended = true;
                self.changed.insert(ledger, record);
                Ok((Done::Stored, None))
            }
            Change::Append { ledger, at, kind, file } => self.append(ledger, Entry::write(at, kind), file),
            Change::Entries { site, ledger, first, entries } => self.take_in(&site, ledger, first, &entries),
            Change::Returned { ledger, about, first, entries, acked } => {
                self.take_returned(ledger, &about, (first, &entries), &acked)
            }
            Change::Unwanted { ledger, seqs } => self.unwanted(ledger, &seqs),
            Change::Bytes { ledger, seq, file } => self.take_bytes(ledger, seq, &file),
            Change::Free { ledger, at, of, seqs, cause } => self.free(Freed { ledger, at, of, seqs, cause }),
            Change::Damaged { ledger, seq } => self.damaged(ledger, seq),
            Change::Scrubbed { note } => {
                self.inner.index.put_scrub_note(&mut self.batch, &note);
                Ok((Done::Stored, None))
            }
            Change::Away { ledger, seqs } => self.away(ledger, &seqs),
            Change::Back { ledger, whole, not } => self.back(ledger, &whole, &not),
            Change::Deleted { files, outdated } => {
                for (ledger, number) in files {
                    self.inner.index.remove_freed(&mut self.batch, &ledger, number);
                }
                for (disk, ledger, number) in outdated {
                    self.inner.index.remove_outdated(&mut self.batch, disk, (&ledger, number));
                }
                Ok((Done::Stored, None))
            }
            Change::Acked { ledger, seqs, all } => {
                let mut record = self.known(&ledger)?;
                let acked = if all { seqs } else { record.acked().union(&seqs) };
                record.acked_ranges = acked.to_proto();
                self.changed.insert(ledger, record);
                Ok((Done::Stored, None))
            }
        }
    }

    pub(super) fn append(
        &mut self,
        ledger: LedgerId,
        entry: Entry,
        file: Option<PathBuf>,
    ) -> Result<(Done, Option<Event>)> {
        let mut record = self.known(&ledger)?;
        if record.ended {
            return Err(ArchiveError::Ended(ledger));
        }
        let site = record.site()?;
        let segment = entry.segment().map(|segment| (SegmentNumber(segment.number), part_count(segment)));
        let mut disk = FIRST;
        if let (Some(file), Some((number, _))) = (file, segment) {
            disk = self.place(&site, &ledger, number, &file)?;
        }
        let seq = record.next();
        let head = self.add(&site, &ledger, &mut record, &entry);
        if let Some((number, _)) = segment.filter(|_| disk != FIRST) {
            self.inner.index.put_place(&mut self.batch, (&ledger, number), seq, disk);
        }
        record.hold(seq);
        record.bytes += entry.segment().map_or(0, |segment| segment.bytes);
        self.changed.insert(ledger.clone(), record);
        Ok((Done::Appended { seq, head }, Some(Event::Appended { ledger, seq, head, segment })))
    }

    pub(super) fn take_in(
        &mut self,
        site: &SiteId,
        ledger: LedgerId,
        first: Seq,
        entries: &[Entry],
    ) -> Result<(Done, Option<Event>)> {
        let mut record = self.known(&ledger)?;
        self.check_owner(&ledger, &record, site)?;
        if first > record.next() {
            return Err(ArchiveError::OutOfOrder { ledger, first, next: record.next() });
        }
        for (seq, entry) in (first.0..).map(Seq).zip(entries) {
            if seq < record.next() {
                self.check_same(&ledger, seq, entry)?;
                continue;
            }
            self.add(site, &ledger, &mut record, entry);
            if entry.segment().is_none() {
                record.hold(seq);
            }
        }
        let by = record.sender()?;
        // Whoever follows the standbys of a vault hears of entries that a host brought as of those written here.
        let told = by.host.is_some().then(|| Event::Taken(ledger.clone()));
        self.changed.insert(ledger, record);
        for entry in entries {
            if let Some(Kind::Gone(gone)) = entry.kind() {
                self.gone_elsewhere(&by, gone);
            }
        }
        Ok((Done::Stored, told))
    }

    fn take_bytes(&mut self, ledger: LedgerId, seq: Seq, file: &Path) -> Result<(Done, Option<Event>)> {
        let mut record = self.known(&ledger)?;
        let entry = self.inner.index.entry(&ledger, seq)?;
        let segment = entry.as_ref().and_then(|(_, entry)| entry.segment());
        let Some(segment) = segment else {
            let what = "bytes came for an entry that is no segment".to_owned();
            return Err(ArchiveError::Damaged(format!("{ledger} entry {seq}"), what));
        };
        let number = SegmentNumber(segment.number);
        let (before, to) =
            (self.inner.index.disk_of(&ledger, number)?, self.inner.disks.of_path(file).number());
        if self.is_freed(to, &ledger, number)? {
            return Err(ArchiveError::BeingFreed(ledger, seq));
        }
        let disk = self.place(&record.site()?, &ledger, number, file)?;
        if disk != before {
            self.inner.index.put_place(&mut self.batch, (&ledger, number), seq, disk);
            // Only where there may be a file: most bytes that come were never here.
            let lost = self.inner.disks.is_given_up(before);
            if !lost && (before != FIRST || record.damaged().contains(seq.0)) {
                self.inner.index.put_outdated(&mut self.batch, before, (&ledger, number));
            }
        }
        if !record.held().contains(seq.0) {
            record.bytes += segment.bytes;
        }
        if record.damaged().contains(seq.0) {
            self.inner.damage.repaired();
        }
        record.hold(seq);
        self.changed.insert(ledger, record);
        Ok((Done::Stored, None))
    }

    /// Puts an entry's rows into the batch and moves the record on; returns the new head.
    fn add(&mut self, site: &SiteId, ledger: &LedgerId, record: &mut LedgerRecord, entry: &Entry) -> Head {
        let (seq, head) = (record.next(), record.head().after(entry.bytes()));
        self.inner.index.put_entry(&mut self.batch, site, ledger, seq, head, entry);
        record.next = seq.0 + 1;
        record.head = head.0.to_vec();
        if let Some((_, end)) = super::query::span_of(entry) {
            record.last_us = record.last_us.max(end.0);
        }
        head
    }

    /// Makes a file durable and moves it where the index will say it is; returns on which disk.
    fn place(
        &mut self,
        site: &SiteId,
        ledger: &LedgerId,
        number: SegmentNumber,
        file: &Path,
    ) -> Result<DiskNumber> {
        if let Some(disk) = self.placed.get(file) {
            return Ok(*disk);
        }
        let disk = self.inner.disks.of_path(file);
        if disk.number() != FIRST {
            // Its ledger begins in this very group.
            return placing::place_one(&disk, &layout::segment(disk.dir(), site, ledger, number), file);
        }
        let target = layout::segment(&self.inner.dir, site, ledger, number);
        match placing::move_synced(&self.inner.dir, file, &target) {
            Ok(folder) => self.folders.insert(folder),
            Err(placing::Failed::Sync(error)) => {
                // The kernel has forgotten which pages were dirty: a retry would report success falsely.
                self.inner.poison(&error.to_string());
                return Err(error);
            }
            Err(placing::Failed::Other(error)) => return Err(error),
        };
        Ok(FIRST)
    }

    /// Makes all of it durable; returns what is to be told then.
    fn finish(self) -> Result<Vec<Event>> {
        if let Some(why) = self.inner.poison.get() {
            return Err(ArchiveError::Poisoned(why.clone()));
        }
        for folder in &self.folders {
            layout::sync_folder(folder)?;
        }
        failpoint::pass("commit/folders-synced");
        let mut batch = self.batch;
        for (ledger, record) in &self.changed {
            self.inner.index.put_ledger(&mut batch, ledger, record);
        }
        self.inner.index.write(batch)?;
        failpoint::pass("commit/entered");
        let mut ledgers = self.inner.write_ledgers();
        let mut sites = self.inner.sites();
        self.changed.iter().for_each(|(ledger, record)| sites.note(ledger, record));
        ledgers.extend(self.changed);
        Ok(self.told)
    }

    pub(super) fn record(&self, ledger: &LedgerId) -> Option<LedgerRecord> {
        self.changed.get(ledger).cloned().or_else(|| self.inner.read_ledgers().get(ledger).cloned())
    }

    pub(super) fn known(&self, ledger: &LedgerId) -> Result<LedgerRecord> {
        self.record(ledger).ok_or_else(|| ArchiveError::UnknownLedger(ledger.clone()))
    }

    fn check_owner(&self, ledger: &LedgerId, record: &LedgerRecord, site: &SiteId) -> Result<()> {
        let owner = record.site()?;
        if record.is_written_here() {
            return Err(ArchiveError::WrittenHere(ledger.clone()));
        }
        if &owner == site { Ok(()) } else { Err(ArchiveError::NotYours { ledger: ledger.clone(), owner }) }
    }

    /// Is it the ledger of whoever brings it? What a host wrote is not its site's to continue, nor another host's.
    fn check_sender(&self, ledger: &LedgerId, record: &LedgerRecord, by: &Sender) -> Result<()> {
        self.check_owner(ledger, record, &by.site)?;
        if record.host == by.host_name() { Ok(()) } else { Err(ArchiveError::NotTheirs(ledger.clone())) }
    }

    fn check_same(&self, ledger: &LedgerId, seq: Seq, entry: &Entry) -> Result<()> {
        let known = self.inner.index.entry(ledger, seq)?;
        match known {
            Some((_, known)) if known.bytes() == entry.bytes() => Ok(()),
            Some(_) => Err(ArchiveError::Conflict { ledger: ledger.clone(), seq }),
            // It is in the very batch being made: somebody sent it twice at once. Let them send again.
            None => Err(ArchiveError::OutOfOrder { ledger: ledger.clone(), first: seq, next: seq }),
        }
    }
}
