//! The life of a virtual server, and the only ways through it.
//!
//! Every change goes through [`checked_transition`]; an edge that is not in [`EDGES`] is refused, so a
//! forgotten case is an error and never a new path.

use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;
use crate::ids::HostId;

/// Where a virtual server is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// Authority and recording are at the site.
    #[default]
    Home,
    /// A round is open; nothing has moved.
    Suspect,
    /// A standby has been told to do something.
    Standby {
        /// The epoch in force: the standby's own if it records, still home's if it is only armed.
        epoch: Epoch,
        /// Where.
        host: HostId,
        /// What it does.
        mode: Mode,
    },
    /// The site's recorder beats again; the standby has authority and records on.
    Healing {
        /// The standby's epoch.
        epoch: Epoch,
        /// Where.
        host: HostId,
    },
    /// The site records beside the standby until the overlap is long enough; the standby adds no camera.
    Failback {
        /// The standby's epoch.
        epoch: Epoch,
        /// Where.
        host: HostId,
    },
}

/// What a standby does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// It has a reserved place and tries every path. It records nothing and says so; authority is at home.
    Armed,
    /// It has authority and records what it can reach.
    Recording,
}

/// The states without what they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // each is a state of [`Life`]
pub enum Stage {
    Home,
    Suspect,
    Armed,
    Recording,
    Healing,
    Failback,
}

/// Every allowed change, and what causes it.
pub const EDGES: &[(Stage, Stage)] = &[
    (Stage::Home, Stage::Suspect),        // a round is opened
    (Stage::Suspect, Stage::Home),        // somebody heard the recorder
    (Stage::Suspect, Stage::Armed),       // verdict dark
    (Stage::Suspect, Stage::Recording),   // verdict recorder-lost
    (Stage::Home, Stage::Recording),      // planned: nobody has to be asked
    (Stage::Armed, Stage::Recording),     // a camera answered
    (Stage::Armed, Stage::Armed),         // its host died
    (Stage::Armed, Stage::Home),          // the recorder beats; authority never left it
    (Stage::Recording, Stage::Recording), // its host died, or a person moved it
    (Stage::Recording, Stage::Healing),   // the site's recorder beats again
    (Stage::Healing, Stage::Recording),   // and is silent again, or the standby moved
    (Stage::Healing, Stage::Failback),    // stable for long enough, or a person's word
    (Stage::Failback, Stage::Recording),  // the site's recorder is silent again, or the standby moved
    (Stage::Failback, Stage::Home),       // the overlap is committed
];

/// A change of state that the table doesn't have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("a virtual server can't go from {from:?} to {to:?}")]
pub struct NoSuchEdge {
    /// From here…
    pub from: Stage,
    /// …to here.
    pub to: Stage,
}

impl Life {
    /// The state without what it carries.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Home => Stage::Home,
            Self::Suspect => Stage::Suspect,
            Self::Standby { mode: Mode::Armed, .. } => Stage::Armed,
            Self::Standby { mode: Mode::Recording, .. } => Stage::Recording,
            Self::Healing { .. } => Stage::Healing,
            Self::Failback { .. } => Stage::Failback,
        }
    }

    /// The host that was given authority, if it is not the home.
    pub fn authority(&self) -> Option<&HostId> {
        match self {
            Self::Home | Self::Suspect | Self::Standby { mode: Mode::Armed, .. } => None,
            Self::Standby { host, .. } | Self::Healing { host, .. } | Self::Failback { host, .. } => {
                Some(host)
            }
        }
    }

    /// The host that stands by, armed or recording.
    pub fn standby(&self) -> Option<&HostId> {
        match self {
            Self::Standby { host, .. } => Some(host),
            other => other.authority(),
        }
    }
}

/// Changes `life` to `to`, if there is such an edge. Gives what it was.
pub fn checked_transition(life: &mut Life, to: Life) -> Result<Life, NoSuchEdge> {
    let edge = (life.stage(), to.stage());
    if !EDGES.contains(&edge) {
        return Err(NoSuchEdge { from: edge.0, to: edge.1 });
    }
    Ok(std::mem::replace(life, to))
}
