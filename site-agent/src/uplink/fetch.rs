//! The bytes of a segment, from the hub back to here: one request on a stream of its own.
//!
//! What comes is written beside, hashed as it comes, and is a file only if it is what the entry says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use wire::proto::{Chunk, Fetch, Fetched, FetchedCode};
use wire::{SegmentNumber, frame};

use super::limits::Bucket;
use super::shared::priority;
use crate::archive::{Archive, Placed};

/// A hub that says nothing for so long is not asked any further: it may be busy, or older than this request.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest message it may answer with.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What the hub answered.
pub(super) enum Answer {
    /// A file with the right bytes, not synced yet.
    Here(PathBuf),
    /// It has not got them.
    NotHeld,
    /// It may have them another time.
    NotNow(String),
}

/// How fast bytes are taken: what is not taken is not sent for long.
pub(super) struct Pace {
    bucket: Bucket,
    /// Bytes a second; none is as fast as they come.
    rate: Option<f64>,
}

impl Pace {
    /// So many bits a second.
    pub(super) fn new(bits: Option<f64>) -> Self {
        Self { bucket: Bucket::new(wire::clock::now()), rate: bits.map(|bits| bits / 8.0) }
    }

    async fn wait(&mut self, bytes: usize) {
        while let Err(wait) = self.bucket.take(wire::clock::now(), self.rate, bytes) {
            tokio::time::sleep(wait).await;
        }
    }
}

/// Asks for a segment's bytes. An error says nothing of them.
pub(super) async fn fetch(
    connection: &quinn::Connection,
    archive: &Archive,
    wanted: &Placed,
    pace: &mut Pace,
) -> anyhow::Result<Answer> {
    let opened = tokio::time::timeout(SILENCE, connection.open_bi()).await;
    let (mut send, receive) = opened.context("the hub takes no more streams")?.context("open stream")?;
    send.set_priority(priority::FETCH).context("set priority")?;
    let request = Fetch { ledger: Some(wanted.ledger.to_proto()), seq: wanted.seq.0, recall: None };
    frame::write(&mut send, &request).await.context("ask")?;
    send.finish().context("ask")?;
    let mut reader = frame::Reader::new(receive, ANSWER_BYTES_MAX);
    let answer = tokio::time::timeout(SILENCE, reader.next::<Fetched>()).await.context("no answer")?;
    let answer = answer.context("read the answer")?.context("the hub ended the stream")?;
    match answer.code() {
        FetchedCode::NotHeld => return Ok(Answer::NotHeld),
        FetchedCode::Held => {}
        FetchedCode::NotYours | FetchedCode::Unspecified => return Ok(Answer::NotNow(answer.detail)),
    }
    let length = wanted.segment.bytes;
    ensure!(answer.bytes == length, "the hub has {} bytes, the entry says {length}", answer.bytes);
    let number = SegmentNumber(wanted.segment.number);
    let path = archive.incoming(&wanted.ledger, number, length).context("find room for it")?;
    match take(&mut reader, &path, wanted, pace).await {
        Ok(()) => Ok(Answer::Here(path)),
        Err(error) => {
            let _ = tokio::fs::remove_file(&path).await; // what is left goes at the next start
            Err(error)
        }
    }
}

async fn take(
    reader: &mut frame::Reader<quinn::RecvStream>,
    path: &Path,
    wanted: &Placed,
    pace: &mut Pace,
) -> anyhow::Result<()> {
    let mut file = File::create(path).await.with_context(|| format!("make {}", path.display()))?;
    let (mut hasher, mut left) = (blake3::Hasher::new(), wanted.segment.bytes);
    while left > 0 {
        let chunk =
            tokio::time::timeout(SILENCE, reader.next::<Chunk>()).await.context("nothing came any more")?;
        let data = chunk.context("read what comes")?.context("the hub ended the stream")?.data;
        let length = data.len() as u64;
        ensure!(length > 0 && length <= left, "{length} bytes came, {left} were to come");
        pace.wait(data.len()).await;
        left -= length;
        hasher.update(&data);
        file.write_all(&data).await.with_context(|| format!("write {}", path.display()))?;
    }
    file.flush().await.with_context(|| format!("write {}", path.display()))?;
    if hasher.finalize().as_bytes().as_slice() != wanted.segment.hash {
        bail!("what came does not hash to the entry");
    }
    Ok(())
}
