//! The archive → the hub: dials for ever, and on each connection carries out what the pure
//! [`wire::session::site::SiteSession`] decides.
//!
//! Nothing here can hold recording up: it follows the archive's events and the live parts, and one that
//! it misses is backlog a segment later.

mod backlog;
mod connection;
mod control;
mod dial;
mod gate;
mod lag;
mod limits;
mod line;
mod live;
mod queue;
mod redial;
mod revision;
mod shared;
mod state;

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio_util::sync::CancellationToken;
use wire::discover::Discovery;
use wire::transport::{Identity, QuicHandle, Settings};

use crate::archive::Archive;
use crate::config::SiteConfig;
use crate::live::Live;
use crate::virtual_server::Statuses;
use dial::{AddressBook, Failure};
use redial::Redial;

pub use line::Line;
pub use revision::numbered;
pub use state::{LinkState, UplinkStatus};

/// A connection that went on for this long was a good one: the outage after it is a new one.
const GOOD: Duration = Duration::from_secs(10);

/// What an uplink works with.
#[derive(Clone)]
pub struct Uplink {
    /// The site's configuration.
    pub config: Arc<SiteConfig>,
    /// Where the site's certificate and key are.
    pub identity: Identity,
    /// Where QUIC runs.
    pub quic: QuicHandle,
    /// What a hub node that may stand by is told of the cameras.
    pub configuration: Option<Arc<wire::proto::Configuration>>,
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
        let discovery = Discovery::new(hub.address, hub.dns, wire::clock::seed()).with_cache(cache);
        let book = AddressBook::default();
        tokio::select! {
            () = self.keep_connected(&book, &cancel) => {}
            never = book.keep(discovery) => match never {},
        }
    }

    async fn keep_connected(&self, book: &AddressBook, cancel: &CancellationToken) {
        let mut random = SmallRng::seed_from_u64(wire::clock::seed());
        let mut redial = Redial::new(wire::clock::now());
        let settings = Settings { congestion: self.config.uplink.congestion, ..Settings::default() };
        loop {
            let attempt = |addresses| dial::attempt(addresses, &self.identity, &settings, &self.quic);
            let failed = |failure: Failure| self.is_down(&failure.why);
            let dialled =
                dial::until_answered(&mut redial, &mut random, || book.addresses(), attempt, failed);
            let (endpoint, connection) = tokio::select! {
                answered = dialled => answered,
                () = cancel.cancelled() => return,
            };
            let began = wire::clock::now();
            let Err(lost) = connection::serve(self, connection, &settings, cancel).await else {
                // The goodbye is under way.
                endpoint.wait_idle().await;
                return;
            };
            self.is_down(&lost.why);
            if began.elapsed() >= GOOD && !lost.refused {
                redial = Redial::new(wire::clock::now());
            } else if lost.refused {
                redial.refused();
            }
        }
    }

    /// Says so in the status, and in the log what is new.
    fn is_down(&self, why: &str) {
        if self.status.down(why) {
            tracing::warn!(why, "hub link is down");
        }
    }
}
