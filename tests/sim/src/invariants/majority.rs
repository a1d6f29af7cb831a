//! 2: No activation without a recorded majority.
//!
//! A standby that takes over on fewer voices than a majority of the *configured* voters can be contradicted by
//! the others a moment later. The rule is written here a second time, from the log alone: the round's Suspect and
//! the Verdict are of one reign; between them a majority of every set of voters wrote Silent for that round,
//! each for itself; nobody wrote Heard.

use std::collections::BTreeSet;

use decide::control::{Command, Ground, Why};
use decide::{NodeId, SiteId};

use crate::control::log::Entry;
use crate::invariants::Invariant;
use crate::stage::Stage;
use crate::watched::Watched;

/// A round, as the log tells it.
#[derive(Clone, Debug)]
pub struct Round {
    /// Of which entry.
    pub index: u64,
    /// In which reign.
    pub term: u64,
    /// Who wrote Silent.
    pub silent: BTreeSet<NodeId>,
    /// Did anybody write Heard?
    pub heard: bool,
    /// Has nothing come of it yet?
    pub open: bool,
}

/// An entry was applied, for the first time anywhere.
pub fn follow(watched: &mut Watched, index: usize, entry: &Entry, command: &Command, accepted: bool) {
    match command {
        Command::Membership(membership) => {
            watched.voted.extend(membership.voters());
            watched.membership = membership.clone();
        }
        Command::Suspect { site, .. } if accepted => {
            let round = Round {
                index: index as u64 + 1,
                term: entry.term,
                silent: BTreeSet::new(),
                heard: false,
                open: true,
            };
            watched.rounds.insert(site.clone(), round);
        }
        Command::Silent { site, round, voter, .. } => {
            let open = watched.rounds.get_mut(site).filter(|open| open.index == round.0);
            if let Some(open) = open {
                open.silent.insert(*voter);
            }
        }
        // Who was taken out of the voters counts for nothing, whatever it says.
        Command::Heard { voter, .. }
            if watched.voted.contains(voter) && !watched.membership.contains(*voter) => {}
        Command::Heard { site, round, .. } => {
            let open = watched.rounds.get_mut(site).filter(|open| open.index == round.0);
            if let Some(open) = open {
                open.heard |= open.open;
                open.open = false;
            }
        }
        _ => {}
    }
}

/// Authority moved, for the reason `why`.
pub fn check(stage: &mut Stage, watched: &Watched, term: u64, site: &SiteId, why: &Why) {
    let Ground::Silence(silence) = &why.ground else { return };
    let broken = match watched.rounds.get(site) {
        None => Some("no round was ever opened".to_owned()),
        Some(round) if round.index != silence.round.0 => {
            Some(format!("it rests on round {}, the last one is {}", silence.round.0, round.index))
        }
        Some(round) if round.term != term => {
            Some(format!("the round is of term {}, the verdict of term {term}", round.term))
        }
        Some(round) if round.heard => Some("somebody heard the recorder in this round".to_owned()),
        Some(round) => too_few(watched, &round.silent),
    };
    if let Some(broken) = broken {
        stage.violate(Invariant::Majority, format!("{site} was taken over: {broken}"));
    }
}

fn too_few(watched: &Watched, silent: &BTreeSet<NodeId>) -> Option<String> {
    let sets = &watched.membership.sets;
    let short = sets.iter().find(|set| set.intersection(silent).count() * 2 <= set.len());
    let short = short.map(|set| format!("of the voters {set:?} only {silent:?} wrote Silent"));
    if sets.is_empty() { Some("there are no voters".to_owned()) } else { short }
}
