//! Re-reads a whole archive offline: every chain, every file, every hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wire::chain::Head;
use wire::entry::Entry;
use wire::proto::Segment;
use wire::{LedgerId, SegmentNumber, Seq};

use super::disks::{self, DiskNumber};
use super::index::Index;
use super::records::LedgerRecord;
use super::{Result, layout, recover};

/// What a verification found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Segments whose bytes should be here.
    pub segments: u64,
    /// Bytes of those that were read.
    pub bytes: u64,
    /// Ledgers whose chain was followed.
    pub ledgers: u64,
    /// Entries of all kinds.
    pub entries: u64,
    /// Segments known by entry whose bytes are not here (still to come, or gone).
    pub without_bytes: u64,
    /// Likewise of what the hub wrote for this site: it has them.
    pub at_hub: u64,
    /// Segments that are known to be damaged here, and wanted again.
    pub damaged: u64,
    /// Those of them whose disk is not there.
    pub away: u64,
    /// Everything that is wrong, named.
    pub bad: Vec<String>,
    /// Files that no entry names.
    pub orphans: u64,
    /// Files of segments that were never closed; the next start takes them in.
    pub open: u64,
    /// Does all that the archive claims hold?
    pub ok: bool,
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Entries looked at.
    pub done: u64,
    /// Entries in all.
    pub total: u64,
}

/// Verifies the archive in `dir`, which nobody may have open. It writes nothing but the lock.
pub fn verify(dir: &Path, progress: impl FnMut(Progress)) -> Result<Report> {
    verify_with(dir, &[], progress)
}

/// [`verify`], with the archive's further disks in these folders; without, where they were last.
pub fn verify_with(dir: &Path, disks: &[PathBuf], mut progress: impl FnMut(Progress)) -> Result<Report> {
    if !dir.join("index").is_dir() {
        return Err(super::ArchiveError::Io {
            what: "open archive",
            path: dir.to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "there is no archive here"),
        });
    }
    let _lock = layout::lock(dir)?;
    let index = Index::open_read_only(dir)?;
    let ledgers = index.ledgers()?;
    let total = ledgers.values().map(|record| record.next).sum();
    let dirs = disks::folders(&index, dir, disks)?;
    let mut pass = Pass { dirs, index: &index, report: Report::default(), files: BTreeSet::new(), done: 0 };
    for (ledger, record) in &ledgers {
        pass.ledger(ledger, record, &mut |done| progress(Progress { done, total }))?;
    }
    let mut report = pass.report;
    for dir in pass.dirs.values() {
        report.orphans += recover::known_files(dir, &pass.files)?.len() as u64;
        report.open += layout::files(&dir.join("open"))?.len() as u64;
    }
    report.ok = report.bad.is_empty();
    Ok(report)
}

/// What the index says of a segment's bytes.
#[derive(Clone, Copy)]
enum State {
    Held,
    Damaged,
    Away,
    Absent,
}

struct Pass<'a> {
    /// The folders of the disks that are there.
    dirs: BTreeMap<DiskNumber, PathBuf>,
    index: &'a Index,
    report: Report,
    files: BTreeSet<PathBuf>,
    done: u64,
}

impl Pass<'_> {
    fn ledger(
        &mut self,
        ledger: &LedgerId,
        record: &LedgerRecord,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        self.report.ledgers += 1;
        let held = record.held();
        let (damaged, away, index) = (record.damaged(), record.away(), self.index);
        let mut head = Head::genesis(ledger);
        let mut next = 0;
        index.walk(ledger, 0..record.next, |seq, stored, entry| {
            if seq.0 != next {
                self.bad(format!("{ledger}: entries {next} to {seq} are missing"));
            }
            next = seq.0 + 1;
            head = head.after(entry.bytes());
            if head != stored {
                self.bad(format!("{ledger} entry {seq}: the chain does not hash"));
                head = stored;
            }
            let state = match (held.contains(seq.0), damaged.contains(seq.0)) {
                (true, _) => State::Held,
                (_, true) if away.contains(seq.0) => State::Away,
                (_, true) => State::Damaged,
                _ => State::Absent,
            };
            self.entry(ledger, record, (seq, &entry), state)?;
            self.done += 1;
            progress(self.done);
            Ok(())
        })?;
        if next != record.next || head != record.head() {
            self.bad(format!("{ledger}: the chain ends at {next}, the ledger says {}", record.next));
        }
        Ok(())
    }

    fn entry(
        &mut self,
        ledger: &LedgerId,
        record: &LedgerRecord,
        (seq, entry): (Seq, &Entry),
        state: State,
    ) -> Result<()> {
        self.report.entries += 1;
        let Some(segment) = entry.segment() else { return Ok(()) };
        let number = SegmentNumber(segment.number);
        let disk = self.index.disk_of(ledger, number)?;
        let Some(dir) = self.dirs.get(&disk) else {
            match state {
                State::Held => {
                    self.report.segments += 1;
                    self.bad(format!("{ledger} entry {seq}: disk {disk} is not there"));
                }
                State::Absent => self.report.without_bytes += 1,
                State::Damaged | State::Away => self.report.away += 1,
            }
            return Ok(());
        };
        let path = layout::segment(dir, &record.site()?, ledger, number);
        match state {
            State::Absent if record.returned => self.report.at_hub += 1,
            State::Absent => self.report.without_bytes += 1,
            State::Damaged | State::Away => {
                self.report.damaged += u64::from(matches!(state, State::Damaged));
                self.report.away += u64::from(matches!(state, State::Away));
                self.files.insert(path);
            }
            State::Held => self.held(ledger, seq, segment, path),
        }
        Ok(())
    }

    fn held(&mut self, ledger: &LedgerId, seq: Seq, segment: &Segment, path: PathBuf) {
        self.report.segments += 1;
        match hash_file(&path) {
            Err(error) => self.bad(format!("{ledger} entry {seq}: read {}: {error}", path.display())),
            Ok((hash, bytes)) => {
                self.report.bytes += bytes;
                if hash.as_bytes().as_slice() != segment.hash || bytes != segment.bytes {
                    self.bad(format!("{ledger} entry {seq}: {} does not hash to its entry", path.display()));
                }
            }
        }
        self.files.insert(path);
    }

    fn bad(&mut self, what: String) {
        self.report.bad.push(what);
    }
}

/// BLAKE3 and length of a file.
fn hash_file(path: &Path) -> std::io::Result<(blake3::Hash, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher.finalize(), bytes));
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}
