//! What standbys recorded here goes to the node that keeps their site's vault, if that is another one: for each site a
//! session like the site's own ([`site_agent::uplink::hosted`]), while there is something that is not acked.
//!
//! Where the vault is the control log says, and when it moves the session goes there. Until it is acked nothing of it is
//! freed for room (`docs/design/retention.md`). It never knows why this node recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use control_log::ControlLog;
use decide::NodeId;
use serde_json::{Value, json};
use site_agent::archive::{Archive, Event, LedgerRecord};
use site_agent::live::Live;
use site_agent::replication::Replication;
use site_agent::uplink::{Recorder, Redial, Source, UplinkStatus, hosted};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::transport::{Identity, Settings, TlsError, connect_node, host_config};
use wire::{OriginId, SiteId};

use crate::downlink::SOFTWARE;
use crate::peers::Neighbour;

/// All that was recorded here is offered again after this: what was found damaged where it went is wanted again.
const AGAIN: Duration = Duration::from_secs(6 * 3600);
/// For a handshake; a dial is an attempt of its own.
const DIAL: Duration = Duration::from_secs(5);

/// What it works with.
pub struct Options {
    /// Which node this is.
    pub me: NodeId,
    /// Where vaults are.
    pub log: ControlLog,
    /// Where standbys record.
    pub archive: Archive,
    /// What they record right now.
    pub live: Arc<Live>,
    /// The run of this node.
    pub origin: OriginId,
    /// The socket that sites call.
    pub endpoint: quinn::Endpoint,
}

/// Brings what was recorded here for others' vaults.
pub struct Bringing {
    shared: Arc<Shared>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    options: Options,
    dialling: quinn::ClientConfig,
    shown: Mutex<BTreeMap<SiteId, Shown>>,
}

/// One site's, for people.
struct Shown {
    to: String,
    status: Arc<UplinkStatus>,
}

/// Looks at what is brought, for whoever shows it.
#[derive(Clone)]
pub struct Watched(Arc<Shared>);

impl Bringing {
    /// Begins.
    pub fn start(options: Options, identity: &Identity, settings: &Settings) -> Result<Self, TlsError> {
        let dialling = host_config(identity, settings)?;
        let shared = Arc::new(Shared { options, dialling, shown: Mutex::default() });
        let cancel = CancellationToken::new();
        let task = tokio::spawn(supervise(shared.clone(), cancel.clone()));
        Ok(Self { shared, cancel, task })
    }

    /// How it goes.
    pub fn watched(&self) -> Watched {
        Watched(self.shared.clone())
    }

    /// Ends every session, with a goodbye.
    pub async fn stop(self) {
        self.cancel.cancel();
        let _ = self.task.await; // one that panicked has said so
    }
}

impl Watched {
    /// By site: where it goes, and how that is.
    pub fn snapshot(&self) -> Value {
        let shown = self.0.shown();
        let told = |shown: &Shown| {
            let now = shown.status.snapshot();
            json!({
                "to": shown.to, "connected": now.connected, "since_us": now.since_us, "detail": now.detail,
                "unacked": now.unacked, "live_parts": now.live_parts, "backlog_parts": now.backlog_parts,
                "quarantined": now.quarantined,
            })
        };
        shown.iter().map(|(site, shown)| (site.to_string(), told(shown))).collect()
    }

    /// Entries that are not acked, by site.
    pub fn unacked(&self) -> Vec<(SiteId, u64)> {
        let shown = self.0.shown();
        shown.iter().map(|(site, shown)| (site.clone(), shown.status.snapshot().unacked)).collect()
    }
}

impl Shared {
    fn shown(&self) -> MutexGuard<'_, BTreeMap<SiteId, Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sites with something that standbys recorded here, and that somebody else may want.
    fn sites(&self, wanted: impl Fn(&LedgerRecord) -> bool) -> BTreeSet<SiteId> {
        let ledgers = self.options.archive.ledgers().into_iter();
        let ours = ledgers.filter(|(_, record)| record.is_standby_here() && wanted(record));
        ours.filter_map(|(_, record)| record.site().ok()).collect()
    }

    /// The other node that keeps the site's vault.
    fn keeper(&self, site: &SiteId) -> Option<Neighbour> {
        let options = &self.options;
        let node = options.log.state().site(site)?.vault.filter(|node| *node != options.me)?;
        let members = options.log.members();
        let member = members.borrow().get(&node).cloned()?;
        Some(Neighbour { name: member.name, address: member.address })
    }
}

/// Keeps one task for each site of which something is left.
async fn supervise(shared: Arc<Shared>, cancel: CancellationToken) {
    let archive = &shared.options.archive;
    let mut events = archive.events();
    let (mut follow, mut members) = (shared.options.log.follow(), shared.options.log.members());
    let mut again = tokio::time::interval(AGAIN);
    let mut left = BTreeSet::new();
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<SiteId, (Neighbour, CancellationToken)> = BTreeMap::new();
    loop {
        for site in &left {
            let keeper = shared.keeper(site);
            if keeper.as_ref() == running.get(site).map(|(keeper, _)| keeper) {
                continue;
            }
            if let Some((_, before)) = running.remove(site) {
                before.cancel();
            }
            if let Some(keeper) = keeper {
                let token = cancel.child_token();
                running.insert(site.clone(), (keeper.clone(), token.clone()));
                let (shared, site) = (shared.clone(), site.clone());
                tasks.spawn(async move {
                    bring(&shared, &site, &keeper, &token).await;
                    (site, keeper)
                });
            }
        }
        tokio::select! {
            event = events.recv() => match event {
                Ok(Event::Opened(ledger)) => {
                    let record = archive.ledger(&ledger).filter(LedgerRecord::is_standby_here);
                    left.extend(record.and_then(|record| record.site().ok()));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => left.extend(shared.sites(LedgerRecord::is_left)),
                Err(RecvError::Closed) => break,
            },
            // Damage where it went is found by offering all of it.
            _ = again.tick() => left.extend(shared.sites(|_| true)),
            applied = follow.next() => if applied.is_none() { break },
            changed = members.changed() => if changed.is_err() { break },
            Some(ended) = tasks.join_next() => {
                let Ok((site, keeper)) = ended else { continue }; // one that panicked has said so
                if running.get(&site).is_some_and(|(current, _)| *current == keeper) {
                    running.remove(&site);
                    // What was begun since is brought in a new session.
                    if !shared.sites(LedgerRecord::is_left).contains(&site) {
                        left.remove(&site);
                        shared.shown().remove(&site);
                    }
                }
            }
            () = cancel.cancelled() => break,
        }
    }
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
}

/// Brings what was recorded for one site to one node, until nothing is left or `cancel`.
async fn bring(shared: &Shared, site: &SiteId, keeper: &Neighbour, cancel: &CancellationToken) {
    let Options { archive, live, .. } = &shared.options;
    let status = Arc::<UplinkStatus>::default();
    let source = Source {
        site: site.clone(),
        recorder: Recorder::Standby,
        archive: archive.clone(),
        live: live.clone(),
        replication: Arc::new(Replication::unlimited()),
        status: status.clone(),
    };
    let shown = Shown { to: keeper.name.clone(), status: status.clone() };
    shared.shown().insert(site.clone(), shown);
    let mut redial = Redial::new(wire::clock::now());
    loop {
        // A number from 0 to 1: nodes that lost the same one don't all come at once.
        let pause = redial.pause(wire::clock::now(), (wire::clock::seed() % 1000) as f64 / 1000.0);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cancel.cancelled() => return,
        }
        let served = session(shared, &source, keeper, cancel).await;
        let Err(error) = served else { return };
        let why = format!("{error:#}");
        if source.status.is_down(&why) {
            tracing::warn!(%site, to = keeper.name, why, "what was recorded here for a site does not reach its vault");
        }
        redial = if status.snapshot().connects > 0 { Redial::new(wire::clock::now()) } else { redial };
        redial.refused();
    }
}

/// One connection; `Ok` once nothing is left, or at `cancel`.
async fn session(
    shared: &Shared,
    source: &Source,
    keeper: &Neighbour,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let connection = dial(shared, keeper).await?;
    let rest = cancel.child_token();
    let who = (shared.options.origin, SOFTWARE);
    tokio::select! {
        served = hosted::serve(source, &connection, who, &rest) => served,
        never = source.until_rest(&rest) => match never {},
    }
}

async fn dial(shared: &Shared, keeper: &Neighbour) -> anyhow::Result<quinn::Connection> {
    let Neighbour { name, address } = keeper;
    let found = tokio::net::lookup_host(address).await;
    let mut failed = anyhow!("`{address}` has no address");
    for address in found.with_context(|| format!("look up `{address}`"))? {
        let options = &shared.options;
        let to = (name.as_str(), address);
        match connect_node(&options.endpoint, shared.dialling.clone(), to, DIAL).await {
            Ok(connection) => return Ok(connection),
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}
