//! Entries as they travel: as first encoded, many in a message, compressed where that gains something.

use anyhow::{Context, bail};
use bytes::Bytes;
use prost::Message;
use wire::entry::{ENTRY_BYTES_MAX, Entry};
use wire::{LedgerId, frame, proto};

use crate::archive::Archive;

/// Batches shorter than this are sent as they are: compressing them gains nothing.
const COMPRESS_FROM_BYTES: usize = 4096;
/// Entries are small and repetitive; more effort than this gains little.
const COMPRESS_LEVEL: i32 = 3;
/// What a batch may unpack to.
const BATCH_BYTES_MAX: usize = 8 * ENTRY_BYTES_MAX;

/// Entries as they were first encoded, in messages far below the frame limit.
pub fn pack(
    archive: &Archive,
    ledger: &LedgerId,
    seqs: std::ops::Range<u64>,
) -> anyhow::Result<Vec<proto::Entries>> {
    let stored = archive.entries(ledger, seqs.clone())?;
    let mut messages = Vec::new();
    let mut first = seqs.start;
    let mut batch = proto::EntryBatch::default();
    let mut bytes = 0;
    for entry in stored {
        if bytes + entry.bytes().len() > frame::CONTROL_BYTES_MAX / 2 && !batch.entries.is_empty() {
            let count = batch.entries.len() as u64;
            messages.push(message(ledger, first, std::mem::take(&mut batch))?);
            first += count;
            bytes = 0;
        }
        bytes += entry.bytes().len();
        batch.entries.push(entry.bytes().clone());
    }
    if !batch.entries.is_empty() {
        messages.push(message(ledger, first, batch)?);
    }
    Ok(messages)
}

fn message(ledger: &LedgerId, first: u64, batch: proto::EntryBatch) -> anyhow::Result<proto::Entries> {
    let count = u32::try_from(batch.entries.len()).context("count entries")?;
    let plain = batch.encode_to_vec();
    let batch_bytes = u32::try_from(plain.len()).context("measure entries")?;
    let (encoding, batch) = if plain.len() < COMPRESS_FROM_BYTES {
        (proto::Encoding::Plain, plain)
    } else {
        (proto::Encoding::Zstd, zstd::bulk::compress(&plain, COMPRESS_LEVEL).context("compress entries")?)
    };
    Ok(proto::Entries {
        ledger: Some(ledger.to_proto()),
        first_seq: first,
        count,
        encoding: encoding.into(),
        batch: Bytes::from(batch),
        batch_bytes,
    })
}

/// Reads the entries of a message.
pub fn unpack(message: &proto::Entries) -> anyhow::Result<Vec<Entry>> {
    let bytes = message.batch_bytes as usize;
    if bytes > BATCH_BYTES_MAX {
        bail!("a batch unpacks to {bytes} bytes, at most {BATCH_BYTES_MAX} are taken");
    }
    let batch = match message.encoding() {
        proto::Encoding::Plain => message.batch.clone(),
        proto::Encoding::Zstd => {
            Bytes::from(zstd::bulk::decompress(&message.batch, bytes).context("unpack batch")?)
        }
    };
    let batch = proto::EntryBatch::decode(batch).context("decode batch")?;
    if batch.entries.len() != message.count as usize {
        bail!("a batch of {} entries says it has {}", batch.entries.len(), message.count);
    }
    batch.entries.into_iter().map(|bytes| Entry::read(bytes).context("read entry")).collect()
}
