//! A log that is written and synced in groups: a database's write-ahead log, the hub's tail journal.
//!
//! What is written waits for the sync that begins after it; what a sync covered is durable when it ends. A
//! power cut keeps any beginning of what was not: a record that was cut in the middle fails its checksum and
//! ends the log.

use crate::chance::Chance;

/// Records on their way to being durable. What is durable is the owner's to keep.
#[derive(Clone, Debug)]
pub struct LogFile<T> {
    syncing: Vec<T>,
    waiting: Vec<T>,
}

impl<T> Default for LogFile<T> {
    fn default() -> Self {
        Self { syncing: Vec::new(), waiting: Vec::new() }
    }
}

impl<T> LogFile<T> {
    /// Writes a record. True: a sync begins now, and [`Self::synced`] is to be called when it ends.
    #[must_use]
    pub fn write(&mut self, record: T) -> bool {
        self.waiting.push(record);
        self.begin()
    }

    /// The sync ends: these are durable. If the flag is true the next one begins.
    pub fn synced(&mut self) -> (Vec<T>, bool) {
        let durable = std::mem::take(&mut self.syncing);
        (durable, self.begin())
    }

    /// What is written and not durable, in order.
    pub fn pending(&self) -> impl Iterator<Item = &T> {
        self.syncing.iter().chain(&self.waiting)
    }

    /// How many records are not durable.
    pub fn len(&self) -> usize {
        self.syncing.len() + self.waiting.len()
    }

    /// Is everything durable?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The process is gone: all that was written is in the kernel's hands, and stays.
    pub fn killed(&mut self) -> Vec<T> {
        let mut kept = std::mem::take(&mut self.syncing);
        kept.append(&mut self.waiting);
        kept
    }

    /// The power is gone: what is left of what was not durable.
    pub fn power_cut(&mut self, chance: &mut Chance) -> Vec<T> {
        let mut left = self.killed();
        left.truncate(chance.below(left.len() + 1));
        left
    }

    fn begin(&mut self) -> bool {
        let begins = self.syncing.is_empty() && !self.waiting.is_empty();
        if begins {
            std::mem::swap(&mut self.syncing, &mut self.waiting);
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sync_at_a_time_and_what_comes_meanwhile_waits() {
        let mut log = LogFile::default();
        assert!(log.write(1));
        assert!(!log.write(2));
        assert_eq!(log.synced(), (vec![1], true));
        assert_eq!(log.synced(), (vec![2], false));
    }

    #[test]
    fn a_power_cut_keeps_a_beginning() {
        let lengths: std::collections::BTreeSet<_> = (0..64)
            .map(|seed| {
                let mut log = LogFile::default();
                (0..3).for_each(|record| {
                    let _ = log.write(record);
                });
                let left = log.power_cut(&mut Chance::of(seed, "log"));
                assert!(left.iter().copied().eq(0..left.len()));
                left.len()
            })
            .collect();
        assert_eq!(lengths.len(), 4);
    }
}
