//! Rules that can be switched off, to see that somebody notices.

use std::fmt;
use std::str::FromStr;

/// One rule switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The vault acks what it has written and not synced.
    AckBeforeSync,
    /// What the vault tells it holds runs over holes of one.
    Ranges,
    /// Neither the log nor an enforcer compares epochs.
    EpochCheck,
    /// One silent voter is enough.
    Majority,
    /// A round of an earlier reign, or a word about an earlier round, counts.
    StaleRound,
    /// A beat that was heard does not close the round.
    HealRace,
    /// Whoever proposes a verdict counts as silent.
    ProposerCounts,
    /// An entry is committed before its file is durable.
    IndexBeforeFile,
    /// A run goes on in the ledgers of the run before it.
    OriginReuse,
}

impl Mutant {
    /// All of them, with the names they have on the command line.
    pub const ALL: [(&'static str, Self); 9] = [
        ("epoch-check", Self::EpochCheck),
        ("majority", Self::Majority),
        ("ack-before-sync", Self::AckBeforeSync),
        ("index-before-file", Self::IndexBeforeFile),
        ("ranges", Self::Ranges),
        ("stale-round", Self::StaleRound),
        ("heal-race", Self::HealRace),
        ("proposer-counts", Self::ProposerCounts),
        ("origin-reuse", Self::OriginReuse),
    ];

    /// The rule of the deciding cores that it switches off, if it is one of theirs.
    pub fn rule(self) -> Option<decide::Mutant> {
        match self {
            Self::EpochCheck => Some(decide::Mutant::EpochCheck),
            Self::Majority => Some(decide::Mutant::Majority),
            Self::StaleRound => Some(decide::Mutant::StaleRound),
            Self::HealRace => Some(decide::Mutant::HealRace),
            Self::ProposerCounts => Some(decide::Mutant::ProposerCounts),
            Self::AckBeforeSync | Self::IndexBeforeFile | Self::Ranges | Self::OriginReuse => None,
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, mutant)| mutant == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Mutant {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        let names: Vec<_> = Self::ALL.iter().map(|(name, _)| *name).collect();
        found
            .map(|(_, mutant)| *mutant)
            .ok_or_else(|| format!("there is no mutant `{text}`: it is one of {}", names.join(", ")))
    }
}
