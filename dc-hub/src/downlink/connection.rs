//! One connection, from handshake to its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use site_agent::archive::Sender;
use tokio_util::task::AbortOnDropHandle;
use wire::transport::{calls_as_host, explain, peer_node, peer_site};
use wire::{Policies, SiteId, frame, proto};

use super::peer::{Peer, Served};
use super::{Downlink, fetch, hosted, recall};
use crate::beats::{self, Speaker};
use crate::peers::HubPeers;

/// What this node tells sites it is.
pub(crate) const SOFTWARE: &str = concat!("holdfast dc-hub ", env!("CARGO_PKG_VERSION"));
/// A site that has not said hello by then is not one of ours.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of which a hello may say how they are replicated, those that are not configured any more among them.
const POLICIES_MAX: usize = 4096;
/// Acks of beats go before whatever else the hub says.
const BEATS_PRIORITY: i32 = 30;

/// Serves one connection; whatever ends it is said once.
pub(super) async fn serve(downlink: Downlink, hubs: Option<HubPeers>, incoming: quinn::Incoming) {
    let from = incoming.remote_address();
    let connection = match incoming.await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::warn!(%from, why = explain(&error), "refused a connection");
            return;
        }
    };
    if calls_as_host(&connection) {
        return hosted::serve(downlink, connection).await;
    }
    // The handshake has seen to it that such a certificate asked for the hubs' protocol.
    if let (Some(hubs), Ok(node)) = (hubs, peer_node(&connection)) {
        return hubs.serve(&node, connection).await;
    }
    let site = match peer_site(&connection) {
        Ok(site) => site,
        Err(error) => {
            tracing::warn!(%from, %error, "refused a connection");
            connection.close(1u32.into(), error.to_string().as_bytes());
            return;
        }
    };
    let sites = downlink.sites.clone();
    let mut ticket = None;
    let ended = session(downlink, &site, &connection, &mut ticket).await;
    let why = match (&ended, connection.close_reason()) {
        (_, Some(reason)) if !matches!(reason, quinn::ConnectionError::LocallyClosed) => explain(&reason),
        (Ok(()), _) => "it said goodbye".to_owned(),
        (Err(error), _) => format!("{error:#}"),
    };
    tracing::info!(%site, why, "site is gone");
    connection.close(0u32.into(), why.as_bytes());
    if let Some(ticket) = ticket {
        sites.leave(&site, ticket, &why);
    }
}

async fn session(
    downlink: Downlink,
    site: &SiteId,
    connection: &quinn::Connection,
    ticket: &mut Option<super::sites::Ticket>,
) -> anyhow::Result<()> {
    let greeted = tokio::time::timeout(HELLO_TIMEOUT, greet(connection)).await;
    let (mut send, reader, hello) = greeted.context("it said no hello")??;
    if hello.purpose() == proto::Purpose::Beats {
        return line(downlink, site.clone(), send, reader, hello).await;
    }
    if let Some(refusal) = refusal(&downlink, site, &hello) {
        return refuse(&mut send, refusal).await;
    }
    let speaker = Speaker::new(site, &hello)?;
    let standing = downlink.intake.stands.standing(site);
    if !standing.owner.is_empty() && standing.owner != downlink.node {
        return send_on(&downlink, site, connection, &mut send, standing).await;
    }
    ensure!(hello.policies.len() <= POLICIES_MAX, "it has policies for {} streams", hello.policies.len());
    downlink.policies.told(site, Policies::from_proto(&hello.policies).context("its policies")?);
    let (own, replaced) = downlink.sites.arrive(site, connection, &hello);
    *ticket = Some(own);
    if let Some(replaced) = replaced {
        replaced.close(2u32.into(), b"a newer connection of the same site took over");
    }
    tracing::info!(%site, from = %connection.remote_address(), software = hello.software, "site is here");
    let welcome = welcome(&downlink, site, Some(standing.clone()));
    let who = (Sender::agent(site), speaker.origin());
    let mut served = Served::begin(downlink, who, connection, (send, reader), welcome).await?;
    let peer = served.peer.clone();
    served.tasks.spawn(two_way(peer.clone(), speaker, standing));
    served.tasks.spawn(async move { peer.downlink.intake.until_revoked(&peer.site).await });
    served.ended().await
}

/// A connection for beats alone.
async fn line(
    downlink: Downlink,
    site: SiteId,
    mut send: quinn::SendStream,
    mut reader: frame::Reader<quinn::RecvStream>,
    hello: proto::Hello,
) -> anyhow::Result<()> {
    send.set_priority(BEATS_PRIORITY).context("set priority")?;
    let quic = downlink.quic.clone();
    let hear =
        async move { downlink.intake.line(beats::Kind::Quic, &site, &hello, &mut reader, &mut send).await };
    AbortOnDropHandle::new(quic.threads().spawn(hear)).await.context("the task of the connection")?
}

pub(super) fn welcome(
    downlink: &Downlink,
    site: &SiteId,
    standing: Option<proto::Standing>,
) -> proto::Welcome {
    let (vault, generation) = downlink.vault.archive().identity();
    proto::Welcome {
        protocol: wire::PROTOCOL,
        software: SOFTWARE.to_owned(),
        vault: bytes::Bytes::copy_from_slice(&vault.0),
        generation,
        part_bytes_max: frame::PART_BYTES_MAX as u64,
        site: site.as_str().to_owned(),
        standing,
        sealing_key: downlink.intake.sealing_key().unwrap_or_default(),
    }
}

/// Another node keeps the site's vault: the site is told, and goes there.
async fn send_on(
    downlink: &Downlink,
    site: &SiteId,
    connection: &quinn::Connection,
    send: &mut quinn::SendStream,
    standing: proto::Standing,
) -> anyhow::Result<()> {
    let owner = standing.owner.clone();
    let welcome = welcome(downlink, site, Some(standing));
    beats::say(send, proto::hub_message::Kind::Welcome(welcome)).await?;
    let _ = tokio::time::timeout(HELLO_TIMEOUT, connection.closed()).await;
    bail!("its vault is kept at {owner}")
}

/// The streams that go both ways: the first behind the control stream has the beats, on each later one the site
/// fetches something, one after the other, but for one on which it is told what there is.
async fn two_way(peer: Arc<Peer>, speaker: Speaker, told: proto::Standing) -> anyhow::Result<()> {
    let stream = peer.connection.accept_bi().await.context("accept stream of beats")?;
    let quic = peer.downlink.quic.clone();
    let beats = AbortOnDropHandle::new(quic.threads().spawn(beats(peer.clone(), speaker, told, stream)));
    let fetches = async {
        let mut recalling = None;
        loop {
            let stream = peer.connection.accept_bi().await.context("accept stream for fetching")?;
            if let Some(asked) = fetch::answer(&peer, stream).await {
                drop(
                    recalling
                        .replace(AbortOnDropHandle::new(tokio::spawn(recall::answer(peer.clone(), asked)))),
                );
            }
        }
    };
    tokio::select! {
        ended = beats => ended.context("the task of beats")?,
        ended = fetches => ended,
    }
}

/// Hears the session's beats. That they end is nothing: the session goes on to its own goodbye.
async fn beats(
    peer: Arc<Peer>,
    speaker: Speaker,
    told: proto::Standing,
    (mut send, receive): (quinn::SendStream, quinn::RecvStream),
) -> anyhow::Result<()> {
    send.set_priority(BEATS_PRIORITY).context("set priority")?;
    peer.downlink
        .intake
        .hear((&speaker, true), told, Duration::MAX, &mut beats::reader(receive), &mut send)
        .await?;
    std::future::pending().await
}

pub(super) type Control = (quinn::SendStream, frame::Reader<quinn::RecvStream>, proto::Hello);

pub(super) async fn greet(connection: &quinn::Connection) -> anyhow::Result<Control> {
    let (send, receive) = connection.accept_bi().await.context("accept control stream")?;
    let mut reader = frame::Reader::new(receive, frame::CONTROL_BYTES_MAX);
    let first = reader.next::<proto::SiteMessage>().await.context("read hello")?;
    match first.and_then(|message| message.kind) {
        Some(proto::site_message::Kind::Hello(hello)) => Ok((send, reader, hello)),
        _ => bail!("its first message was no hello"),
    }
}

/// A site that speaks another protocol is told so.
pub(crate) fn protocol_refusal(hello: &proto::Hello) -> Option<proto::Refuse> {
    let (low, high) = (hello.protocol_min, hello.protocol_max);
    let detail = format!(
        "this hub speaks protocol {}, the site speaks {low} to {high}: update the older of the two",
        wire::PROTOCOL,
    );
    let refuse = proto::Refuse { code: proto::RefuseCode::Protocol.into(), detail, ledger: None };
    (!(low..=high).contains(&wire::PROTOCOL)).then_some(refuse)
}

fn refusal(downlink: &Downlink, site: &SiteId, hello: &proto::Hello) -> Option<proto::Refuse> {
    let refuse = |code: proto::RefuseCode, detail: String| {
        Some(proto::Refuse { code: code.into(), detail, ledger: None })
    };
    if let Some(refusal) = downlink.intake.refusal(site, hello) {
        return Some(refusal);
    }
    if let Some(why) = downlink.vault.poisoned() {
        return refuse(proto::RefuseCode::Vault, why.to_owned());
    }
    let connected = downlink.sites.connected_besides(site);
    if connected >= downlink.limits.sites_max {
        let detail = format!("{connected} sites are connected, limits.sites_max allows no more");
        return refuse(proto::RefuseCode::Limit, detail);
    }
    None
}

/// Says no, and waits until that has arrived before the connection is closed.
pub(super) async fn refuse(send: &mut quinn::SendStream, refusal: proto::Refuse) -> anyhow::Result<()> {
    let detail = refusal.detail.clone();
    beats::say(send, proto::hub_message::Kind::Refuse(refusal)).await?;
    let _ = send.finish();
    let _ = tokio::time::timeout(HELLO_TIMEOUT, send.stopped()).await;
    bail!("refused: {detail}")
}
