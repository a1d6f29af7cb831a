//! One site that has nothing to send but beats.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use prost::Message;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::MissedTickBehavior;
use wire::proto::{hub_message, site_message};
use wire::seal::SealingKey;
use wire::session::site::{Output, SiteLimits, SiteSession};
use wire::transport::{self, Egress, Identity, QuicHandle, Settings, TcpDialer};
use wire::{OriginId, SiteId, frame, proto};

use super::counts::Counts;

/// How long a handshake may take while everybody comes.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// While QUIC is heard, an agent says one beat in this time over TLS too.
const OVER_TLS: Duration = Duration::from_secs(4);
/// A camera makes a fragment durable so often.
const FRAGMENT: Duration = Duration::from_secs(1);

/// Where sites go.
pub(super) struct Hub {
    pub(super) address: SocketAddr,
    pub(super) quic: QuicHandle,
    pub(super) counts: Arc<Counts>,
    /// Is there QUIC only?
    pub(super) bare: bool,
}

/// A site.
pub(super) struct Site {
    id: SiteId,
    identity: Identity,
    origin: OriginId,
    cameras: Vec<proto::Camera>,
    every: Duration,
    began: Instant,
}

impl Site {
    /// With the certificate in `folder`.
    pub(super) fn new(id: SiteId, folder: &Path, cameras: usize, every: Duration) -> anyhow::Result<Self> {
        let [ca, certificate, key] = ["ca.pem", "site.pem", "site-key.pem"].map(|name| folder.join(name));
        let identity = Identity::load(&ca, &certificate, &key).with_context(|| format!("site {id}"))?;
        let camera = |number| proto::Camera {
            id: format!("camera-{number}"),
            name: String::new(),
            streams: vec!["main".to_owned()],
        };
        Ok(Self {
            id,
            identity,
            origin: OriginId(SmallRng::seed_from_u64(wire::clock::seed()).random()),
            cameras: (1..=cameras).map(camera).collect(),
            every,
            began: wire::clock::now(),
        })
    }

    /// Beats until something fails.
    pub(super) async fn run(self, hub: &Hub) -> anyhow::Result<()> {
        if hub.bare {
            return self.session(hub).await;
        }
        tokio::try_join!(self.session(hub), self.over_tls(hub)).map(drop)
    }

    async fn session(&self, hub: &Hub) -> anyhow::Result<()> {
        let settings = Settings::default();
        let endpoint = transport::site_endpoint(&Egress::default(), &self.identity, &settings, &hub.quic)?;
        let connection = transport::connect(&endpoint, hub.address, CONNECT_MAX).await?;
        let (mut send, receive) = connection.open_bi().await.context("open control stream")?;
        let mut reader = frame::Reader::new(receive, frame::CONTROL_BYTES_MAX);
        let hello = self.hello(proto::Purpose::Session);
        let mut session = SiteSession::new(hello, Vec::new(), SiteLimits::default());
        let mut sealing_key = Bytes::new();
        while !session.is_running() {
            while let Some(Output::Control(message)) = session.poll_output() {
                frame::write(&mut send, &message).await.context("write control stream")?;
            }
            let message: proto::HubMessage =
                reader.next().await.context("read control stream")?.context("the hub hung up")?;
            if let Some(hub_message::Kind::Welcome(welcome)) = &message.kind {
                sealing_key = welcome.sealing_key.clone();
            }
            session.handle_message(message, &|_, _| None).context("the hub's message")?;
        }
        let (mut send, receive) = connection.open_bi().await.context("open stream for beats")?;
        let key = SealingKey::from_bytes(&sealing_key).context("the hub stands by for nobody")?;
        let sealed = key.seal(&self.id, &self.configuration().encode_to_vec())?;
        say(&mut send, site_message::Kind::Configuration(sealed)).await?;
        hub.counts.joined();
        let mut beats = frame::Reader::new(receive, frame::CONTROL_BYTES_MAX);
        let more = async {
            loop {
                let _: proto::HubMessage =
                    reader.next().await?.context("the hub ended the control stream")?;
            }
        };
        tokio::select! {
            ended = self.beat(&mut send, &mut beats, self.every, Some(&hub.counts)) => ended,
            ended = more => ended,
        }
    }

    async fn over_tls(&self, hub: &Hub) -> anyhow::Result<()> {
        let dialer = TcpDialer::new(&self.identity)?;
        let (_, stream) = dialer.connect(hub.address, CONNECT_MAX).await?;
        let (receive, mut send) = tokio::io::split(stream);
        say(&mut send, site_message::Kind::Hello(self.hello(proto::Purpose::Beats))).await?;
        let mut reader = frame::Reader::new(receive, frame::CONTROL_BYTES_MAX);
        self.beat(&mut send, &mut reader, OVER_TLS, None).await
    }

    /// Says a beat every so often, and hears the acks.
    async fn beat<R, W>(
        &self,
        send: &mut W,
        reader: &mut frame::Reader<R>,
        every: Duration,
        counts: Option<&Counts>,
    ) -> anyhow::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said: VecDeque<(u64, Instant)> = VecDeque::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let beat = self.at(wire::clock::now());
                    said.push_back((beat.number, wire::clock::now()));
                    say(send, site_message::Kind::Beat(beat)).await?;
                }
                message = reader.next::<proto::HubMessage>() => {
                    let message = message.context("read acks")?.context("the hub ended the beats")?;
                    match message.kind {
                        Some(hub_message::Kind::BeatAck(ack)) => {
                            while let Some((number, at)) = said.front().copied().filter(|(number, _)| *number <= ack.number) {
                                said.pop_front();
                                if let Some(counts) = counts.filter(|_| number == ack.number) {
                                    counts.acked(at.elapsed());
                                }
                            }
                        }
                        Some(hub_message::Kind::Refuse(refuse)) => bail!("refused: {}", refuse.detail),
                        _ => {}
                    }
                }
            }
        }
    }

    fn hello(&self, purpose: proto::Purpose) -> proto::Hello {
        proto::Hello {
            protocol_min: wire::PROTOCOL,
            protocol_max: wire::PROTOCOL,
            software: "holdfast-bench fleet".to_owned(),
            origin: Bytes::copy_from_slice(&self.origin.0),
            cameras: self.cameras.clone(),
            purpose: purpose.into(),
            path: "wan".to_owned(),
            policies: Vec::new(),
            hosted: String::new(),
        }
    }

    /// As of a site that wants no standby.
    fn configuration(&self) -> proto::Configuration {
        proto::Configuration {
            revision: 1,
            tier: "none".to_owned(),
            segment_ms: 10_000,
            fragment_ms: 1_000,
            cameras: Vec::new(),
            log_ins_since: 0,
            hosts: Vec::new(),
            drills: String::new(),
        }
    }

    /// The beat that is due now. Both ways number alike, since each says the newest.
    fn at(&self, now: Instant) -> proto::Beat {
        let age = now - self.began;
        let stream = |_| proto::StreamBeat {
            state: proto::RecordingState::Recording.into(),
            last_durable_us: wire::clock::wall().0,
            segment: age.as_secs() / 10,
            fragment: (age.as_millis() / FRAGMENT.as_millis() % 10) as u32,
            keyframes: age.as_secs(),
            ..Default::default()
        };
        proto::Beat {
            number: (age.as_micros() as u64).max(1),
            sent_us: wire::clock::wall().0,
            streams: self.cameras.iter().map(stream).collect(),
            origin: Bytes::copy_from_slice(&self.origin.0),
            ..Default::default()
        }
    }
}

async fn say(send: &mut (impl AsyncWrite + Unpin), kind: site_message::Kind) -> anyhow::Result<()> {
    frame::write(send, &proto::SiteMessage { kind: Some(kind) }).await.context("write to the hub")?;
    send.flush().await.context("write to the hub")
}
