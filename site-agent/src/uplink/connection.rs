//! One connection: the tasks that carry a session.
//!
//! Tasks feed the session (messages, recorded parts, commits) and carry out what it puts out; whichever
//! ends first ends the connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::frame;
use wire::session::site::{LedgerFacts, SiteLimits, SiteSession};
use wire::{LedgerId, Seq, proto};

use super::shared::{Shared, facts_of, priority};
use super::{Uplink, backlog, control, live};

/// Streams that carry backlog side by side: a lost packet holds up one of them, and none holds more
/// out-of-order chunks than QUIC takes.
const BACKLOG_STREAMS: usize = 8;

/// From the handshake until the hub has told all it has: a minute, also over a thin line.
const ANSWER_MAX: Duration = Duration::from_secs(60);

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
    let shared = Arc::new(Shared::new(uplink.clone(), connection.clone(), session));
    let (jobs, waiting) = mpsc::channel::<(LedgerId, Seq)>(SiteLimits::default().backlog_jobs);
    let mut tasks = JoinSet::new();
    let (new_queues, ledgers) = mpsc::channel(64);
    tasks.spawn(control::read(shared.clone(), frame::Reader::new(receive, frame::CONTROL_BYTES_MAX)));
    tasks.spawn(control::write(shared.clone(), send, jobs, cancel.clone()));
    tasks.spawn(live::follow(shared.clone(), events, open, parts, new_queues));
    tasks.spawn(live::send_all(shared.clone(), ledgers));
    tasks.spawn(watch(shared.clone()));
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

/// Ends a connection on which the hub does not come to tell what it has.
async fn watch(shared: Arc<Shared>) -> anyhow::Result<()> {
    tokio::time::sleep(ANSWER_MAX).await;
    if shared.running_since.get().is_none() {
        anyhow::bail!("the hub did not tell what it has within {} s", ANSWER_MAX.as_secs());
    }
    std::future::pending().await
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
