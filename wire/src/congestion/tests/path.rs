//! A bottleneck in virtual time: what happens to a packet offered at a given moment.
//!
//! It knows rate, queue, loss and delay, nothing of who sends: packets of all flows go through
//! [`Link::offer`] in the order of time, and their fate is known at once. So nothing has to be scheduled,
//! and a minute of 500 Mbit/s costs about a second. Deterministic by seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bytes of a full packet on the line: a UDP payload of 1,452 and its UDP and IPv4 headers.
pub(super) const WIRE_BYTES: f64 = 1480.0;
/// The UDP payload of it, which is what a congestion controller counts.
pub(super) const PACKET_BYTES: u64 = 1452;
/// What of it is stream data: short header, packet number, tag and STREAM frame header taken off.
pub(super) const STREAM_BYTES: f64 = 1412.0;

/// Loss that comes in bursts: two states with a chance a packet to change, and losses in the bad one.
#[derive(Clone, Copy)]
pub(super) struct Bursts {
    pub(super) to_bad: f64,
    pub(super) to_good: f64,
    pub(super) loss: f64,
}

/// A token bucket that drops what exceeds it.
#[derive(Clone, Copy)]
pub(super) struct Policer {
    pub(super) rate: f64,
    pub(super) burst: f64,
}

/// A path. Times are seconds, rates bytes a second.
#[derive(Clone)]
pub(super) struct Spec {
    /// (from, rate), sorted; 0 lets packets pile up in the queue.
    pub(super) rate: Vec<(f64, f64)>,
    /// Both directions' propagation.
    pub(super) rtt: f64,
    pub(super) queue_bytes: f64,
    /// Random loss, behind the queue, so that what is lost has used the line.
    pub(super) loss: f64,
    pub(super) bursts: Option<Bursts>,
    /// Up to so much is added to a packet's way, changing within tens of milliseconds; order is kept.
    pub(super) jitter: f64,
    /// Acknowledgements leave only at multiples of this.
    pub(super) aggregation: f64,
    pub(super) policer: Option<Policer>,
    /// (from, to): nothing passes.
    pub(super) outages: Vec<(f64, f64)>,
    pub(super) seed: u64,
}

impl Spec {
    /// A clean path of `mbit` Mbit/s, `rtt_ms` and a queue of `queue_ms` at that rate.
    pub(super) fn new(mbit: f64, rtt_ms: f64, queue_ms: f64) -> Self {
        let rate = mbit * 125_000.0;
        Self {
            rate: vec![(0.0, rate)],
            rtt: rtt_ms / 1e3,
            queue_bytes: (rate * queue_ms / 1e3).max(3.0 * WIRE_BYTES),
            loss: 0.0,
            bursts: None,
            jitter: 0.0,
            aggregation: 0.0,
            policer: None,
            outages: Vec::new(),
            seed: 1,
        }
    }

    pub(super) fn loss(self, percent: f64) -> Self {
        Self { loss: percent / 100.0, ..self }
    }

    /// From `at` on, `mbit`; the queue keeps its bytes.
    pub(super) fn then(mut self, at: f64, mbit: f64) -> Self {
        self.rate.push((at, mbit * 125_000.0));
        self
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    /// Dropped or lost; nobody is told.
    Lost,
    /// At the receiver at this time, less half the propagation, which the acknowledgement carries.
    Received(f64),
}

/// The path with its queue.
pub(super) struct Link {
    spec: Spec,
    rng: StdRng,
    /// Bytes waiting at `at`.
    backlog: f64,
    at: f64,
    segment: usize,
    tokens: f64,
    tokens_at: f64,
    bad: bool,
    jitter_at: f64,
    jitter_between: (f64, f64),
    last_received: f64,
    /// The queue's delay in seconds, every [`SAMPLE`] from `sample_from` on.
    pub(super) queue: Vec<f32>,
    next_sample: f64,
}

const SAMPLE: f64 = 0.005;

impl Link {
    pub(super) fn new(spec: Spec, sample_from: f64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(spec.seed),
            backlog: 0.0,
            at: 0.0,
            segment: 0,
            tokens: spec.policer.map_or(0.0, |policer| policer.burst),
            tokens_at: 0.0,
            bad: false,
            jitter_at: 0.0,
            jitter_between: (0.0, 0.0),
            last_received: 0.0,
            queue: Vec::new(),
            next_sample: sample_from,
            spec,
        }
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    fn rate(&self) -> f64 {
        self.spec.rate[self.segment].1
    }

    fn segment_end(&self, segment: usize) -> f64 {
        self.spec.rate.get(segment + 1).map_or(f64::INFINITY, |&(from, _)| from)
    }

    /// Lets the queue drain until `to`.
    pub(super) fn advance(&mut self, to: f64) {
        while self.at < to {
            let stop = to.min(self.segment_end(self.segment)).min(self.next_sample.max(self.at + 1e-9));
            self.backlog = (self.backlog - self.rate() * (stop - self.at)).max(0.0);
            self.at = stop;
            if stop >= self.next_sample {
                self.queue.push((self.backlog / self.rate().max(1.0)) as f32);
                self.next_sample += SAMPLE;
            }
            if stop >= self.segment_end(self.segment) {
                self.segment += 1;
            }
        }
    }

    /// When a backlog of `bytes` is gone, counted from `at`.
    fn drained_at(&self, mut bytes: f64) -> f64 {
        let (mut segment, mut from) = (self.segment, self.at);
        loop {
            let (rate, end) = (self.spec.rate[segment].1, self.segment_end(segment));
            let done = if rate > 0.0 { from + bytes / rate } else { f64::INFINITY };
            if done <= end {
                return done;
            }
            bytes -= rate * (end - from);
            (segment, from) = (segment + 1, end);
        }
    }

    /// Offers a packet of `bytes` on the line at `now`; calls come in the order of time.
    pub(super) fn offer(&mut self, now: f64, bytes: f64) -> Fate {
        self.advance(now);
        if self.out(now) || !self.conforms(now, bytes) || self.backlog + bytes > self.spec.queue_bytes {
            return Fate::Lost;
        }
        self.backlog += bytes;
        let leaves = self.drained_at(self.backlog);
        if self.unlucky() || self.out(leaves) {
            return Fate::Lost;
        }
        self.last_received = self.last_received.max(leaves + self.jitter(leaves));
        Fate::Received(self.last_received)
    }

    /// Whether nothing passes at `now`.
    pub(super) fn out(&self, now: f64) -> bool {
        self.spec.outages.iter().any(|&(from, to)| (from..to).contains(&now))
    }

    fn conforms(&mut self, now: f64, bytes: f64) -> bool {
        let Some(policer) = self.spec.policer else { return true };
        self.tokens = (self.tokens + (now - self.tokens_at) * policer.rate).min(policer.burst);
        self.tokens_at = now;
        let conforms = self.tokens >= bytes;
        if conforms {
            self.tokens -= bytes;
        }
        conforms
    }

    /// A delay drawn anew every 10 ms, and in between on the way from one to the next.
    fn jitter(&mut self, at: f64) -> f64 {
        if self.spec.jitter == 0.0 {
            return 0.0;
        }
        while at >= self.jitter_at + 0.010 {
            let next = self.rng.random_range(0.0..self.spec.jitter);
            self.jitter_between = (self.jitter_between.1, next);
            self.jitter_at = if at > self.jitter_at + 1.0 { at } else { self.jitter_at + 0.010 };
        }
        let (from, to) = self.jitter_between;
        from + (to - from) * ((at - self.jitter_at) / 0.010).clamp(0.0, 1.0)
    }

    fn unlucky(&mut self) -> bool {
        let mut loss = self.spec.loss;
        if let Some(bursts) = self.spec.bursts {
            let change = if self.bad { bursts.to_good } else { bursts.to_bad };
            self.bad ^= self.rng.random_bool(change);
            if self.bad {
                loss = loss.max(bursts.loss);
            }
        }
        loss > 0.0 && self.rng.random_bool(loss)
    }
}
