//! Drills: a failure that is rehearsed, for a stated time, and what became of the last ones.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::UnixMicros;

use super::command::Person;
use super::state::Stamp;
use crate::ids::NodeId;

/// The shortest drill: a dead recorder is taken over within 5 s.
pub const DRILL_MIN: Duration = Duration::from_secs(5);
/// The longest: no site is made as if dead for longer, whoever forgets it.
pub const DRILL_MAX: Duration = Duration::from_secs(15 * 60);

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillKind {
    /// The recorder; the cameras answer.
    Recorder,
    /// The way to the site; its recorder lives.
    Wan,
    /// Both.
    Site,
}

impl DrillKind {
    /// Its name, as people write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Recorder => "recorder",
            Self::Wan => "wan",
            Self::Site => "site",
        }
    }

    /// Is the way from the hub to the site's cameras as if cut?
    pub fn hides_cameras(self) -> bool {
        matches!(self, Self::Wan | Self::Site)
    }
}

/// What a site lets be rehearsed at it: its operator's word, not the hub's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillsAllowed {
    /// Every drill.
    #[default]
    All,
    /// Over a shadow only: production is never touched.
    Shadow,
    /// None.
    None,
}

impl DrillsAllowed {
    /// May a drill begin that is over a shadow, or is not?
    pub fn allows(self, shadow: bool) -> bool {
        match self {
            Self::All => true,
            Self::Shadow => shadow,
            Self::None => false,
        }
    }
}

/// What somebody wants to be rehearsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillOrder {
    /// Names what is rehearsed together, at one site or many.
    pub id: String,
    /// What fails.
    pub kind: DrillKind,
    /// Production is not touched: it is only made as if.
    pub shadow: bool,
    /// For how long.
    pub length: Duration,
    /// Who wants it.
    pub by: Person,
}

/// A drill of one site that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// The entry of the log that began it.
    pub index: u64,
    /// What was wanted.
    pub order: DrillOrder,
    /// When it began, and who led then: another term is another leader.
    #[serde(default)]
    pub begun: Option<Stamp>,
    /// Its time is over: the site may come back, and gets its authority back.
    pub over: bool,
}

/// The last drill of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDrill {
    /// The entry of the log that began it.
    pub index: u64,
    /// When, by the leader's wall clock.
    pub begun: UnixMicros,
    /// Was it good? Unknown until it was measured.
    pub good: Option<bool>,
    /// What was wanted.
    #[serde(default)]
    pub order: Option<DrillOrder>,
    /// The leader changed while it went on: its figures are not those of a failure alone, and it is not good.
    #[serde(default)]
    pub interrupted: bool,
    /// The node that measured it, and keeps the report.
    #[serde(default)]
    pub told_by: Option<NodeId>,
}

impl Drill {
    /// Does `at` belong to another reign than the one it began in?
    pub fn is_interrupted_at(&self, at: Stamp) -> bool {
        self.begun.is_some_and(|begun| begun.term != at.term)
    }

    /// Does the site hear of nothing while it lasts, because it left the network for real?
    pub fn is_cut_off(&self) -> bool {
        self.order.kind.hides_cameras() && !self.order.shadow
    }
}

impl LastDrill {
    pub(super) fn begun(at: Stamp, order: &DrillOrder) -> Self {
        let order = Some(order.clone());
        Self { index: at.index, begun: at.time, good: None, order, interrupted: false, told_by: None }
    }
}
