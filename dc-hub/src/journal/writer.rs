//! The one thread that writes: takes all parts that wait, writes them, syncs once, tells everybody.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;

use site_agent::archive::{Room, Use};
use site_agent::failpoint;
use tokio::sync::{mpsc, oneshot};

use super::{Inner, JournalError, TailPart, file, io};

/// Parts that wait at most; whoever appends more waits, down to the site's QUIC stream.
const QUEUE: usize = 256;
/// Bytes synced together at most, about.
const GROUP_BYTES: usize = 16 << 20;

pub(super) struct Job {
    pub(super) part: TailPart,
    pub(super) reply: oneshot::Sender<Result<(), JournalError>>,
}

struct Writer {
    inner: Arc<Inner>,
    room: Room,
    file: File,
    number: u64,
    bytes: u64,
    bytes_max: u64,
}

pub(super) fn start(
    inner: Arc<Inner>,
    number: u64,
    bytes_max: u64,
) -> Result<mpsc::Sender<Job>, JournalError> {
    let (jobs, mut waiting) = mpsc::channel::<Job>(QUEUE);
    let (file, room) = (create(&inner, number)?, Room::new(&inner.dir));
    let mut writer = Writer { inner, room, file, number, bytes: 0, bytes_max };
    writer.inner.write().begin_file(number);
    let dir = writer.inner.dir.clone();
    let run = move || {
        while let Some(first) = waiting.blocking_recv() {
            let mut bytes = first.part.data.len();
            let mut group = vec![first];
            while bytes < GROUP_BYTES
                && let Ok(job) = waiting.try_recv()
            {
                bytes += job.part.data.len();
                group.push(job);
            }
            writer.commit(group);
        }
    };
    let spawned = std::thread::Builder::new().name("tail-journal".into()).spawn(run);
    spawned.map_err(|error| io("start writer of", &dir, error))?;
    Ok(jobs)
}

fn bytes(group: &[Job]) -> u64 {
    group.iter().map(|job| job.part.data.len() as u64).sum()
}

fn create(inner: &Inner, number: u64) -> Result<File, JournalError> {
    let path = file::path(&inner.dir, number);
    let created = OpenOptions::new().create_new(true).append(true).open(&path);
    let created = created.map_err(|error| io("make journal file", &path, error))?;
    let synced = File::open(&inner.dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| io("sync folder", &inner.dir, error))?;
    Ok(created)
}

impl Writer {
    fn commit(&mut self, group: Vec<Job>) {
        let written = match self.inner.poison.get() {
            Some(why) => Err(JournalError::Poisoned(why.clone())),
            // A write that a full disk cuts short ends this journal; one that is never tried does not.
            None if !self.room.admits(bytes(&group), Use::Media) => {
                Err(JournalError::Full(self.inner.dir.clone()))
            }
            None => self.write(&group),
        };
        if let Err(error) = &written
            && !matches!(error, JournalError::Full(_))
        {
            // What the kernel kept of it is unknown: nothing in this journal is trusted to be written again.
            if self.inner.poison.set(error.to_string()).is_ok() {
                tracing::error!(%error, "the tail journal stops");
            }
        }
        for job in group {
            let _ = job.reply.send(written.clone()); // whoever asked may be gone
        }
    }

    fn write(&mut self, group: &[Job]) -> Result<(), JournalError> {
        let path = file::path(&self.inner.dir, self.number);
        let failed = |error| io("write journal file", &path, error);
        let mut places = Vec::with_capacity(group.len());
        for job in group {
            let record = file::encode(&job.part);
            self.file.write_all(&record).map_err(failed)?;
            places.push((self.bytes, u32::try_from(record.len() - 8).unwrap_or(u32::MAX)));
            self.bytes += record.len() as u64;
        }
        failpoint::pass("journal/written");
        self.file.sync_data().map_err(failed)?;
        failpoint::pass("journal/synced");
        let mut index = self.inner.write();
        for (job, (offset, length)) in group.iter().zip(places) {
            index.insert(&job.part, self.number, offset, length);
        }
        drop(index);
        if self.bytes >= self.bytes_max { self.rotate() } else { Ok(()) }
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        self.number += 1;
        self.file = create(&self.inner, self.number)?;
        self.bytes = 0;
        if let Some(unused) = self.inner.write().begin_file(self.number) {
            let path = file::path(&self.inner.dir, unused);
            std::fs::remove_file(&path).map_err(|error| io("delete journal file", &path, error))?;
        }
        Ok(())
    }
}
