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
    /// A run goes on in the ledgers of the run before it.
    OriginReuse,
}

impl Mutant {
    /// All of them, with the names they have on the command line.
    pub const ALL: [(&'static str, Self); 3] = [
        ("ack-before-sync", Self::AckBeforeSync),
        ("ranges", Self::Ranges),
        ("origin-reuse", Self::OriginReuse),
    ];
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
