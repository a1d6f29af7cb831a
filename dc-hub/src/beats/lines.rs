//! Connections that carry beats and nothing else: over QUIC to a node that doesn't keep the site's vault, and over
//! TLS to every voter. Of each kind a site has one on each path; a newer one replaces it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use decide::PathId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wire::proto::{hub_message, site_message};
use wire::transport::{TcpHub, TcpIncoming};
use wire::{SiteId, frame, proto};

use super::{Intake, Speaker, reader, say};

/// From a connection to whom it is of; and then to its hello.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Handshakes at a time; more are a flood, and are refused unheard.
const HANDSHAKES: usize = 1024;
/// A line on which nothing comes for so long is given up: the site says something every 4 s.
const IDLE_MAX: Duration = Duration::from_secs(12);
/// Lines of one site at most: one of each kind on each path.
const LINES_MAX: usize = 2 * wire::PATHS_MAX;
/// After an accept that failed: no file handle left, most likely.
const BREATHE: Duration = Duration::from_millis(100);

/// How a line came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A QUIC connection.
    Quic,
    /// A TLS connection.
    Tcp,
}

/// The lines of one site that stand, each with what ends it.
type OfSite = BTreeMap<(Kind, PathId), CancellationToken>;

/// The lines that stand.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<BTreeMap<SiteId, OfSite>>);

impl Lines {
    /// A line begins, and the one it replaces ends.
    fn begin(&self, site: &SiteId, line: (Kind, PathId)) -> anyhow::Result<CancellationToken> {
        let own = CancellationToken::new();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.entry(site.clone()).or_default();
        if lines.len() >= LINES_MAX && !lines.contains_key(&line) {
            bail!("it has {LINES_MAX} lines already, on paths of other names");
        }
        if let Some(replaced) = lines.insert(line, own.clone()) {
            replaced.cancel();
        }
        Ok(own)
    }

    /// It has ended, by itself or not.
    fn end(&self, site: &SiteId, line: &(Kind, PathId), own: &CancellationToken) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A replaced one was cancelled under the lock: then the place is another's.
        if own.is_cancelled() {
            return;
        }
        if let Some(of_site) = lines.get_mut(site) {
            of_site.remove(line);
            if of_site.is_empty() {
                lines.remove(site);
            }
        }
    }
}

impl Intake {
    /// Serves TLS connections, for as long as it is polled.
    pub(crate) async fn listen(self, tcp: TcpHub) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                incoming = tcp.accept() => match incoming {
                    Ok(incoming) => {
                        let Ok(permit) = handshakes.clone().try_acquire_owned() else { continue };
                        let intake = self.clone();
                        connections.spawn(async move { intake.tcp(incoming, permit).await });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "couldn't accept a TCP connection");
                        tokio::time::sleep(BREATHE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn tcp(&self, incoming: TcpIncoming, permit: tokio::sync::OwnedSemaphorePermit) {
        let from = incoming.from();
        let (site, stream) = match incoming.handshake(HANDSHAKE_MAX).await {
            Ok(shaken) => shaken,
            Err(error) => {
                tracing::debug!(%error, "refused a TCP connection");
                return;
            }
        };
        let (receive, mut send) = tokio::io::split(stream);
        let mut reader = reader(receive);
        let greeted = timeout(HANDSHAKE_MAX, greet(&mut reader)).await;
        drop(permit);
        let ended = match greeted {
            Ok(Ok(hello)) => self.line(Kind::Tcp, &site, &hello, &mut reader, &mut send).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(anyhow::anyhow!("it said no hello")),
        };
        let _ = timeout(HANDSHAKE_MAX, send.shutdown()).await;
        if let Err(why) = ended {
            tracing::debug!(%site, %from, why = format!("{why:#}"), "beats over TCP have ended");
        }
    }

    /// Serves a connection of beats from its hello on.
    pub(crate) async fn line<R, W>(
        &self,
        kind: Kind,
        site: &SiteId,
        hello: &proto::Hello,
        reader: &mut frame::Reader<R>,
        send: &mut W,
    ) -> anyhow::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if let Some(refusal) = self.refusal(site, hello) {
            let detail = refusal.detail.clone();
            say(send, hub_message::Kind::Refuse(refusal)).await?;
            bail!("refused: {detail}");
        }
        let speaker = Speaker::new(site, hello)?;
        let standing = self.stands.standing(site);
        let welcome = proto::Welcome {
            protocol: wire::PROTOCOL,
            software: crate::downlink::SOFTWARE.to_owned(),
            site: site.as_str().to_owned(),
            standing: Some(standing.clone()),
            // Over TLS there is only what has to be said where UDP isn't let through.
            sealing_key: self.sealing_key().filter(|_| kind == Kind::Quic).unwrap_or_default(),
            ..Default::default()
        };
        say(send, hub_message::Kind::Welcome(welcome)).await?;
        let line = (kind, speaker.path().clone());
        let own = self.lines.begin(site, line.clone())?;
        let ended = tokio::select! {
            ended = self.hear((&speaker, false), standing, IDLE_MAX, reader, send) => ended,
            revoked = self.until_revoked(site) => revoked,
            () = own.cancelled() => Err(anyhow::anyhow!("a newer connection of the same site took over")),
        };
        self.lines.end(site, &line, &own);
        ended
    }
}

async fn greet<R: AsyncRead + Unpin>(reader: &mut frame::Reader<R>) -> anyhow::Result<proto::Hello> {
    let first = reader.next::<proto::SiteMessage>().await.context("read hello")?;
    match first.and_then(|message| message.kind) {
        Some(site_message::Kind::Hello(hello)) if hello.purpose() == proto::Purpose::Beats => Ok(hello),
        Some(site_message::Kind::Hello(_)) => bail!("it wants more than beats over TCP"),
        _ => bail!("its first message was no hello"),
    }
}
