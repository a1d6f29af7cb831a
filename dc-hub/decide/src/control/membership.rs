//! Who votes: one set of voters, or two while a change is under way.
//!
//! The sets are a fact of the log, which has its own rules for changing them; they are never refused here. A
//! node id that was removed and comes back stays in the denominator and is never counted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// What a node keeps. Both kinds vote and observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Everything.
    Full,
    /// The control log only.
    Witness,
}

/// The voters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// One set, or the old and the new one while they are joint.
    pub sets: Vec<BTreeSet<NodeId>>,
}

impl Membership {
    /// One set.
    pub fn of(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { sets: vec![voters.into_iter().collect()] }
    }

    /// Old and new at once.
    pub fn joint(old: impl IntoIterator<Item = NodeId>, new: impl IntoIterator<Item = NodeId>) -> Self {
        Self { sets: vec![old.into_iter().collect(), new.into_iter().collect()] }
    }

    /// Is it in any set?
    pub fn contains(&self, node: NodeId) -> bool {
        self.sets.iter().any(|set| set.contains(&node))
    }

    /// Every voter, once.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.sets.iter().flatten().copied().collect()
    }

    /// How `said` counts in each set.
    pub fn count(&self, said: &BTreeSet<NodeId>) -> Vec<Tally> {
        let tally =
            |set: &BTreeSet<NodeId>| Tally { said: set.intersection(said).count(), voters: set.len() };
        self.sets.iter().map(tally).collect()
    }

    /// Are they a majority of all configured voters, in every set?
    pub fn is_majority(&self, said: &BTreeSet<NodeId>) -> bool {
        !self.sets.is_empty() && self.count(said).iter().all(Tally::is_majority)
    }
}

/// A count in one set of voters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// So many said so…
    pub said: usize,
    /// …of so many that are configured, alive or not.
    pub voters: usize,
}

impl Tally {
    /// More than half.
    pub fn is_majority(&self) -> bool {
        self.said * 2 > self.voters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
        ids.into_iter().map(NodeId).collect()
    }

    #[test]
    fn half_is_no_majority_and_nobody_is_none() {
        let four = Membership::of(nodes(1..=4));
        assert!(!four.is_majority(&nodes([1, 2])) && four.is_majority(&nodes([1, 2, 3])));
        assert!(!Membership::default().is_majority(&nodes([1, 2, 3])));
        assert!(!Membership::of([]).is_majority(&nodes([])), "an empty set has no majority");
    }

    #[test]
    fn while_joint_both_sets_are_needed() {
        let joint = Membership::joint(nodes([1, 2, 3]), nodes([3, 4, 5]));
        assert!(!joint.is_majority(&nodes([1, 2, 3])), "only the old set");
        assert!(!joint.is_majority(&nodes([3, 4, 5])), "only the new set");
        assert!(joint.is_majority(&nodes([1, 3, 4])));
    }

    #[test]
    fn strangers_do_not_count() {
        assert!(!Membership::of(nodes([1, 2, 3])).is_majority(&nodes([1, 8, 9])));
    }
}
