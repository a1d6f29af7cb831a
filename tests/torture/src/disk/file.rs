//! A file on a disk: what processes see of it, what is durable, and what a power cut leaves. Pure.

use std::collections::BTreeSet;
use std::ops::Range;

use rand::Rng;

use super::model::Lost;

/// What is written as one, mostly.
const PAGE: usize = 4096;
/// What a disk writes as one, always.
const SECTOR: usize = 512;

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Written since the last sync.
    dirty: Vec<Range<usize>>,
    /// The shortest it was since then.
    shortest: usize,
    /// How often processes have it open.
    pub(super) open: usize,
}

/// What becomes of a page that was written and not synced.
enum Fate {
    Kept,
    Lost,
    /// Some of its sectors are kept.
    Torn,
}

impl File {
    /// As processes see it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn write(&mut self, from: usize, data: &[u8]) {
        let (old, to) = (self.bytes.len(), from + data.len());
        if to > old {
            self.bytes.resize(to, 0);
        }
        self.bytes[from..to].copy_from_slice(data);
        // The hole before it is zeros from now on, too.
        self.touch(from.min(old)..to);
    }

    pub(super) fn resize(&mut self, to: usize) {
        let old = self.bytes.len();
        self.bytes.resize(to, 0);
        self.shortest = self.shortest.min(to);
        if to > old {
            self.touch(old..to);
        }
    }

    pub(super) fn sync(&mut self) {
        self.synced.truncate(self.shortest);
        self.synced.resize(self.bytes.len(), 0);
        for range in self.dirty.drain(..) {
            let end = range.end.min(self.bytes.len());
            if range.start < end {
                self.synced[range.start..end].copy_from_slice(&self.bytes[range.start..end]);
            }
        }
        self.shortest = self.bytes.len();
    }

    /// Keeps of each page what is synced, or what was written, or some sectors of each.
    pub(super) fn lose_power(&mut self, chance: &mut impl Rng, lost: &mut Lost) {
        let mut left = self.synced.clone();
        if self.shortest < self.synced.len() && chance.random() {
            left.truncate(self.shortest);
        }
        let dirty: BTreeSet<usize> =
            self.dirty.iter().flat_map(|range| range.start / PAGE..range.end.div_ceil(PAGE)).collect();
        for page in dirty {
            let at = page * PAGE..((page + 1) * PAGE).min(self.bytes.len());
            match Fate::of(at.clone(), chance) {
                Fate::Lost => lost.pages += 1,
                Fate::Kept => self.keep(at, &mut left),
                Fate::Torn => {
                    (lost.pages, lost.torn) = (lost.pages + 1, lost.torn + 1);
                    for from in at.clone().step_by(SECTOR).filter(|_| chance.random()) {
                        self.keep(from..(from + SECTOR).min(at.end), &mut left);
                    }
                }
            }
        }
        self.dirty.clear();
        self.shortest = left.len();
        self.bytes.clone_from(&left);
        self.synced = left;
    }

    /// A bit flips; false if there is none.
    pub(super) fn rot(&mut self, chance: &mut impl Rng) -> bool {
        if self.synced.is_empty() {
            return false;
        }
        let (at, bit) = (chance.random_range(0..self.synced.len()), 1 << chance.random_range(0..8));
        self.synced[at] ^= bit;
        if !self.dirty.iter().any(|range| range.contains(&at))
            && let Some(byte) = self.bytes.get_mut(at)
        {
            *byte ^= bit;
        }
        true
    }

    fn touch(&mut self, range: Range<usize>) {
        match self.dirty.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.dirty.push(range),
        }
    }

    fn keep(&self, at: Range<usize>, left: &mut Vec<u8>) {
        left.resize(left.len().max(at.end), 0);
        left[at.clone()].copy_from_slice(&self.bytes[at]);
    }
}

impl Fate {
    fn of(page: Range<usize>, chance: &mut impl Rng) -> Self {
        match chance.random_range(0..8) {
            _ if page.is_empty() => Self::Lost,
            0..3 => Self::Kept,
            3..6 => Self::Lost,
            _ => Self::Torn,
        }
    }
}
