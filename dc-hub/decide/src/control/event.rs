//! What an applied command changed. Every replica puts out the same events; who acts on one is the shell's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::command::{Person, Plan};
use super::drill::Drill;
use super::hold::HoldId;
use super::why::Why;
use crate::beat::Arrival;
use crate::epoch::{Epoch, Round};
use crate::evidence::Answers;
use crate::ids::{CameraId, HostId, NodeId, SiteId};
use crate::standby::Stage;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Every voter is asked whether this recorder is silent.
    RoundOpened {
        /// Whose.
        site: SiteId,
        /// The round.
        round: Round,
        /// Where the recorder in question runs.
        holder: HostId,
        /// What the candidate host saw of the cameras, for voters it can't reach.
        answers: Option<Box<Answers>>,
    },
    /// Nobody is asked any more.
    RoundClosed {
        /// Whose.
        site: SiteId,
        /// The round.
        round: Round,
        /// Why.
        closed: Closed,
    },
    /// The life of a virtual server went on.
    Stage {
        /// Whose.
        site: SiteId,
        /// From…
        from: Stage,
        /// …to.
        to: Stage,
    },
    /// From this entry of the log on, `host` has authority, under `epoch`.
    Authority {
        /// Of which virtual server.
        site: SiteId,
        /// Under which epoch.
        epoch: Epoch,
        /// Who.
        host: HostId,
        /// Why, with all evidence.
        why: Box<Why>,
    },
    /// A host keeps trying to reach a dark site.
    Armed {
        /// Whose.
        site: SiteId,
        /// Which host, if any was free.
        host: Option<HostId>,
        /// Why, with all evidence.
        why: Box<Why>,
    },
    /// The epoch rose and authority stayed: the log's history is a new one.
    EpochRaised {
        /// Of which virtual server.
        site: SiteId,
        /// To this.
        epoch: Epoch,
        /// Who has authority.
        host: HostId,
    },
    /// The standby records these beside the site.
    Assisting {
        /// Whose.
        site: SiteId,
        /// All of them.
        cameras: BTreeSet<CameraId>,
    },
    /// Something was said beforehand, or is over.
    Planned {
        /// Of which virtual server.
        site: SiteId,
        /// What; `None` when it is over.
        plan: Option<Plan>,
    },
    /// A drill began, its time is over, or (`None`) it has ended.
    Drill {
        /// Of which site.
        site: SiteId,
        /// What goes on now.
        drill: Option<Box<Drill>>,
    },
    /// A drill was measured.
    Drilled {
        /// Of which site.
        site: SiteId,
        /// Did everything happen that should?
        good: bool,
    },
    /// A hold was placed or is no more.
    Hold {
        /// Of whose footage.
        site: SiteId,
        /// Which.
        hold: HoldId,
        /// What became of it.
        change: HoldChange,
    },
    /// A site has confirmed all its holds, and that none is left of those that were lifted.
    HoldsKept {
        /// Which.
        site: SiteId,
    },
    /// The place that is reserved for a site changed.
    Placed {
        /// Whose.
        site: SiteId,
        /// Where.
        host: Option<HostId>,
    },
    /// Cut every connection with it, at once.
    SiteRevoked(SiteId),
    /// Cut every connection with it, at once; the cameras it could record need new passwords.
    HostRevoked(HostId),
    /// A host that is trusted no more had a site's camera passwords; or all of those are no more in use.
    NewPasswords {
        /// Whose cameras.
        site: SiteId,
        /// Do they need new ones?
        needed: bool,
    },
    /// May the hub delete footage?
    Deletion {
        /// Not until a person has confirmed.
        suspended: bool,
    },
    /// Only a person can go on from here.
    CallPerson(Call),
}

impl Event {
    /// The site it is about, if it is about one.
    pub fn site(&self) -> Option<&SiteId> {
        match self {
            Self::RoundOpened { site, .. }
            | Self::RoundClosed { site, .. }
            | Self::Stage { site, .. }
            | Self::Authority { site, .. }
            | Self::Armed { site, .. }
            | Self::EpochRaised { site, .. }
            | Self::Assisting { site, .. }
            | Self::Placed { site, .. }
            | Self::Planned { site, .. }
            | Self::Drill { site, .. }
            | Self::Drilled { site, .. }
            | Self::Hold { site, .. }
            | Self::HoldsKept { site }
            | Self::NewPasswords { site, .. }
            | Self::SiteRevoked(site)
            | Self::CallPerson(Call::Unprotected { site } | Call::ForeignEpoch { site, .. }) => Some(site),
            Self::HostRevoked(_) | Self::Deletion { .. } | Self::CallPerson(_) => None,
        }
    }
}

/// What became of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldChange {
    /// Somebody placed it.
    Placed {
        /// Who.
        by: Person,
    },
    /// Somebody lifted it.
    Released {
        /// Who.
        by: Person,
    },
    /// Its end has passed.
    Over,
}

/// Why a round ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Closed {
    /// Somebody heard the recorder.
    Heard {
        /// Who.
        by: NodeId,
        /// On which way.
        arrival: Arrival,
    },
    /// Authority moved.
    Moved,
    /// Another leader asks anew.
    Superseded,
    /// The site or the history it belonged to is no more.
    Void,
}

/// What a person is called for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Too many sites dark at once, and no camera answers.
    ManyDark {
        /// Which.
        sites: BTreeSet<SiteId>,
        /// Of so many.
        of: usize,
    },
    /// A site is dark and no host has a place for it.
    Unprotected {
        /// Which.
        site: SiteId,
    },
    /// A node id that was removed votes again. Its word doesn't count.
    NodeIdReused {
        /// Which.
        node: NodeId,
    },
    /// A hello showed an epoch this history didn't give: two histories are about.
    ForeignEpoch {
        /// Of which virtual server.
        site: SiteId,
        /// What was shown.
        shown: Epoch,
    },
    /// The log was restored or recovered: check, then confirm deletion.
    Recovered,
}
