//! What a standby on this machine recorded for a site → the node that keeps that site's vault: an ordinary session over
//! a connection that somebody else has made, on which nothing but recordings goes.
//!
//! It never knows who decided that this machine records, or how the node is found.

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::session::site::{SiteLimits, SiteSession};
use wire::transport::explain;
use wire::{OriginId, frame, proto};

use super::backlog::Job;
use super::connection::watch;
use super::control::check_welcome;
use super::shared::{Shared, Side, priority};
use super::source::Source;
use super::{backlog, control, live};
use crate::beats::PathPlace;

/// The host's side.
struct Host {
    source: Source,
}

impl Side for Host {
    fn welcomed(&self, _: &quinn::Connection, welcome: &proto::Welcome) -> anyhow::Result<()> {
        check_welcome(&self.source.site, welcome)
    }

    fn path_name(&self, _: PathPlace) -> String {
        String::new()
    }
}

/// Sends all that there is and comes, until the connection breaks or, with a goodbye, until `cancel`. `origin` is that
/// of the machine's run, `software` what it runs.
pub async fn serve(
    source: &Source,
    connection: &quinn::Connection,
    (origin, software): (OriginId, &str),
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let (send, receive) = connection.open_bi().await.context("open control stream")?;
    send.set_priority(priority::CONTROL).context("set priority")?;
    // Follow first, then list: what is committed in between is told twice, which is harmless.
    let events = source.archive.events();
    let (open, parts) = source.live.tap();
    let hello = proto::Hello {
        protocol_min: wire::PROTOCOL,
        protocol_max: wire::PROTOCOL,
        software: software.to_owned(),
        origin: bytes::Bytes::copy_from_slice(&origin.0),
        purpose: proto::Purpose::Host.into(),
        hosted: source.site.as_str().to_owned(),
        ..Default::default()
    };
    let session = SiteSession::new(hello, source.facts(), SiteLimits::default());
    let whose = (Host { source: source.clone() }, source.clone());
    let shared = Arc::new(Shared::new(whose, (PathPlace::default(), connection.clone()), session));
    let (jobs, waiting) = mpsc::channel::<Job>(2 * SiteLimits::default().backlog_jobs);
    let mut tasks = JoinSet::new();
    let (new_queues, ledgers) = mpsc::channel(64);
    tasks.spawn(control::read(shared.clone(), frame::Reader::new(receive, frame::CONTROL_BYTES_MAX)));
    tasks.spawn(control::write(shared.clone(), send, jobs, cancel.clone()));
    tasks.spawn(live::follow(shared.clone(), events, open, parts, new_queues));
    tasks.spawn(live::send_all(shared.clone(), ledgers));
    tasks.spawn(watch(shared.clone()));
    let (planned, parts) = mpsc::channel(1);
    tasks.spawn(backlog::plan(shared.clone(), waiting, planned));
    tasks.spawn(backlog::send(shared.clone(), parts));
    let ended = tokio::select! {
        ended = tasks.join_next() => match ended {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(anyhow::Error::new(panic).context("a task of the connection")),
            None => Ok(()),
        },
        error = connection.closed() => Err(anyhow::anyhow!(explain(&error))),
    };
    let reason = connection.close_reason();
    shared.source.status.lag().forget_waiting();
    connection.close(0u32.into(), b"");
    tasks.shutdown().await;
    match (ended, reason) {
        (Ok(()), _) if cancel.is_cancelled() => Ok(()),
        (Ok(()), _) => bail!("the hub closed the connection"),
        // The hub's reason says more than "stream closed".
        (Err(error), Some(reason)) => Err(error.context(explain(&reason))),
        (Err(error), None) => Err(error),
    }
}
