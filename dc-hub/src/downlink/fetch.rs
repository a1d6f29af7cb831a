//! A site fetches the bytes of a segment of its own, such as one whose file is damaged there.
//!
//! What it gets hashes to its entry, or it gets nothing: the file is read through first. One that doesn't is damaged
//! here too, and wanted from the site. Whose a ledger is, the vault knows; who asks, the certificate says.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use site_agent::archive::{Archive, Change, Placed, read_at};
use site_agent::scrub::{Finding, check};
use tokio::sync::Semaphore;
use wire::proto::{Chunk, Fetch, Fetched, FetchedCode, Recall};
use wire::{LedgerId, SegmentNumber, Seq, SiteId, frame};

use super::peer::Peer;

/// Files read for sites at the same time, of all sites; others wait.
const AT_ONCE: usize = 4;
/// A request comes by then, or never.
const REQUEST: Duration = Duration::from_secs(10);
/// A request is a name and a number; of a recall, a thousand of them.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// A site that takes nothing for so long has gone elsewhere.
const STALL: Duration = Duration::from_secs(60);
/// Sent in messages of this many bytes.
const CHUNK: u64 = 256 << 10;
/// Everything else goes first.
const PRIORITY: i32 = -10;

/// How much is read at once.
#[derive(Clone, Debug)]
pub struct Fetches(Arc<Semaphore>);

impl Default for Fetches {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// The site wants to know what the hub has, for as long as the stream lasts.
pub(super) struct Asked {
    pub(super) recall: Recall,
    pub(super) send: quinn::SendStream,
    pub(super) reader: frame::Reader<quinn::RecvStream>,
}

/// What a request comes to.
enum Answer {
    Held(Box<Placed>, File),
    No(FetchedCode, String),
}

/// Answers one request. What goes wrong concerns its stream only. A request that lasts is handed back.
pub(super) async fn answer(peer: &Peer, stream: (quinn::SendStream, quinn::RecvStream)) -> Option<Asked> {
    let answered = try_answer(peer, stream).await;
    if let Err(error) = &answered {
        tracing::debug!(site = %peer.site, error = format!("{error:#}"), "answer a fetch");
    }
    answered.ok().flatten()
}

async fn try_answer(
    peer: &Peer,
    (mut send, receive): (quinn::SendStream, quinn::RecvStream),
) -> anyhow::Result<Option<Asked>> {
    send.set_priority(PRIORITY).context("set priority")?;
    let mut reader = frame::Reader::new(receive, REQUEST_BYTES_MAX);
    let request = tokio::time::timeout(REQUEST, reader.next::<Fetch>()).await.context("no request came")?;
    let Some(request) = request.context("read request")? else { return Ok(None) };
    if let Some(recall) = request.recall {
        return Ok(Some(Asked { recall, send, reader }));
    }
    let _turn = peer.downlink.fetches.0.acquire().await.context("wait for a turn")?;
    let (archive, site) = (peer.downlink.vault.archive().clone(), peer.site.clone());
    let found = tokio::task::spawn_blocking(move || find(&archive, &site, &request));
    match found.await.context("look for the segment")?? {
        Answer::No(code, detail) => {
            let fetched = Fetched { code: code.into(), bytes: 0, detail };
            frame::write(&mut send, &fetched).await.context("answer")?;
        }
        Answer::Held(placed, file) => {
            let Placed { ledger, seq, segment } = *placed;
            tracing::info!(site = %peer.site, %ledger, %seq, "the site fetches a segment");
            let code = FetchedCode::Held.into();
            let fetched = Fetched { code, bytes: segment.bytes, detail: String::new() };
            frame::write(&mut send, &fetched).await.context("answer")?;
            send_file(&mut send, file, segment.bytes).await?;
        }
    }
    let _ = send.finish(); // it may be reset already
    Ok(None)
}

fn find(archive: &Archive, site: &SiteId, request: &Fetch) -> anyhow::Result<Answer> {
    let no = |code, detail: &str| Ok(Answer::No(code, detail.to_owned()));
    let ledger = LedgerId::from_proto(request.ledger.as_ref()).context("request")?;
    let seq = Seq(request.seq);
    if archive.ledger(&ledger).is_none_or(|record| record.site != site.as_str()) {
        return no(FetchedCode::NotYours, "there is no such ledger of this site");
    }
    let entry = archive.entry(&ledger, seq)?.filter(|_| archive.holds(&ledger, seq));
    let Some(segment) = entry.as_ref().and_then(|entry| entry.segment()).cloned() else {
        return no(FetchedCode::NotHeld, "the bytes are not here");
    };
    let number = SegmentNumber(segment.number);
    let path = archive.segment_path(&ledger, number)?;
    match check(&path, &segment, &mut |_, _| true) {
        Finding::Good => {
            let file = archive.open_file(&ledger, number)?;
            Ok(Answer::Held(Box::new(Placed { ledger, seq, segment }), file))
        }
        Finding::Unknown(error) => no(FetchedCode::Unspecified, &error.to_string()),
        Finding::Interrupted => no(FetchedCode::Unspecified, "the hub is stopping"),
        finding @ (Finding::Bad | Finding::Missing | Finding::Failing(_)) => {
            tracing::error!(%ledger, %seq, ?finding, "a segment that its site fetches is damaged: wanted again");
            archive.submit_blocking(Change::Damaged { ledger, seq })?;
            no(FetchedCode::NotHeld, "the bytes here are damaged too")
        }
    }
}

async fn send_file(send: &mut quinn::SendStream, file: File, bytes: u64) -> anyhow::Result<()> {
    let file = Arc::new(file);
    for offset in (0..bytes).step_by(CHUNK as usize) {
        let (file, length) = (Arc::clone(&file), CHUNK.min(bytes - offset));
        let read = tokio::task::spawn_blocking(move || read_at(&file, offset, length));
        let data = Bytes::from(read.await.context("read segment")?.context("read segment")?);
        let sent = tokio::time::timeout(STALL, frame::write(send, &Chunk { data })).await;
        sent.context("the site takes nothing any more")?.context("send segment")?;
    }
    Ok(())
}
