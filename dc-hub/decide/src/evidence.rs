//! What a candidate host saw of a site's cameras. The host probes them all the time with RTSP OPTIONS without
//! credentials; any RTSP reply, 401 and 503 included, is an answer.
//!
//! Only durations travel, measured on the host's boot clock, so no two clocks need to agree; who reads a report
//! counts from its arrival. Its way makes a path look younger than it is, which is the safe side, and an
//! answer fresher than it is, by as much as the report was under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{CameraId, HostId, PathId, SiteId};

/// A report of one host about one site: to every voter, after every asking (500 ms by default).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Whose cameras.
    pub site: SiteId,
    /// Who asked them.
    pub host: HostId,
    /// Over which path.
    pub path: PathId,
    /// For how long, up to the last answer, the path has been without a break: some camera answered every
    /// asking. `None` while nothing answers.
    pub unbroken: Option<Duration>,
    /// How old the last answer was when this was sent.
    pub age: Duration,
    /// The cameras that answered the last asking.
    pub cameras: Arc<BTreeMap<CameraId, Answer>>,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Answer {
    /// It answers, and its streams could be had.
    Free,
    /// It answers, but says that it has no session to give away: recording it would take one from the site.
    Busy,
}

impl Answers {
    /// Does any camera answer?
    pub fn any(&self) -> bool {
        self.unbroken.is_some() && !self.cameras.is_empty()
    }
}
