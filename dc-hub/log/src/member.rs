//! Who is in the log, as Raft itself carries it.

use decide::control::Role;
use serde::{Deserialize, Serialize};

/// A node of the control log, beside its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What it keeps. Both kinds vote.
    pub role: Role,
    /// The node's name in its certificate.
    pub name: String,
    /// Where the others reach it: `host:port`.
    pub address: String,
}

/// What to do where a change would leave two voters, who can't agree on anything while either is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TwoVoters {
    /// Say so and change nothing.
    #[default]
    Refuse,
    /// A person knows, and has more nodes coming.
    Accept,
}

impl TwoVoters {
    /// Is a log of so many voters to be refused?
    pub(crate) fn refuses(self, voters: usize) -> bool {
        voters == 2 && self == Self::Refuse
    }
}

/// openraft's suite makes nodes of nothing.
#[cfg(test)]
impl Default for Member {
    fn default() -> Self {
        Self { role: Role::Full, name: "node".into(), address: "node:7443".into() }
    }
}
