//! What is proposed to the control log. A command is a wish; whether it holds is decided in `apply`, on every
//! replica alike.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::{OriginId, UnixMicros};

use super::drill::{DrillOrder, DrillsAllowed};
use super::hold::{HoldId, HoldOrder};
use super::membership::{Membership, Role};
use super::spec::{CameraSpec, HostSpec, SiteSpec};
use crate::beat::{Arrival, Bye};
use crate::detector::Quiet;
use crate::epoch::{Epoch, Round};
use crate::evidence::Answers;
use crate::ids::{CameraId, HostId, NodeId, SiteId};

/// One entry of the control log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A hub node is to be. Its id was never used.
    AddNode {
        /// Which id.
        node: NodeId,
        /// What it keeps.
        role: Role,
    },
    /// The voters, as the log itself changed them. Never refused.
    Membership(Membership),
    /// A host is known, or is known better.
    SetHost {
        /// Which.
        host: HostId,
        /// What it is and can do.
        spec: HostSpec,
    },
    /// A host is trusted no more, for ever.
    RevokeHost {
        /// Which.
        host: HostId,
    },
    /// A site is known, or is known better. Its home never changes this way.
    SetSite {
        /// Which.
        site: SiteId,
        /// How it is to be treated.
        spec: SiteSpec,
    },
    /// A site is trusted no more, for ever.
    RevokeSite {
        /// Which.
        site: SiteId,
    },
    /// The site accepted this configuration.
    Config {
        /// Whose.
        site: SiteId,
        /// Numbered by the site; only a higher one is taken.
        revision: u64,
        /// Its cameras.
        cameras: BTreeMap<CameraId, CameraSpec>,
        /// Since which revision the oldest of their log-ins is in use: 0 if the site can't tell. None: they have none.
        #[serde(default)]
        log_ins_since: Option<u64>,
    },
    /// The machines at its own place that the site says may record for it, beside whoever stands by.
    SetNeighbours {
        /// Whose.
        site: SiteId,
        /// All of them, as hosts.
        hosts: BTreeSet<HostId>,
    },
    /// What of drills the site allows.
    AllowDrills {
        /// Whose.
        site: SiteId,
        /// Which.
        allowed: DrillsAllowed,
    },
    /// The node that keeps the site's vault.
    SetVault {
        /// Whose.
        site: SiteId,
        /// Which full node.
        node: NodeId,
    },
    /// The host that would stand by, with its place reserved; or none, with the reason told elsewhere.
    Place {
        /// Whose.
        site: SiteId,
        /// Where.
        host: Option<HostId>,
    },
    /// Footage must not be deleted. The entry's index names the hold.
    PlaceHold {
        /// Whose.
        site: SiteId,
        /// What, until when, and why.
        order: HoldOrder,
    },
    /// A hold is lifted.
    ReleaseHold {
        /// Whose.
        site: SiteId,
        /// Which.
        hold: HoldId,
        /// Who asked.
        by: Person,
    },
    /// The site's agent says that it keeps these holds, and no others, also over a restart.
    HoldsKept {
        /// Which site.
        site: SiteId,
        /// Of what it keeps.
        digest: [u8; 16],
    },
    /// A hold's end has passed.
    HoldOver {
        /// Whose.
        site: SiteId,
        /// Which.
        hold: HoldId,
    },

    /// Opens a round: is the recorder that has authority silent?
    Suspect {
        /// Whose.
        site: SiteId,
        /// Where the recorder in question runs.
        holder: HostId,
        /// What the candidate host saw of the cameras, so that every voter may take the short timer.
        answers: Option<Answers>,
    },
    /// A voter's word: silent, for as long as it asks for itself.
    Silent {
        /// Whose.
        site: SiteId,
        /// In which round.
        round: Round,
        /// Whose word. The shell sees to it that it is the sender's.
        voter: NodeId,
        /// What it rests on.
        quiet: Quiet,
    },
    /// A voter's word: a beat was heard after the round was applied here. Closes the round.
    Heard {
        /// Whose.
        site: SiteId,
        /// In which round.
        round: Round,
        /// Whose word.
        voter: NodeId,
        /// On which way.
        arrival: Arrival,
    },
    /// What follows from a round.
    Verdict(Verdict),

    /// Somebody says beforehand that the recorder will be silent.
    Declare {
        /// Whose.
        site: SiteId,
        /// What is planned; `None` when it is over.
        plan: Option<Plan>,
    },
    /// The standby takes over what was declared, or what a person asks for.
    TakeOver {
        /// Whose.
        site: SiteId,
        /// The epoch this was decided under.
        expected: Epoch,
        /// To which host.
        host: HostId,
        /// On what ground.
        ground: TakeOverGround,
    },
    /// The site's recorder beats again while a standby has authority.
    Heal {
        /// Whose.
        site: SiteId,
        /// The standby's epoch.
        expected: Epoch,
    },
    /// The site's recorder, which had come back, is silent again.
    Relapse {
        /// Whose.
        site: SiteId,
        /// The standby's epoch.
        expected: Epoch,
    },
    /// Begin to give back: the site and the standby record side by side.
    Failback {
        /// Whose.
        site: SiteId,
        /// The standby's epoch.
        expected: Epoch,
        /// The person who asked, if it was one.
        by: Option<Person>,
    },
    /// Authority goes home.
    Return(Return),
    /// The standby records these cameras beside a recorder that beats and doesn't progress. Authority stays.
    Assist {
        /// Whose.
        site: SiteId,
        /// All of them; none ends it.
        cameras: BTreeSet<CameraId>,
    },

    /// A failure of the site is rehearsed from here on.
    Drill {
        /// Whose.
        site: SiteId,
        /// What is wanted.
        order: DrillOrder,
    },
    /// The drill's time is over: the site comes back.
    DrillOver {
        /// Whose.
        site: SiteId,
        /// The entry that began it.
        drill: u64,
        /// The person who ends it early; `None` when its time has passed.
        by: Option<Person>,
    },
    /// All is as it was before the drill, or never will be by itself.
    EndDrill {
        /// Whose.
        site: SiteId,
        /// The entry that began it.
        drill: u64,
    },
    /// The drill was measured, or nobody told of it for long.
    Drilled {
        /// Whose.
        site: SiteId,
        /// The entry that began it.
        drill: u64,
        /// Did everything happen that should?
        good: bool,
        /// Who measured it, and keeps the report; nobody, if nobody told of it.
        #[serde(default)]
        node: Option<NodeId>,
    },

    /// Too many sites went dark at once with no camera answering: arm nobody, call a person.
    Freeze {
        /// These sites.
        sites: BTreeSet<SiteId>,
        /// Of so many.
        of: usize,
    },
    /// The freeze is over.
    Thaw {
        /// For these sites.
        sites: BTreeSet<SiteId>,
        /// The person who said so; `None` when the sites came back.
        by: Option<Person>,
    },

    /// This log was restored from a backup or recovered by force: begin a history above every epoch seen.
    Recover {
        /// The highest generation in any hello so far.
        seen: crate::epoch::Generation,
        /// Drawn for this recovery.
        salt: u64,
    },
    /// A hello showed an epoch that this history didn't give.
    SeenEpoch {
        /// Of which virtual server.
        site: SiteId,
        /// What was shown.
        epoch: Epoch,
        /// Drawn for this occasion.
        salt: u64,
    },
    /// A person looked: the hub may delete again.
    ConfirmDeletion {
        /// Who.
        by: Person,
    },
}

/// A person, as the audit names them.
pub type Person = String;

/// The proposal to act on a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whose.
    pub site: SiteId,
    /// The round it follows from.
    pub round: Round,
    /// The epoch it was decided under.
    pub expected: Epoch,
    /// Who proposes it. It counts only if it said Silent like everybody else.
    pub proposer: NodeId,
    /// What is to be done.
    pub finding: Finding,
}

/// What a round can lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// The standby's host sees cameras answer: epoch + 1, record.
    RecorderLost {
        /// What it saw. The host that saw it is the one that takes over.
        answers: Answers,
    },
    /// The cameras are silent too: a host keeps trying. Authority stays.
    Dark {
        /// Which host, if any was free.
        host: Option<HostId>,
    },
}

/// What was said beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// A person works on the site.
    Maintenance {
        /// Until then.
        until: UnixMicros,
        /// Who said so.
        by: Person,
    },
    /// The run said goodbye.
    Bye {
        /// Which run.
        origin: OriginId,
        /// How.
        bye: Bye,
    },
}

/// Why authority moves without a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TakeOverGround {
    /// Maintenance, or `Bye{shutdown}`: it stands in the log.
    Planned,
    /// A person's word. It stays until a person gives it back.
    Person {
        /// Who.
        by: Person,
        /// Why.
        reason: String,
    },
}

/// The proposal to give authority back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Whose.
    pub site: SiteId,
    /// The standby's epoch.
    pub expected: Epoch,
    /// What the standby says it records now; `None` if it says nothing any more.
    pub standby: Option<BTreeSet<CameraId>>,
    /// Keyframes the site committed of each camera since the failback began, while the standby recorded too.
    pub overlap: BTreeMap<CameraId, u64>,
    /// For how long the standby has said nothing, if it doesn't.
    pub silent_for: Duration,
}
