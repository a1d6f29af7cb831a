//! Backlog: whole segments, less what the hub has, over a few long-lived streams.
//!
//! Jobs are cut into parts, in order, and each part goes to the first stream that has nothing to do. So the
//! oldest segment is whole at the hub first, however many streams there are. Parts of what the hub asked for overtake
//! all others that wait.
//!
//! Only as many streams are used as the line can fill: what is half sent when the path is cut is sent again,
//! and on a thin line that is to be two parts and not thirty-two.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::entry::part_span;
use wire::transport::Settings;
use wire::{LedgerId, SegmentNumber, Seq, frame, proto};

use super::shared::{Shared, Side, priority};
use crate::config::Class;

/// A segment to be sent.
pub(super) struct Job {
    pub(super) ledger: LedgerId,
    pub(super) seq: Seq,
    /// The hub asked for it.
    pub(super) asked: bool,
}

/// A part to be sent.
pub(super) struct Item {
    ledger: LedgerId,
    seq: Seq,
    segment: SegmentNumber,
    part: u32,
    offset: u64,
    length: u64,
    class: Class,
    /// The job is done when all of these are gone.
    _job: mpsc::Sender<Infallible>,
}

/// Cuts jobs into parts, in order, and tells the session when all parts of one are sent.
pub(super) async fn plan<U: Side>(
    shared: Arc<Shared<U>>,
    mut jobs: mpsc::Receiver<Job>,
    parts: mpsc::Sender<Item>,
) -> anyhow::Result<()> {
    let mut under_way = JoinSet::new();
    let (mut asked, mut others) = (VecDeque::new(), VecDeque::new());
    loop {
        let waits = !asked.is_empty() || !others.is_empty();
        tokio::select! {
            // Jobs first: one that was asked for is not to wait behind a part that could have been its own.
            biased;
            job = jobs.recv() => {
                let Some(job) = job else { return Ok(()) };
                let (whole, mut rest) = mpsc::channel(1);
                let queue = if job.asked { &mut asked } else { &mut others };
                queue.extend(items(&shared, &job, &whole)?);
                drop(whole);
                let shared = shared.clone();
                under_way.spawn(async move {
                    let _: Option<Infallible> = rest.recv().await;
                    shared.session().backlog_sent(&job.ledger, job.seq);
                    shared.wake.notify_one();
                });
            }
            place = parts.reserve(), if waits => {
                let place = place.context("backlog sender is gone")?;
                if let Some(item) = asked.pop_front().or_else(|| others.pop_front()) {
                    place.send(item);
                }
            }
            Some(done) = under_way.join_next() => done.context("backlog job")?,
        }
    }
}

fn items<U: Side>(
    shared: &Shared<U>,
    &Job { ref ledger, seq, asked }: &Job,
    job: &mpsc::Sender<Infallible>,
) -> anyhow::Result<Vec<Item>> {
    let class = if asked { Class::Fetch } else { Class::Backlog };
    if !shared.source.archive.holds(ledger, seq) {
        return Ok(Vec::new());
    }
    let entry = shared.source.archive.entry(ledger, seq)?;
    let Some(segment) = entry.as_ref().and_then(|entry| entry.segment()) else { return Ok(Vec::new()) };
    let missing = shared.session().missing(ledger, segment);
    let item = |part: u64| {
        let part = u32::try_from(part).ok()?;
        let (offset, length) = part_span(segment, part)?;
        let (ledger, segment) = (ledger.clone(), SegmentNumber(segment.number));
        Some(Item { ledger, seq, segment, part, offset, length, class, _job: job.clone() })
    };
    Ok(missing.values().filter_map(item).collect())
}

/// Sends parts, each over the first stream that is free.
pub(super) async fn send<U: Side>(
    shared: Arc<Shared<U>>,
    mut parts: mpsc::Receiver<Item>,
) -> anyhow::Result<()> {
    let settings = Settings::default();
    let mut streams: Vec<Option<quinn::SendStream>> = Vec::new();
    let mut free = BTreeSet::new();
    let mut busy = JoinSet::new();
    loop {
        let most = streams_for(shared.connection.stats().path.cwnd, &settings);
        tokio::select! {
            item = parts.recv(), if busy.len() < most => {
                let Some(item) = item else { return Ok(()) };
                let (place, stream) = match free.pop_first() {
                    Some(place) => (place, streams.get_mut(place).and_then(Option::take)),
                    None => {
                        streams.push(None);
                        (streams.len() - 1, None)
                    }
                };
                let shared = shared.clone();
                busy.spawn(async move {
                    // Opened late: most connections never have more backlog than one stream carries.
                    let mut stream = match stream {
                        Some(stream) => stream,
                        None => open(&shared).await?,
                    };
                    carry(&shared, &mut stream, &item).await?;
                    anyhow::Ok((place, stream))
                });
            }
            Some(done) = busy.join_next() => {
                let (place, stream) = done.context("backlog stream")??;
                if let Some(slot) = streams.get_mut(place) {
                    *slot = Some(stream);
                }
                free.insert(place);
            }
        }
    }
}

/// How many streams fill a congestion window six times over. Where every stream loses something in every round trip, and
/// something of that again, it carries its window once in 3.6 to 4.9 round trips (`Settings::backlog_streams`); and the
/// window must be able to grow by a quarter. With fewer it is the streams that limit, the window follows them down, and
/// they it: three times over left a third of 50 Mbit/s at 600 ms and 5 % unused, for minutes.
fn streams_for(window: u64, settings: &Settings) -> usize {
    let wanted = 2 + 6 * window / u64::from(settings.stream_receive_window);
    usize::try_from(wanted).unwrap_or(usize::MAX).min(settings.backlog_streams.into())
}

async fn open<U: Side>(shared: &Shared<U>) -> anyhow::Result<quinn::SendStream> {
    let stream = shared.connection.open_uni().await.context("open backlog stream")?;
    stream.set_priority(priority::BACKLOG).context("set priority")?;
    Ok(stream)
}

async fn carry<U: Side>(
    shared: &Shared<U>,
    stream: &mut quinn::SendStream,
    item: &Item,
) -> anyhow::Result<()> {
    let archive = shared.source.archive.clone();
    let Item { ledger, seq, segment, part, offset, length, class, .. } = item;
    let (read_ledger, segment, offset, length) = (ledger.clone(), *segment, *offset, *length);
    let read = move || archive.read(&read_ledger, segment, offset, length);
    let data = match tokio::task::spawn_blocking(read).await.context("read segment")? {
        Ok(data) => Bytes::from(data),
        Err(_) if !shared.source.archive.holds(ledger, *seq) => return Ok(()), // freed since it was planned
        Err(error) => {
            // One unreadable segment must not keep the others from safety.
            tracing::error!(%ledger, %seq, part, %error, "send backlog");
            return Ok(());
        }
    };
    let message = proto::Part {
        ledger: Some(ledger.to_proto()),
        segment: segment.0,
        part: *part,
        running_hash: Bytes::new(), // the entry, which goes ahead, has the hash of the whole
        data,
        live: false,
    };
    let message = frame::encode(&message).context("encode backlog part")?;
    shared.gate.write(stream, *class, &message).await.context("send backlog part")?;
    shared.source.status.update(|state| {
        state.backlog_parts += 1;
        state.backlog_bytes += length;
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_streams_as_the_line_can_fill() {
        let streams =
            |mbit: f64, rtt_ms: f64| streams_for((mbit * 1e3 / 8.0 * rtt_ms) as u64, &Settings::default());
        assert_eq!(streams(5.0, 20.0), 2);
        assert_eq!(streams(100.0, 100.0), 9);
        assert_eq!(streams(500.0, 200.0), 32);
        assert_eq!(streams(10_000.0, 1000.0), 32);
        // Though every stream loses something twice, the window can still grow.
        let carried = streams(50.0, 600.0) as f64 * f64::from(Settings::default().stream_receive_window);
        assert!(carried * 8.0 / 1e6 / (4.9 * 0.6) > 50.0 * 1.25);
    }
}
