//! Why a command had no effect. A refused command stays in the log and changes nothing.

use serde::{Deserialize, Serialize};

use super::drill::DrillsAllowed;
use super::hold::{BadHold, HoldId};
use super::membership::Tally;
use crate::epoch::{Epoch, Round, Term};
use crate::ids::{CameraId, HostId, NodeId, SiteId};
use crate::standby::{NoSuchEdge, Stage};

/// The guard that refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The id was given before.
    #[error("{0} was used before: take a new id")]
    NodeIdUsed(NodeId),
    /// No such node.
    #[error("{0} is not in the control log: add it first")]
    NoNode(NodeId),
    /// It was taken out.
    #[error("{0} was taken out of the voters, for ever: its word counts for nothing")]
    NodeRemoved(NodeId),
    /// A witness keeps no archive.
    #[error("{0} is a witness and keeps no vault: name a full node")]
    IsWitness(NodeId),
    /// A site names more machines at its place than it may.
    #[error("{0} hosts at its place, at most {max} are taken", max = super::NEIGHBOURS_MAX)]
    TooManyNeighbours(usize),
    /// No such site.
    #[error("site {0} is not in the control log: add it first")]
    NoSite(SiteId),
    /// No such host.
    #[error("host {0} is not in the control log: add it first")]
    NoHost(HostId),
    /// The name is another machine's.
    #[error("host {0} is another machine's name already: rename one of them")]
    HostTaken(HostId),
    /// It was revoked.
    #[error("host {0} is revoked, for ever: add it under a new name")]
    HostRevoked(HostId),
    /// Those who are left could decide nothing.
    #[error("without {0} too few voters are left to decide: add a node first")]
    NoMajorityLeft(HostId),
    /// It was revoked.
    #[error("site {0} is revoked, for ever: add it under a new name")]
    SiteRevoked(SiteId),
    /// The home is fixed.
    #[error("site {site} has its home at {home}: relocate it instead")]
    HomeIsFixed {
        /// Which site.
        site: SiteId,
        /// Where its home is.
        home: HostId,
    },
    /// The host can't stand by for the site.
    #[error("host {host} can't stand by for {site}: {why}")]
    NotEligible {
        /// Which host.
        host: HostId,
        /// For which site.
        site: SiteId,
        /// Why not.
        why: Ineligible,
    },
    /// An older configuration.
    #[error("site {site} has revision {have}: {offered} is not newer")]
    OldRevision {
        /// Which site.
        site: SiteId,
        /// What is in force.
        have: u64,
        /// What came.
        offered: u64,
    },
    /// A round of this term is open already.
    #[error("round {0:?} is open already")]
    RoundOpen(Round),
    /// There is no such round, or no more.
    #[error("round {0:?} is not open")]
    NoRound(Round),
    /// The round belongs to an earlier reign.
    #[error("round {round:?} was opened in term {opened:?}, this is term {now:?}")]
    StaleTerm {
        /// Which round.
        round: Round,
        /// When it was opened.
        opened: Term,
        /// When the verdict was proposed.
        now: Term,
    },
    /// The recorder in question has no authority.
    #[error("{asked} has no authority over {site}: {holder} has")]
    NotTheHolder {
        /// Which site.
        site: SiteId,
        /// Who was asked about.
        asked: HostId,
        /// Who has it.
        holder: HostId,
    },
    /// Too few said so.
    #[error("too few voters said so: {0:?}")]
    NoMajority(Vec<Tally>),
    /// Authority moved since this was decided.
    #[error("decided under epoch {expected}, the epoch is {now}")]
    EpochMoved {
        /// Then.
        expected: Epoch,
        /// Now.
        now: Epoch,
    },
    /// The evidence is of another site, or of no camera.
    #[error("no camera of {0} was seen to answer: nothing can be recorded")]
    NoAnswers(SiteId),
    /// The life of the virtual server has no such edge.
    #[error(transparent)]
    Edge(#[from] NoSuchEdge),
    /// Nothing was declared that allows this.
    #[error("nothing was planned for {0}: declare it first")]
    NotPlanned(SiteId),
    /// Too many sites are dark at once.
    #[error("{0} is frozen with many others: a person has to look first")]
    Frozen(SiteId),
    /// The policy leaves this to a person.
    #[error("{0} is given back by a person only")]
    NotAutomatic(SiteId),
    /// The overlap is too short.
    #[error("{camera} has {keyframes} keyframes of overlap, 2 are needed")]
    NoOverlap {
        /// Of this camera.
        camera: CameraId,
        /// So many.
        keyframes: u64,
    },
    /// A drill begins where all is well.
    #[error("{site} is not at home but {stage:?}: a drill begins when all is well")]
    NotHome {
        /// Which site.
        site: SiteId,
        /// Where its virtual server is in its life.
        stage: Stage,
    },
    /// What is planned comes first.
    #[error("something is planned for {0} (maintenance, or its recorder said goodbye): drill it afterwards")]
    IsPlanned(SiteId),
    /// Nobody would take over.
    #[error("no host has a place for {0}: there is nothing to rehearse; see `holdfast why {0}`")]
    NoStandby(SiteId),
    /// One at a time.
    #[error("a drill of {site} goes on already, since entry {drill}")]
    DrillRunning {
        /// Which site.
        site: SiteId,
        /// The entry that began it.
        drill: u64,
    },
    /// Its operator has said so.
    #[error(
        "{site} refuses {}: its operator wrote so as standby.drills in its site.toml",
        match allowed {
            DrillsAllowed::Shadow => "drills for real, and allows them over a shadow",
            _ => "drills",
        }
    )]
    DrillForbidden {
        /// Which site.
        site: SiteId,
        /// What it allows.
        allowed: DrillsAllowed,
    },
    /// Too short or too long.
    #[error("a drill lasts 5 s to 15 min, not {0:?}")]
    DrillLength(std::time::Duration),
    /// There is no such drill, or no more.
    #[error("no such drill of {0} goes on")]
    NoDrill(SiteId),
    /// It has left the network for real.
    #[error("{0} left the network and hears nothing: it comes back by itself when the drill's time is over")]
    CantHear(SiteId),
    /// The hold makes no sense.
    #[error("the hold is refused: {0}")]
    BadHold(BadHold),
    /// It would be the same once more.
    #[error("hold {hold} of site {site} is the same already")]
    HeldAlready {
        /// Whose.
        site: SiteId,
        /// Which.
        hold: HoldId,
    },
    /// A site has so many at most.
    #[error("site {0} has 32 holds already: release one first, see `holdfast holds {0}`")]
    TooManyHolds(SiteId),
    /// There is none of this number, or no more.
    #[error("site {site} has no hold {hold} in force: see `holdfast holds {site}`")]
    NoHold {
        /// Whose.
        site: SiteId,
        /// Which.
        hold: HoldId,
    },
    /// Its end has not come yet.
    #[error("hold {hold} of site {site} has not come to its end: release it to end it early")]
    HoldGoesOn {
        /// Whose.
        site: SiteId,
        /// Which.
        hold: HoldId,
    },
    /// They changed since, or it keeps those of another history.
    #[error("site {0} keeps other holds than the log says now")]
    OtherHolds(SiteId),
    /// The epoch is known.
    #[error("epoch {0} is of this history, or of an earlier one")]
    KnownEpoch(Epoch),
    /// Nothing would change.
    #[error("it is so already")]
    AlreadySo,
}

/// Why a host can't stand by for a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Ineligible {
    /// It is the recorder in question.
    #[error("it is the one that has authority")]
    Holder,
    /// It is the site's home.
    #[error("it is the home")]
    Home,
    /// It belongs to another site.
    #[error("it belongs to another site")]
    OtherSite,
    /// It is revoked.
    #[error("it is revoked")]
    Revoked,
    /// It is being emptied.
    #[error("it is being emptied")]
    Draining,
    /// It has no place left.
    #[error("it has no place left")]
    Full,
    /// The site wants no standby.
    #[error("the site's tier is none")]
    TierNone,
    /// It keeps no archive.
    #[error("it is a witness")]
    Witness,
}
