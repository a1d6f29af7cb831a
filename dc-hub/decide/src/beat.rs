//! What the recorder of a virtual server tells every voter, and what is known once its sender was checked.
//!
//! Signatures and certificates are checked outside: what arrives here is from whom it says.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::{OriginId, SegmentNumber};

use crate::epoch::Epoch;
use crate::ids::{CameraId, PathId, SiteId};

/// A beat: sent to every voter, every 500 ms by default, by whatever host runs the virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The run that speaks. A restart is another run.
    pub origin: OriginId,
    /// Counts the beats of the run, over all paths and to all voters.
    pub number: u64,
    /// The highest epoch the run was told.
    pub epoch: Epoch,
    /// The last entry of the control log its host has applied; 0 at a host that doesn't follow the log.
    pub log: u64,
    /// Each camera, always in the same order while the run lasts.
    pub cameras: Vec<CameraBeat>,
}

/// How one camera is, as its recorder says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraBeat {
    /// Which.
    pub camera: CameraId,
    /// What the recorder does with it.
    pub state: CameraState,
    /// The last fragment that is on disk and synced.
    pub durable: Option<Durable>,
    /// Keyframes in what this run has committed of the camera's main recording, counted since it began.
    pub keyframes: u64,
}

impl CameraBeat {
    /// Is it recorded, with something on disk already?
    pub fn is_recorded(&self) -> bool {
        self.state == CameraState::Recording && self.durable.is_some()
    }
}

/// A fragment of the run that speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Durable {
    /// The segment it is in.
    pub segment: SegmentNumber,
    /// Which of the segment's.
    pub fragment: u32,
}

/// What a recorder does with a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CameraState {
    /// It should record: fragments are to become durable.
    Recording,
    /// The camera gives nothing, or refuses.
    Down,
    /// Not scheduled, or switched off by a person.
    Idle,
}

/// A run that ends on purpose says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bye {
    /// It stops and is not about to come back: hand over at once.
    Shutdown,
    /// It is about to come back: hand over only if it doesn't.
    Restart {
        /// How long it may take.
        back_in: Duration,
    },
}

/// On which way a beat came, once its sender was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrival {
    /// On a connection of the recorder's own, over this path.
    Direct(PathId),
    /// Through another site, with the recorder's signature over the nonce this voter gave out.
    Relayed {
        /// Through whom.
        by: SiteId,
        /// Over which nonce.
        nonce: u64,
    },
}
