//! The phases, and what a single acknowledgement does to them.

use super::compete::Compete;
use super::limit::CRUISE_ROUNDS;
use super::model::{MIN_PACKETS, Model};
use super::round::Batch;

/// What the window is doing, with what it needs for it.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// The rate to grow beyond, rounds in which it did not, and since when a queue is suspected.
    Startup {
        base: f64,
        flat: u32,
        held: Option<f64>,
    },
    /// Since when the window is reached, the round trips since, whether it was lowered in between, and what to
    /// go back to if the queue stays.
    Drain {
        low_since: Option<f64>,
        seen: Seen,
        lowered: bool,
        resume: Option<Box<Compete>>,
    },
    /// Rounds so far, and from when on a probe is due if nothing calls for one.
    Cruise {
        rounds: u32,
        rested_at: f64,
    },
    /// Rounds so far, and the rate before.
    Probe {
        rounds: u32,
        base: f64,
    },
    Compete(Box<Compete>),
}

/// Round trips: the shortest, the sum, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    min: f64,
    sum: f64,
    count: u32,
}

impl Seen {
    pub(super) const NOTHING: Self = Self { min: f64::INFINITY, sum: 0.0, count: 0 };

    fn take(&mut self, rtt: f64) {
        self.min = self.min.min(rtt);
        self.sum += rtt;
        self.count += 1;
    }

    fn mean(self) -> f64 {
        self.sum / f64::from(self.count)
    }
}

/// Seconds at least from a drain to the next probe, and so to the next drain, if nothing calls for one: where a
/// path holds nine packets, a drain leaves the line unused for two of them.
const REST: f64 = 0.6;
/// Start-up holds its window for so long before it believes in a queue.
const DOUBT: f64 = 0.060;
/// Above this share the drain lasts a whole round trip, to see whether sending less loses less.
const LOSS_NOTED: f64 = 0.02;
/// Below this share of the best rate known, a drain also has to tell whether we are alone.
const DISPUTED: f64 = 0.6;
/// What at least remains of the best rate known when a drain on a disputed path finds us alone.
const GIVEN_UP: f64 = 0.5;
/// Samples without which nothing is said about a queue: of a round, and of a drain.
const SAMPLES: (u32, u32) = (8, 4);

impl State {
    /// Growing beyond `base` bytes a second.
    pub(super) fn startup(base: f64) -> Self {
        Self::Startup { base, flat: 0, held: None }
    }
}

/// An acknowledgement, and what its round trip means.
struct Sign<'a> {
    batch: &'a Batch,
    rtt: f64,
    /// The application had enough to send.
    full: bool,
    /// The round trip is as short as without a queue.
    bare: bool,
    /// No round trip of the round was.
    queued: bool,
}

impl Model {
    /// What each acknowledgement may change, without waiting for the round.
    pub(super) fn step(&mut self, now: f64, batch: &Batch, rtt: f64) {
        let (near, tolerance) = (self.min_rtt.get() + self.least(), self.tolerance());
        let sign = Sign {
            batch,
            rtt,
            full: batch.newest > self.app_limited_at,
            bare: rtt <= near + tolerance / 2.0,
            queued: self.round.samples >= SAMPLES.0 && self.round.min_rtt > near + tolerance,
        };
        match self.state {
            State::Startup { .. } => self.on_startup_ack(now, &sign),
            State::Drain { .. } => self.on_drain_ack(now, &sign),
            State::Compete(_) => self.on_compete_ack(now, &sign),
            State::Probe { .. } if sign.queued => {
                self.losses.probed(now);
                self.drain(None);
            }
            State::Cruise { .. } | State::Probe { .. } => {}
        }
    }

    fn on_startup_ack(&mut self, now: f64, sign: &Sign) {
        let State::Startup { held, .. } = &mut self.state else { return };
        match *held {
            // Even if there is too little to send: a queue is a queue.
            None if sign.queued => *held = Some(now),
            None if sign.full => self.window += sign.batch.bytes,
            None => {}
            // Waiting a little tells a queue from a path that is uneven by itself.
            Some(_) if sign.bare => *held = None,
            Some(since) if now >= since + DOUBT => {
                self.losses.forget(now);
                self.drain(None);
            }
            Some(_) => {}
        }
    }

    fn on_drain_ack(&mut self, now: f64, sign: &Sign) {
        let (disputed, newest) = (self.disputed(), sign.batch.newest);
        let low = self.in_flight <= self.window;
        let State::Drain { low_since, seen, .. } = &mut self.state else { return };
        if low_since.is_none() && low {
            *low_since = Some(now);
            self.losses.lowered(now);
        }
        let settled = low_since.is_some_and(|low| newest >= low);
        if settled {
            seen.take(sign.rtt);
        }
        let long = if disputed { self.srtt } else { self.srtt / 2.0 };
        if !disputed && sign.bare && (settled || self.losses.share() < LOSS_NOTED) {
            self.on_drained(now);
        } else if low_since.is_some_and(|low| newest >= low + long) && seen.count >= SAMPLES.1 {
            let seen = *seen;
            self.on_settled(now, seen, disputed);
        }
    }

    fn on_compete_ack(&mut self, now: f64, sign: &Sign) {
        let (srtt, queue, packet) = (self.srtt, self.queue(), self.packet);
        let State::Compete(compete) = &mut self.state else { return };
        if sign.full {
            compete.on_ack(now, sign.batch.bytes / packet, srtt, queue);
        }
        if now >= compete.test_at {
            let resume = compete.clone();
            self.drain(Some(resume));
        }
    }

    pub(super) fn drain(&mut self, resume: Option<Box<Compete>>) {
        self.state = State::Drain { low_since: None, seen: Seen::NOTHING, lowered: false, resume };
    }

    /// We get much less than we once did: either the path has become narrower, or somebody takes the rest.
    pub(super) fn disputed(&self) -> bool {
        self.rates.max() < DISPUTED * self.capacity
    }

    /// Some of a round trip has been seen at the lower window.
    fn on_settled(&mut self, now: f64, seen: Seen, disputed: bool) {
        let burst = 4.0 * self.packet
            / self.rates.recent(3).max(self.trains.rate().min(self.capacity)).max(self.packet);
        let near = self.min_rtt.get() + self.tolerance() / 2.0 + self.least();
        if disputed && seen.mean() <= near + burst {
            // Nobody else fills the path, so this is all there is. Not believed at once: BBR empties the
            // queue for a moment every ten seconds.
            self.capacity = self.rates.max().max(GIVEN_UP * self.capacity);
            self.on_drained(now);
        } else if !disputed && seen.min <= near + self.tolerance() / 2.0 {
            self.on_drained(now);
        } else {
            self.on_stuck(now);
        }
    }

    /// The queue is gone, so it was ours.
    fn on_drained(&mut self, now: f64) {
        self.stuck = (self.stuck - 0.34).max(0.0);
        self.losses.raised(now);
        self.state = State::Cruise { rounds: 0, rested_at: now + REST };
    }

    /// We sent less than the path takes for a round trip and the queue is still there.
    fn on_stuck(&mut self, now: f64) {
        self.losses.raised(now);
        let State::Drain { resume, .. } = &mut self.state else { return };
        let interval = (20.0 * self.srtt).max(4.0);
        // Come late, we have never had the line to ourselves.
        self.capacity = self.capacity.max(self.trains.rate().min(16.0 * self.capacity));
        if let Some(mut compete) = resume.take() {
            compete.test_at = now + interval;
            self.state = State::Compete(compete);
            return;
        }
        self.stuck += if self.disputed() { 2.0 } else { 1.0 };
        if self.stuck < 2.0 {
            self.state = State::Cruise { rounds: CRUISE_ROUNDS - 2, rested_at: now };
            return;
        }
        let window = self.rates.recent(2).max(0.4 * self.capacity) * self.srtt / self.packet;
        self.stuck = 0.0;
        self.limit.clear();
        let fair = 0.5 * self.capacity * self.srtt / self.packet;
        self.state =
            State::Compete(Box::new(Compete::new(now, window.max(MIN_PACKETS), fair, now + interval)));
    }
}
