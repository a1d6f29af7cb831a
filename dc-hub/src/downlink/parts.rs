//! Data streams in: parts to the journal, then to the session and to whoever watches.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use media::read::fragment_info;
use site_agent::live::LivePart;
use tokio::task::JoinSet;
use wire::{LedgerId, SegmentNumber, UnixMicros, frame, proto};

use super::peer::{Peer, ROOM_KIB, StoredPart};
use crate::journal::TailPart;

/// A part may overtake the message that opens its ledger, by less than this.
const LEDGER_WAIT: Duration = Duration::from_secs(10);
/// Parts of one stream that wait for the journal's sync side by side.
const PIPELINE: usize = 16;

/// Accepts data streams for as long as the connection lasts.
pub(super) async fn accept(peer: Arc<Peer>) -> anyhow::Result<()> {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = peer.connection.accept_uni() => {
                let stream = stream.context("accept data stream")?;
                streams.spawn(read(peer.clone(), stream));
            }
            Some(ended) = streams.join_next() => ended.context("data stream")??,
        }
    }
}

async fn read(peer: Arc<Peer>, stream: quinn::RecvStream) -> anyhow::Result<()> {
    let mut reader = frame::Reader::new(stream, frame::PART_BYTES_MAX);
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            message = reader.next::<proto::Part>(), if under_way.len() < PIPELINE => {
                let Some(message) = message.context("read part")? else { break };
                let part = check(&peer, message).await?;
                under_way.push(keep(&peer, part));
            }
            Some(kept) = under_way.next() => kept?,
        }
    }
    while let Some(kept) = under_way.next().await {
        kept?;
    }
    Ok(())
}

/// A part as it came, once it is known to be the site's own and to fit.
struct Checked {
    tail: TailPart,
    live: bool,
    running_hash: [u8; 32],
}

async fn check(peer: &Peer, message: proto::Part) -> anyhow::Result<Checked> {
    let ledger = LedgerId::from_proto(message.ledger.as_ref()).context("part")?;
    let mut ledgers = peer.ledgers.subscribe();
    let known = tokio::time::timeout(LEDGER_WAIT, ledgers.wait_for(|known| known.contains(&ledger))).await;
    if !matches!(known, Ok(Ok(_))) {
        bail!("it sent a part of ledger {ledger}, which it never offered");
    }
    let kept = peer.downlink.vault.journal().site_bytes(&peer.site);
    if kept + message.data.len() as u64 > peer.downlink.limits.tail_bytes_per_site_max {
        bail!("its unfinished segments passed limits.tail_mb_per_site_max ({kept} bytes)");
    }
    let (start, end, key) = times(&message);
    Ok(Checked {
        live: message.live,
        running_hash: message.running_hash.as_ref().try_into().unwrap_or_default(),
        tail: TailPart {
            site: peer.site.clone(),
            ledger,
            segment: SegmentNumber(message.segment),
            part: message.part,
            start,
            end,
            key,
            data: message.data,
        },
    })
}

/// What a fragment says of its own time. A header has none, and a fragment that can't be read gets none:
/// its segment's hash will tell.
fn times(part: &proto::Part) -> (UnixMicros, UnixMicros, bool) {
    if part.part > 0
        && let Ok(info) = fragment_info(&part.data)
    {
        return (UnixMicros(info.first_arrival_us), UnixMicros(info.end_us), info.key);
    }
    (UnixMicros::MAX, UnixMicros::MIN, false)
}

async fn keep(peer: &Peer, part: Checked) -> anyhow::Result<()> {
    let TailPart { ledger, segment, part: number, .. } = &part.tail;
    let stored = StoredPart { ledger: ledger.clone(), segment: *segment, part: *number };
    let bytes = part.tail.data.len() as u64;
    let needed = u32::try_from(bytes.div_ceil(1024)).unwrap_or(ROOM_KIB).min(ROOM_KIB);
    let _room = peer.room.acquire_many(needed).await.context("the connection is closing")?;
    peer.downlink.vault.take_part(&part.tail).await.context("keep part")?;
    peer.downlink.sites.took(&peer.site, bytes);
    if part.live {
        publish(peer, part);
    }
    peer.stored.send(stored).await.context("session is gone")
}

fn publish(peer: &Peer, part: Checked) {
    peer.downlink.live.publish(LivePart {
        site: part.tail.site,
        ledger: part.tail.ledger,
        segment: part.tail.segment,
        part: part.tail.part,
        data: part.tail.data,
        running_hash: part.running_hash,
        start: part.tail.start,
        end: part.tail.end,
        key: part.tail.key,
        since: wire::clock::now(),
    });
}
