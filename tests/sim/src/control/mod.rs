//! Hub nodes as deciders: the real cores of `holdfast-decide` over a model of the control log.
//!
//! - [`log`]: which commands the voters agreed on, and who leads; a model, with all the ways openraft may
//!   surprise: late followers, lost leaders, proposals whose outcome nobody knows, joint membership.
//! - [`node`]: the shell around one hub node's cores.
//! - [`beats`]: what recorders tell the voters.
//! - [`probes`]: what candidate hosts see of the cameras.
//! - [`standby`]: what a host does about it.
//! - [`effects`]: what has to happen under one authority only.
//! - [`hasty`]: proposals that nobody should have made.
//! - [`setup`]: what is in the log when a run begins.

use std::sync::Arc;

use decide::beat::Arrival;
use decide::{CameraId, HostId, NodeId, PathId, SiteId};

use crate::node::{NodeIx, SiteIx};

pub mod beats;
pub mod effects;
pub mod hasty;
pub mod log;
pub mod node;
pub mod probes;
pub mod setup;
pub mod standby;

/// A hub node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubIx(pub u8);

impl HubIx {
    /// Its index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Its id in the control log.
    pub fn id(self) -> NodeId {
        NodeId(u64::from(self.0) + 1)
    }

    /// The hub node of an id.
    pub fn of(id: NodeId) -> Self {
        Self(u8::try_from(id.0.saturating_sub(1)).unwrap_or(u8::MAX))
    }
}

/// Names that the cores use, made once.
#[derive(Clone, Debug)]
pub struct Names {
    /// Sites.
    pub sites: Vec<SiteId>,
    /// Their machines.
    pub homes: Vec<HostId>,
    /// Hub nodes as hosts.
    pub hosts: Vec<HostId>,
    /// Cameras, by site.
    pub cameras: Vec<Arc<[CameraId]>>,
    /// The one path of every site.
    pub path: PathId,
    /// Over which beats come.
    pub way: Arrival,
}

impl Names {
    /// For so many.
    pub fn new(sites: usize, hubs: usize, cameras: usize) -> Self {
        fn slug<T, E: std::fmt::Debug>(made: Result<T, E>) -> T {
            made.unwrap_or_else(|error| unreachable!("the name is made of letters and digits: {error:?}"))
        }
        let camera = |site: usize, camera: usize| slug(CameraId::new(format!("s{site}/c{camera}")));
        let path: PathId = slug(PathId::new("wan"));
        Self {
            sites: (0..sites).map(|n| slug(SiteId::new(format!("s{n}")))).collect(),
            homes: (0..sites).map(|n| slug(HostId::new(format!("s{n}")))).collect(),
            hosts: (0..hubs).map(|n| slug(HostId::new(format!("h{n}")))).collect(),
            cameras: (0..sites).map(|site| (0..cameras).map(|n| camera(site, n)).collect()).collect(),
            way: Arrival::Direct(path.clone()),
            path,
        }
    }

    /// The site of a name.
    pub fn site(&self, id: &SiteId) -> SiteIx {
        SiteIx(u8::try_from(self.sites.iter().position(|site| site == id).unwrap_or(0)).unwrap_or(u8::MAX))
    }

    /// The camera of a name, within its site.
    pub fn camera(&self, site: SiteIx, id: &CameraId) -> usize {
        self.cameras[site.index()].iter().position(|camera| camera == id).unwrap_or(0)
    }

    /// The machine of a host's name.
    pub fn node(&self, host: &HostId) -> NodeIx {
        let home = self.homes.iter().position(|home| home == host);
        let hub = || self.hosts.iter().position(|hub| hub == host).map(|n| n + self.homes.len());
        NodeIx::at(home.or_else(hub).unwrap_or(0))
    }

    /// The host of a machine.
    pub fn host(&self, node: NodeIx) -> &HostId {
        match node.index().checked_sub(self.homes.len()) {
            None => &self.homes[node.index()],
            Some(hub) => &self.hosts[hub],
        }
    }
}
