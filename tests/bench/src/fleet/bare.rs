//! A hub that hears beats and does nothing with them: what QUIC alone costs, below which no hub can get.
//!
//! The same endpoint with the same settings and threads as a hub's, the same sites; no TLS over TCP, no control
//! log, no disk.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use wire::proto::{hub_message, site_message};
use wire::transport::{self, Identity, QuicThreads, Settings};
use wire::{frame, proto};

/// As in `dc-hub`.
const QUIC_THREADS: usize = 2;

/// What a beat is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Answer {
    /// As a hub does: with an ack that says that its program has read it
    Acks,
    /// With nothing but QUIC's own acknowledgement
    Nothing,
}

impl Answer {
    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Acks => "acks",
            Self::Nothing => "nothing",
        }
    }
}

/// Arguments of the process that is measured.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Where the hub's certificate is
    folder: PathBuf,
    listen: SocketAddr,
    answer: Answer,
}

/// Hears beats until it is stopped.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let [ca, certificate, key] = ["ca.pem", "hub.pem", "hub-key.pem"].map(|name| args.folder.join(name));
    let identity = Identity::load(&ca, &certificate, &key)?;
    let threads = QuicThreads::start(QUIC_THREADS).context("start QUIC's threads")?;
    let quic = threads.handle();
    let endpoint = transport::hub_endpoint(args.listen, &identity, &Settings::default(), &quic)?;
    eprintln!("listening");
    let answer = args.answer;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        while let Some(incoming) = endpoint.accept().await {
            quic.threads().spawn(async move {
                if let Err(error) = serve(incoming, answer).await {
                    eprintln!("{error:#}");
                }
            });
        }
    });
    Ok(true)
}

async fn serve(incoming: quinn::Incoming, answer: Answer) -> anyhow::Result<()> {
    let connection = incoming.await.context("accept")?;
    let (mut control, receive) = connection.accept_bi().await.context("accept control stream")?;
    let mut reader = frame::Reader::new(receive, frame::CONTROL_BYTES_MAX);
    while let Some(message) = reader.next::<proto::SiteMessage>().await? {
        let kind = match message.kind {
            Some(site_message::Kind::Hello(_)) => {
                hub_message::Kind::Welcome(proto::Welcome { vault: vec![0; 16].into(), ..Default::default() })
            }
            _ => hub_message::Kind::Have(proto::Have { last: true, ..Default::default() }),
        };
        let last = matches!(kind, hub_message::Kind::Have(_));
        say(&mut control, kind).await?;
        if last {
            break;
        }
    }
    let (mut send, receive) = connection.accept_bi().await.context("accept stream of beats")?;
    let mut beats = frame::Reader::new(receive, frame::CONTROL_BYTES_MAX);
    while let Some(message) = beats.next::<proto::SiteMessage>().await? {
        if let (Answer::Acks, Some(site_message::Kind::Beat(beat))) = (answer, message.kind) {
            say(&mut send, hub_message::Kind::BeatAck(proto::BeatAck { number: beat.number })).await?;
        }
    }
    Ok(())
}

async fn say(send: &mut quinn::SendStream, kind: hub_message::Kind) -> anyhow::Result<()> {
    frame::write(send, &proto::HubMessage { kind: Some(kind) }).await.context("write to the site")
}
