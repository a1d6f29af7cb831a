//! A host brings what it recorded as a site's standby: another hub node, or a site's machine. It is a session like a
//! site's own, without beats, and beside it; its ledgers stay the host's, and become the site's footage.
//!
//! Who the host is its certificate says. Whether it ever stood by for the site the control log says, and nothing else is
//! believed of it; that is asked again for as long as the connection lasts.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use site_agent::archive::Sender;
use wire::transport::{Holder, explain, peer_holder};
use wire::{OriginId, SiteId, proto};

use super::Downlink;
use super::connection::{HELLO_TIMEOUT, greet, refuse, welcome};
use super::peer::{Peer, Served};

/// How often it is looked whether the host may go on.
const LOOK: Duration = Duration::from_secs(1);

/// Hosts that bring something at the moment; the newest connection of each, for one site, counts.
#[derive(Debug, Default)]
pub struct Hosts(Mutex<BTreeMap<Sender, quinn::Connection>>);

impl Hosts {
    /// Which bring something now, and from where.
    pub fn snapshot(&self) -> BTreeMap<Sender, std::net::SocketAddr> {
        self.lock().iter().map(|(by, connection)| (by.clone(), connection.remote_address())).collect()
    }

    fn arrive(&self, by: &Sender, connection: &quinn::Connection) {
        if let Some(replaced) = self.lock().insert(by.clone(), connection.clone()) {
            replaced.close(2u32.into(), b"a newer connection of the same host took over");
        }
    }

    fn leave(&self, by: &Sender, connection: &quinn::Connection) {
        let mut hosts = self.lock();
        if hosts.get(by).is_some_and(|current| current.stable_id() == connection.stable_id()) {
            hosts.remove(by);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Sender, quinn::Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a host's connection; whatever ends it is said once.
pub(super) async fn serve(downlink: Downlink, connection: quinn::Connection) {
    let from = connection.remote_address();
    let holder = match peer_holder(&connection) {
        Ok(holder) => holder,
        Err(error) => return tracing::warn!(%from, %error, "refused a host's connection"),
    };
    let (hosts, mut whose) = (downlink.hosts.clone(), None);
    let ended = session(downlink, &holder, &connection, &mut whose).await;
    let why = match (ended, connection.close_reason()) {
        (_, Some(reason)) if !matches!(reason, quinn::ConnectionError::LocallyClosed) => explain(&reason),
        (Ok(()), _) => "it said goodbye".to_owned(),
        (Err(error), _) => format!("{error:#}"),
    };
    connection.close(0u32.into(), why.as_bytes());
    match whose {
        Some(by) => {
            hosts.leave(&by, &connection);
            tracing::info!(host = %by, why, "a host brings nothing more");
        }
        None => tracing::warn!(%from, ?holder, why, "refused what a host was to bring"),
    }
}

async fn session(
    downlink: Downlink,
    holder: &Holder,
    connection: &quinn::Connection,
    whose: &mut Option<Sender>,
) -> anyhow::Result<()> {
    let greeted = tokio::time::timeout(HELLO_TIMEOUT, greet(connection)).await;
    let (mut send, reader, hello) = greeted.context("it said no hello")??;
    ensure!(hello.purpose() == proto::Purpose::Host, "it speaks a host's protocol, and not for one");
    let site = SiteId::new(&hello.hosted).context("the site it brings something of")?;
    if let Some(refusal) = refusal(&downlink, &site, holder, &hello) {
        return refuse(&mut send, refusal).await;
    }
    let by = Sender { site: site.clone(), host: Some(name(holder)) };
    downlink.hosts.arrive(&by, connection);
    *whose = Some(by.clone());
    tracing::info!(host = %by, from = %connection.remote_address(), software = hello.software, "a host brings what it recorded");
    let welcome = proto::Welcome { sealing_key: Bytes::new(), ..welcome(&downlink, &site, None) };
    let origin = OriginId::from_bytes(&hello.origin).context("its run")?;
    let mut served = Served::begin(downlink, (by, origin), connection, (send, reader), welcome).await?;
    let (peer, holder) = (served.peer.clone(), holder.clone());
    served.tasks.spawn(async move { until_refused(&peer, &holder).await.map(|never| match never {}) });
    served.ended().await
}

/// The host's name in the control log. Nodes and sites share one space of names there, and the log knows which it is.
fn name(holder: &Holder) -> String {
    match holder {
        Holder::Site(site) => site.as_str().to_owned(),
        Holder::Hub(node) => node.clone(),
    }
}

fn refusal(
    downlink: &Downlink,
    site: &SiteId,
    holder: &Holder,
    hello: &proto::Hello,
) -> Option<proto::Refuse> {
    let refuse = |code: proto::RefuseCode, detail: String| {
        Some(proto::Refuse { code: code.into(), detail, ledger: None })
    };
    if let Some(refusal) = super::connection::protocol_refusal(hello) {
        return Some(refusal);
    }
    if let Err(why) = downlink.intake.stands.may_bring(site, holder) {
        return refuse(proto::RefuseCode::NotYours, format!("{why:#}"));
    }
    let why = downlink.vault.poisoned()?;
    refuse(proto::RefuseCode::Vault, why.to_owned())
}

/// Until the control log says that nothing is to be taken here from this host any more.
async fn until_refused(peer: &Peer, holder: &Holder) -> anyhow::Result<Infallible> {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(why) = peer.downlink.intake.stands.may_bring(&peer.site, holder) {
            bail!("nothing more is taken of it: {why:#}");
        }
    }
}
