//! Backlog: whole segments, less what the hub has, over a few long-lived streams.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::mpsc;
use wire::entry::part_span;
use wire::{LedgerId, SegmentNumber, Seq, frame, proto};

use super::shared::{Shared, priority};

type Jobs = Arc<tokio::sync::Mutex<mpsc::Receiver<(LedgerId, Seq)>>>;

/// Carries out jobs one after the other on a stream of its own.
pub(super) async fn send(shared: Arc<Shared>, jobs: Jobs) -> anyhow::Result<()> {
    let mut stream = None;
    loop {
        let job = jobs.lock().await.recv().await;
        let Some((ledger, seq)) = job else { return Ok(()) };
        // Opened late: most connections never have more backlog than one stream carries.
        let stream = match &mut stream {
            Some(stream) => stream,
            none => {
                let opened = shared.connection.open_uni().await.context("open backlog stream")?;
                opened.set_priority(priority::BACKLOG).context("set priority")?;
                none.insert(opened)
            }
        };
        carry_out(&shared, stream, &ledger, seq).await?;
        shared.session().backlog_sent(&ledger, seq);
        shared.wake.notify_one();
    }
}

async fn carry_out(
    shared: &Arc<Shared>,
    stream: &mut quinn::SendStream,
    ledger: &LedgerId,
    seq: Seq,
) -> anyhow::Result<()> {
    let archive = shared.uplink.archive.clone();
    let entry = archive.entry(ledger, seq)?;
    let Some(segment) = entry.as_ref().and_then(|entry| entry.segment()).cloned() else { return Ok(()) };
    let missing = shared.session().missing(ledger, &segment);
    let number = SegmentNumber(segment.number);
    for part in missing.values() {
        let part = u32::try_from(part).unwrap_or(u32::MAX);
        let Some((offset, length)) = part_span(&segment, part) else { continue };
        let (read_archive, read_ledger) = (archive.clone(), ledger.clone());
        let read = move || read_archive.read(&read_ledger, number, offset, length);
        let data = match tokio::task::spawn_blocking(read).await.context("read segment")? {
            Ok(data) => Bytes::from(data),
            Err(error) => {
                // One unreadable segment must not keep the others from safety.
                tracing::error!(%ledger, %seq, %error, "send backlog");
                return Ok(());
            }
        };
        let message = proto::Part {
            ledger: Some(ledger.to_proto()),
            segment: segment.number,
            part,
            running_hash: Bytes::new(), // the entry, which goes ahead, has the hash of the whole
            data,
            live: false,
        };
        frame::write(stream, &message).await.context("send backlog part")?;
        shared.uplink.status.update(|state| {
            state.backlog_parts += 1;
            state.backlog_bytes += length;
        });
    }
    Ok(())
}
