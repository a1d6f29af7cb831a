//! One connection: the tasks that carry a session.
//!
//! One `Shared` holds the session behind a mutex that is never held across an await. Tasks feed it
//! (messages, recorded parts, commits) and carry out what it puts out; whichever ends first ends the
//! connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::Context;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::frame;
use wire::session::site::{LedgerFacts, SiteLimits, SiteSession};
use wire::{LedgerId, SegmentNumber, Seq, proto};

use super::lag::Lag;
use super::{Uplink, backlog, control, live};
use crate::live::LivePart;

/// Streams that carry backlog side by side: a lost packet holds up one of them, and none holds more
/// out-of-order chunks than QUIC takes.
const BACKLOG_STREAMS: usize = 8;

/// Priorities of streams, strict: control before live before backlog.
pub(super) mod priority {
    pub(crate) const CONTROL: i32 = 20;
    pub(crate) const LIVE: i32 = 10;
    pub(crate) const BACKLOG: i32 = 0;
}

/// What the tasks of a connection share.
pub(super) struct Shared {
    pub(super) uplink: Uplink,
    pub(super) connection: quinn::Connection,
    session: Mutex<SiteSession>,
    /// Something may be there to carry out.
    pub(super) wake: Notify,
    /// Live parts in line, by ledger; and a bell for each ledger's sender.
    pub(super) queues: Mutex<BTreeMap<LedgerId, Arc<live::Queue>>>,
    /// Since when the hub has told all it has: what was recorded before is catching up, not live.
    pub(super) running_since: OnceLock<Instant>,
}

impl Shared {
    pub(super) fn session(&self) -> MutexGuard<'_, SiteSession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lag(&self) -> MutexGuard<'_, Lag> {
        self.uplink.status.lag()
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, BTreeMap<LedgerId, Arc<live::Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a connection until it breaks (an error) or `cancel` (goodbye, and `Ok`).
pub(super) async fn serve(
    uplink: &Uplink,
    connection: quinn::Connection,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let (send, receive) = connection.open_bi().await.context("open control stream")?;
    send.set_priority(priority::CONTROL).context("set priority")?;
    // Follow first, then list: what is committed in between is told twice, which is harmless.
    let events = uplink.archive.events();
    let (open, parts) = uplink.live.tap();
    let session = SiteSession::new(hello(uplink), facts(uplink), SiteLimits::default());
    let shared = Arc::new(Shared {
        uplink: uplink.clone(),
        connection: connection.clone(),
        session: Mutex::new(session),
        wake: Notify::new(),
        queues: Mutex::default(),
        running_since: OnceLock::new(),
    });
    let (jobs, waiting) = mpsc::channel::<(LedgerId, Seq)>(SiteLimits::default().backlog_jobs);
    let mut tasks = JoinSet::new();
    let (new_queues, ledgers) = mpsc::channel(64);
    tasks.spawn(control::read(shared.clone(), frame::Reader::new(receive, frame::CONTROL_BYTES_MAX)));
    tasks.spawn(control::write(shared.clone(), send, jobs, cancel.clone()));
    tasks.spawn(live::follow(shared.clone(), events, open, parts, new_queues));
    tasks.spawn(live::send_all(shared.clone(), ledgers));
    let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
    for _ in 0..BACKLOG_STREAMS {
        tasks.spawn(backlog::send(shared.clone(), waiting.clone()));
    }
    let ended = tokio::select! {
        ended = tasks.join_next() => match ended {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(anyhow::Error::new(panic).context("uplink task")),
            None => Ok(()),
        },
        error = connection.closed() => Err(anyhow::anyhow!(wire::transport::explain(&error))),
    };
    shared.lag().forget_waiting();
    connection.close(0u32.into(), b"");
    tasks.shutdown().await;
    // The hub's reason says more than "stream closed".
    match (ended, connection.close_reason()) {
        (Ok(()), _) if cancel.is_cancelled() => Ok(()),
        (Ok(()), _) => Err(anyhow::anyhow!("the hub closed the connection")),
        (Err(error), Some(reason)) if !matches!(reason, quinn::ConnectionError::LocallyClosed) => {
            Err(error.context(wire::transport::explain(&reason)))
        }
        (Err(error), _) => Err(error),
    }
}

fn hello(uplink: &Uplink) -> proto::Hello {
    let cameras = uplink.config.cameras.iter().map(|camera| proto::Camera {
        id: camera.id.clone(),
        name: camera.name.clone(),
        streams: camera.streams.iter().map(|stream| stream.id.stream().to_owned()).collect(),
    });
    proto::Hello {
        protocol_min: wire::PROTOCOL,
        protocol_max: wire::PROTOCOL,
        software: concat!("holdfast site-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
        origin: bytes::Bytes::copy_from_slice(&uplink.origin.0),
        cameras: cameras.collect(),
    }
}

/// What the archive has of its own.
fn facts(uplink: &Uplink) -> Vec<LedgerFacts> {
    let own = |record: &crate::archive::LedgerRecord| record.site == uplink.config.site.id.as_str();
    uplink
        .archive
        .ledgers()
        .into_iter()
        .filter(|(_, record)| own(record))
        .map(|(ledger, record)| facts_of(ledger, &record))
        .collect()
}

pub(super) fn facts_of(ledger: LedgerId, record: &crate::archive::LedgerRecord) -> LedgerFacts {
    LedgerFacts {
        next: record.next(),
        head: record.head(),
        ended: record.ended,
        gone: record.gone(),
        opened: record.opened(),
        ledger,
    }
}

/// A part as it is sent.
pub(super) fn part_message(part: &LivePart, live: bool) -> proto::Part {
    proto::Part {
        ledger: Some(part.ledger.to_proto()),
        segment: part.segment.0,
        part: part.part,
        running_hash: bytes::Bytes::copy_from_slice(&part.running_hash),
        data: part.data.clone(),
        live,
    }
}

/// Which part of which segment, in the order of recording.
pub(super) type Place = (SegmentNumber, u32);
