//! Journal files: records of length, checksum, protobuf.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use wire::{LedgerId, SegmentNumber, SiteId, UnixMicros, frame, proto};

use super::{JournalError, TailPart, io};

/// Length and CRC32C of what follows, both little-endian.
const HEAD_BYTES: usize = 8;

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(string, tag = "1")]
    site: String,
    #[prost(message, optional, tag = "2")]
    ledger: Option<proto::Ledger>,
    #[prost(uint64, tag = "3")]
    segment: u64,
    #[prost(uint32, tag = "4")]
    part: u32,
    #[prost(int64, tag = "5")]
    start_us: i64,
    #[prost(int64, tag = "6")]
    end_us: i64,
    #[prost(bytes = "bytes", tag = "7")]
    data: Bytes,
    #[prost(bool, tag = "8")]
    key: bool,
}

/// The record of a part, head and all.
pub(super) fn encode(part: &TailPart) -> Vec<u8> {
    let record = Record {
        site: part.site.as_str().to_owned(),
        ledger: Some(part.ledger.to_proto()),
        segment: part.segment.0,
        part: part.part,
        start_us: part.start.0,
        end_us: part.end.0,
        data: part.data.clone(),
        key: part.key,
    };
    let mut bytes = vec![0; HEAD_BYTES];
    // A Vec grows as needed, so encoding can't run out of room.
    record.encode(&mut bytes).unwrap_or_else(|_| unreachable!("a Vec has room"));
    let length = u32::try_from(bytes.len() - HEAD_BYTES).unwrap_or(u32::MAX);
    let checksum = crc32c::crc32c(&bytes[HEAD_BYTES..]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.tails"))
}

/// All files in `dir`, oldest first.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let listed = std::fs::read_dir(dir).map_err(|error| io("list folder", dir, error))?;
    let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".tails")?.parse().ok();
    let mut files: Vec<_> =
        listed.flatten().map(|entry| entry.path()).filter_map(|path| Some((number(&path)?, path))).collect();
    files.sort();
    Ok(files)
}

/// Reads a file's records up to its end or the first torn one.
pub(super) fn replay(path: &Path, mut visit: impl FnMut(TailPart, u64, u32)) -> Result<(), JournalError> {
    let file = File::open(path).map_err(|error| io("open journal file", path, error))?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut offset = 0;
    while let Some(payload) = next(&mut file).map_err(|error| io("read journal file", path, error))? {
        let length = payload.len() as u32;
        if let Some(part) = decode(payload) {
            visit(part, offset, length);
        }
        offset += HEAD_BYTES as u64 + u64::from(length);
    }
    Ok(())
}

/// Reads the data of one record.
pub(super) fn read(path: &Path, offset: u64, length: u32) -> Result<Bytes, JournalError> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; HEAD_BYTES + length as usize];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut bytes, offset));
    read.map_err(|error| io("read journal file", path, error))?;
    let damaged = || JournalError::Damaged { path: path.to_owned(), offset };
    let payload = next(&mut bytes.as_slice()).ok().flatten().ok_or_else(damaged)?;
    decode(payload).map(|part| part.data).ok_or_else(damaged)
}

/// The next intact payload; `None` at the end, or where a write was torn.
fn next(file: &mut impl Read) -> std::io::Result<Option<Bytes>> {
    let mut head = [0; HEAD_BYTES];
    match file.read_exact(&mut head) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let [a, b, c, d, e, f, g, h] = head;
    let (length, checksum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if length as usize > frame::PART_BYTES_MAX {
        return Ok(None);
    }
    // Grows with what is there: a torn length must not make us reserve what isn't.
    let mut payload = Vec::new();
    file.take(u64::from(length)).read_to_end(&mut payload)?;
    let intact = payload.len() == length as usize && crc32c::crc32c(&payload) == checksum;
    Ok(intact.then(|| payload.into()))
}

fn decode(payload: Bytes) -> Option<TailPart> {
    let record = Record::decode(payload).ok()?;
    Some(TailPart {
        site: SiteId::new(record.site).ok()?,
        ledger: LedgerId::from_proto(record.ledger.as_ref()).ok()?,
        segment: SegmentNumber(record.segment),
        part: record.part,
        start: UnixMicros(record.start_us),
        end: UnixMicros(record.end_us),
        data: record.data,
        key: record.key,
    })
}
