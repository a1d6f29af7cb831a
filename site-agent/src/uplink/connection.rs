//! One connection: the tasks that carry a session.
//!
//! Tasks feed the session (messages, recorded parts, commits) and carry out what it puts out; whichever
//! ends first ends the connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use quinn::ConnectionError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::frame;
use wire::session::site::{SiteLimits, SiteSession};
use wire::transport::{explain, peer_node, probe_silence};
use wire::{Policies, proto};

use super::backlog::Job;
use super::dial::Dialled;
use super::shared::{Shared, Side, priority};
use super::{Dialler, Uplink, backlog, control, live, repair, restore};
use crate::beats::{self, Carrier, Leave, Way};
use crate::replication::Replication;

/// From the handshake until the hub has told all it has: a minute, also over a thin line.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A preferred path over which beats go, and no session does, is tried again after this.
const TRY_PREFERRED: Duration = Duration::from_secs(30);

/// What a hub closes a connection with when a newer one of the same site took over.
const REPLACED: u32 = 2;

/// How a connection was lost.
#[derive(Debug)]
pub(super) struct Lost {
    /// For people.
    pub(super) why: String,
    /// Would the hub do so again?
    pub(super) refused: bool,
}

/// How a connection ended in an orderly way.
pub(super) enum Ended {
    /// With a goodbye.
    Goodbye,
    /// There is a better one.
    For(Dialled),
    /// What it began with holds no more.
    Anew,
}

/// Serves a connection until it breaks (an error), `cancel`, there is one over a preferred path, or other streams are
/// to cross.
pub(super) async fn serve(
    uplink: &Uplink,
    dialled: &Dialled,
    dialler: &Dialler<'_>,
    cancel: &CancellationToken,
) -> Result<Ended, Lost> {
    let Dialled { path, connection, .. } = dialled;
    let lost = |error: anyhow::Error| Lost { why: format!("{error:#}"), refused: false };
    let node = peer_node(connection).map_err(|error| lost(error.into()))?;
    if uplink.beats.is_revoked(&node) {
        return Err(Lost { why: format!("there is {node}, which is revoked at this hub"), refused: true });
    }
    let (send, receive) = connection.open_bi().await.context("open control stream").map_err(lost)?;
    send.set_priority(priority::CONTROL).context("set priority").map_err(lost)?;
    // Follow first, then list: what is committed in between is told twice, which is harmless.
    let events = uplink.archive.events();
    let (open, parts) = uplink.live.tap();
    let policies = uplink.replication.now().policies.clone();
    let mut hello = uplink.beats.hello(proto::Purpose::Session, *path);
    hello.policies = policies.to_proto();
    let source = uplink.source();
    let session = SiteSession::new(hello, source.facts(), SiteLimits::default());
    let shared = Arc::new(Shared::new((uplink.clone(), source), (*path, connection.clone()), session));
    let (jobs, waiting) = mpsc::channel::<Job>(2 * SiteLimits::default().backlog_jobs);
    let mut tasks = JoinSet::new();
    let (new_queues, ledgers) = mpsc::channel(64);
    tasks.spawn(control::read(shared.clone(), frame::Reader::new(receive, frame::CONTROL_BYTES_MAX)));
    tasks.spawn(control::write(shared.clone(), send, jobs, cancel.clone()));
    tasks.spawn(live::follow(shared.clone(), events, open, parts, new_queues));
    tasks.spawn(live::send_all(shared.clone(), ledgers));
    tasks.spawn(watch(shared.clone()));
    tasks.spawn(beat(shared.clone()));
    let (planned, parts) = mpsc::channel(1);
    tasks.spawn(backlog::plan(shared.clone(), waiting, planned));
    tasks.spawn(backlog::send(shared.clone(), parts));
    tasks.spawn(repair::run(shared.clone()));
    tasks.spawn(restore::run(shared.clone()));
    let (mut better, mut anew) = (None, false);
    let ended = tokio::select! {
        ended = tasks.join_next() => match ended {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(anyhow::Error::new(panic).context("uplink task")),
            None => Ok(()),
        },
        error = connection.closed() => Err(anyhow::anyhow!(explain(&error))),
        () = probe_silence(connection, dialler.settings) => Err(anyhow::anyhow!("it is closed")),
        left = elsewhere(uplink, dialled, dialler) => left.map(|over| better = Some(over)),
        () = until_other(&uplink.replication, &policies) => {
            anew = true;
            Ok(())
        }
    };
    let reason = connection.close_reason();
    shared.lag().forget_waiting();
    connection.close(0u32.into(), b"");
    tasks.shutdown().await;
    if let Some(better) = better {
        return Ok(Ended::For(better));
    }
    if anew {
        return Ok(Ended::Anew);
    }
    let error = match (ended, &reason) {
        (Ok(()), _) if cancel.is_cancelled() => return Ok(Ended::Goodbye),
        (Ok(()), _) => anyhow::anyhow!("the hub closed the connection"),
        // The hub's reason says more than "stream closed".
        (Err(error), Some(reason)) => error.context(explain(reason)),
        (Err(error), None) => error,
    };
    let refused = shared.running_since.get().is_none() || reason.as_ref().is_some_and(is_replaced);
    Err(Lost { why: format!("{error:#}"), refused })
}

/// Until policies are others than those a session began with.
async fn until_other(replication: &Replication, policies: &Policies) {
    let mut changes = replication.changes();
    if changes.wait_for(|rules| rules.policies != *policies).await.is_err() {
        std::future::pending().await // nobody is left to change them
    }
}

/// Another agent with our certificate is there, and would be replaced by us in turn.
fn is_replaced(reason: &ConnectionError) -> bool {
    matches!(reason, ConnectionError::ApplicationClosed(close) if close.error_code == REPLACED.into())
}

/// Ends a connection on which the hub does not come to tell what it has.
pub(super) async fn watch<U: Side>(shared: Arc<Shared<U>>) -> anyhow::Result<()> {
    tokio::time::sleep(ANSWER_MAX).await;
    if shared.running_since.get().is_none() {
        anyhow::bail!("the hub did not tell what it has within {} s", ANSWER_MAX.as_secs());
    }
    std::future::pending().await
}

/// Beats to the node at the other end, on a stream of their own: a batch of entries must not hold them up.
async fn beat(shared: Arc<Shared>) -> anyhow::Result<()> {
    let standby = *shared.welcomed.wait().await;
    let (mut send, receive) = shared.connection.open_bi().await.context("open stream for beats")?;
    let _ = shared.beating.set(());
    send.set_priority(priority::BEATS).context("set priority")?;
    let beats = &shared.uplink.beats;
    let node = peer_node(&shared.connection)?;
    let _at = beats.session_at(node.clone());
    let mut reader = frame::Reader::new(receive, beats::BYTES_MAX);
    let voter = beats.voter(&node);
    let way = Way { path: shared.path, carrier: Carrier::Quic };
    tokio::select! {
        biased;
        () = beats.until_revoked(&node) => anyhow::bail!("{node} is revoked at this hub: going to another"),
        ended = beats::carry(beats, &voter, (way, standby), &mut send, &mut reader) => ended,
        owner = beats.until_owner_is_not(&node) => anyhow::bail!("this site's vault is kept at {owner} now: going there"),
    }
}

/// Until the hub is better reached over another path: with a connection over it, if it is a preferred one that has
/// mended; an error if this one is silent, and whatever answers will do.
async fn elsewhere(uplink: &Uplink, dialled: &Dialled, dialler: &Dialler<'_>) -> anyhow::Result<Dialled> {
    let voter = uplink.beats.voter(&peer_node(&dialled.connection)?);
    loop {
        match voter.until_session_leaves(dialled.path).await {
            Leave::Lost => {
                let name = &uplink.beats.path(dialled.path).name;
                anyhow::bail!("nothing is acked over path {name}, and the hub is heard over another");
            }
            Leave::Mended => match dialler.over(|path| path < dialled.path).await {
                Ok(better) => return Ok(better),
                Err(failure) => {
                    tracing::debug!(why = failure.why, "no session over the preferred path yet");
                    tokio::time::sleep(TRY_PREFERRED).await;
                }
            },
        }
    }
}
