//! One connection: the sessions until they know what is wanted, and what that cost.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use dc_hub::vault::Vault;
use ops::init::{self, HubPlan, Plan, SitePlan};
use prost::Message;
use site_agent::archive::{Archive, Sender};
use wire::proto::{hub_message, site_message};
use wire::session::hub::{self, HubSession, offered_ledgers};
use wire::session::site::{Output, SiteLimits, SiteSession};
use wire::transport::{Egress, Identity, QuicThreads, Settings, connect, hub_endpoint, site_endpoint};
use wire::{frame, proto};

use super::archives::{SITE, site};

const DIAL: Duration = Duration::from_secs(5);
/// A frame's length in front of it.
const LENGTH_BYTES: usize = 4;

/// What it cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Offers, as framed.
    pub(super) up: u64,
    /// Answers to them, likewise.
    pub(super) down: u64,
    /// Of the whole connection, both ways, handshake included.
    pub(super) udp: u64,
    /// Offers and their answers.
    pub(super) round_trips: u32,
    /// From reading the archive's ledgers to knowing all that is wanted, after the handshake.
    pub(super) took: Duration,
    /// Segments that would be sent.
    pub(super) wanted: u64,
}

type Control<R> = (quinn::SendStream, frame::Reader<R>);

/// Connects the two, and counts.
pub(super) async fn run(dir: &Path, archive: &Archive, vault: &Vault) -> anyhow::Result<Cost> {
    let (at_hub, at_site) = identities(&dir.join("installation"))?;
    let threads = QuicThreads::start(1).context("start QUIC's threads")?;
    let (quic, settings) = (threads.handle(), Settings::default());
    let hub = hub_endpoint((Ipv4Addr::LOCALHOST, 0).into(), &at_hub, &settings, &quic)?;
    let site = site_endpoint(&Egress::default(), &at_site, &settings, &quic)?;
    let accept = async { hub.accept().await.context("nobody came")?.await.context("accept") };
    let (near, far) = tokio::join!(accept, connect(&site, hub.local_addr()?, DIAL));
    let (near, far) = (near?, far?);
    let vault = vault.clone();
    let answers = tokio::spawn(async move {
        let (send, receive) = near.accept_bi().await.context("accept control stream")?;
        serve(&vault, (send, frame::Reader::new(receive, frame::CONTROL_BYTES_MAX))).await
    });
    let (send, receive) = far.open_bi().await.context("open control stream")?;
    let mut cost = reconcile(archive, (send, frame::Reader::new(receive, frame::CONTROL_BYTES_MAX))).await?;
    answers.await.context("the hub's side")??;
    let stats = far.stats();
    cost.udp = stats.udp_tx.bytes + stats.udp_rx.bytes;
    Ok(cost)
}

fn identities(dir: &Path) -> anyhow::Result<(Identity, Identity)> {
    let mut plan = Plan::new(dir.to_owned());
    plan.hub = Some(HubPlan::new("hub-1"));
    plan.sites.push(SitePlan::new(site()?));
    let made = init::init(&plan)?;
    let load = |config: &Path, name: &str| {
        let folder = config.parent().context("a configuration has a folder")?;
        let [ca, certificate, key] =
            ["ca.pem", &format!("{name}.pem"), &format!("{name}-key.pem")].map(|f| folder.join(f));
        anyhow::Ok(Identity::load(&ca, &certificate, &key)?)
    };
    let (_, site) = made.sites.first().context("the plan has a site")?;
    Ok((load(&made.hub.context("the plan has a hub")?, "hub")?, load(site, "site")?))
}

/// The site's side.
async fn reconcile(
    archive: &Archive,
    (mut send, mut reader): Control<quinn::RecvStream>,
) -> anyhow::Result<Cost> {
    let (mut cost, began) = (Cost::default(), wire::clock::now());
    let ledgers = archive.ledgers().into_iter().map(|(ledger, record)| record.facts(ledger));
    let hello =
        proto::Hello { protocol_min: wire::PROTOCOL, protocol_max: wire::PROTOCOL, ..Default::default() };
    let mut session = SiteSession::new(hello, ledgers.collect(), SiteLimits::default());
    loop {
        let mut offered = false;
        while let Some(output) = session.poll_output() {
            match output {
                Output::Control(message) => {
                    if matches!(message.kind, Some(site_message::Kind::Offer(_))) {
                        cost.up += framed(&message);
                        offered = true;
                    }
                    frame::write(&mut send, &message).await?;
                }
                Output::Backlog { ledger, seq, .. } => {
                    cost.wanted += 1;
                    session.backlog_sent(&ledger, seq);
                }
                Output::Acked { .. } | Output::TailAcked { .. } => {}
                other => bail!("the archives were to have the same entries: {other:?}"),
            }
        }
        if session.is_running() && !offered {
            cost.took = began.elapsed();
            send.finish()?;
            return Ok(cost);
        }
        loop {
            let message: proto::HubMessage = reader.next().await?.context("the hub ended the stream")?;
            let have = match &message.kind {
                Some(hub_message::Kind::Have(have)) => Some(have.last),
                _ => None,
            };
            cost.down += have.map_or(0, |_| framed(&message));
            cost.round_trips += u32::from(have == Some(true));
            session
                .handle_message(message, &|ledger, next| archive.head_before(ledger, next).ok().flatten())?;
            if have != Some(false) {
                break;
            }
        }
    }
}

/// The hub's side.
async fn serve(vault: &Vault, (mut send, mut reader): Control<quinn::RecvStream>) -> anyhow::Result<()> {
    let (site, (id, generation)) = (Sender::agent(&site()?), vault.archive().identity());
    let mut session = HubSession::new(id, generation);
    while let Some(message) = reader.next::<proto::SiteMessage>().await? {
        match message.kind {
            Some(site_message::Kind::Hello(_)) => {
                let welcome = proto::Welcome {
                    protocol: wire::PROTOCOL,
                    vault: Bytes::copy_from_slice(&id.0),
                    generation,
                    site: SITE.to_owned(),
                    ..Default::default()
                };
                let message = proto::HubMessage { kind: Some(hub_message::Kind::Welcome(welcome)) };
                frame::write(&mut send, &message).await?;
            }
            Some(site_message::Kind::Offer(offer)) => {
                let ledgers = offered_ledgers(&offer)?;
                for (ledger, state) in ledgers.iter().zip(&offer.ledgers) {
                    vault.claim(&site, ledger, state).await?;
                }
                let besides = vault.unfinished(&site).into_iter().collect();
                session.offered((vault, &vault.brought_by(&site)), ledgers, besides, &offer)?;
            }
            other => bail!("nothing but offers was to come: {other:?}"),
        }
        while let Some(output) = session.poll_output() {
            match output {
                hub::Output::Control(message) => frame::write(&mut send, &message).await?,
                hub::Output::Complete { .. } => bail!("there are no parts"),
            }
        }
    }
    Ok(())
}

fn framed(message: &impl Message) -> u64 {
    (message.encoded_len() + LENGTH_BYTES) as u64
}
