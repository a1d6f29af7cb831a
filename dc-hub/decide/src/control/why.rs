//! A verdict with everything it rests on, as data: what `holdfast why SITE` tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::UnixMicros;

use super::command::{Person, Plan};
use super::membership::Tally;
use crate::detector::Quiet;
use crate::epoch::{Epoch, Round, Term};
use crate::evidence::Answers;
use crate::ids::{HostId, NodeId};

/// Why authority is where it is, or why a standby is armed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The entry of the log that decided it.
    pub index: u64,
    /// Under which leader's reign.
    pub term: Term,
    /// When, by that leader's wall clock. For people: nothing is decided by it.
    pub stamped: UnixMicros,
    /// The epoch before.
    pub before: Epoch,
    /// The epoch after.
    pub after: Epoch,
    /// What it rests on.
    pub ground: Ground,
}

/// What a change of authority rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ground {
    /// A majority was silent towards the recorder.
    Silence(Silence),
    /// It was said beforehand.
    Planned(Plan),
    /// A person wanted it.
    Person {
        /// Who.
        by: Person,
        /// Why.
        reason: String,
    },
    /// The site has healed.
    Healed {
        /// Which standby gave back.
        from: HostId,
        /// The person who asked, if it was one.
        by: Option<Person>,
    },
}

/// A round and what it brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Which round.
    pub round: Round,
    /// Whose recorder.
    pub holder: HostId,
    /// Who said Silent, and on what it rested.
    pub silent: BTreeMap<NodeId, Quiet>,
    /// How they counted: one line per set of voters.
    pub tallies: Vec<Tally>,
    /// Who proposed it.
    pub proposer: NodeId,
    /// What the candidate host saw, if cameras answered.
    pub answers: Option<Answers>,
}
