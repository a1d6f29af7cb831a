//! A hub node that runs: what its process puts together from the modules, and its orderly end.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, ensure};
use control_log::{ChangeError, ControlLog, Options, Timing};
use decide::control::Role;
use decide::quorum::Settings;
use decide::standby::RunnerSettings;
use decide::{HostId, NodeId, PathId};
use site_agent::archive::disks::{Keeper, Whose};
use site_agent::beats::CAMERA_PATH;
use site_agent::config::defaults::{FREE_HIGH_MB, FREE_LOW_MB};
use site_agent::live::Live;
use site_agent::renew::Renewal;
use site_agent::retention::plan::{Marks, Rules, Unacked};
use site_agent::retention::{self, Retention};
use site_agent::scrub::{self, Elsewhere, Scrub};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wire::transport::{Identity, QuicHandle, Settings as Transport};

use crate::api::HubTails;
use crate::asked::Asked;
use crate::beats::{self, Intake};
use crate::bring::{self, Bringing};
use crate::config::{Control, HubConfig};
use crate::downlink::{Downlink, Fetches, Sites, Turns};
use crate::drills::{self, Drills};
use crate::holds;
use crate::peers::{HubPeers, Neighbour};
use crate::policies::SitePolicies;
use crate::quorum::{self, Quorum, Standings};
use crate::standby::{self, AcceptedConfigs, Facts, StandbyHost};
use crate::vault::Vault;

/// Beats that wait for whoever decides: a second's of 2,000 sites.
const HEARD: usize = 4096;
const MB: u64 = 1_000_000;
/// Below the vault: what sites told of their cameras, log-ins included.
const ACCEPTED: &str = "cameras";
/// Likewise: which streams come by themselves.
const POLICIES: &str = "replicate";
/// Likewise: reports of drills.
const DRILLS: &str = "drills";

/// Takes sites in, decides with the other nodes, stands by and serves, until `stop`.
pub async fn run(
    config: &HubConfig,
    identity: &Identity,
    quic: &QuicHandle,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let name = identity.node().context("identity.certificate")?.to_owned();
    let own = &config.hub.name;
    ensure!(
        name == *own,
        "hub.name is `{own}`, the certificate {} says `{name}`: use the certificate made for this node",
        config.identity.certificate.display()
    );
    let vault = Vault::open_with(&config.vault.dir, &config.vault.disks, config.vault.journal_bytes)?;
    let disks = Keeper::start(vault.archive(), Whose::Vault)?;
    let looked_after = vault.clone();
    let failed = move || looked_after.poisoned().is_some();
    let renewal = Renewal::watch(vault.archive().clone(), failed, stop.clone());
    let kept = Arc::<retention::Status>::default();
    // The control log says what is held, and that is to be read first.
    let holds = Arc::new(retention::Holds::unknown(
        "it is not known what is held: the control log has not been read yet",
    ));
    let settings = retention::Settings {
        // A full hub acks no more; what it has acked goes only by its own policy.
        // Of what standbys here recorded for other nodes' vaults, copies that those have acked make room.
        rules: Rules {
            policy: config.vault.keep,
            marks: Some(Marks { low: FREE_LOW_MB * MB, high: FREE_HIGH_MB * MB }),
            unacked: Unacked::Vaulted,
            ..Rules::default()
        },
        holds: holds.clone(),
        ballast_bytes: config.vault.ballast_bytes,
        writer: retention::Writer::Vault(vault.origin()),
        replication: None,
    };
    let retention = Retention::start(vault.archive(), settings, Arc::clone(&kept))?;
    let scrubbed = Arc::<scrub::Status>::default();
    let scrub = scrub::Settings {
        rules: config.vault.scrub,
        elsewhere: Elsewhere::Site(retention::Writer::Vault(vault.origin())),
    };
    let scrub = Scrub::start(vault.archive(), scrub, Arc::clone(&scrubbed))?;
    let (sites, live) = (Arc::new(Sites::default()), Arc::<Live>::default());
    let policies = SitePolicies::open(vault.archive().clone(), config.vault.dir.join(POLICIES));
    let policies = Arc::new(policies.context("read what sites replicate")?);
    let tails = Arc::new(HubTails::new(vault.clone(), Arc::clone(&live)));
    let asked =
        Arc::new(Asked::open(vault.archive().clone(), tails, policies.clone(), config.vault.dir.clone()));
    let (heard_here, heard) = beats::queue(HEARD);
    let standings = Arc::new(Standings::new(&name));
    let (accepted, facts) = accepted(config, identity)?;
    let downlink = Downlink {
        vault: vault.clone(),
        live: Arc::clone(&live),
        sites: sites.clone(),
        intake: Intake::new(heard_here, standings.clone(), sites, accepted.clone()),
        node: name.clone(),
        limits: config.limits.clone(),
        turns: Turns::default(),
        fetches: Fetches::default(),
        hosts: Arc::default(),
        policies,
        asked,
        scrubs: Arc::default(),
        quic: quic.clone(),
    };
    let endpoint = Downlink::bind(config, identity, quic)?;
    let tcp = Downlink::bind_tcp(config, identity)?;
    let (peers, casts) = HubPeers::new(config.control.node, endpoint.clone(), identity)?;
    let log = open_log(&config.control, &peers).await?;
    let obeying = AbortOnDropHandle::new(tokio::spawn(holds::obey(log.clone(), holds)));
    let host = HostId::new(&name).context("hub.name")?;
    let bringing = bring::Options {
        me: config.control.node,
        log: log.clone(),
        archive: vault.archive().clone(),
        live: Arc::clone(&live),
        origin: vault.origin(),
        endpoint: endpoint.clone(),
    };
    let transport = Transport { congestion: config.hub.congestion, ..Transport::default() };
    let bringing = Bringing::start(bringing, identity, &transport)?;
    let standby = match accepted {
        Some(accepted) => Some(StandbyHost::start(standby::Options {
            host: host.clone(),
            path: PathId::new(CAMERA_PATH).context("the way to cameras")?,
            archive: vault.archive().clone(),
            live,
            accepted,
            runner: RunnerSettings::default(),
        })),
        None => None,
    };
    let (marks, marked) = mpsc::channel(drills::MARKS);
    let drills = drills::Parts {
        node: name.clone(),
        me: config.control.node,
        log: log.clone(),
        archive: vault.archive().clone(),
        dir: config.vault.dir.join(DRILLS),
        planned: config.drills.clone(),
    };
    let drills = Drills::start(drills, marked, stop.clone());
    let parts = quorum::Parts {
        me: config.control.node,
        host,
        log: log.clone(),
        peers: peers.clone(),
        casts,
        heard,
        standby,
        facts,
        policy: config.policy.clone(),
        standings,
        marks,
        clock: kept.clone(),
        settings: Settings::default(),
    };
    let (quorum, mut ended) = Quorum::start(parts, downlink.sites.clone(), stop.clone())?;
    let parts = (quorum, drills, bringing.watched());
    let http = crate::api::start(config, &downlink, parts, (kept, scrubbed), stop.clone()).await?;
    tracing::info!(hub = name, sites = %config.hub.listen, "listening");
    downlink.run(endpoint, tcp, Some(peers.clone()), stop).await;
    log.hand_over().await;
    let _ = ended.wait_for(|ended| *ended).await; // an error means that it has ended
    // What is left goes at the next start.
    bringing.stop().await;
    peers.stop();
    drop(obeying);
    log.stop().await;
    let _ = http.await;
    let end = move || drop((disks, scrub, retention));
    tokio::task::spawn_blocking(end).await.context("end retention and scrub")?;
    renewal.end()
}

/// Where sites' configurations are kept, on a node that may stand by, and what of them the log is told.
fn accepted(
    config: &HubConfig,
    identity: &Identity,
) -> anyhow::Result<(Option<Arc<AcceptedConfigs>>, mpsc::Receiver<Facts>)> {
    if config.control.role == Role::Witness {
        return Ok((None, mpsc::channel(1).1));
    }
    let dir = config.vault.dir.join(ACCEPTED);
    let (accepted, facts) = AcceptedConfigs::open(&dir, config.standby.map.clone(), identity.opening_key())?;
    Ok((Some(Arc::new(accepted)), facts))
}

/// Opens this node's replica. The node with the lowest id begins a log that doesn't exist yet.
async fn open_log(control: &Control, peers: &HubPeers) -> anyhow::Result<ControlLog> {
    let options = Options { me: control.node, dir: control.dir.clone(), timing: Timing::default() };
    let log = ControlLog::open(options, Arc::new(peers.clone())).await?;
    let neighbours: BTreeMap<NodeId, Neighbour> = control
        .members
        .iter()
        .map(|(id, member)| (*id, Neighbour { name: member.name.clone(), address: member.address.clone() }))
        .collect();
    peers.attach(&log, neighbours);
    let first = control.members.keys().next() == Some(&control.node);
    if first {
        match log.found(control.members.clone(), control.two_voters).await {
            Ok(()) => tracing::info!(nodes = control.members.len(), "the control log has begun"),
            Err(ChangeError::Founded) => {} // at an earlier start
            Err(error) => return Err(error).context("begin the control log"),
        }
    }
    Ok(log)
}
