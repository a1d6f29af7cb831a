//! What a node wants its shell to do.

use serde::{Deserialize, Serialize};

use super::table::{Facts, Line};
use crate::control::Command;
use crate::ids::{HostId, SiteId};

/// One wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Propose this to the control log, through whoever leads. Dropping it is allowed: it is wished again.
    Propose(Command),
    /// Tell this to whoever leads, once; it may get lost.
    Hint(Hint),
    /// Ask other sites to relay this site's beat, signed over this nonce.
    AskPeers {
        /// Whose beat.
        site: SiteId,
        /// Good for every beat until another is given out, or the site is heard directly.
        nonce: u64,
    },
    /// The verdict about a site reads differently: for `holdfast why` and the surfaces.
    Told(Box<Telling>),
}

/// What nodes tell each other beside the log. Nothing is decided by it: it makes a leader ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hint {
    /// This recorder is silent to me, for as long as I ask for.
    Silent {
        /// Whose.
        site: SiteId,
        /// Where it runs.
        holder: HostId,
    },
}

/// How the verdict reads now, and everything it was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// About whom.
    pub site: SiteId,
    /// The line that matches.
    pub line: Line,
    /// What it was read from.
    pub facts: Facts,
}
