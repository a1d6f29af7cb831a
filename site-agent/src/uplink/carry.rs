//! The tasks that carry a session, whoever's it is and whatever else its connection does.
//!
//! They feed the session (messages, recorded parts, commits) and carry out what it puts out; whichever ends first ends the
//! connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use quinn::ConnectionError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::session::site::{SiteLimits, SiteSession};
use wire::transport::explain;
use wire::{frame, proto};

use super::backlog::{self, Job};
use super::shared::{Shared, Side, priority};
use super::source::Source;
use super::{control, live};
use crate::beats::PathPlace;

/// From the handshake until the hub has told all it has: a minute, also over a thin line.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A session on its way.
pub(super) struct Carried<U> {
    pub(super) shared: Arc<Shared<U>>,
    /// Its tasks, and what more the connection does.
    pub(super) tasks: JoinSet<anyhow::Result<()>>,
    cancel: CancellationToken,
}

impl<U: Side> Carried<U> {
    /// Says hello and begins; with a goodbye it ends at `cancel`.
    pub(super) async fn begin(
        (whose, source): (U, Source),
        (path, connection): (PathPlace, quinn::Connection),
        hello: proto::Hello,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let (send, receive) = connection.open_bi().await.context("open control stream")?;
        send.set_priority(priority::CONTROL).context("set priority")?;
        // Follow first, then list: what is committed in between is told twice, which is harmless.
        let events = source.archive.events();
        let (open, parts) = source.live.tap();
        let session = SiteSession::new(hello, source.facts(), SiteLimits::default());
        let shared = Arc::new(Shared::new((whose, source), (path, connection), session));
        let (jobs, waiting) = mpsc::channel::<Job>(2 * SiteLimits::default().backlog_jobs);
        let (new_queues, ledgers) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(control::read(shared.clone(), frame::Reader::new(receive, frame::CONTROL_BYTES_MAX)));
        tasks.spawn(control::write(shared.clone(), send, jobs, cancel.clone()));
        tasks.spawn(live::follow(shared.clone(), events, open, parts, new_queues));
        tasks.spawn(live::send_all(shared.clone(), ledgers));
        tasks.spawn(watch(shared.clone()));
        let (planned, parts) = mpsc::channel(1);
        tasks.spawn(backlog::plan(shared.clone(), waiting, planned));
        tasks.spawn(backlog::send(shared.clone(), parts));
        Ok(Self { shared, tasks, cancel: cancel.clone() })
    }

    /// Until one of the tasks ends, or the connection does.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            ended = self.tasks.join_next() => match ended {
                Some(Ok(result)) => result,
                Some(Err(panic)) => Err(anyhow::Error::new(panic).context("a task of the connection")),
                None => Ok(()),
            },
            error = self.shared.connection.closed() => Err(anyhow::anyhow!(explain(&error))),
        }
    }

    /// Closes the connection; `Ok` if it `ended` with our goodbye. Beside the error comes what the hub closed it with.
    pub(super) async fn close(
        mut self,
        ended: anyhow::Result<()>,
    ) -> Result<(), (anyhow::Error, Option<ConnectionError>)> {
        let connection = &self.shared.connection;
        let reason = connection.close_reason();
        self.shared.lag().forget_waiting();
        connection.close(0u32.into(), b"");
        self.tasks.shutdown().await;
        let error = match (ended, &reason) {
            (Ok(()), _) if self.cancel.is_cancelled() => return Ok(()),
            (Ok(()), _) => anyhow::anyhow!("the hub closed the connection"),
            // The hub's reason says more than "stream closed".
            (Err(error), Some(reason)) => error.context(explain(reason)),
            (Err(error), None) => error,
        };
        Err((error, reason))
    }
}

/// Ends a connection on which the hub does not come to tell what it has.
async fn watch<U: Side>(shared: Arc<Shared<U>>) -> anyhow::Result<()> {
    tokio::time::sleep(ANSWER_MAX).await;
    if shared.running_since.get().is_none() {
        anyhow::bail!("the hub did not tell what it has within {} s", ANSWER_MAX.as_secs());
    }
    std::future::pending().await
}
