//! Propagation: every packet comes out a while after it went in, some later than others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::chance::{Chance, unit};
use crate::path::Item;
use crate::settings::{Jitter, PathSettings, nanos};

/// How often a wandering delay gets a new level.
const WANDER_EVERY: u64 = 10_000_000;

pub(crate) struct Delay<P> {
    wander: Chance,
    inside: BinaryHeap<Reverse<Due<P>>>,
    /// Nobody who keeps in line comes out before this.
    line: u64,
}

struct Due<P> {
    at: u64,
    item: Item<P>,
}

impl<P> Delay<P> {
    pub(crate) fn new(seed: u64) -> Self {
        Self { wander: Chance::new(seed, 6), inside: BinaryHeap::new(), line: 0 }
    }

    /// A packet goes in at `at`.
    pub(crate) fn push(&mut self, settings: &PathSettings, at: u64, item: Item<P>) {
        let mut out = at + nanos(settings.delay);
        out += settings.jitter.map_or(0, |jitter| self.jitter(jitter, at, item.own_draw));
        let overtakes = settings.jitter.is_some_and(|jitter| jitter.reorders);
        match settings.reorder {
            Some(reorder) if item.falls_back => out += nanos(reorder.by),
            _ if overtakes => {}
            _ => {
                out = out.max(self.line);
                self.line = out;
            }
        }
        self.inside.push(Reverse(Due { at: out, item }));
    }

    /// When the next comes out.
    pub(crate) fn next(&self) -> Option<u64> {
        self.inside.peek().map(|Reverse(due)| due.at)
    }

    /// Takes out one that is due by `now`.
    pub(crate) fn pop(&mut self, now: u64) -> Option<(u64, Item<P>)> {
        if self.next()? > now {
            return None;
        }
        self.inside.pop().map(|Reverse(due)| (due.at, due.item))
    }

    /// Packets inside.
    pub(crate) fn len(&self) -> usize {
        self.inside.len()
    }

    fn jitter(&self, jitter: Jitter, at: u64, own_draw: u64) -> u64 {
        let share = if jitter.reorders {
            unit(own_draw)
        } else {
            // A straight line between two levels.
            let (knot, into) = (at / WANDER_EVERY, at % WANDER_EVERY);
            let [from, to] = [knot, knot + 1].map(|knot| unit(self.wander.at(knot)));
            from + (to - from) * into as f64 / WANDER_EVERY as f64
        };
        (nanos(jitter.max) as f64 * share) as u64
    }
}

impl<P> Due<P> {
    fn key(&self) -> (u64, u64) {
        (self.at, self.item.number)
    }
}

impl<P> Ord for Due<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl<P> PartialOrd for Due<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> PartialEq for Due<P> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<P> Eq for Due<P> {}
