//! The rules, one file each, with the reason.
//!
//! Some can be broken at one moment and are checked there, by whoever changes what they speak of; the
//! functions here look at the whole world, after a crash, and when everything is quiet.

use std::fmt;

use crate::time::Time;

pub mod acked;
pub mod authority;
pub mod coverage;
pub mod equal;
pub mod majority;
pub mod recording;
pub mod settled;
pub mod takeover;

/// A rule, numbered as in the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// 1: at most one authority per virtual server and epoch; enforcers never go back.
    Authority,
    /// 2: no activation without a recorded majority.
    Majority,
    /// 2: a silent site with answering cameras is activated.
    Takeover,
    /// 2: no activation twice within the backoff window.
    Backoff,
    /// Liveness: authority comes to rest where the policy wants it.
    Settled,
    /// 3: an acked segment is never lost or altered; one (origin, stream, seq), one hash.
    Acked,
    /// 4: recording at the site has no gap because of the WAN, the hub or the quorum.
    Recording,
    /// 5: after heal and quiet both sides are equal, and know it of each other.
    Equal,
    /// 6: every scheduled instant is covered or explained.
    Coverage,
    /// 7: a site reads and writes only its own.
    Own,
    /// 8: every queue has a bound.
    Bounds,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "1 (one authority per epoch)",
            Self::Majority => "2 (no activation without a majority)",
            Self::Takeover => "2 (a dead recorder is taken over)",
            Self::Backoff => "2 (no activation twice within the backoff window)",
            Self::Settled => "liveness (authority comes to rest)",
            Self::Acked => "3 (acked is never lost or altered)",
            Self::Recording => "4 (recording at the site has no gap)",
            Self::Equal => "5 (both sides equal when all is quiet)",
            Self::Coverage => "6 (every instant covered or explained)",
            Self::Own => "7 (a site touches only its own)",
            Self::Bounds => "8 (every queue has a bound)",
        })
    }
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When.
    pub at: Time,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: invariant {} is broken: {}", self.at, self.invariant, self.what)
    }
}
