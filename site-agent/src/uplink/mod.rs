//! The archive → the hub: dials for ever, and on each connection carries out what the pure
//! [`wire::session::site::SiteSession`] decides.
//!
//! Nothing here can hold recording up: it follows the archive's events and the live parts, and one that
//! it misses is backlog a segment later.

mod backlog;
pub mod batch;
mod bring;
mod carry;
mod connection;
mod control;
pub(crate) mod dial;
mod fetch;
mod gate;
pub mod hosted;
mod lag;
mod limits;
mod line;
mod live;
mod queue;
pub(crate) mod redial;
mod repair;
mod restore;
mod revision;
mod shared;
mod source;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio_util::sync::CancellationToken;
use wire::discover::Discovery;
use wire::transport::{Identity, QuicHandle, Settings, TcpDialer};

use crate::archive::Archive;
use crate::beats::{Beats, Dialling, PathPlace};
use crate::config::SiteConfig;
use crate::live::Live;
use crate::replication::Replication;
use crate::retention::Writer;
use crate::scrub;
use connection::Ended;
use dial::{AddressBook, Caller, Dialled, Failure};

pub(crate) use control::check_welcome;
pub(crate) use limits::allowed;
pub use line::Line;
pub use redial::Redial;
pub use restore::Restoring;
pub use revision::numbered;
pub use source::{Recorder, Source};
pub use state::{LinkState, UplinkStatus};

/// A connection that went on for this long was a good one: the outage after it is a new one.
const GOOD: Duration = Duration::from_secs(10);

/// What an uplink works with.
#[derive(Clone)]
pub struct Uplink {
    /// The site's configuration.
    pub config: Arc<SiteConfig>,
    /// What of its streams crosses, when and how fast.
    pub replication: Arc<Replication>,
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
    /// Who says what is gone.
    pub writer: Writer,
    /// How re-reading is, and where it is asked for.
    pub scrub: Arc<scrub::Status>,
    /// How the link is, for whoever asks.
    pub status: Arc<UplinkStatus>,
    /// What is recorded here for other sites, and brought to their vaults.
    pub hosted: Vec<Source>,
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
            never = self.beats.keep_holds() => match never {},
            never = book.keep(discovery) => match never {},
            never = self.bring(&book, &settings) => match never {},
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

    /// What it sends.
    fn source(&self) -> Source {
        Source {
            site: self.config.site.id.clone(),
            recorder: Recorder::Own,
            archive: self.archive.clone(),
            live: self.live.clone(),
            replication: self.replication.clone(),
            status: self.status.clone(),
        }
    }

    async fn keep_connected(&self, book: &AddressBook, settings: &Settings, cancel: &CancellationToken) {
        let mut random = SmallRng::seed_from_u64(wire::clock::seed());
        let mut redial = Redial::new(wire::clock::now());
        let dialler = Dialler { uplink: self, book, settings };
        let mut better = None;
        loop {
            let dialled = match better.take() {
                Some(dialled) => dialled,
                None => tokio::select! {
                    answered = dialler.until_answered(&mut redial, &mut random) => answered,
                    () = cancel.cancelled() => return,
                },
            };
            let began = wire::clock::now();
            let lost = match connection::serve(self, &dialled, &dialler, cancel).await {
                Ok(Ended::Goodbye) => {
                    // It is under way.
                    dialled.endpoint.wait_idle().await;
                    return;
                }
                Ok(Ended::For(dialled)) => {
                    self.is_down(&format!("going over to path {}", self.beats.path(dialled.path).name));
                    better = Some(dialled);
                    continue;
                }
                Ok(Ended::Anew) => {
                    self.is_down("other streams are to cross: connecting anew");
                    continue;
                }
                Err(lost) => lost,
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

/// What it takes to reach the node of the session.
struct Dialler<'a> {
    uplink: &'a Uplink,
    book: &'a AddressBook,
    settings: &'a Settings,
}

impl Dialler<'_> {
    /// Dials over every path until somebody answers.
    async fn until_answered(&self, redial: &mut Redial, random: &mut SmallRng) -> Dialled {
        let beats = &self.uplink.beats;
        let addresses = || beats.session_addresses(self.book);
        let attempt = |addresses| self.attempt(addresses, |_| true);
        let failed = |failure: Failure| self.uplink.is_down(&failure.why);
        dial::until_answered(redial, random, addresses, attempt, failed).await
    }

    /// Dials once, over some of the paths.
    async fn over(&self, paths: impl Fn(PathPlace) -> bool) -> Result<Dialled, Failure> {
        let addresses = self.uplink.beats.session_addresses(self.book).await?;
        self.attempt(addresses, paths).await
    }

    async fn attempt(
        &self,
        addresses: Vec<SocketAddr>,
        paths: impl Fn(PathPlace) -> bool,
    ) -> Result<Dialled, Failure> {
        let Uplink { identity, quic, beats, .. } = self.uplink;
        let paths =
            beats.paths().filter(|(place, _)| paths(*place)).map(|(place, path)| (place, &path.egress));
        let paths: Vec<_> = paths.collect();
        dial::attempt(addresses, &paths, Caller { identity, settings: self.settings, quic }).await
    }
}
