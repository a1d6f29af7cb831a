//! Holding our own beside somebody who keeps the queue full.
//!
//! The window then follows CUBIC's curve (RFC 9438), with two differences. A loss counts only while the queue
//! is about as long as it gets, so that random loss does not. And when losses go on although we have given
//! way, the other side does not answer to them (BBR, version 1): then we insist, and grow as long as little is
//! lost, rather than be pushed off the line.

/// In packets and seconds, as CUBIC is defined.
#[derive(Clone, Debug)]
pub(super) struct Compete {
    /// Packets in flight.
    window: f64,
    peak: f64,
    epoch: f64,
    reno: f64,
    cut_at: f64,
    /// The window before the last cut.
    cut_from: f64,
    /// The longest queueing delay lately.
    queue_max: f64,
    /// Share lost, over some rounds.
    loss: f64,
    /// Cuts that did not make the queue shorter, less those that did.
    ignored: u32,
    /// Packets that were lost and whose place in the window is not free yet. A burst finds no room in a full
    /// queue and is lost, which would make room for the next burst.
    owed: f64,
    /// Rounds in a row in which far too much was lost.
    flooded: u32,
    /// No drain test before this.
    pub(super) test_at: f64,
}

const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Insisting gives way above this share lost, and grows below half of it.
const INSIST: f64 = 0.05;
/// Above this share lost, the rate that is held on to is forgotten bit by bit.
const FLOODING: f64 = 0.12;
/// For so many rounds it is held on to all the same.
const PATIENCE: u32 = 40;
/// Lost packets' places that are free again for every one acknowledged.
const REFILL: f64 = 0.5;
/// Cuts in vain after which the other side is taken not to answer to losses.
const IN_VAIN: u32 = 3;

impl Compete {
    /// From `window` packets at `now`, where `peak` would be a fair share.
    pub(super) fn new(now: f64, window: f64, peak: f64, test_at: f64) -> Self {
        let peak = peak.max(window);
        Self {
            window,
            peak,
            epoch: now,
            reno: window,
            cut_at: now,
            cut_from: 0.0,
            queue_max: 0.0,
            loss: 0.0,
            ignored: 0,
            owed: 0.0,
            flooded: 0,
            test_at,
        }
    }

    /// `acked` packets arrived with round trips smoothed to `srtt`; `queue` of it was waiting.
    pub(super) fn on_ack(&mut self, now: f64, acked: f64, srtt: f64, queue: f64) {
        self.queue_max =
            self.queue_max.max(queue) - (self.queue_max - queue).max(0.0) * acked / self.window / 64.0;
        self.owed = (self.owed - REFILL * acked).max(0.0);
        self.loss *= 1.0 - (acked / self.window / 8.0).min(1.0);
        if self.insists() {
            if self.loss < INSIST / 2.0 {
                self.window += 0.1 * acked;
            }
            return;
        }
        let k = ((self.peak - self.reno_start()).max(0.0) / C).cbrt();
        let target = C * (now - self.epoch + srtt - k).powi(3) + self.peak;
        self.reno += 0.53 * acked / self.window;
        if target > self.window {
            self.window += ((target - self.window) / self.window * acked).min(acked / 2.0);
        }
        self.window = self.window.max(self.reno);
    }

    fn reno_start(&self) -> f64 {
        self.peak * BETA
    }

    /// `packets` sent at `sent` were lost while `queue` was waiting.
    pub(super) fn on_loss(&mut self, now: f64, sent: f64, packets: f64, queue: f64) {
        let congested = queue > 0.6 * self.queue_max;
        self.owed += packets;
        if congested {
            self.loss += packets / self.window / 8.0;
        }
        if sent <= self.cut_at || !congested {
            return;
        }
        // Had the other side given way too, we would have had time to come back.
        let early = self.window < 0.85 * self.cut_from;
        if !self.insists() {
            self.ignored = if early { self.ignored + 1 } else { self.ignored.saturating_sub(1) };
        }
        if self.insists() {
            if self.loss > INSIST {
                self.window = (self.window * 0.9).max(4.0);
            }
            (self.cut_at, self.cut_from) = (now, self.window);
            return;
        }
        self.cut_from = self.window;
        self.peak = if self.window < self.peak { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(4.0);
        (self.epoch, self.reno, self.cut_at) = (now, self.window, now);
    }

    /// Bytes in flight: CUBIC's, but no less than `held` unless that floods the queue, and at most `limit`.
    pub(super) fn window(&self, packet: f64, held: f64, limit: f64) -> f64 {
        let whole = (self.window * packet).max(held).min(limit);
        whole - (self.owed * packet).min(0.3 * whole)
    }

    /// A round is over: what part of the rate once known is still to be held on to. Less than all if far too much
    /// has been lost for long: BBR believes for ten rounds in a rate it no longer gets, so giving way earlier
    /// would be for good.
    pub(super) fn hope_after_round(&mut self) -> f64 {
        self.flooded = if self.loss > FLOODING { self.flooded + 1 } else { 0 };
        if self.flooded > PATIENCE { 0.95 } else { 1.0 }
    }

    /// The other side does not answer to losses, so neither do we, in moderation.
    pub(super) fn insists(&self) -> bool {
        self.ignored >= IN_VAIN
    }
}
