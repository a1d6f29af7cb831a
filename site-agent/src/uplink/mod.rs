//! The archive → the hub: dials for ever, and on each connection carries out what the pure
//! [`wire::session::site::SiteSession`] decides.
//!
//! Nothing here can hold recording up: it follows the archive's events and the live parts, and one that
//! it misses is backlog a segment later.

mod backlog;
mod connection;
mod control;
pub(crate) mod dial;
mod gate;
mod lag;
mod limits;
mod line;
mod live;
mod queue;
pub(crate) mod redial;
mod revision;
mod shared;
mod state;

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio_util::sync::CancellationToken;
use wire::discover::Discovery;
use wire::transport::{Identity, QuicHandle, Settings, TcpDialer};

use crate::archive::Archive;
use crate::beats::{Beats, Dialling};
use crate::config::SiteConfig;
use crate::live::Live;
use dial::{AddressBook, Failure};
use redial::Redial;

pub(crate) use control::check_welcome;
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
    /// What to send from.
    pub archive: Archive,
    /// What is being recorded.
    pub live: Arc<Live>,
    /// What hub nodes are told of the recorders.
    pub beats: Arc<Beats>,
    /// How the link is, for whoever asks.
    pub status: Arc<UplinkStatus>,
}

impl Uplink {
    /// Keeps a connection to the hub until `cancel`; then says goodbye.
    pub async fn run(self, cancel: CancellationToken) {
        let Some(hub) = self.config.hub.clone() else { return };
        let cache = self.archive.dir().join("hub-addresses");
        let discovery =
            Discovery::new(hub.address.clone(), hub.dns.clone(), wire::clock::seed()).with_cache(cache);
        let book = Arc::<AddressBook>::default();
        let settings = Settings { congestion: self.config.uplink.congestion, ..Settings::default() };
        let tcp = match TcpDialer::new(&self.identity) {
            Ok(tcp) => tcp,
            Err(error) => return tracing::error!(%error, "no connection to the hub can be made"),
        };
        let dialling = Dialling {
            hub,
            site: self.config.site.id.clone(),
            identity: self.identity.clone(),
            tcp,
            quic: self.quic.clone(),
            settings: settings.clone(),
            book: book.clone(),
        };
        tokio::select! {
            () = self.keep_linked(dialling, &cancel) => {}
            never = self.beats.beat() => match never {},
            never = self.beats.drill() => match never {},
            never = book.keep(discovery) => match never {},
        }
    }

    /// Keeps every way to the hub open, but while a drill makes as if there were none; until `cancel`.
    async fn keep_linked(&self, dialling: Dialling, cancel: &CancellationToken) {
        let (book, settings) = (dialling.book.clone(), dialling.settings.clone());
        loop {
            tokio::select! {
                () = self.keep_connected(&book, &settings, cancel) => return,
                never = self.beats.reach(dialling.clone()) => match never {},
                () = self.beats.until_link(false) => self.is_down("a drill: as if there were no way to the hub"),
            }
            tokio::select! {
                () = self.beats.until_link(true) => {}
                () = cancel.cancelled() => return,
            }
        }
    }

    async fn keep_connected(&self, book: &AddressBook, settings: &Settings, cancel: &CancellationToken) {
        let mut random = SmallRng::seed_from_u64(wire::clock::seed());
        let mut redial = Redial::new(wire::clock::now());
        loop {
            let attempt = |addresses| dial::attempt(addresses, &self.identity, settings, &self.quic);
            let failed = |failure: Failure| self.is_down(&failure.why);
            let dialled = dial::until_answered(
                &mut redial,
                &mut random,
                || self.beats.session_addresses(book),
                attempt,
                failed,
            );
            let (endpoint, connection) = tokio::select! {
                answered = dialled => answered,
                () = cancel.cancelled() => return,
            };
            let began = wire::clock::now();
            let Err(lost) = connection::serve(self, connection, settings, cancel).await else {
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
