//! What the model remembers: the best recent rates, the shortest recent round trip, and where losses fell.
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

/// What was delivered and lost of the packets sent while probing for more, and of all others.
///
/// Random loss takes the same share of both. A policer or a queue too short to be seen in the round trip
/// takes more of what was sent above the rate: that difference, not loss as such, lowers the window.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    probe: (f64, f64),
    base: (f64, f64),
    /// Moving share of all that was settled.
    share: f64,
    /// The sending times of the last probe.
    from: f64,
    to: f64,
    seen: bool,
}

impl Losses {
    /// A probe begins: what is sent from `now` until [`Losses::probed`] belongs to it.
    pub(super) fn probing(&mut self, now: f64) {
        (self.from, self.to, self.seen) = (now, f64::INFINITY, false);
        for count in [&mut self.probe.0, &mut self.probe.1, &mut self.base.0, &mut self.base.1] {
            *count *= 0.7;
        }
    }

    /// The probe is over.
    pub(super) fn probed(&mut self, now: f64) {
        self.to = self.to.min(now);
    }

    /// `bytes` sent at `sent` were delivered or `lost`; `horizon` bytes are a few rounds.
    pub(super) fn settle(&mut self, sent: f64, bytes: f64, lost: bool, horizon: f64) {
        let (good, bad) =
            if (self.from..=self.to).contains(&sent) { &mut self.probe } else { &mut self.base };
        *if lost { bad } else { good } += bytes;
        self.share += (f64::from(u8::from(lost)) - self.share) * (bytes / horizon).min(0.1);
    }

    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// Once per probe, when packets sent after it (`newest`) are acknowledged: whether the probe lost more
    /// than chance and the path's usual share explain: 4 % of it, and 3 packets and two deviations.
    pub(super) fn probe_hurt(&mut self, newest: f64, packet: f64) -> Option<bool> {
        if self.seen || newest <= self.to {
            return None;
        }
        self.seen = true;
        let total = self.probe.0 + self.probe.1;
        let base = self.base.1 / (self.base.0 + self.base.1).max(packet);
        let expected = base * total / packet;
        let excess = self.probe.1 / packet - expected;
        Some(excess > 3.0 + 2.0 * expected.sqrt() && excess * packet > 0.04 * total)
    }
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

    #[test]
    fn random_loss_does_not_count_against_a_probe_and_a_policer_does() {
        for (probe_lost, hurt) in [(5.0, false), (20.0, true)] {
            let mut losses = Losses::default();
            losses.settle(0.5, 950.0, false, 1e3);
            losses.settle(0.5, 50.0, true, 1e3);
            losses.probing(1.0);
            losses.probed(2.0);
            losses.settle(1.5, 100.0 - probe_lost, false, 1e3);
            losses.settle(1.5, probe_lost, true, 1e3);
            assert_eq!(losses.probe_hurt(2.0, 1.0), None, "not settled yet");
            assert_eq!(losses.probe_hurt(2.1, 1.0), Some(hurt));
            assert_eq!(losses.probe_hurt(2.2, 1.0), None, "said once");
        }
    }
}
