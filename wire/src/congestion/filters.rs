//! What the model remembers of the path: the best recent rates, the shortest recent round trip, how uneven
//! the path is, and how fast the line.
//!
//! Times are seconds since the connection began, rates bytes a second.

use std::collections::VecDeque;

/// The highest delivery rate of the last [`RATE_ROUNDS`] rounds that had enough to send.
///
/// A round in which the application had too little to send says nothing about the path unless it was
/// faster than everything before it, so it neither counts nor lets an older round expire. That keeps the
/// estimate through hours of a live camera.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    rounds: VecDeque<f64>,
}

const RATE_ROUNDS: usize = 10;

impl Rates {
    pub(super) fn push(&mut self, rate: f64, app_limited: bool) {
        if app_limited && rate <= self.max() {
            return;
        }
        self.rounds.push_back(rate);
        if self.rounds.len() > RATE_ROUNDS {
            self.rounds.pop_front();
        }
    }

    pub(super) fn max(&self) -> f64 {
        self.rounds.iter().copied().fold(0.0, f64::max)
    }

    /// The mean of the last `count` rounds.
    pub(super) fn recent(&self, count: usize) -> f64 {
        let count = count.min(self.rounds.len());
        if count == 0 { 0.0 } else { self.rounds.iter().rev().take(count).sum::<f64>() / count as f64 }
    }

    /// Forgets all but the last `count` rounds: the path has changed.
    pub(super) fn keep(&mut self, count: usize) {
        while self.rounds.len() > count {
            self.rounds.pop_front();
        }
    }
}

/// The shortest round trip of the current and the previous span of time.
///
/// Two spans, so that it never forgets everything at once; the drained rounds of the gain cycle show the
/// bare path to it every few rounds.
#[derive(Clone, Debug)]
pub(super) struct MinRtt {
    current: f64,
    previous: f64,
    since: f64,
}

impl Default for MinRtt {
    fn default() -> Self {
        Self { current: f64::INFINITY, previous: f64::INFINITY, since: 0.0 }
    }
}

impl MinRtt {
    /// Takes a sample; a span lasts `span` seconds.
    pub(super) fn sample(&mut self, now: f64, rtt: f64, span: f64) {
        if now - self.since > span {
            (self.previous, self.current, self.since) = (self.current, f64::INFINITY, now);
        }
        self.current = self.current.min(rtt);
    }

    /// Infinite before the first sample.
    pub(super) fn get(&self) -> f64 {
        self.current.min(self.previous)
    }
}

/// How uneven the path is by itself: by how much the mean round trip of a round exceeds its shortest, in a
/// calm one of some rounds.
///
/// A queue of ours that just stands there adds nothing to it, so it can't feed on itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Noise {
    rounds: VecDeque<f64>,
    middle: f64,
}

const NOISE_ROUNDS: usize = 7;

impl Noise {
    pub(super) fn push(&mut self, spread: f64) {
        self.rounds.push_back(spread.max(0.0));
        if self.rounds.len() > NOISE_ROUNDS {
            self.rounds.pop_front();
        }
        self.middle = if self.rounds.len() < 3 { 0.0 } else { lower(&self.rounds, 3) };
    }

    pub(super) fn get(&self) -> f64 {
        self.middle
    }
}

/// The line's rate as packets sent in one go show it: they arrive as far apart as the line spaces them, even
/// when it is shared.
///
/// A hint, no more: acknowledgements that were held up together make it too high, others' packets in between
/// too low. The middle one of some.
#[derive(Clone, Debug, Default)]
pub(super) struct Trains {
    sent: f64,
    first: f64,
    last: f64,
    bytes: f64,
    samples: VecDeque<f64>,
}

const TRAINS: usize = 15;

impl Trains {
    /// `bytes` of what was sent last at `sent` were acknowledged at `now`; a train is `enough` bytes.
    pub(super) fn take(&mut self, now: f64, sent: f64, bytes: f64, enough: f64) {
        if sent == self.sent {
            self.bytes += bytes;
            self.last = now;
            return;
        }
        if self.bytes >= enough && self.last > self.first {
            self.samples.push_back(self.bytes / (self.last - self.first));
            if self.samples.len() > TRAINS {
                self.samples.pop_front();
            }
        }
        (self.sent, self.first, self.last, self.bytes) = (sent, now, now, 0.0);
    }

    /// Zero until there are enough.
    pub(super) fn rate(&self) -> f64 {
        if self.samples.len() < TRAINS / 3 { 0.0 } else { lower(&self.samples, 2) }
    }
}

/// The sample below which one part in `of` is.
fn lower(samples: &VecDeque<f64>, of: usize) -> f64 {
    let mut sorted: Vec<f64> = samples.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / of]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_does_not_make_the_rate_forget() {
        let mut rates = Rates::default();
        rates.push(12.5e6, false);
        for _ in 0..10_000 {
            rates.push(125e3, true);
        }
        assert_eq!(rates.max(), 12.5e6);
        rates.push(13e6, true);
        assert_eq!(rates.max(), 13e6, "what was delivered was possible");
        for _ in 0..10 {
            rates.push(125e3, false);
        }
        assert_eq!(rates.max(), 125e3, "ten full rounds do");
    }

    #[test]
    fn the_shortest_round_trip_is_forgotten_after_two_spans() {
        let mut min = MinRtt::default();
        min.sample(0.0, 0.05, 5.0);
        min.sample(4.0, 0.09, 5.0);
        min.sample(6.0, 0.08, 5.0);
        assert_eq!(min.get(), 0.05);
        min.sample(12.0, 0.09, 5.0);
        assert_eq!(min.get(), 0.08);
    }
}
