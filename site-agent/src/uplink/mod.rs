//! The archive → the hub: dials for ever, and on each connection carries out what the pure
//! [`wire::session::site::SiteSession`] decides.
//!
//! Nothing here can hold recording up: it follows the archive's events and the live parts, and one that
//! it misses is backlog a segment later.

mod backlog;
mod connection;
mod control;
mod lag;
mod live;
mod queue;
mod shared;
mod state;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;
use wire::discover::{Discovery, Source};
use wire::transport::{self, Identity, QuicHandle, Settings};

use crate::archive::Archive;
use crate::config::SiteConfig;
use crate::live::Live;
use crate::virtual_server::Statuses;

pub use state::{LinkState, UplinkStatus};

/// Redialling begins at this…
const REDIAL_FIRST: Duration = Duration::from_millis(250);
/// …and doubles up to this: a healed link is used within seconds, and a dead hub is not hammered by
/// thousands of sites.
const REDIAL_MAX: Duration = Duration::from_secs(5);
/// A handshake that takes longer than this is given up and dialled again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What an uplink works with.
#[derive(Clone)]
pub struct Uplink {
    /// The site's configuration.
    pub config: Arc<SiteConfig>,
    /// Where the site's certificate and key are.
    pub identity: Identity,
    /// Where QUIC runs.
    pub quic: QuicHandle,
    /// What to send from.
    pub archive: Archive,
    /// What is being recorded.
    pub live: Arc<Live>,
    /// How the recorders are.
    pub statuses: Arc<Statuses>,
    /// The run that speaks.
    pub origin: wire::OriginId,
    /// How the link is, for whoever asks.
    pub status: Arc<UplinkStatus>,
}

impl Uplink {
    /// Keeps a connection to the hub until `cancel`; then says goodbye.
    pub async fn run(self, cancel: CancellationToken) {
        let Some(hub) = self.config.hub.clone() else { return };
        let cache = self.archive.dir().join("hub-addresses");
        let mut discovery =
            Discovery::new(hub.address.clone(), hub.dns.clone(), wire::clock::seed()).with_cache(cache);
        let mut random = SmallRng::seed_from_u64(wire::clock::seed());
        let mut wait = REDIAL_FIRST;
        while !cancel.is_cancelled() {
            let began = wire::clock::now();
            match self.once(&mut discovery, &cancel).await {
                Ok(()) => return,
                Err(error) => {
                    let why = format!("{error:#}");
                    tracing::warn!(hub = %hub.address, why, "hub link is down");
                    self.status.down(&why);
                }
            }
            // A connection that lasted was a good one: begin with short waits again.
            wait = if began.elapsed() > 2 * REDIAL_MAX { REDIAL_FIRST } else { (wait * 2).min(REDIAL_MAX) };
            let jittered = wait.mul_f64(random.random_range(0.5..1.0));
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(jittered) => {}
            }
        }
    }

    /// Resolves, dials every address in order, and serves the first connection that comes about.
    async fn once(&self, discovery: &mut Discovery, cancel: &CancellationToken) -> anyhow::Result<()> {
        let resolved = discovery.resolve(wire::clock::wall()).await?;
        if let Source::LastGood { why, .. } = &resolved.from {
            tracing::warn!(why, "name service does not answer; using the last good addresses");
        }
        let settings = Settings::default();
        let mut failure = None;
        for address in resolved.addresses {
            // A socket per dial: after an address change of the site's own the old one may be stuck.
            let endpoint = transport::site_endpoint(None, &self.identity, &settings, &self.quic)?;
            match transport::connect(&endpoint, address, CONNECT_TIMEOUT).await {
                Ok(connection) => {
                    let served = connection::serve(self, connection, cancel).await;
                    endpoint.wait_idle().await;
                    return served;
                }
                Err(error) => failure = Some(anyhow::Error::new(error).context(format!("dial {address}"))),
            }
        }
        Err(failure.unwrap_or_else(|| anyhow::anyhow!("the hub's name has no address")))
    }
}
