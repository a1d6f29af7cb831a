//! Standing by: what this node does for sites whose recorder may be lost.
//!
//! It asks the cameras of every site that has its place here whether they are there, tells every voter what
//! it saw, and begins and ends recorders as the control log asks for. What to do is decided by
//! [`decide::standby::Runner`]; here is the shell around it.
//!
//! | module | holds | never knows |
//! |---|---|---|
//! | `accepted` | configurations that sites sent, kept on disk | who uses them |
//! | `address_map` | cameras as this node reaches them (pure) | |
//! | `facts` | what the control log is told of them | addresses, passwords |
//! | `recorders` | one site's virtual server in the vault | why |
//! | `site` | one site's task | other sites |
//!
//! Everything handed in returns at once; everything handed out goes through bounded queues that drop what
//! nobody takes. A site's trouble is its own task's.

mod accepted;
mod address_map;
mod facts;
mod recorders;
mod site;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use decide::beat::Beat;
use decide::control::State;
use decide::evidence::Answers;
use decide::standby::{Protection, RunnerSettings};
use decide::{Boot, CameraId, HostId, PathId, SiteId};
use site_agent::archive::Archive;
use site_agent::live::Live;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub use accepted::{AcceptedConfigs, AcceptedError};
pub use address_map::{Range, RangeError, Rule};
pub use facts::Facts;

/// More places than any host has room for.
const SITES_MAX: usize = 256;
/// Reports and beats that wait to be sent. What is older than that helps nobody.
const OUTPUTS: usize = 1024;

/// What a standby host works with.
#[derive(Clone)]
pub struct Options {
    /// Who it is in the control log.
    pub host: HostId,
    /// Over which path it reaches the sites' cameras, as evidence names it.
    pub path: PathId,
    /// Where it records.
    pub archive: Archive,
    /// Who wants to see that at once.
    pub live: Arc<Live>,
    /// What sites told of their cameras.
    pub accepted: Arc<AcceptedConfigs>,
    /// How cameras are begun.
    pub runner: RunnerSettings,
}

/// What comes out, to be sent to every voter.
pub struct Outputs {
    /// After every asking of a site's cameras.
    pub answers: mpsc::Receiver<Answers>,
    /// Of the virtual servers that run here.
    pub beats: mpsc::Receiver<(SiteId, Beat)>,
}

/// A node that stands by.
pub struct StandbyHost {
    states: watch::Sender<Arc<State>>,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

/// What the sites' tasks share.
struct Shared {
    options: Options,
    answers: mpsc::Sender<Answers>,
    beats: mpsc::Sender<(SiteId, Beat)>,
    sites: Mutex<BTreeMap<SiteId, Desk>>,
}

/// What others leave with, and take from, one site's task.
struct Desk {
    home_beat: watch::Sender<Option<Boot>>,
    protection: BTreeMap<CameraId, Protection>,
}

impl StandbyHost {
    /// Begins with nothing to do. What earlier runs left in the archive was taken in when the vault was opened.
    pub fn start(options: Options) -> (Self, Outputs) {
        let (answers, answers_out) = mpsc::channel(OUTPUTS);
        let (beats, beats_out) = mpsc::channel(OUTPUTS);
        let (states, followed) = watch::channel(Arc::<State>::default());
        let shared = Arc::new(Shared { options, answers, beats, sites: Mutex::default() });
        let cancel = CancellationToken::new();
        let task = tokio::spawn(supervise(shared.clone(), followed, cancel.clone()));
        (Self { states, shared, cancel, task }, Outputs { answers: answers_out, beats: beats_out })
    }

    /// The control log, as far as this node has applied it. Who is slow sees the newest only.
    pub fn handle_state(&self, state: Arc<State>) {
        self.states.send_replace(state);
    }

    /// A beat of the site's own recorder reached this node.
    pub fn handle_home_beat(&self, site: &SiteId) {
        if let Some(desk) = self.shared.sites().get(site) {
            desk.home_beat.send_replace(Some(boot()));
        }
    }

    /// How well each camera of the sites with a place here would be off if its recorder died now.
    pub fn protection(&self) -> BTreeMap<CameraId, Protection> {
        self.shared.sites().values().flat_map(|desk| desk.protection.clone()).collect()
    }

    /// Ends every recorder; what they recorded is committed when this returns.
    pub async fn stop(self) {
        self.cancel.cancel();
        let _ = self.task.await; // one that panicked has said so
    }
}

impl Shared {
    fn sites(&self) -> MutexGuard<'_, BTreeMap<SiteId, Desk>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps one task for each site that is watched here.
async fn supervise(shared: Arc<Shared>, mut states: watch::Receiver<Arc<State>>, cancel: CancellationToken) {
    let mut tasks = JoinSet::new();
    loop {
        let state = states.borrow_and_update().clone();
        for site in state.watched_by(&shared.options.host) {
            let mut sites = shared.sites();
            if sites.contains_key(site) {
                continue;
            }
            if sites.len() >= SITES_MAX {
                tracing::error!(%site, "{SITES_MAX} sites are watched here already; this one is not");
                continue;
            }
            let (home_beat, beats) = watch::channel(None);
            sites.insert(site.clone(), Desk { home_beat, protection: BTreeMap::new() });
            drop(sites);
            let (shared, site, states) = (shared.clone(), site.clone(), states.clone());
            let cancel = cancel.clone();
            tasks.spawn(async move {
                let running = site::run(shared, site.clone(), states, beats, cancel);
                // A task that panics must not take the site's desk with it.
                (site, tokio::spawn(running).await)
            });
        }
        tokio::select! {
            changed = states.changed() => if changed.is_err() { break },
            Some(ended) = tasks.join_next() => {
                if let Ok((site, ended)) = ended {
                    if let Err(error) = ended {
                        tracing::error!(%site, %error, "standby has ended");
                    }
                    shared.sites().remove(&site);
                }
            }
            () = cancel.cancelled() => break,
        }
    }
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
}

fn boot() -> Boot {
    Boot(wire::clock::boot_us())
}
