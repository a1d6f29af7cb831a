//! Drills: a failure that is rehearsed, for a stated time, and what became of the last ones.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::UnixMicros;

use super::command::Person;
use super::state::Stamp;

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
}

impl LastDrill {
    pub(super) fn begun(at: Stamp) -> Self {
        Self { index: at.index, begun: at.time, good: None }
    }
}
