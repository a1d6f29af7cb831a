//! A rate with a queue in front: one packet is being sent, others wait, and what finds the queue full is
//! dropped.
//!
//! Work is counted in whole numbers: a packet is `bytes × 8 × 10⁹`, a rate of r bit/s does r of that per
//! nanosecond. A packet's end is rounded up to a nanosecond, so the rate is never exceeded.

use std::collections::VecDeque;

use crate::path::Item;
use crate::settings::{CapacityStep, PathSettings, nanos};

/// Work of one byte.
const BYTE: u64 = 8_000_000_000;

pub(crate) struct Link<P> {
    /// In force from the start; later steps replace it.
    rate_bps: u64,
    steps: Vec<CapacityStep>,
    /// How many steps are past at `at`.
    past: usize,
    limit: u64,
    /// Up to when work is done.
    at: u64,
    sending: Option<(Item<P>, u64)>,
    waiting: VecDeque<Item<P>>,
    waiting_bytes: u64,
}

impl<P> Link<P> {
    /// None if the settings have no rate.
    pub(crate) fn new(settings: &PathSettings, now: u64) -> Option<Self> {
        let mut link = Self {
            rate_bps: settings.rate_bps?,
            steps: settings.capacity.clone(),
            past: 0,
            limit: settings.queue_bytes(),
            at: now,
            sending: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        };
        link.pass_steps();
        Some(link)
    }

    /// Becomes like `next`, with what is queued here. The packet being sent is not begun anew.
    pub(crate) fn hand_over(self, next: &mut Self) {
        next.sending = self.sending;
        next.waiting = self.waiting;
        next.waiting_bytes = self.waiting_bytes;
    }

    /// All packets, in order; for a path that loses its rate.
    pub(crate) fn into_items(self) -> impl Iterator<Item = Item<P>> {
        self.sending.into_iter().map(|(item, _)| item).chain(self.waiting)
    }

    /// Bytes that wait, without the packet being sent.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// How long what waits will take at the rate in force; none if nothing passes.
    pub(crate) fn waiting_nanos(&self) -> Option<u64> {
        let work = u128::from(self.waiting_bytes) * u128::from(BYTE);
        let nanos = work.checked_div(u128::from(self.rate_after(self.past)))?;
        Some(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Packets inside.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.sending.is_some())
    }

    /// May a packet of this size come in? Work up to now must be done.
    pub(crate) fn has_room(&self, bytes: u32) -> bool {
        self.sending.is_none() || self.waiting_bytes + u64::from(bytes) <= self.limit
    }

    /// Takes a packet there is room for.
    pub(crate) fn push(&mut self, item: Item<P>) {
        let bytes = u64::from(item.bytes);
        if self.sending.is_none() {
            self.sending = Some((item, bytes * BYTE));
        } else {
            self.waiting_bytes += bytes;
            self.waiting.push_back(item);
        }
    }

    /// When the packet being sent is out; none if nothing is sent, or never will be.
    pub(crate) fn next_end(&self) -> Option<u64> {
        let (mut at, mut left, mut past) = (self.at, self.sending.as_ref()?.1, self.past);
        loop {
            let rate = self.rate_after(past);
            let until = self.steps.get(past).map(|step| nanos(step.at));
            let end = (rate > 0).then(|| at + left.div_ceil(rate));
            match (end, until) {
                (Some(end), Some(until)) if end <= until => return Some(end),
                (_, Some(until)) => {
                    // Less than `left`, or the packet would have ended: this cannot overflow.
                    left -= rate * (until - at);
                    (at, past) = (until, past + 1);
                }
                (end, None) => return end,
            }
        }
    }

    /// Works up to `now`, which is before `next_end`.
    pub(crate) fn work(&mut self, now: u64) {
        while self.at < now {
            let rate = self.rate_after(self.past);
            let until = self.steps.get(self.past).map_or(now, |step| nanos(step.at).min(now));
            if let Some((_, left)) = &mut self.sending {
                *left = left.saturating_sub(rate * (until - self.at));
            }
            self.at = until;
            self.pass_steps();
        }
    }

    /// Ends the packet being sent, at its `next_end`, and begins the next.
    pub(crate) fn end(&mut self, at: u64) -> Option<Item<P>> {
        self.at = self.at.max(at);
        self.pass_steps();
        let (sent, _) = self.sending.take()?;
        if let Some(next) = self.waiting.pop_front() {
            self.waiting_bytes -= u64::from(next.bytes);
            let work = u64::from(next.bytes) * BYTE;
            self.sending = Some((next, work));
        }
        Some(sent)
    }

    fn rate_after(&self, steps: usize) -> u64 {
        steps.checked_sub(1).map_or(self.rate_bps, |last| self.steps[last].rate_bps)
    }

    fn pass_steps(&mut self) {
        while self.steps.get(self.past).is_some_and(|step| nanos(step.at) <= self.at) {
            self.past += 1;
        }
    }
}
