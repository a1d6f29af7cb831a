//! Our connection: the transport that sites and hub use, with nothing of theirs on it but zeros.

use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use quinn::congestion::BbrConfig;
use quinn::{Connection, RecvStream, TransportConfig};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use wire::transport::endpoint::site_endpoint_with;
use wire::transport::{self, Egress, Settings, hub_endpoint};

use crate::arrivals::Arrivals;
use crate::live;
use crate::options::{Congestion, Options};
use crate::run::Stage;

/// The first byte of a bulk stream.
const BULK: u8 = 0;
/// What is written at once; it costs nothing, being shared.
static BLOCK: [u8; 1 << 16] = [0; 1 << 16];
/// Chunks read at once: each is a packet's.
const READ: usize = 32;
/// How often a limited source writes.
const TRICKLE: Duration = Duration::from_millis(40);
/// Several round trips of the longest line.
const DIAL: Duration = Duration::from_secs(10);

/// What is known of our connection while it runs.
pub(crate) struct Ours {
    pub(crate) arrivals: Arrivals,
    pub(crate) live: live::Delivered,
    /// The site's end.
    pub(crate) near: OnceLock<Connection>,
    /// The hub's.
    pub(crate) far: OnceLock<Connection>,
}

impl Ours {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            arrivals: Arrivals::new(options.end()),
            live: Mutex::default(),
            near: OnceLock::new(),
            far: OnceLock::new(),
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn settings(options: &Options) -> Settings {
    let ceiling = options.ceiling_mbit.map(|mbit| (mbit * 125_000.0) as u64);
    let congestion = match options.congestion {
        Congestion::Holdfast => transport::Congestion::Holdfast { ceiling },
        // For bbr the sending end gets another one below.
        Congestion::Cubic | Congestion::Bbr => transport::Congestion::Cubic,
    };
    let standard = Settings::default();
    let stream_receive_window =
        options.stream_window_kib.map_or(standard.stream_receive_window, |kib| kib * 1024);
    let socket_buffer_bytes =
        options.socket_buffer_kib.map_or(standard.socket_buffer_bytes, |kib| kib * 1024);
    Settings { congestion, stream_receive_window, socket_buffer_bytes, ..standard }
}

/// As the transport has it, but for what only measurements want.
fn sending(options: &Options, config: &mut TransportConfig) {
    config.enable_segmentation_offload(!options.no_gso);
    if options.congestion == Congestion::Bbr {
        config.congestion_controller_factory(Arc::new(BbrConfig::default()));
    }
}

/// The site's end, on a thread in its namespace.
pub(crate) async fn send(stage: Arc<Stage>, hub: SocketAddr) -> Result<()> {
    let from = Egress { address: Some((stage.lab.a.address, 0).into()), ..Egress::default() };
    let (settings, quic) = (settings(&stage.options), Handle::current().into());
    let adjust = |config: &mut TransportConfig| sending(&stage.options, config);
    let endpoint = site_endpoint_with(&from, &stage.keys.site, &settings, &quic, adjust)?;
    let at = Duration::from_secs_f64(stage.options.ours_at);
    stage.until(at.min(stage.options.end())).await;
    if at >= stage.options.end() {
        return Ok(());
    }
    let connection = transport::connect(&endpoint, hub, DIAL).await?;
    let connection = stage.ours.near.get_or_init(|| connection);
    let mut streams = JoinSet::new();
    for index in 0..stage.options.streams {
        streams.spawn(bulk(connection.clone(), Arc::clone(&stage), index == 0));
    }
    if let Some(kbit) = stage.options.live_kbit {
        streams.spawn(live::send(connection.clone(), Arc::clone(&stage), kbit));
    }
    tokio::select! {
        Some(ended) = streams.join_next() => ended??,
        () = stage.until(stage.options.end()) => {}
    }
    connection.close(0_u32.into(), b"done");
    Ok(())
}

/// Writes as fast as the stream takes it; while the source is limited, the first stream alone trickles.
async fn bulk(connection: Connection, stage: Arc<Stage>, first: bool) -> Result<()> {
    let mut stream = connection.open_uni().await.context("open a stream")?;
    stream.write_all(&[BULK]).await.context("write to a stream")?;
    loop {
        let bytes = match stage.options.source_limit_at(stage.now()) {
            None => BLOCK.len(),
            Some((kbit, until)) => {
                stage.until(if first { stage.now() + TRICKLE } else { until }).await;
                (kbit * 125.0 * TRICKLE.as_secs_f64()) as usize
            }
        };
        let part = Bytes::from_static(&BLOCK[..bytes.min(BLOCK.len())]);
        stream.write_chunk(part).await.context("write to a stream")?;
    }
}

/// The hub's end, on a thread in its namespace. Says when it can be dialled.
pub(crate) async fn receive(stage: Arc<Stage>, listen: SocketAddr, ready: SyncSender<()>) -> Result<()> {
    let endpoint =
        hub_endpoint(listen, &stage.keys.hub, &settings(&stage.options), &Handle::current().into())?;
    let _ = ready.send(());
    let accept = async {
        let dialled = endpoint.accept().await.context("accept a connection")?;
        anyhow::Ok(dialled.await?)
    };
    let connection = tokio::select! {
        connection = accept => connection?,
        () = stage.until(stage.options.end()) => return Ok(()),
    };
    let connection = stage.ours.far.get_or_init(|| connection);
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            opened = connection.accept_uni() => {
                streams.spawn(read(opened.context("accept a stream")?, Arc::clone(&stage)));
            }
            Some(ended) = streams.join_next() => ended??,
            () = stage.until(stage.options.end()) => return Ok(()),
        }
    }
}

async fn read(mut stream: RecvStream, stage: Arc<Stage>) -> Result<()> {
    let mut kind = [0];
    stream.read_exact(&mut kind).await.context("read from a stream")?;
    if kind == [live::KIND] {
        return live::receive(stream, stage).await;
    }
    let mut chunks = [const { Bytes::new() }; READ];
    while let Some(count) = stream.read_chunks(&mut chunks).await.context("read from a stream")? {
        let bytes = chunks[..count].iter().map(Bytes::len).sum::<usize>() as u64;
        stage.ours.arrivals.count(stage.now(), bytes);
    }
    Ok(())
}
