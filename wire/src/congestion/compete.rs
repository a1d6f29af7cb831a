//! Holding our own beside somebody who keeps the queue full.
//!
//! The window then follows CUBIC's curve (RFC 9438), with two differences. A loss counts only while the queue
//! is about as long as it gets, so that random loss does not. And when losses go on although we have given
//! way, the other side does not answer to them (BBR, version 1): then we keep the rate we have had lately
//! rather than be pushed off the line.

/// In packets and seconds, as CUBIC is defined.
#[derive(Clone, Debug)]
pub(super) struct Compete {
    /// Packets in flight.
    window: f64,
    peak: f64,
    epoch: f64,
    reno: f64,
    cut_at: f64,
    /// The longest queueing delay lately.
    queue_max: f64,
    /// Share lost, over some rounds.
    loss: f64,
    /// No drain test before this.
    pub(super) test_at: f64,
    /// Tests in a row in which the queue stayed.
    pub(super) tests: u32,
}

const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Lost although we gave way: more than CUBIC beside CUBIC ever loses.
const INSIST: f64 = 0.02;

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
            queue_max: 0.0,
            loss: 0.0,
            test_at,
            tests: 0,
        }
    }

    /// `acked` packets arrived with round trips smoothed to `srtt`; `queue` of it was waiting.
    pub(super) fn on_ack(&mut self, now: f64, acked: f64, srtt: f64, queue: f64) {
        self.queue_max = self.queue_max.max(queue) - (self.queue_max - queue).max(0.0) * acked / self.window / 64.0;
        self.loss *= 1.0 - (acked / self.window / 16.0).min(1.0);
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
        if congested {
            self.loss += packets / self.window / 16.0;
        }
        if sent <= self.cut_at || !congested {
            return;
        }
        self.peak = if self.window < self.peak { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(4.0);
        (self.epoch, self.reno, self.cut_at) = (now, self.window, now);
    }

    /// Bytes in flight: CUBIC's, or what keeps `rate` if the other side ignores losses; at most `limit`.
    pub(super) fn window(&self, packet: f64, rate: f64, rtt: f64, limit: f64) -> f64 {
        let own = self.window * packet;
        let kept = if self.loss > INSIST { rate * rtt } else { 0.0 };
        own.max(kept).min(limit)
    }

    /// CUBIC's window may not run ahead of what is used.
    pub(super) fn clamp(&mut self, packets: f64) {
        self.window = self.window.min(packets);
    }

    pub(super) fn insists(&self) -> bool {
        self.loss > INSIST
    }
}
