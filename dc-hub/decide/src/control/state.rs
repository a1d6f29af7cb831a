//! What the control log has agreed on: the state that every replica computes alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::UnixMicros;

use super::command::{Person, Plan};
use super::drill::{Drill, DrillKind, DrillsAllowed, LastDrill};
use super::hold::{Hold, HoldId};
use super::hosts::{Host, Hosts};
use super::membership::{Membership, Role};
use super::spec::{CameraSpec, Load, SiteSpec, Tier, full_load};
use super::why::{Ground, Why};
use crate::detector::Quiet;
use crate::epoch::{Epoch, Generation, Round, Term};
use crate::ids::{CameraId, HostId, NodeId, SiteId};
use crate::mutant::Rules;
use crate::standby::{Life, Mode};

/// The control log's state. [`State::apply`] is the only way to change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(super) at: Option<Stamp>,
    pub(super) generation: Generation,
    pub(super) membership: Membership,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    // Copies of a state are made for every entry, and share what it didn't change.
    pub(super) hosts: Arc<Hosts>,
    pub(super) sites: BTreeMap<SiteId, Arc<Site>>,
    pub(super) frozen: BTreeSet<SiteId>,
    pub(super) deletion_suspended: bool,
    #[serde(skip)]
    pub(super) rules: Rules,
}

/// Where in the log a command stands, and who stamped it when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Its index: each is higher than the one before.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: Term,
    /// That leader's wall clock. It can lie: nothing rests on it alone.
    pub time: UnixMicros,
}

/// A node id, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it keeps.
    pub role: Role,
    /// It voted once and was taken out. It never counts again.
    pub removed: bool,
}

impl Node {
    /// May it keep vaults, and stand by?
    pub fn keeps_vaults(&self) -> bool {
        self.role == Role::Full && !self.removed
    }
}

/// A site and its virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// How it is to be treated.
    pub spec: SiteSpec,
    /// The configuration the site accepted last.
    pub revision: u64,
    /// Its cameras.
    pub cameras: BTreeMap<CameraId, CameraSpec>,
    /// The epoch in force.
    pub epoch: Epoch,
    /// Where its virtual server is in its life.
    pub life: Life,
    /// The open round, if any.
    pub round: Option<OpenRound>,
    /// The host with a place reserved for it.
    pub placement: Option<HostId>,
    /// Who keeps its vault.
    pub vault: Option<NodeId>,
    /// What was said beforehand.
    pub plan: Option<Plan>,
    /// A person moved it: only a person gives it back.
    pub pinned: bool,
    /// The giving back, while that goes on.
    pub giving_back: Option<GivingBack>,
    /// Cameras the standby records beside a recorder that doesn't progress.
    pub assisted: BTreeSet<CameraId>,
    /// Trusted no more.
    pub revoked: bool,
    /// Why it is as it is: the last change of authority, or arming.
    pub why: Option<Box<Why>>,
    /// What is being rehearsed.
    #[serde(default)]
    pub drill: Option<Box<Drill>>,
    /// The last drill of each kind.
    #[serde(default)]
    pub drilled: BTreeMap<DrillKind, LastDrill>,
    /// When the last drill began that was good, by the leader's wall clock.
    #[serde(default)]
    pub last_good_drill: Option<UnixMicros>,
    /// What must not be deleted of its footage, and what was let go without the site having confirmed that.
    #[serde(default)]
    pub holds: BTreeMap<HoldId, Hold>,
    /// The entry of the log that changed what the site is told of them.
    #[serde(default)]
    pub holds_revision: u64,
    /// Every host that ever had a place for it, or authority: what one of these recorded is the site's.
    #[serde(default)]
    pub hosted: BTreeSet<HostId>,
    /// Since which revision the oldest log-in of its cameras is in use; none, if they have none.
    #[serde(default)]
    pub log_ins_since: Option<u64>,
    /// Who knows its cameras' passwords and must not.
    #[serde(default)]
    pub exposed: Option<Exposed>,
    /// Machines of other sites at its place that the site says may record for it. They never have authority.
    #[serde(default)]
    pub neighbours: BTreeSet<HostId>,
    /// What of drills its operator allows.
    #[serde(default)]
    pub drills: DrillsAllowed,
}

/// Hosts that were revoked and had a site's camera passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposed {
    /// Which.
    pub hosts: BTreeSet<HostId>,
    /// The site's revision when the last of them was revoked: log-ins in use since a later one they don't know.
    pub revision: u64,
}

/// A failback that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivingBack {
    /// The entry of the log that began it: a standby that has applied it adds no camera.
    pub index: u64,
    /// The person who asked, if it was one.
    pub by: Option<Person>,
}

/// A round that nobody has closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRound {
    /// Which.
    pub round: Round,
    /// The reign it was opened in.
    pub term: Term,
    /// Whose recorder.
    pub holder: HostId,
    /// Who said Silent, and on what it rested.
    pub silent: BTreeMap<NodeId, Quiet>,
}

impl OpenRound {
    /// The voters who said Silent.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.silent.keys().copied().collect()
    }
}

impl Site {
    /// The host that has authority.
    pub fn holder(&self) -> &HostId {
        self.life.authority().unwrap_or(&self.spec.home)
    }

    /// What its standby costs a host.
    pub fn load(&self) -> Load {
        full_load(&self.cameras)
    }

    /// Is a place on this host taken for it: because it stands by there, or would?
    pub fn has_place_on(&self, host: &HostId) -> bool {
        self.life.standby() == Some(host) || self.placement.as_ref() == Some(host)
    }

    /// The host that would take over next: it is the one that watches the cameras.
    pub fn candidate(&self) -> Option<&HostId> {
        self.placement.as_ref()
    }

    /// Has this round led to something already?
    pub fn was_told_of(&self, round: Round) -> bool {
        let ground = self.why.as_ref().map(|why| &why.ground);
        matches!(ground, Some(Ground::Silence(silence)) if silence.round == round)
    }

    /// Are its neighbours to record beside whoever has authority? They are as soon as there is a doubt, until its own
    /// recorder has authority again.
    pub fn wants_neighbours(&self) -> bool {
        !self.revoked && (self.life != Life::Home || self.plan.is_some())
    }

    /// Is this neighbour to record? One that stands by does what a standby does, besides.
    pub fn wants_recorded_by(&self, host: &HostId) -> bool {
        let stands_by = self.placement.as_ref() == Some(host) && !self.revoked;
        let always = self.spec.tier == Tier::Hot || !self.assisted.is_empty();
        self.wants_neighbours() || (stands_by && always)
    }

    /// The last entry of the log that changed what is asked of a standby.
    pub fn asked_at(&self) -> u64 {
        let why = self.why.as_ref().map_or(0, |why| why.index);
        why.max(self.giving_back.as_ref().map_or(0, |giving| giving.index))
    }

    /// Does a standby record with authority?
    pub fn is_away(&self) -> bool {
        self.life.authority().is_some()
    }

    /// Is the way to its cameras to be taken for cut?
    pub fn hides_cameras(&self) -> bool {
        self.drill.as_ref().is_some_and(|drill| drill.order.kind.hides_cameras())
    }

    /// Is a standby armed?
    pub fn is_armed(&self) -> bool {
        matches!(self.life, Life::Standby { mode: Mode::Armed, .. })
    }
}

impl State {
    /// What a log is founded with: its first entry says who votes, and these are they.
    pub fn founded_by(nodes: impl IntoIterator<Item = (NodeId, Role)>) -> Self {
        let nodes = nodes.into_iter().map(|(id, role)| (id, Node { role, removed: false })).collect();
        Self { nodes, ..Self::default() }
    }

    /// The voters at this index.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Every node id ever given.
    pub fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    /// Every host.
    pub fn hosts(&self) -> &BTreeMap<HostId, Host> {
        &self.hosts
    }

    /// Every site.
    pub fn sites(&self) -> &BTreeMap<SiteId, Arc<Site>> {
        &self.sites
    }

    /// One site.
    pub fn site(&self, site: &SiteId) -> Option<&Site> {
        self.sites.get(site).map(Arc::as_ref)
    }

    /// The sites that may not be armed until a person has looked.
    pub fn frozen(&self) -> &BTreeSet<SiteId> {
        &self.frozen
    }

    /// May the hub delete nothing until a person has confirmed?
    pub fn deletion_suspended(&self) -> bool {
        self.deletion_suspended
    }

    /// Which history this is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The last command applied.
    pub fn at(&self) -> Option<Stamp> {
        self.at
    }

    /// The same state with a rule switched off, for the simulator.
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// What is taken on a host, but for `without`.
    pub fn taken(&self, host: &HostId, without: &SiteId) -> Load {
        let there = |(name, site): &(&SiteId, &Arc<Site>)| *name != without && site.has_place_on(host);
        self.sites.iter().filter(there).fold(Load::default(), |sum, (_, site)| sum + site.load())
    }
}
