//! What a candidate host's report says of the path, on this voter's boot clock.

use crate::evidence::Answers;
use crate::time::Boot;

/// A report, and when it came.
#[derive(Clone, Debug)]
pub(super) struct PathView {
    pub(super) arrived: Boot,
    pub(super) answers: Answers,
}

impl PathView {
    pub(super) fn of(now: Boot, answers: &Answers) -> Self {
        Self { arrived: now, answers: answers.clone() }
    }

    /// The path has held from here on, at the latest: the way of the report makes it later, never earlier.
    pub(super) fn begun(&self) -> Option<Boot> {
        self.answers.unbroken.map(|unbroken| self.ends() - unbroken)
    }

    /// Up to here the report speaks of the path.
    pub(super) fn ends(&self) -> Boot {
        self.arrived - self.answers.age
    }

    /// Did it hold from `from` to `to`?
    pub(super) fn held(&self, from: Boot, to: Boot) -> bool {
        self.begun().is_some_and(|begun| begun <= from) && self.ends() >= to
    }
}
