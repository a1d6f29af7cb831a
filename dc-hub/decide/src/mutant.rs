//! Rules that can be switched off, one at a time, to prove that the simulator notices.
//!
//! Without the feature `mutants` every question is answered `false` at compile time, and no switch exists.

/// A rule, by what is wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The epoch's compare-and-set in the log, and the enforcers' gate, are not asked.
    EpochCheck,
    /// One silent voter is enough.
    Majority,
    /// A round of an earlier term, or a word about an earlier round, counts.
    StaleRound,
    /// A beat that was heard doesn't close the round.
    HealRace,
    /// Whoever proposes a verdict is counted as silent.
    ProposerCounts,
}

/// Which rule is off, if any. The same on every replica of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    #[cfg(feature = "mutants")]
    off: Option<Mutant>,
}

impl Rules {
    /// Every rule holds but this one.
    #[cfg(feature = "mutants")]
    pub fn without(rule: Mutant) -> Self {
        Self { off: Some(rule) }
    }

    /// Is this mutant at work? Never, outside the simulator.
    #[cfg(feature = "mutants")]
    pub fn enabled(self, mutant: Mutant) -> bool {
        self.off == Some(mutant)
    }

    /// Is this mutant at work? Never, outside the simulator.
    #[cfg(not(feature = "mutants"))]
    pub const fn enabled(self, _: Mutant) -> bool {
        false
    }
}
