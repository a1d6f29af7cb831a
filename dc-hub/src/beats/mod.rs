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
use bytes::Bytes;
use decide::beat::{Arrival, Beat, Bye};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use wire::holds::Digest;
use wire::proto::{hub_message, site_message};
use wire::transport::Holder;
use wire::{OriginId, SiteId, frame, proto};

use crate::downlink::Sites;
use crate::standby::AcceptedConfigs;

pub(crate) use lines::Kind;
pub use queue::{HeardReceiver, HeardSender, queue};
pub use speaker::{Beside, Speaker, SpeakerError};

use lines::Lines;

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
    /// Its machine does something for other sites.
    Beside {
        /// Which site's machine.
        machine: SiteId,
        /// On which way it said so.
        arrival: Arrival,
        /// What.
        said: Vec<Beside>,
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
    /// Its agent keeps these holds.
    Holds {
        /// Which site's.
        site: SiteId,
        /// What it says of them.
        digest: Digest,
    },
}

/// Who tells sites how they stand with the hub.
pub trait Stands: Send + Sync {
    /// What `site` is told.
    fn standing(&self, site: &SiteId) -> proto::Standing;
    /// Is `site` trusted no more?
    fn is_revoked(&self, site: &SiteId) -> bool;
    /// Has `site` to confirm what is held of its footage?
    fn awaits_holds(&self, _: &SiteId) -> bool {
        false
    }
    /// May `host`, as its certificate names it, bring here what it recorded as the standby of `site`? An error says why
    /// not.
    fn may_bring(&self, _site: &SiteId, _host: &Holder) -> anyhow::Result<()> {
        bail!("this hub has one node: nobody else stands by")
    }
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

    fn is_revoked(&self, _: &SiteId) -> bool {
        false
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
    /// Where what sites tell of their cameras is kept, if this node may stand by.
    accepted: Option<Arc<AcceptedConfigs>>,
    lines: Arc<Lines>,
    /// Where disks are waited for: beats may be heard on threads that must not.
    work: Handle,
}

impl Intake {
    /// Hands what it hears to `heard`, tells what `stands` says, shows in `sites`, and keeps in `accepted`, on the
    /// runtime this is called in.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(
        heard: HeardSender,
        stands: Arc<dyn Stands>,
        sites: Arc<Sites>,
        accepted: Option<Arc<AcceptedConfigs>>,
    ) -> Self {
        Self { heard, stands, sites, accepted, lines: Arc::default(), work: Handle::current() }
    }

    /// What sites are to seal their configurations to, if this node may stand by for them.
    pub(crate) fn sealing_key(&self) -> Option<Bytes> {
        Some(self.accepted.as_ref()?.sealing_key().to_bytes())
    }

    /// Why a site that says hello gets no connection of any kind.
    pub(crate) fn refusal(&self, site: &SiteId, hello: &proto::Hello) -> Option<proto::Refuse> {
        let revoked = self.stands.is_revoked(site).then(|| proto::Refuse {
            code: proto::RefuseCode::Revoked.into(),
            detail: format!(
                "site {site} was revoked at this hub: a new site needs a new name and certificate"
            ),
            ledger: None,
        });
        revoked.or_else(|| crate::downlink::protocol_refusal(hello))
    }

    /// Waits until a site is trusted no more; `Ok` would mean that it always is.
    pub(crate) async fn until_revoked(&self, site: &SiteId) -> anyhow::Result<()> {
        let mut changes = self.stands.changes();
        while !self.stands.is_revoked(site) {
            changes.changed().await.context("the hub is stopping")?;
        }
        bail!("site {site} is revoked")
    }

    /// Beats that were lost because whoever decides was too slow.
    pub fn dropped(&self) -> u64 {
        self.heard.dropped()
    }

    /// Hears one stream of beats, and acks them, until the site ends it (`Ok`), says nothing for `idle`, or
    /// something is wrong. `told` is what the site was last told of its standing. Its `session`'s word on its cameras
    /// goes to the control log; that to other nodes is kept there, so that each can stand by.
    pub(crate) async fn hear<R, W>(
        &self,
        (speaker, session): (&Speaker, bool),
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
                    // The revision alone, which rises with everybody's news, is none to this site.
                    if standing != (proto::Standing { revision: standing.revision, ..told.clone() }) {
                        say(send, hub_message::Kind::Standing(standing.clone())).await?;
                        told = standing;
                    }
                    continue;
                }
            };
            let Some(message) = message else { return Ok(()) };
            if let Some(site_message::Kind::Configuration(configuration)) = message.kind {
                self.keep(speaker.site().clone(), configuration, session);
                continue;
            }
            if let Some(number) = self.take(speaker, message)? {
                say(send, hub_message::Kind::BeatAck(proto::BeatAck { number })).await?;
            }
        }
    }

    /// Keeps what a site tells of its cameras, beside its beats: a disk must not make those late. What can't be kept
    /// costs the site its standby, and nothing else.
    fn keep(&self, site: SiteId, configuration: proto::Sealed, session: bool) {
        let Some(accepted) = self.accepted.clone() else { return };
        self.work.spawn(async move {
            let kept = match session {
                true => accepted.take(&site, &configuration).await,
                false => accepted.keep(&site, &configuration).await.map(drop),
            };
            if let Err(error) = kept {
                tracing::error!(%site, %error, "its configuration is not taken");
            }
        });
    }

    /// Takes a message in; the number to ack.
    fn take(&self, speaker: &Speaker, message: proto::SiteMessage) -> anyhow::Result<Option<u64>> {
        match message.kind {
            Some(site_message::Kind::Beat(beat)) => {
                let typed = speaker.beat(&beat)?;
                let number = typed.number;
                let (site, arrival) = (speaker.site().clone(), speaker.arrival().clone());
                let beside = speaker.beside(&beat);
                if !beat.drilled && !beside.is_empty() {
                    let (machine, arrival) = (site.clone(), arrival.clone());
                    self.heard.put(Heard::Beside { machine, arrival, said: beside });
                }
                // In a drill the recorder is as if dead to whoever decides, here and at the standby.
                if !beat.drilled {
                    self.heard.put(Heard::Beat { site, arrival, beat: typed });
                }
                // What is kept is kept, in a drill too.
                if let Some(digest) = Digest::from_bytes(&beat.holds)
                    && self.stands.awaits_holds(speaker.site())
                {
                    self.heard.put(Heard::Holds { site: speaker.site().clone(), digest });
                }
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
    frame::Reader::new(stream, frame::CONTROL_BYTES_MAX)
}

/// Writes one message.
pub(crate) async fn say(send: &mut (impl AsyncWrite + Unpin), kind: hub_message::Kind) -> anyhow::Result<()> {
    let message = proto::HubMessage { kind: Some(kind) };
    frame::write(send, &message).await.context("write to the site")
}
