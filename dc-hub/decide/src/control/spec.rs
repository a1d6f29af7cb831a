//! What is known of hosts, sites and cameras: as configured, not as they are.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{CameraId, HostId, NodeId, SiteId};

/// A rate of video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitsPerSecond(pub u64);

/// What recording costs a host, and what a host has to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Streams recorded at once.
    pub streams: u32,
    /// Their rate in all.
    pub rate: BitsPerSecond,
}

impl Load {
    /// Is there room for `self` in `capacity`?
    pub fn fits(self, capacity: Self) -> bool {
        self.streams <= capacity.streams && self.rate <= capacity.rate
    }

    /// What is left of `self` beside `other`.
    pub fn less(self, other: Self) -> Self {
        Self {
            streams: self.streams.saturating_sub(other.streams),
            rate: BitsPerSecond(self.rate.0.saturating_sub(other.rate.0)),
        }
    }
}

impl Add for Load {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            streams: self.streams.saturating_add(other.streams),
            rate: BitsPerSecond(self.rate.0.saturating_add(other.rate.0)),
        }
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl HostSpec {
    /// What there is room for. A site's machine takes the cameras that its operator wrote into its configuration, and no
    /// others: whether they are too many nobody here knows better.
    pub fn room(&self) -> Load {
        match self.kind {
            HostKind::Node(_) => self.capacity,
            HostKind::Site(_) => Load { streams: u32::MAX, rate: BitsPerSecond(u64::MAX) },
        }
    }
}

/// A machine that can run virtual servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpec {
    /// What it is.
    pub kind: HostKind,
    /// What it can record beside its own.
    pub capacity: Load,
    /// What fails together: a room, a datacenter.
    pub domain: String,
    /// Is it being emptied? It gets nothing new.
    pub draining: bool,
}

/// Whose machine it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostKind {
    /// A hub node. It may stand by for every site.
    Node(NodeId),
    /// A site's machine. It may stand by for its own site.
    Site(SiteId),
}

/// How a site is to be treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteSpec {
    /// Where its recorder belongs.
    pub home: HostId,
    /// Who goes first where not all can: the higher.
    pub priority: u8,
    /// How much is ready beforehand.
    pub tier: Tier,
    /// Who gives back, and when.
    pub failback: FailbackPolicy,
    /// What the site's uplink carries.
    pub uplink: BitsPerSecond,
    /// Hosts to be tried first, best first.
    pub prefer: Vec<HostId>,
}

/// One camera of a site, as the site accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraSpec {
    /// Who goes first within the uplink: the higher.
    pub priority: u8,
    /// The main stream's rate.
    pub main: BitsPerSecond,
    /// The sub stream's, if it has one.
    pub sub: Option<BitsPerSecond>,
    /// Does it serve one session only? Then hand-over breaks before it makes, and the gap is recorded.
    pub single_session: bool,
}

/// What recording all of `cameras` at their best costs.
pub fn full_load(cameras: &BTreeMap<CameraId, CameraSpec>) -> Load {
    cameras.values().fold(Load::default(), |sum, camera| sum + Load { streams: 1, rate: camera.main })
}

/// How much of a standby is ready before anything happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tier {
    /// Always recorded by the standby too.
    Hot,
    /// Descriptions and parameter sets cached and checked: connect at once.
    Warm,
    /// Connect when it is needed.
    Cold,
    /// No standby.
    None,
}

/// Who gives authority back to a site that has healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailbackPolicy {
    /// The hub, when both have passed.
    Automatic {
        /// At least so long at the standby.
        active_min: Duration,
        /// At least so long beating and progressing.
        stable_min: Duration,
    },
    /// A person.
    Manual,
    /// Nobody: the standby has become the home of its footage until a person relocates it.
    Never,
}

impl Default for FailbackPolicy {
    fn default() -> Self {
        Self::Automatic { active_min: Duration::from_secs(300), stable_min: Duration::from_secs(600) }
    }
}
