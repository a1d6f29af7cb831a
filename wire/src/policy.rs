//! How the bytes of a site's streams come to its hub: whether, when, and whose first.
//!
//! Entries always go, so that the hub's timeline knows of everything; a policy is about bytes only. It is a stream's,
//! and holds for all its ledgers, old ones too. The site says it in its Hello and acts by what it said there.

use std::collections::BTreeMap;

use crate::id::{NameError, StreamId};
use crate::proto;

/// The priority of a stream of which nothing else is said.
pub const PRIORITY: u8 = 100;

/// Whether a stream's bytes cross, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Replicate {
    /// As they are recorded, and what was missed as backlog.
    #[default]
    Live,
    /// As backlog, within the site's windows.
    Scheduled,
    /// When the hub asks for them.
    OnDemand,
    /// Not at all: asking is of no use.
    Never,
}

impl Replicate {
    /// All of them, by their word in configurations and answers.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("live", Self::Live),
        ("scheduled", Self::Scheduled),
        ("on_demand", Self::OnDemand),
        ("never", Self::Never),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, one)| *one == self).map_or("live", |(word, _)| word)
    }

    /// Of its word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, one)| *one)
    }

    /// Do bytes stay at the site, unless somebody asks for them? Then nobody waits for them.
    pub fn withholds(self) -> bool {
        matches!(self, Self::OnDemand | Self::Never)
    }

    fn to_proto(self) -> proto::Replicate {
        match self {
            Self::Live => proto::Replicate::Live,
            Self::Scheduled => proto::Replicate::Scheduled,
            Self::OnDemand => proto::Replicate::OnDemand,
            Self::Never => proto::Replicate::Never,
        }
    }

    fn from_proto(told: proto::Replicate) -> Self {
        match told {
            proto::Replicate::Live => Self::Live,
            proto::Replicate::Scheduled => Self::Scheduled,
            proto::Replicate::OnDemand => Self::OnDemand,
            proto::Replicate::Never => Self::Never,
        }
    }
}

/// One stream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether its bytes cross, and when.
    pub replicate: Replicate,
    /// Whose backlog goes first: the higher.
    pub priority: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self { replicate: Replicate::default(), priority: PRIORITY }
    }
}

/// Those of a site's streams. One that is not named has the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies(BTreeMap<StreamId, Policy>);

impl Policies {
    /// A stream's.
    pub fn of(&self, stream: &StreamId) -> Policy {
        self.0.get(stream).copied().unwrap_or_default()
    }

    /// Whether a stream's bytes cross, and when.
    pub fn replicate(&self, stream: &StreamId) -> Replicate {
        self.of(stream).replicate
    }

    /// Sets a stream's.
    pub fn set(&mut self, stream: StreamId, policy: Policy) {
        if policy == Policy::default() {
            self.0.remove(&stream);
        } else {
            self.0.insert(stream, policy);
        }
    }

    /// All that are not the default.
    pub fn iter(&self) -> impl Iterator<Item = (&StreamId, Policy)> {
        self.0.iter().map(|(stream, policy)| (stream, *policy))
    }

    /// As they are said in a Hello.
    pub fn to_proto(&self) -> Vec<proto::StreamPolicy> {
        let told = |(stream, policy): (&StreamId, &Policy)| proto::StreamPolicy {
            stream: stream.as_str().to_owned(),
            replicate: policy.replicate.to_proto().into(),
            priority: policy.priority.into(),
        };
        self.0.iter().map(told).collect()
    }

    /// Reads what a Hello says. A word of a later version counts as `live`.
    pub fn from_proto(told: &[proto::StreamPolicy]) -> Result<Self, NameError> {
        let mut policies = Self::default();
        for told in told {
            let replicate = Replicate::from_proto(told.replicate());
            let priority = u8::try_from(told.priority).unwrap_or(u8::MAX);
            policies.set(told.stream.parse()?, Policy { replicate, priority });
        }
        Ok(policies)
    }
}

impl FromIterator<(StreamId, Policy)> for Policies {
    fn from_iter<I: IntoIterator<Item = (StreamId, Policy)>>(streams: I) -> Self {
        let mut policies = Self::default();
        streams.into_iter().for_each(|(stream, policy)| policies.set(stream, policy));
        policies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_read_and_defaults_are_not_said() {
        let stream = |name: &str| -> StreamId { name.parse().unwrap() };
        let policy = |replicate, priority| Policy { replicate, priority };
        let all = [
            (stream("a/main"), policy(Replicate::Live, PRIORITY)),
            (stream("b/main"), policy(Replicate::Scheduled, 7)),
            (stream("b/sub"), policy(Replicate::OnDemand, PRIORITY)),
            (stream("c/main"), policy(Replicate::Never, 0)),
            (stream("d/main"), policy(Replicate::Live, 200)),
        ];
        let policies: Policies = all.iter().cloned().collect();
        let told = policies.to_proto();
        assert_eq!(told.len(), 4);
        let read = Policies::from_proto(&told).unwrap();
        assert_eq!(read, policies);
        for (stream, policy) in &all {
            assert_eq!(read.of(stream), *policy, "{stream}");
        }
        assert_eq!(read.of(&stream("unknown/main")), Policy::default());
    }

    #[test]
    fn words_are_read_back_and_a_later_ones_is_live() {
        for (word, replicate) in Replicate::WORDS {
            assert_eq!((replicate.word(), Replicate::of_word(word)), (word, Some(replicate)));
        }
        let later = proto::StreamPolicy { stream: "a/main".to_owned(), replicate: 99, priority: 100 };
        let read = Policies::from_proto(&[later]).unwrap();
        assert_eq!(read.replicate(&"a/main".parse().unwrap()), Replicate::Live);
    }
}
