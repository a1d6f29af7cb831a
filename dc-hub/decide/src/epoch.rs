//! The numbers that order authority: epochs fence, rounds make silence fresh, terms name a leader's reign.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The fencing number of one virtual server. Whoever acts with authority shows the epoch it was given, and no
/// enforcer goes back. It guards authority, never recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// Which history of the control log gave it.
    pub generation: Generation,
    /// Counts the moves of authority within the history.
    pub n: u64,
}

impl Epoch {
    /// The next one of the same history.
    pub fn next(self) -> Self {
        Self { n: self.n + 1, ..self }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}:{}", self.generation.count, self.generation.salt, self.n)
    }
}

/// A history of the control log: raised when one is restored or recovered by force.
///
/// Two restores of one backup that know nothing of each other count to the same number; the salt, drawn for
/// each, keeps their epochs apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation {
    /// One more than any seen.
    pub count: u64,
    /// Drawn at random for this history.
    pub salt: u64,
}

impl Generation {
    /// A generation above this one.
    pub fn above(self, salt: u64) -> Self {
        Self { count: self.count.saturating_add(1), salt }
    }
}

/// One asking of all voters whether a virtual server is silent: the log index at which it was asked, so that
/// no two rounds are ever confused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Round(pub u64);

/// A leader's reign in the control log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_history_is_above_every_epoch_of_an_earlier_one() {
        let old = Epoch { generation: Generation { count: 1, salt: u64::MAX }, n: 1_000_000 };
        let new = Epoch { generation: old.generation.above(0), n: 0 };
        assert!(new > old && old.next() > old && old.next() < new);
    }

    #[test]
    fn two_restores_of_one_backup_never_give_the_same_epoch() {
        let backup = Generation { count: 1, salt: 7 };
        assert_ne!(backup.above(11), backup.above(12));
    }
}
