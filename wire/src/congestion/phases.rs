//! From one state of the window to the next, and the window of each.

use super::compete::Compete;
use super::losses::Harm;
use super::model::{INITIAL_PACKETS, MIN_PACKETS, Model};
use super::round::{Batch, Round};

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
    Cruise {
        rounds: u32,
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
    const NOTHING: Self = Self { min: f64::INFINITY, sum: 0.0, count: 0 };

    fn take(&mut self, rtt: f64) {
        self.min = self.min.min(rtt);
        self.sum += rtt;
        self.count += 1;
    }

    fn mean(self) -> f64 {
        self.sum / f64::from(self.count)
    }
}

/// Rounds between probes, when they do no harm.
pub(super) const CRUISE_ROUNDS: u32 = 6;
/// Added to every multiple of the estimate, so that small windows can grow and acknowledgements of every
/// second packet don't stall them.
const SPARE_PACKETS: f64 = 4.0;
/// But no more of it than this many seconds of queue, down to two packets.
const SPARE: f64 = 0.010;
/// The start-up window is at most this many times the content of the path as measured a round ago.
const STARTUP_GAIN: f64 = 4.0;
/// Below the path's content, so that a queue of ours drains.
pub(super) const DRAIN_GAIN: f64 = 0.9;
/// Above the path's content while cruising: so much of it, and at most so many seconds of queue.
const CRUISE: (f64, f64) = (0.08, 0.008);
const PROBE: (f64, f64) = (0.25, 0.030);
/// Start-up holds its window for so long before it believes in a queue.
const DOUBT: f64 = 0.060;
const CRUISE_ROUNDS_MAX: u32 = 24;
/// Above this share nothing is sent beyond what arrives, whoever's fault it is.
const LOSS_HIGH: f64 = 0.2;
/// Above this share the drain lasts a whole round trip, to see whether sending less loses less.
const LOSS_NOTED: f64 = 0.02;
/// Below this share of the best rate known, a drain also has to tell whether we are alone.
const DISPUTED: f64 = 0.6;
/// Beside somebody who keeps the queue full: the share of the best rate known that is not given up.
const HELD: f64 = 0.35;

impl Model {
    pub(super) fn on_probe_settled(&mut self, harm: Harm) {
        let share = self.losses.share();
        self.sustain = harm == Harm::None && share >= LOSS_HIGH;
        if harm == Harm::None && !self.sustain {
            self.patience = CRUISE_ROUNDS;
            // Whatever set the limit may be gone: what does no harm grows faster each time.
            self.harmed = 0;
            self.harmless += 1;
            let raise = 1.0 + 0.1 * f64::from(1 << self.harmless.min(4));
            self.limit = self.limit.map(|limit| raise * limit).filter(|&limit| limit < 1.3 * self.content());
            return;
        }
        self.harmless = 0;
        self.harmed += 1;
        if self.harmed < 2 && share < LOSS_HIGH {
            return;
        }
        let fits = match harm {
            Harm::Probe => self.content(),
            Harm::Cruise => 0.97 * self.rates.recent(4) * self.span(),
            // Not of our making as far as we can see: no more than keeps what arrives.
            Harm::None => self.rates.recent(4) * self.span() / (1.0 - share.min(0.5)),
        };
        let floor = 0.5 * self.capacity * self.span();
        self.limit = Some(fits.max(floor));
        self.patience = (self.patience * 2).min(CRUISE_ROUNDS_MAX);
    }

    /// What each acknowledgement may change, without waiting for the round.
    pub(super) fn step(&mut self, now: f64, batch: &Batch, rtt: f64) {
        let full = batch.newest > self.app_limited_at;
        let floor = self.min_rtt.get();
        let tolerance = self.tolerance();
        let queued = self.round.samples >= 8 && self.round.min_rtt > floor + tolerance + self.least();
        let (srtt, queue, packet) = (self.srtt, self.queue(), self.packet);
        let least = self.least();
        let disputed = self.disputed();
        let (in_flight, window, share) = (self.in_flight, self.window, self.losses.share());
        match &mut self.state {
            State::Startup { held, .. } => match *held {
                None if queued && full => *held = Some(now),
                None if full => self.window += batch.bytes,
                None => {}
                // Waiting a little tells a queue from a path that is uneven by itself.
                Some(_) if rtt <= floor + tolerance / 2.0 + least => *held = None,
                Some(since) if now >= since + DOUBT => {
                    self.losses.forget(now);
                    self.drain(None);
                }
                Some(_) => {}
            },
            State::Probe { .. } if queued => {
                self.losses.probed(now);
                self.drain(None);
            }
            State::Drain { low_since, seen, .. } => {
                if low_since.is_none() && in_flight <= window {
                    *low_since = Some(now);
                    self.losses.lowered(now);
                }
                let settled = low_since.is_some_and(|low| batch.newest >= low);
                let gone = rtt <= floor + tolerance / 2.0 + least && (settled || share < LOSS_NOTED);
                if settled {
                    seen.take(rtt);
                }
                let long = if disputed { srtt } else { srtt / 2.0 };
                if gone && !disputed {
                    self.on_drained(now);
                } else if low_since.is_some_and(|low| batch.newest >= low + long) && seen.count >= 4 {
                    let seen = *seen;
                    self.on_settled(now, seen, disputed);
                }
            }
            State::Compete(compete) => {
                if full {
                    compete.on_ack(now, batch.bytes / packet, srtt, queue);
                }
                if now >= compete.test_at {
                    let resume = compete.clone();
                    self.drain(Some(resume));
                }
            }
            State::Cruise { .. } | State::Probe { .. } => {}
        }
    }

    pub(super) fn drain(&mut self, resume: Option<Box<Compete>>) {
        self.state = State::Drain { low_since: None, seen: Seen::NOTHING, lowered: false, resume };
    }

    /// We get much less than we once did: either the path has become narrower, or somebody takes the rest.
    fn disputed(&self) -> bool {
        self.rates.max() < DISPUTED * self.capacity
    }

    /// Some of a round trip has been seen at the lower window.
    fn on_settled(&mut self, now: f64, seen: Seen, disputed: bool) {
        let burst = 4.0 * self.packet / self.rates.recent(3).max(self.packet);
        let near = self.min_rtt.get() + self.tolerance() / 2.0 + self.least();
        if disputed && seen.mean() <= near + burst {
            // Nobody else fills the path, so this is all there is.
            self.capacity = self.rates.max();
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
        self.state = State::Cruise { rounds: 0 };
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
            self.state = State::Cruise { rounds: CRUISE_ROUNDS - 2 };
            return;
        }
        let window = self.rates.recent(2).max(0.4 * self.capacity) * self.srtt / self.packet;
        (self.stuck, self.limit, self.harmed) = (0.0, None, 0);
        let fair = 0.5 * self.capacity * self.srtt / self.packet;
        self.state =
            State::Compete(Box::new(Compete::new(now, window.max(MIN_PACKETS), fair, now + interval)));
    }

    pub(super) fn end_round(&mut self, now: f64, newest: f64) {
        let round = std::mem::replace(&mut self.round, Round::new(now, newest));
        let elapsed = (now - round.started).max(newest - round.newest);
        if round.broken || elapsed <= 0.0 || round.started == 0.0 {
            return;
        }
        let rate = round.acked / elapsed;
        if let State::Cruise { rounds: 3.. } = self.state
            && round.acked > 0.0
        {
            // Only here does the queue of ours stand still.
            self.noise.push(round.waited / round.acked - round.min_rtt);
        }
        let best = self.rates.max();
        self.rates.push(rate, round.app_limited);
        if round.app_limited {
            return;
        }
        let fade = match &mut self.state {
            State::Compete(compete) => {
                if compete.in_vain() {
                    0.9
                } else {
                    1.0
                }
            }
            _ => (1.0 - elapsed / 60.0).max(0.0),
        };
        self.capacity = self.rates.max().max(self.capacity * fade);
        let queued = round.min_rtt > self.min_rtt.get() * 1.25 + 0.005;
        let shrunk = queued && rate < 0.8 * best;
        let calm = round.waited / round.acked < self.min_rtt.get() + self.tolerance() / 2.0 + self.least();
        let loss = round.lost / (round.lost + round.acked);
        let span = self.span();
        match &mut self.state {
            State::Startup { base, flat, .. } => {
                let grown = rate >= *base * 1.25;
                if grown {
                    (*base, *flat) = (rate, 0);
                } else {
                    *flat += 1;
                }
                let spilled = loss > LOSS_HIGH && round.lost > 8.0 * self.packet && !grown;
                if *flat >= 3 || spilled {
                    self.losses.forget(now);
                    self.drain(None);
                }
            }
            State::Cruise { rounds } => {
                *rounds += 1;
                // Above the content and yet no queue: there is more than we know of.
                let room = (CRUISE.0 * span).min(CRUISE.1);
                let idle = round.min_rtt < self.min_rtt.get() + 0.25 * room + self.noise.get()
                    && self.limit.is_none();
                let harmful = loss > LOSS_HIGH && !self.sustain && *rounds >= 2;
                let due = *rounds >= self.patience || (idle && *rounds >= 4) || harmful;
                if shrunk {
                    // The path has become narrower, or we share it now.
                    self.rates.keep(1);
                    self.losses.forget(now);
                    (self.limit, self.harmed, self.patience) = (None, 0, CRUISE_ROUNDS);
                    self.drain(None);
                } else if due {
                    let base = self.rates.max();
                    self.state = State::Probe { rounds: 0, base };
                    self.losses.probing(now);
                }
            }
            State::Probe { rounds, base } => {
                *rounds += 1;
                // A policer lets the first probe after a rest pass.
                let believable = self.limit.is_none() || self.harmless >= 2;
                let grown = believable && rate >= *base * (1.0 + PROBE.0.min(PROBE.1 / span) / 2.0);
                if *rounds >= 2 {
                    self.losses.probed(now);
                    if grown {
                        (self.limit, self.harmed, self.patience) = (None, 0, CRUISE_ROUNDS);
                        self.state = State::Startup { base: rate, flat: 0, held: None };
                    } else {
                        self.drain(None);
                    }
                }
            }
            State::Drain { low_since, seen, lowered, resume: None } if shrunk && !*lowered => {
                // The window was not low enough to tell anything. Once: beside somebody who fills the queue
                // the rate follows the window all the way down.
                (*low_since, *seen, *lowered) = (None, Seen::NOTHING, true);
                self.rates.keep(1);
                self.losses.forget(now);
            }
            State::Drain { .. } => {}
            State::Compete(_) if calm => {
                // Whoever kept the queue full has gone.
                self.losses.forget(now);
                self.state = State::Startup { base: rate, flat: 0, held: None };
            }
            State::Compete(_) => {}
        }
    }

    pub(super) fn set_window(&mut self) {
        let content = self.content();
        if content == 0.0 {
            return;
        }
        let packet = self.packet;
        let rate = content / self.span();
        let spare = (SPARE_PACKETS * packet).min((SPARE * rate).max(2.0 * packet));
        let over = |(share, seconds): (f64, f64)| content + (share * content).min(seconds * rate) + spare;
        let limit = self.limit.unwrap_or(f64::INFINITY);
        let window = match &self.state {
            State::Startup { .. } => self.window.min((STARTUP_GAIN * content).max(INITIAL_PACKETS * packet)),
            State::Drain { .. } => DRAIN_GAIN * (self.rates.recent(3).min(rate) * self.span()).min(limit),
            State::Cruise { .. } if self.sustain => over(CRUISE).max(self.limit.unwrap_or(0.0)),
            State::Cruise { .. } => over(CRUISE).min(limit),
            State::Probe { .. } => over(PROBE).min((1.1 * limit).max(limit + 2.0 * packet)),
            State::Compete(compete) => {
                let limit =
                    rate.max(self.capacity) * (4.0 * self.min_rtt.get()).max(self.min_rtt.get() + 0.25);
                compete.window(packet, HELD * self.capacity * self.srtt, limit)
            }
        };
        let ceiling = self.ceiling.map_or(f64::INFINITY, |rate| rate * self.srtt);
        self.window = window.min(ceiling).max(MIN_PACKETS * packet);
    }
}
