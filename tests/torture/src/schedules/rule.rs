//! Rules that an archive and whoever uses it live by. Without any of them promises must be broken, or schedules prove
//! nothing.

use clap::ValueEnum;

/// What is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// Whoever records tells of what became durable once it is; without, before
    SyncBeforeAck,
    /// A segment's file is durable before the index names it; without, the disk syncs the index and no segment
    FileBeforeIndex,
    /// Each run has an origin of its own; without, a run goes on with the last one that its archive knows
    NewOrigin,
}

impl Rule {
    /// As it is given on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
