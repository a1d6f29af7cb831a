//! The index: column families, keys and records in RocksDB.
//!
//! | family | key | value |
//! |---|---|---|
//! | `meta` | name | schema, vault id, generation; names of files to be deleted; how far it is re-read; disks |
//! | `ledgers` | ledger | `LedgerRecord` |
//! | `entries` | ledger, seq | chain head after it (32 bytes), the entry as first encoded |
//! | `numbers` | ledger, segment number | seq; the disk, unless it is the first |
//! | `times` | site, stream, start, ledger's origin, seq | end |
//!
//! A ledger's key is origin (16 bytes), length of the stream's name (1 byte), the name. Numbers are
//! big-endian, so that RocksDB's order is theirs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode, Options, WriteBatch, WriteOptions,
};
use wire::chain::Head;
use wire::entry::Entry;
use wire::{LedgerId, OriginId, SegmentNumber, Seq, SiteId, StreamId, UnixMicros, VaultId};

use super::disks::{DiskNumber, FIRST};
use super::records::LedgerRecord;
use super::{ArchiveError, Result};

const FAMILIES: [&str; 5] = ["meta", "ledgers", "entries", "numbers", "times"];
const SCHEMA: u32 = 1;

pub(crate) struct Index {
    dir: PathBuf,
    db: DB,
}

/// One row of the time index.
pub(crate) struct Span {
    pub(crate) ledger: LedgerId,
    pub(crate) seq: Seq,
    pub(crate) start: UnixMicros,
    pub(crate) end: UnixMicros,
}

impl Index {
    pub(crate) fn open(archive: &Path) -> Result<Self> {
        let dir = archive.join("index");
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // Evidence: notice a missing or damaged log file rather than open without it.
        options.set_paranoid_checks(true);
        options.set_track_and_verify_wals_in_manifest(true);
        // Rows are small and rare (a few per camera and segment): keep memory and logs small too.
        options.set_write_buffer_size(8 << 20);
        options.set_max_total_wal_size(64 << 20);
        options.set_keep_log_file_num(4);
        options.set_max_open_files(256);
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
        let db = DB::open_cf_descriptors(&options, &dir, families)
            .map_err(|source| ArchiveError::Index { dir: dir.clone(), source })?;
        Ok(Self { dir, db })
    }

    /// Opens without writing anything; works while nobody else has it open for writing.
    pub(crate) fn open_read_only(archive: &Path) -> Result<Self> {
        let dir = archive.join("index");
        let db = DB::open_cf_for_read_only(&Options::default(), &dir, FAMILIES, false)
            .map_err(|source| ArchiveError::Index { dir: dir.clone(), source })?;
        Ok(Self { dir, db })
    }

    /// The vault's id and generation; drawn at the first call.
    pub(crate) fn identity(&self) -> Result<(VaultId, u64)> {
        let meta = self.family("meta");
        if let Some(schema) = self.get(meta, b"schema")?
            && schema != SCHEMA.to_be_bytes()
        {
            let found = format!("its schema is {schema:?}, this version reads {SCHEMA}");
            return Err(ArchiveError::Damaged(self.dir.display().to_string(), found));
        }
        if let Some(bytes) = self.get(meta, b"vault")? {
            let id = VaultId::from_bytes(&bytes)
                .map_err(|error| ArchiveError::Damaged("vault id".into(), error.to_string()))?;
            let generation = self.get(meta, b"generation")?.map_or(0, |bytes| number(&bytes));
            return Ok((id, generation));
        }
        let id = VaultId(wire::clock::random_id());
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, b"schema", SCHEMA.to_be_bytes());
        batch.put_cf(meta, b"vault", id.0);
        batch.put_cf(meta, b"generation", 1u64.to_be_bytes());
        self.write(batch)?;
        Ok((id, 1))
    }

    pub(crate) fn ledgers(&self) -> Result<BTreeMap<LedgerId, LedgerRecord>> {
        let mut ledgers = BTreeMap::new();
        for row in self.db.iterator_cf(self.family("ledgers"), IteratorMode::Start) {
            let (key, value) = row.map_err(|source| self.error(source))?;
            let damaged = |what: String| ArchiveError::Damaged("a ledger".into(), what);
            let ledger = parse_ledger_key(&key).ok_or_else(|| damaged(format!("key {key:02x?}")))?;
            let record = LedgerRecord::decode(&*value).map_err(|error| damaged(error.to_string()))?;
            ledgers.insert(ledger, record);
        }
        Ok(ledgers)
    }

    pub(crate) fn entry(&self, ledger: &LedgerId, seq: Seq) -> Result<Option<(Head, Entry)>> {
        let value = self.get(self.family("entries"), &entry_key(ledger, seq))?;
        value.map(|value| parse_entry(ledger, seq, value)).transpose()
    }

    pub(crate) fn entries(&self, ledger: &LedgerId, seqs: Range<u64>) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.walk(ledger, seqs, |_, _, entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    /// Calls `visit` for the entries `seqs` in order.
    pub(crate) fn walk(
        &self,
        ledger: &LedgerId,
        seqs: Range<u64>,
        mut visit: impl FnMut(Seq, Head, Entry) -> Result<()>,
    ) -> Result<()> {
        self.walk_while(ledger, seqs, |seq, head, entry| visit(seq, head, entry).map(|()| true))
    }

    /// Calls `visit` for the entries `seqs` in order, as long as it wants more.
    pub(crate) fn walk_while(
        &self,
        ledger: &LedgerId,
        seqs: Range<u64>,
        mut visit: impl FnMut(Seq, Head, Entry) -> Result<bool>,
    ) -> Result<()> {
        let start = entry_key(ledger, Seq(seqs.start));
        let prefix = ledger_key(ledger);
        let mode = IteratorMode::From(&start, Direction::Forward);
        for row in self.db.iterator_cf(self.family("entries"), mode) {
            let (key, value) = row.map_err(|source| self.error(source))?;
            let Some(seq) = key.strip_prefix(prefix.as_slice()).map(number) else { break };
            if seq >= seqs.end {
                break;
            }
            let (head, entry) = parse_entry(ledger, Seq(seq), value.into_vec())?;
            if !visit(Seq(seq), head, entry)? {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn seq_of(&self, ledger: &LedgerId, segment: SegmentNumber) -> Result<Option<Seq>> {
        let value = self.get(self.family("numbers"), &number_key(ledger, segment))?;
        Ok(value.map(|value| Seq(number(&value))))
    }

    /// The disk that a segment's file is on, or was to be.
    pub(crate) fn disk_of(&self, ledger: &LedgerId, segment: SegmentNumber) -> Result<DiskNumber> {
        let value = self.get(self.family("numbers"), &number_key(ledger, segment))?;
        Ok(value.map_or(FIRST, |value| disk_in(&value)))
    }

    /// Calls `visit` for the segments of a ledger that are on a disk.
    pub(crate) fn walk_disk(
        &self,
        ledger: &LedgerId,
        disk: DiskNumber,
        mut visit: impl FnMut(SegmentNumber, Seq),
    ) -> Result<()> {
        let prefix = ledger_key(ledger);
        let mode = IteratorMode::From(&prefix, Direction::Forward);
        for row in self.db.iterator_cf(self.family("numbers"), mode) {
            let (key, value) = row.map_err(|source| self.error(source))?;
            let Some(rest) = key.strip_prefix(prefix.as_slice()) else { break };
            if disk_in(&value) == disk {
                visit(SegmentNumber(number(rest)), Seq(number(&value)));
            }
        }
        Ok(())
    }

    /// Says where a segment's file is.
    pub(crate) fn put_place(
        &self,
        batch: &mut WriteBatch,
        (ledger, segment): (&LedgerId, SegmentNumber),
        seq: Seq,
        disk: DiskNumber,
    ) {
        let mut value = seq.0.to_be_bytes().to_vec();
        if disk != FIRST {
            value.extend(disk.to_be_bytes());
        }
        batch.put_cf(self.family("numbers"), number_key(ledger, segment), value);
    }

    /// Disks that were ever the archive's, as they are noted.
    pub(crate) fn disks(&self) -> Result<Vec<(DiskNumber, Vec<u8>)>> {
        self.rows(DISK, |rest| Some(DiskNumber::from_be_bytes(rest.try_into().ok()?)))
    }

    /// Notes a disk, durably.
    pub(crate) fn put_disk(&self, disk: DiskNumber, row: &[u8]) -> Result<()> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family("meta"), [DISK, &disk.to_be_bytes()].concat(), row);
        self.write(batch)
    }

    /// What the further disks name, if there ever was one.
    pub(crate) fn archive_id(&self) -> Result<Option<String>> {
        let id = self.get(self.family("meta"), ARCHIVE_ID)?;
        Ok(id.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    pub(crate) fn put_archive_id(&self, id: &str) -> Result<()> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family("meta"), ARCHIVE_ID, id);
        self.write(batch)
    }

    /// Notes a file on a disk that another has better bytes of: it is to be deleted.
    pub(crate) fn put_outdated(
        &self,
        batch: &mut WriteBatch,
        disk: DiskNumber,
        (ledger, segment): (&LedgerId, SegmentNumber),
    ) {
        batch.put_cf(self.family("meta"), outdated_key(disk, ledger, segment), []);
    }

    pub(crate) fn remove_outdated(
        &self,
        batch: &mut WriteBatch,
        disk: DiskNumber,
        (ledger, segment): (&LedgerId, SegmentNumber),
    ) {
        batch.delete_cf(self.family("meta"), outdated_key(disk, ledger, segment));
    }

    pub(crate) fn is_outdated(
        &self,
        disk: DiskNumber,
        ledger: &LedgerId,
        segment: SegmentNumber,
    ) -> Result<bool> {
        Ok(self.get(self.family("meta"), &outdated_key(disk, ledger, segment))?.is_some())
    }

    /// The first such files of a disk.
    pub(crate) fn outdated(&self, disk: DiskNumber, most: usize) -> Result<Vec<(LedgerId, SegmentNumber)>> {
        let prefix = [OUTDATED, &disk.to_be_bytes()].concat();
        let rows = self.first_rows(&prefix, most, segment_in)?;
        Ok(rows.into_iter().map(|(file, _)| file).collect())
    }

    fn rows<T>(&self, prefix: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<(T, Vec<u8>)>> {
        self.first_rows(prefix, usize::MAX, parse)
    }

    /// The first rows of `meta` whose keys begin like this.
    fn first_rows<T>(
        &self,
        prefix: &[u8],
        most: usize,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<(T, Vec<u8>)>> {
        let mode = IteratorMode::From(prefix, Direction::Forward);
        let mut found = Vec::new();
        for row in self.db.iterator_cf(self.family("meta"), mode).take(most) {
            let (key, value) = row.map_err(|source| self.error(source))?;
            let Some(rest) = key.strip_prefix(prefix) else { break };
            let damaged = || ArchiveError::Damaged("a row".into(), format!("key {key:02x?}"));
            found.push((parse(rest).ok_or_else(damaged)?, value.into_vec()));
        }
        Ok(found)
    }

    /// Rows of a stream that begin in `from..to`, in order.
    pub(crate) fn spans(
        &self,
        site: &SiteId,
        stream: &StreamId,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<Vec<Span>> {
        let prefix = time_prefix(site, stream);
        let start = [prefix.as_slice(), &ordered(from)].concat();
        let mut spans = Vec::new();
        for row in self.db.iterator_cf(self.family("times"), IteratorMode::From(&start, Direction::Forward)) {
            let (key, value) = row.map_err(|source| self.error(source))?;
            let Some(rest) = key.strip_prefix(prefix.as_slice()) else { break };
            let span = parse_span(stream, rest, &value)
                .ok_or_else(|| ArchiveError::Damaged("time index".into(), format!("key {key:02x?}")))?;
            if span.start >= to {
                break;
            }
            spans.push(span);
        }
        Ok(spans)
    }

    pub(crate) fn put_ledger(&self, batch: &mut WriteBatch, ledger: &LedgerId, record: &LedgerRecord) {
        batch.put_cf(self.family("ledgers"), ledger_key(ledger), record.encode_to_vec());
    }

    /// Adds an entry and, for a segment or a gap, its place in time. A segment's file is on the first disk until
    /// [`Self::put_place`] says otherwise.
    pub(crate) fn put_entry(
        &self,
        batch: &mut WriteBatch,
        site: &SiteId,
        ledger: &LedgerId,
        seq: Seq,
        head: Head,
        entry: &Entry,
    ) {
        let value = [head.0.as_slice(), entry.bytes()].concat();
        batch.put_cf(self.family("entries"), entry_key(ledger, seq), value);
        if let Some(segment) = entry.segment() {
            self.put_place(batch, (ledger, SegmentNumber(segment.number)), seq, FIRST);
        }
        if let Some((start, end)) = super::query::span_of(entry) {
            let key = [
                time_prefix(site, &ledger.stream).as_slice(),
                &ordered(start),
                &ledger.origin.0,
                &seq.0.to_be_bytes(),
            ]
            .concat();
            batch.put_cf(self.family("times"), key, ordered(end));
        }
    }

    /// Notes a file that is to be deleted.
    pub(crate) fn put_freed(
        &self,
        batch: &mut WriteBatch,
        (ledger, number): (&LedgerId, SegmentNumber),
        then: Then,
    ) {
        let value: &[u8] = if then == Then::SetAside { &[1] } else { &[] };
        batch.put_cf(self.family("meta"), freed_key(ledger, number), value);
    }

    pub(crate) fn put_scrub_note(&self, batch: &mut WriteBatch, note: &[u8]) {
        batch.put_cf(self.family("meta"), SCRUB, note);
    }

    pub(crate) fn scrub_note(&self) -> Result<Option<Vec<u8>>> {
        self.get(self.family("meta"), SCRUB)
    }

    /// Forgets a file that is deleted.
    pub(crate) fn remove_freed(&self, batch: &mut WriteBatch, ledger: &LedgerId, number: SegmentNumber) {
        batch.delete_cf(self.family("meta"), freed_key(ledger, number));
    }

    pub(crate) fn is_freed(&self, ledger: &LedgerId, number: SegmentNumber) -> Result<bool> {
        Ok(self.get(self.family("meta"), &freed_key(ledger, number))?.is_some())
    }

    /// The first files that are to be deleted, of those that `may` be.
    pub(crate) fn freed(
        &self,
        most: usize,
        may: impl Fn(&LedgerId, SegmentNumber) -> Result<bool>,
    ) -> Result<Vec<(LedgerId, SegmentNumber, Then)>> {
        let mode = IteratorMode::From(FREED, Direction::Forward);
        let mut files = Vec::new();
        for row in self.db.iterator_cf(self.family("meta"), mode) {
            let (key, value) = row.map_err(|source| self.error(source))?;
            let Some(rest) = key.strip_prefix(FREED).filter(|_| files.len() < most) else { break };
            let then = if value.is_empty() { Then::Delete } else { Then::SetAside };
            let damaged = || ArchiveError::Damaged("a freed file".into(), format!("key {key:02x?}"));
            let (ledger, number) = segment_in(rest).ok_or_else(damaged)?;
            if may(&ledger, number)? {
                files.push((ledger, number, then));
            }
        }
        Ok(files)
    }

    /// Writes a batch and syncs it: the commit point.
    pub(crate) fn write(&self, batch: WriteBatch) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(|source| self.error(source))
    }

    fn get(&self, family: &ColumnFamily, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.db.get_cf(family, key).map_err(|source| self.error(source))
    }

    fn family(&self, name: &'static str) -> &ColumnFamily {
        // Opening made them all; RocksDB would not have opened otherwise.
        self.db.cf_handle(name).unwrap_or_else(|| unreachable!("column family {name} was opened"))
    }

    fn error(&self, source: rocksdb::Error) -> ArchiveError {
        ArchiveError::Index { dir: self.dir.clone(), source }
    }
}

/// What becomes of a file that nobody holds any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Delete,
    /// It may have something in it that can still be read.
    SetAside,
}

/// In `meta`: how far the archive is re-read.
const SCRUB: &[u8] = b"scrub";

/// Before the key of a segment in `meta`: its file is to be deleted.
const FREED: &[u8] = b"freed/";

/// In `meta`: the id of an archive that has, or had, several disks.
const ARCHIVE_ID: &[u8] = b"archive-id";

/// Before the number of a disk in `meta`.
const DISK: &[u8] = b"disk/";

/// Before a disk's number and the key of a segment in `meta`: its file there is to be deleted, another disk has it.
const OUTDATED: &[u8] = b"outdated/";

fn outdated_key(disk: DiskNumber, ledger: &LedgerId, number: SegmentNumber) -> Vec<u8> {
    [OUTDATED, &disk.to_be_bytes(), number_key(ledger, number).as_slice()].concat()
}

/// A ledger and a segment's number, from the key of the two.
fn segment_in(key: &[u8]) -> Option<(LedgerId, SegmentNumber)> {
    let (ledger, number) = key.split_last_chunk::<8>()?;
    Some((parse_ledger_key(ledger)?, SegmentNumber(u64::from_be_bytes(*number))))
}

/// The disk in a row of `numbers`: behind the seq, if it isn't the first.
fn disk_in(value: &[u8]) -> DiskNumber {
    value.get(8..12).and_then(|disk| disk.try_into().ok()).map_or(FIRST, DiskNumber::from_be_bytes)
}

fn freed_key(ledger: &LedgerId, number: SegmentNumber) -> Vec<u8> {
    [FREED, number_key(ledger, number).as_slice()].concat()
}

fn ledger_key(ledger: &LedgerId) -> Vec<u8> {
    let name = ledger.stream.as_str().as_bytes();
    // Two slugs and a slash: at most 127 bytes.
    [ledger.origin.0.as_slice(), &[u8::try_from(name.len()).unwrap_or(u8::MAX)], name].concat()
}

fn parse_ledger_key(key: &[u8]) -> Option<LedgerId> {
    let (origin, rest) = key.split_at_checked(16)?;
    let (_, name) = rest.split_first()?;
    let stream = std::str::from_utf8(name).ok()?.parse().ok()?;
    Some(LedgerId { origin: OriginId::from_bytes(origin).ok()?, stream })
}

fn entry_key(ledger: &LedgerId, seq: Seq) -> Vec<u8> {
    [ledger_key(ledger).as_slice(), &seq.0.to_be_bytes()].concat()
}

fn number_key(ledger: &LedgerId, number: SegmentNumber) -> Vec<u8> {
    [ledger_key(ledger).as_slice(), &number.0.to_be_bytes()].concat()
}

fn time_prefix(site: &SiteId, stream: &StreamId) -> Vec<u8> {
    [site.as_str().as_bytes(), b"\0", stream.as_str().as_bytes(), b"\0"].concat()
}

/// A signed instant as bytes that sort like it.
fn ordered(at: UnixMicros) -> [u8; 8] {
    (at.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn from_ordered(bytes: &[u8]) -> UnixMicros {
    UnixMicros((number(bytes) ^ (1 << 63)).cast_signed())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn parse_entry(ledger: &LedgerId, seq: Seq, value: Vec<u8>) -> Result<(Head, Entry)> {
    let damaged = |what: String| ArchiveError::Damaged(format!("{ledger} entry {seq}"), what);
    let value = Bytes::from(value);
    if value.len() < 32 {
        return Err(damaged("it is too short".into()));
    }
    let head = Head::from_bytes(&value[..32]).ok_or_else(|| damaged("no head".into()))?;
    let entry = Entry::read(value.slice(32..)).map_err(|error| damaged(error.to_string()))?;
    Ok((head, entry))
}

fn parse_span(stream: &StreamId, rest: &[u8], value: &[u8]) -> Option<Span> {
    if rest.len() != 32 {
        return None;
    }
    let origin = OriginId::from_bytes(&rest[8..24]).ok()?;
    Some(Span {
        ledger: LedgerId { origin, stream: stream.clone() },
        seq: Seq(number(&rest[24..])),
        start: from_ordered(&rest[..8]),
        end: from_ordered(value),
    })
}
