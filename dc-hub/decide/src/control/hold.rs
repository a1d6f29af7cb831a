//! Holds: footage that a person asked to be kept, and what a site is told of those of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::holds::{Digest, HOLD_CAMERAS_MAX, HOLD_REASON_BYTES_MAX};
use wire::{UnixMicros, proto};

use super::command::Person;
use super::state::{Site, State};
use crate::ids::{CameraId, SiteId};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A hold's range of footage is no longer.
pub const HOLD_SPAN_MAX: Duration = Duration::from_secs(366 * DAY.as_secs());
/// A hold ends at the latest so long after the footage it is of.
pub const HOLD_MAX: Duration = Duration::from_secs(3653 * DAY.as_secs());

/// Names a hold: the entry of the log that placed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HoldId(pub u64);

impl std::fmt::Display for HoldId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What is to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldOrder {
    /// Of which cameras; of all of the site's, if none is named.
    pub cameras: BTreeSet<CameraId>,
    /// From…
    pub from: UnixMicros,
    /// …to.
    pub to: UnixMicros,
    /// Then the hold ends by itself.
    pub until: UnixMicros,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub by: Person,
}

/// A hold in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What is kept.
    pub order: HoldOrder,
    /// When it was placed, by the leader's wall clock.
    pub placed: UnixMicros,
    /// When the log learned that the site keeps it too, likewise; until then it holds at the hub only.
    pub confirmed: Option<UnixMicros>,
    /// It was lifted. It stays here until the site has confirmed that as well.
    pub released: Option<Released>,
}

/// That a hold was lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// By whom.
    pub by: Person,
    /// When, by the leader's wall clock.
    pub at: UnixMicros,
}

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldStage {
    /// The hub keeps the footage; the site has not confirmed yet that it does.
    Pending,
    /// Both keep it.
    Confirmed,
    /// It was lifted, and the site has not confirmed that yet: it may keep the footage still.
    Releasing,
}

impl Hold {
    /// Where it stands.
    pub fn stage(&self) -> HoldStage {
        match (&self.released, self.confirmed) {
            (Some(_), _) => HoldStage::Releasing,
            (None, Some(_)) => HoldStage::Confirmed,
            (None, None) => HoldStage::Pending,
        }
    }

    /// Is footage kept for it, as long as it has not ended?
    pub fn is_in_force(&self) -> bool {
        self.released.is_none()
    }
}

/// What is wrong with an order. Nothing here asks a clock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum BadHold {
    /// It is of nothing.
    #[error("its range of footage ends before it begins: give --from an instant before --to")]
    Empty,
    /// Too much at once.
    #[error("its range of footage is longer than 366 days: place several holds")]
    TooLong,
    /// It would end before the footage begins.
    #[error("it would end before the footage it is of: give --until a later instant")]
    EndsAtOnce,
    /// It would last too long.
    #[error(
        "it would last for more than ten years after the footage it is of: give --until an earlier instant"
    )]
    EndsTooLate,
    /// Nobody would know why.
    #[error("it has no reason: say why with --reason")]
    NoReason,
    /// Too much is said.
    #[error("its reason is {0} bytes long, at most 200 are kept: shorten it")]
    LongReason(usize),
    /// Too many cameras.
    #[error(
        "it names {0} cameras, at most 16 go into one hold: name none for all of the site, or place several"
    )]
    TooManyCameras(usize),
    /// Another site's.
    #[error("camera {0} is of another site")]
    ForeignCamera(CameraId),
}

impl HoldOrder {
    /// Does it make sense for this site?
    pub fn check(&self, site: &SiteId) -> Result<(), BadHold> {
        let foreign = self.cameras.iter().find(|camera| camera.site() != site.as_str());
        let reason = self.reason.trim();
        match () {
            () if self.from >= self.to => Err(BadHold::Empty),
            () if self.to.since(self.from) > HOLD_SPAN_MAX => Err(BadHold::TooLong),
            () if self.until <= self.from => Err(BadHold::EndsAtOnce),
            () if self.until.since(self.to) > HOLD_MAX => Err(BadHold::EndsTooLate),
            () if reason.is_empty() => Err(BadHold::NoReason),
            () if self.reason.len() > HOLD_REASON_BYTES_MAX => Err(BadHold::LongReason(self.reason.len())),
            () if self.cameras.len() > HOLD_CAMERAS_MAX => Err(BadHold::TooManyCameras(self.cameras.len())),
            () => foreign.map_or(Ok(()), |camera| Err(BadHold::ForeignCamera(camera.clone()))),
        }
    }

    /// Is it of the same footage, for as long and for the same reason? Who asked doesn't matter.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Self { by: other.by.clone(), ..self.clone() } == *other
    }
}

impl Site {
    /// Has the site to confirm anything: a hold, or that one was lifted?
    pub fn awaits_holds(&self) -> bool {
        !self.revoked && self.holds.values().any(|hold| hold.stage() != HoldStage::Confirmed)
    }
}

impl State {
    /// What a site is told of its holds: those in force.
    pub fn told_holds(&self, site: &Site) -> proto::Holds {
        // A history that begins for this site alone is one all the same.
        let generation = self.generation.max(site.epoch.generation);
        let in_force = site.holds.iter().filter(|(_, hold)| hold.is_in_force());
        proto::Holds {
            generation: generation.count,
            salt: generation.salt,
            revision: site.holds_revision,
            holds: in_force.map(|(id, hold)| told(*id, &hold.order)).collect(),
        }
    }

    /// What a site says that keeps them.
    pub fn holds_digest(&self, site: &Site) -> Digest {
        Digest::of(&self.told_holds(site))
    }
}

fn told(id: HoldId, order: &HoldOrder) -> proto::Hold {
    proto::Hold {
        id: id.0,
        cameras: order.cameras.iter().map(|camera| camera.local().to_owned()).collect(),
        from_us: order.from.0,
        to_us: order.to.0,
        until_us: order.until.0,
        reason: order.reason.clone(),
    }
}
