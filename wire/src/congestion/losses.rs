//! Where losses fell: whether sending more loses more.

/// What was delivered and lost, by how much was in flight as it was sent: probing for more, drained, or
/// neither.
///
/// Random loss takes the same share of all three. A policer or a queue too short to be seen in the round trip
/// takes more of what was sent above the rate: that difference, not loss as such, lowers the window.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    probe: Share,
    base: Share,
    low: Share,
    /// Moving share of all that was settled.
    share: f64,
    /// The sending times of the last probe and of the last drain.
    probing: (f64, f64),
    lowered: (f64, f64),
    /// Nothing sent until then counts.
    blind: f64,
    seen: bool,
}

/// Bytes delivered and lost.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    good: f64,
    bad: f64,
}

impl Share {
    fn total(self) -> f64 {
        self.good + self.bad
    }

    fn fade(&mut self) {
        self.good *= 0.7;
        self.bad *= 0.7;
    }

    /// Whether this lost more than `other`'s share and chance explain: 4 % of it, and 3 packets and two
    /// deviations.
    fn exceeds(self, other: Share, packet: f64) -> bool {
        if other.total() < 8.0 * packet {
            return false;
        }
        let expected = other.bad / other.total() * self.total() / packet;
        let excess = self.bad / packet - expected;
        let spread = (expected * (1.0 + self.total() / other.total())).sqrt();
        excess > 3.0 + 2.0 * spread && excess * packet > 0.04 * self.total()
    }
}

impl Losses {
    /// A probe begins: what is sent from `now` until [`Losses::probed`] belongs to it.
    pub(super) fn probing(&mut self, now: f64) {
        (self.probing, self.seen) = ((now, f64::INFINITY), false);
        for share in [&mut self.probe, &mut self.base, &mut self.low] {
            share.fade();
        }
    }

    /// The probe is over.
    pub(super) fn probed(&mut self, now: f64) {
        self.probing.1 = self.probing.1.min(now);
    }

    /// From now on less than the path's content is in flight.
    pub(super) fn lowered(&mut self, now: f64) {
        self.lowered = (now, f64::INFINITY);
    }

    /// No longer.
    pub(super) fn raised(&mut self, now: f64) {
        self.lowered.1 = self.lowered.1.min(now);
    }

    /// What was sent until now was sent blindly (start-up, or to a path that has become narrower): what is
    /// lost of it says nothing about the windows to come.
    pub(super) fn forget(&mut self, now: f64) {
        (self.probe, self.base, self.low) = (Share::default(), Share::default(), Share::default());
        (self.blind, self.seen) = (now, true);
    }

    /// `bytes` sent at `sent` were delivered or `lost`; `horizon` bytes are a few rounds.
    pub(super) fn settle(&mut self, sent: f64, bytes: f64, lost: bool, horizon: f64) {
        self.share += (f64::from(u8::from(lost)) - self.share) * (bytes / horizon).min(0.1);
        if sent <= self.blind {
            return;
        }
        let during = |(from, to): (f64, f64)| (from..=to).contains(&sent);
        let share = if during(self.probing) {
            &mut self.probe
        } else if during(self.lowered) {
            &mut self.low
        } else {
            &mut self.base
        };
        *if lost { &mut share.bad } else { &mut share.good } += bytes;
    }

    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// Once per probe, when packets sent after it (`newest`) are acknowledged: whether sending more lost more.
    pub(super) fn harm(&mut self, newest: f64, packet: f64) -> Option<Harm> {
        if self.seen || newest <= self.probing.1 {
            return None;
        }
        self.seen = true;
        Some(if self.base.exceeds(self.low, packet) {
            Harm::Cruise
        } else if self.probe.exceeds(self.base, packet) {
            Harm::Probe
        } else {
            Harm::None
        })
    }
}

/// Which window loses more than a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    None,
    /// Only the probing one.
    Probe,
    /// The usual one already.
    Cruise,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_loss_does_not_count_against_a_probe_and_a_policer_does() {
        for (probe_lost, harm) in [(5.0, Harm::None), (25.0, Harm::Probe)] {
            let mut losses = Losses::default();
            losses.settle(0.5, 950.0, false, 1e3);
            losses.settle(0.5, 50.0, true, 1e3);
            losses.probing(1.0);
            losses.probed(2.0);
            losses.settle(1.5, 100.0 - probe_lost, false, 1e3);
            losses.settle(1.5, probe_lost, true, 1e3);
            assert_eq!(losses.harm(2.0, 1.0), None, "not settled yet");
            assert_eq!(losses.harm(2.1, 1.0), Some(harm));
            assert_eq!(losses.harm(2.2, 1.0), None, "said once");
        }
    }
}
