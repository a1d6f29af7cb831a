//! The connection of a site's own session: beside the session go beats, and what comes back from the hub.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use quinn::ConnectionError;
use tokio_util::sync::CancellationToken;
use wire::transport::{peer_node, probe_silence};
use wire::{Policies, frame, proto};

use super::carry::Carried;
use super::dial::Dialled;
use super::shared::{Shared, priority};
use super::{Dialler, Uplink, repair, restore};
use crate::beats::{self, Carrier, Leave, Way};
use crate::replication::Replication;

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
    let policies = uplink.replication.now().policies.clone();
    let mut hello = uplink.beats.hello(proto::Purpose::Session, *path);
    hello.policies = policies.to_proto();
    let whose = (uplink.clone(), uplink.source());
    let mut carried =
        Carried::begin(whose, (*path, connection.clone()), hello, cancel).await.map_err(lost)?;
    let shared = carried.shared.clone();
    carried.tasks.spawn(beat(shared.clone()));
    carried.tasks.spawn(repair::run(shared.clone()));
    carried.tasks.spawn(restore::run(shared.clone()));
    let (mut better, mut anew) = (None, false);
    let ended = tokio::select! {
        ended = carried.ended() => ended,
        () = probe_silence(connection, dialler.settings) => Err(anyhow::anyhow!("it is closed")),
        left = elsewhere(uplink, dialled, dialler) => left.map(|over| better = Some(over)),
        () = until_other(&uplink.replication, &policies) => {
            anew = true;
            Ok(())
        }
    };
    let closed = carried.close(ended).await;
    if let Some(better) = better {
        return Ok(Ended::For(better));
    }
    if anew {
        return Ok(Ended::Anew);
    }
    closed.map(|()| Ended::Goodbye).map_err(|(error, reason)| {
        let refused = shared.running_since.get().is_none() || reason.as_ref().is_some_and(is_replaced);
        Lost { why: format!("{error:#}"), refused }
    })
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

/// Beats to the node at the other end, on a stream of their own: a batch of entries must not hold them up.
async fn beat(shared: Arc<Shared>) -> anyhow::Result<()> {
    let sealing_key = shared.welcomed.wait().await.clone();
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
        ended = beats::carry(beats, &voter, (way, sealing_key), &mut send, &mut reader) => ended,
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
