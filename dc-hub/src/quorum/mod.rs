//! Deciding: feeds [`decide::quorum::Node`] with what this node hears, sees and applies, and carries out what
//! comes out of it.
//!
//! | module | |
//! |---|---|
//! | `task` | the one loop that drives the core, on a thread of its own |
//! | `proposals` | proposals under way: bounded, and never waited for |
//! | `register` | what this node has to make known to the control log (pure) |
//! | `told` | how each verdict reads, and what was decided lately: for `why` |
//! | `standing` | how each site stands with the hub, for its agent |
//! | `people` | what a person asks for about a site |
//! | `beside` | what machines say that stand by for other sites of their place, as evidence (pure) |
//! | `nodes` | what a person asks for about the hub's own nodes |
//! | `plan` | who would have which place if nodes were lost (pure) |
//! | `http` | all of it over HTTP |
//!
//! It never decides anything: what a silence means is the core's, what holds is the log's `apply`.

mod beside;
pub mod http;
mod nodes;
mod people;
mod plan;
mod proposals;
mod register;
mod standing;
mod task;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use control_log::ControlLog;
use decide::control::Site;
use decide::quorum::Settings;
use decide::standby::Protection;
use decide::{CameraId, HostId, NodeId, SiteId};
use site_agent::retention;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::beats::HeardReceiver;
use crate::config::Policy;
use crate::downlink::{RecordedBeside, Sites};
use crate::drills::Mark;
use crate::peers::{Cast, HubPeers};
use crate::standby::{Facts, Outputs, StandbyHost};

pub use nodes::{AskedOfNode, NodeWish};
pub use people::{Asked, Confirmed, Wish};
pub use register::Own;
pub use standing::Standings;
pub use told::{Told, Was};

/// What deciding works with.
pub struct Parts {
    /// Which node this is.
    pub me: NodeId,
    /// Its host in the control log.
    pub host: HostId,
    /// What the nodes agree on.
    pub log: ControlLog,
    /// The other nodes.
    pub peers: HubPeers,
    /// What they say beside the log.
    pub casts: mpsc::Receiver<(NodeId, Cast)>,
    /// What sites say.
    pub heard: HeardReceiver,
    /// What records here for sites; nothing on a witness.
    pub standby: Option<(StandbyHost, Outputs)>,
    /// What sites that connect here have told of their cameras.
    pub facts: mpsc::Receiver<Facts>,
    /// How standbys here, and sites, are to be treated.
    pub policy: Policy,
    /// How sites stand with the hub.
    pub standings: Arc<Standings>,
    /// Who follows drills.
    pub marks: mpsc::Sender<Mark>,
    /// Whether this machine's clock is to be believed.
    pub clock: Arc<retention::Status>,
    /// When silence means something.
    pub settings: Settings,
}

/// The deciding part of a running hub node.
#[derive(Clone)]
pub struct Quorum {
    log: ControlLog,
    told: Arc<Told>,
    sites: Arc<Sites>,
    protection: watch::Receiver<Protections>,
}

/// How well each camera of the sites with a place here would be off.
pub type Protections = Arc<BTreeMap<CameraId, Protection>>;

impl Quorum {
    /// Begins to decide, until `cancel`; then ends what is recorded here.
    ///
    /// It has a thread of its own: a node that is called late takes itself for hung, and abstains. What `sites` say of
    /// themselves is for people only.
    pub fn start(
        parts: Parts,
        sites: Arc<Sites>,
        cancel: CancellationToken,
    ) -> anyhow::Result<(Self, watch::Receiver<bool>)> {
        let told = Arc::new(Told::default());
        let (shown, protection) = watch::channel(Protections::default());
        let quorum = Self { log: parts.log.clone(), told: told.clone(), sites, protection };
        let (ended, has_ended) = watch::channel(false);
        let main = tokio::runtime::Handle::current();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.context("make a runtime for the quorum")?;
        let run = move || {
            runtime.block_on(task::run(parts, (told, shown), main, cancel));
            ended.send_replace(true);
        };
        std::thread::Builder::new().name("quorum".into()).spawn(run).context("start the quorum's thread")?;
        Ok((quorum, has_ended))
    }

    /// Where nobody decides.
    #[cfg(test)]
    pub(crate) fn of_log(log: ControlLog) -> Self {
        let protection = watch::channel(Protections::default()).1;
        Self { log, told: Arc::default(), sites: Arc::default(), protection }
    }

    /// What is agreed on.
    pub fn log(&self) -> &ControlLog {
        &self.log
    }

    /// How well the cameras of a site would be off if its recorder died now, as far as this node sees them.
    pub fn protection(&self, site: &SiteId) -> BTreeMap<CameraId, Protection> {
        let all = self.protection.borrow().clone();
        let of = |(camera, _): &(&CameraId, &Protection)| camera.site() == site.as_str();
        all.iter().filter(of).map(|(camera, protection)| (camera.clone(), *protection)).collect()
    }

    /// What machines at a site's place record for it, as they told this node.
    pub fn beside(&self, name: &SiteId, site: &Site) -> BTreeMap<HostId, RecordedBeside> {
        let said = |host: &HostId| {
            let machine = SiteId::new(host.as_str()).ok()?;
            Some((host.clone(), self.sites.beside(&machine, name)?))
        };
        site.neighbours.iter().filter_map(said).collect()
    }

    /// How verdicts read, and what was decided lately.
    pub fn told(&self) -> &Told {
        &self.told
    }
}
