//! The verdict: the first line that matches what was committed and seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::beat::Bye;
use crate::control::{Plan, Tally};
use crate::detector::{Basis, Quiet, Unfit};
use crate::epoch::Round;
use crate::evidence::Answers;
use crate::ids::{CameraId, HostId, NodeId};

/// Everything a verdict is read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Whose recorder: where it runs.
    pub holder: HostId,
    /// What was said beforehand.
    pub plan: Option<Plan>,
    /// Why this node can't say.
    pub unfit: Option<Unfit>,
    /// Who hears the recorder, and how.
    pub hearing: Hearing,
    /// Cameras that answer and don't progress.
    pub stalled: BTreeSet<CameraId>,
    /// The open round.
    pub round: Option<Round>,
    /// Who said Silent in it, and on what it rested.
    pub silent: BTreeMap<NodeId, Quiet>,
    /// How they count.
    pub tallies: Vec<Tally>,
    /// Has everybody had the time to hear a beat since the round was opened?
    pub listened: bool,
    /// What the candidate host sees, if cameras answer.
    pub answers: Option<Answers>,
    /// Is the candidate's own node silent too, if it votes?
    pub candidate_silent: bool,
    /// Has the path been open long enough since it was last broken?
    pub settled: bool,
    /// Has silence alone lasted long enough?
    pub long: bool,
}

/// Who hears a recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hearing {
    /// This node, itself.
    Here,
    /// Another node, itself.
    Elsewhere,
    /// Somebody, through another site only.
    Relayed,
    /// Nobody, as far as is known.
    Nobody,
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Line {
    /// Maintenance, or the run said goodbye: the standby records before, or at once.
    Planned,
    /// This node is not fit to say.
    Abstain,
    /// Heard, and progressing, by this node itself.
    Well,
    /// Heard, but not by this node: some path is broken. No activation.
    PathFault,
    /// Heard through another site only: it is cut off. No activation.
    Isolated,
    /// Heard, and some cameras that answer don't progress: the standby records those.
    Gray,
    /// Silent to a majority, and cameras answer: activate.
    RecorderLost,
    /// Silent to a majority, and cameras silent too: arm.
    Dark,
    /// Not known yet: the round, or a timer, goes on.
    Open,
}

/// Reads the table from the top.
pub fn read(facts: &Facts) -> Line {
    match facts.hearing {
        _ if facts.is_planned() => Line::Planned,
        _ if facts.unfit.is_some() => Line::Abstain,
        Hearing::Here | Hearing::Elsewhere | Hearing::Relayed if !facts.stalled.is_empty() => Line::Gray,
        Hearing::Here => Line::Well,
        Hearing::Elsewhere => Line::PathFault,
        Hearing::Relayed => Line::Isolated,
        Hearing::Nobody if facts.is_restarting() => Line::Open,
        Hearing::Nobody if !facts.is_majority() || !facts.all_have_spoken() => Line::Open,
        Hearing::Nobody if facts.answers.is_some() && facts.accuses() => Line::RecorderLost,
        Hearing::Nobody if facts.answers.is_none() && facts.long => Line::Dark,
        Hearing::Nobody => Line::Open,
    }
}

impl Facts {
    /// A restart only waits: it is no plan to take over.
    fn is_planned(&self) -> bool {
        !matches!(self.plan, None | Some(Plan::Bye { bye: Bye::Restart { .. }, .. }))
    }

    /// A stated restart is waited for; whoever leads ends the plan when that has taken too long.
    pub(super) fn is_restarting(&self) -> bool {
        matches!(self.plan, Some(Plan::Bye { bye: Bye::Restart { .. }, .. }))
    }

    fn is_majority(&self) -> bool {
        !self.tallies.is_empty() && self.tallies.iter().all(Tally::is_majority)
    }

    /// A majority that is cut off is silent at once; whoever still hears needs a beat to say so. So a verdict
    /// waits for every voter's word, or for the time that a beat takes.
    fn all_have_spoken(&self) -> bool {
        self.listened || self.tallies.iter().all(|tally| tally.said == tally.voters)
    }

    /// Do the cameras' answers accuse the recorder? They do if everybody's silence was over an unbroken path,
    /// or if the recorder had the time to redial since the path was last broken. They came over the candidate's
    /// path, and say nothing of others': so its own node is waited for, as long as silence alone would be.
    fn accuses(&self) -> bool {
        (self.candidate_silent || self.long) && self.is_path_good()
    }

    fn is_path_good(&self) -> bool {
        self.settled || self.silent.values().all(|quiet| matches!(quiet.basis, Basis::Unbroken { .. }))
    }
}
