//! Beats in: checked, typed, and handed to whoever decides.
//!
//! A beat comes on a stream of the site's session, on a QUIC connection that carries nothing else, or over TLS;
//! from here on that makes no difference. What a site says touches no other site, and no connection ever waits
//! for whoever decides: a queue that is full loses beats, and counts them.
//!
//! | module | |
//! |---|---|
//! | `speaker` | who speaks, and its messages as `decide` takes them (pure) |
//! | `queue` | what was heard, bounded |
//! | `lines` | connections that carry nothing else, over QUIC and TLS |
//!
//! It never knows what silence means.

mod lines;
mod queue;
mod speaker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use decide::beat::{Arrival, Beat, Bye};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;
use wire::proto::{hub_message, site_message};
use wire::{OriginId, SiteId, frame, proto};

use crate::downlink::Sites;

pub(crate) use lines::Kind;
pub use queue::{HeardReceiver, HeardSender, queue};
pub use speaker::{Speaker, SpeakerError};

use lines::Lines;

/// The longest message among beats: 4,096 streams, each with something to say for itself.
const BYTES_MAX: usize = 1 << 20;

/// What a site said, once its sender was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Its recorder is well.
    Beat {
        /// Which site's.
        site: SiteId,
        /// On which way.
        arrival: Arrival,
        /// What it tells.
        beat: Beat,
    },
    /// Its recorder ends on purpose.
    Bye {
        /// Which site's.
        site: SiteId,
        /// Which run.
        origin: OriginId,
        /// Whether it comes back.
        bye: Bye,
    },
}

/// Who tells sites how they stand with the hub.
pub trait Stands: Send + Sync {
    /// What `site` is told.
    fn standing(&self, site: &SiteId) -> proto::Standing;
    /// Changes whenever a site's standing may have: each connection then asks, and says what is new.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// A hub of one node: it is every site's only voter, and keeps all vaults.
#[derive(Debug)]
pub struct Alone {
    standing: proto::Standing,
    changes: watch::Sender<u64>,
}

impl Alone {
    /// Of the node of this name, which sites reach where they are configured to.
    pub fn new(node: &str) -> Self {
        let voter = proto::Voter { node: node.to_owned(), id: 1, addresses: Vec::new() };
        let standing = proto::Standing { voters: vec![voter], owner: node.to_owned(), ..Default::default() };
        Self { standing, changes: watch::Sender::default() }
    }
}

impl Stands for Alone {
    fn standing(&self, _: &SiteId) -> proto::Standing {
        self.standing.clone()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// What connections that beats come on work with.
#[derive(Clone)]
pub struct Intake {
    /// Where what they hear goes.
    heard: HeardSender,
    /// What they tell.
    pub(crate) stands: Arc<dyn Stands>,
    /// Where it is shown.
    sites: Arc<Sites>,
    lines: Arc<Lines>,
}

impl Intake {
    /// Hands what it hears to `heard`, tells what `stands` says, and shows in `sites`.
    pub fn new(heard: HeardSender, stands: Arc<dyn Stands>, sites: Arc<Sites>) -> Self {
        Self { heard, stands, sites, lines: Arc::default() }
    }

    /// Beats that were lost because whoever decides was too slow.
    pub fn dropped(&self) -> u64 {
        self.heard.dropped()
    }

    /// Hears one stream of beats, and acks them, until the site ends it (`Ok`), says nothing for `idle`, or
    /// something is wrong. `told` is what the site was last told of its standing.
    pub(crate) async fn hear<R, W>(
        &self,
        speaker: &Speaker,
        mut told: proto::Standing,
        idle: Duration,
        reader: &mut frame::Reader<R>,
        send: &mut W,
    ) -> anyhow::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut changes = self.stands.changes();
        loop {
            let message = tokio::select! {
                message = timeout(idle, reader.next::<proto::SiteMessage>()) => {
                    message.context("it says nothing any more")?.context("read beats")?
                }
                changed = changes.changed() => {
                    changed.context("the hub is stopping")?;
                    let standing = self.stands.standing(speaker.site());
                    if standing != told {
                        say(send, hub_message::Kind::Standing(standing.clone())).await?;
                        told = standing;
                    }
                    continue;
                }
            };
            let Some(message) = message else { return Ok(()) };
            if let Some(number) = self.take(speaker, message)? {
                say(send, hub_message::Kind::BeatAck(proto::BeatAck { number })).await?;
            }
        }
    }

    /// Takes a message in; the number to ack.
    fn take(&self, speaker: &Speaker, message: proto::SiteMessage) -> anyhow::Result<Option<u64>> {
        match message.kind {
            Some(site_message::Kind::Beat(beat)) => {
                let typed = speaker.beat(&beat)?;
                let number = typed.number;
                let (site, arrival) = (speaker.site().clone(), speaker.arrival().clone());
                self.heard.put(Heard::Beat { site, arrival, beat: typed });
                self.sites.beat(speaker.site(), speaker.streams(), &beat);
                Ok(Some(number))
            }
            Some(site_message::Kind::Bye(bye)) => {
                let (site, origin) = (speaker.site().clone(), speaker.origin());
                tracing::info!(%site, reason = bye.reason().as_str_name(), "site says goodbye");
                self.heard.put(Heard::Bye { site, origin, bye: speaker.bye(&bye) });
                Ok(Some(bye.number))
            }
            Some(_) => bail!("it sent something else than beats among its beats"),
            None => Ok(None), // of a later version
        }
    }
}

/// A reader of a stream of beats.
pub(crate) fn reader<R: AsyncRead + Unpin>(stream: R) -> frame::Reader<R> {
    frame::Reader::new(stream, BYTES_MAX)
}

async fn say(send: &mut (impl AsyncWrite + Unpin), kind: hub_message::Kind) -> anyhow::Result<()> {
    let message = proto::HubMessage { kind: Some(kind) };
    frame::write(send, &message).await.context("ack beats")?;
    send.flush().await.context("ack beats")
}
