//! How much may be in flight: a pure state machine over what was sent, acknowledged and lost, and when.
//!
//! The window is (highest delivery rate of ten rounds) × (shortest round trip) × a gain near one, plus a few
//! packets. Random loss does not enter. `docs/design/congestion.md` has the reasons and the figures.
//!
//! It guarantees at least four packets, and at most the ceiling's worth per round trip. It reads no clock and
//! knows nothing of QUIC; times are durations since the connection began.

use std::time::Duration;

use super::compete::Compete;
use super::filters::{Losses, MinRtt, Rates};

/// What the window is doing at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Growing by what is acknowledged until the rate stops growing or a queue builds.
    Startup,
    /// Below the path's content, until the queue is gone or turns out to be somebody else's.
    Drain,
    /// Just above the path's content.
    Cruise,
    /// A round or two with more, to see whether there is more.
    Probe,
    /// Somebody else keeps the queue full.
    Compete,
}

/// What the model believes of the path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Bytes a second the path delivers to us.
    pub rate: f64,
    /// The path's round trip without a queue; zero before the first sample.
    pub min_rtt: Duration,
    /// What the queue adds to it at present.
    pub queue: Duration,
    /// Of what was sent lately, the share that was lost: 0 to 1.
    pub loss: f64,
    /// Bytes that may be in flight.
    pub window: u64,
    /// What the window is doing.
    pub phase: Phase,
}

/// The controller's state. See the module.
#[derive(Clone, Debug)]
pub struct Model {
    packet: f64,
    ceiling: Option<f64>,
    window: f64,
    state: State,
    rates: Rates,
    min_rtt: MinRtt,
    losses: Losses,
    srtt: f64,
    /// Mean difference between successive round trips, which a queue of ours hardly moves.
    jitter: f64,
    last_rtt: f64,
    round: Round,
    batch: Batch,
    in_flight: f64,
    /// Packets sent up to here were sent with nothing waiting behind them.
    app_limited_at: f64,
    last_ack: f64,
    last_sent: f64,
    /// When silence last let a packet out.
    nudged: f64,
    /// The window at which a probe's losses exceeded the usual, and the cruise rounds before the next.
    limit: Option<f64>,
    patience: u32,
    /// Drains in a row in which the queue stayed.
    stuck: u32,
    /// The highest rate of the last minute or so, forgotten slowly: what a share is a share of.
    capacity: f64,
    /// Acknowledgements that came in lumps: the most that arrived beyond the rate, lately.
    lumps: f64,
    lump_from: (f64, f64),
}

#[derive(Clone, Debug)]
enum State {
    Startup { base: f64, flat: u32 },
    Drain { low_since: Option<f64>, seen: f64, samples: u32, resume: Option<Box<Compete>> },
    Cruise { rounds: u32 },
    Probe { rounds: u32, base: f64 },
    Compete(Box<Compete>),
}

/// From an acknowledgement of something sent to the first acknowledgement of something sent after it.
#[derive(Clone, Debug)]
struct Round {
    started: f64,
    newest: f64,
    acked: f64,
    lost: f64,
    min_rtt: f64,
    samples: u32,
    app_limited: bool,
    broken: bool,
}

#[derive(Clone, Debug, Default)]
struct Batch {
    bytes: f64,
    newest: f64,
    app_limited: bool,
}

/// Packets in flight before anything is known; paced, as all are.
const INITIAL_PACKETS: f64 = 32.0;
const MIN_PACKETS: f64 = 4.0;
/// Added to every multiple of the estimate, so that small windows can grow and acknowledgements of every
/// second packet don't stall them.
const SPARE_PACKETS: f64 = 4.0;
/// The start-up window is at most this many times the content of the path as measured a round ago.
const STARTUP_GAIN: f64 = 4.0;
const DRAIN_GAIN: f64 = 0.9;
/// Above the path's content while cruising: so much of it, and at most so many seconds of queue.
const CRUISE: (f64, f64) = (0.08, 0.008);
const PROBE: (f64, f64) = (0.25, 0.030);
const CRUISE_ROUNDS: u32 = 6;
const CRUISE_ROUNDS_MAX: u32 = 48;
/// After silence this long one packet may go every so often, beyond any window: when the path heals, an
/// acknowledgement of it tells. quinn's own probes are up to as far apart as the outage was long.
const NUDGE: f64 = 0.25;

impl Model {
    /// For packets of `packet` bytes; never above `ceiling` bytes a second if there is one.
    pub fn new(packet: u64, ceiling: Option<u64>) -> Self {
        let packet = packet as f64;
        Self {
            packet,
            ceiling: ceiling.map(|rate| rate as f64),
            window: INITIAL_PACKETS * packet,
            state: State::Startup { base: 0.0, flat: 0 },
            rates: Rates::default(),
            min_rtt: MinRtt::default(),
            losses: Losses::default(),
            srtt: 0.0,
            jitter: 0.0,
            last_rtt: 0.0,
            round: Round::new(0.0, 0.0),
            batch: Batch::default(),
            in_flight: 0.0,
            app_limited_at: -1.0,
            last_ack: 0.0,
            last_sent: 0.0,
            nudged: 0.0,
            limit: None,
            patience: CRUISE_ROUNDS,
            stuck: 0,
            capacity: 0.0,
            lumps: 0.0,
            lump_from: (0.0, 0.0),
        }
    }

    /// The path takes packets of this size.
    pub fn set_packet(&mut self, packet: u64) {
        self.packet = packet as f64;
    }

    /// `bytes` were sent.
    pub fn on_sent(&mut self, now: Duration, bytes: u64) {
        let now = now.as_secs_f64();
        if self.silent(now) {
            self.nudged = now;
        } else if self.in_flight <= 0.0 {
            // After a pause silence is counted from here.
            self.last_ack = now;
        }
        self.last_sent = now;
        self.in_flight += bytes as f64;
    }

    /// `bytes` sent at `sent` have arrived.
    pub fn on_ack(&mut self, now: Duration, sent: Duration, bytes: u64, app_limited: bool) {
        let (sent, bytes) = (sent.as_secs_f64(), bytes as f64);
        let _ = now;
        self.batch.bytes += bytes;
        self.batch.newest = self.batch.newest.max(sent);
        self.batch.app_limited |= app_limited;
        self.losses.settle(sent, bytes, false, self.horizon());
    }

    /// That was all of one acknowledgement; `in_flight` bytes remain.
    pub fn on_end_acks(&mut self, now: Duration, in_flight: u64, app_limited: bool) {
        let now = now.as_secs_f64();
        self.in_flight = in_flight as f64;
        let batch = std::mem::take(&mut self.batch);
        if batch.bytes == 0.0 {
            return;
        }
        if app_limited || batch.app_limited {
            self.app_limited_at = now;
        }
        let rtt = (now - batch.newest).max(1e-5);
        self.take_rtt(now, rtt);
        self.take_lump(now, batch.bytes);
        self.round.take(&batch, rtt, batch.newest <= self.app_limited_at);
        self.round.broken |= now - self.last_ack > (4.0 * self.srtt).max(0.2);
        self.last_ack = now;
        if let Some(hurt) = self.losses.probe_hurt(batch.newest, self.packet) {
            self.on_probe_settled(hurt);
        }
        let round_over = batch.newest >= self.round.started;
        self.step(now, &batch, rtt);
        if round_over {
            self.end_round(now, batch.newest);
        }
        self.set_window();
    }

    /// `bytes` are lost, the last of them sent at `sent`; `persistent` if nothing arrived for several probe
    /// timeouts.
    pub fn on_loss(&mut self, now: Duration, sent: Duration, bytes: u64, persistent: bool) {
        let (now, sent, bytes) = (now.as_secs_f64(), sent.as_secs_f64(), bytes as f64);
        self.in_flight = (self.in_flight - bytes).max(0.0);
        self.round.lost += bytes;
        let (queue, packet) = (self.queue(), self.packet);
        if persistent {
            // An outage. What it swallowed says nothing about the rate; begin again at half of it.
            self.round.broken = true;
            self.limit = None;
            self.window = (0.5 * self.content()).max(INITIAL_PACKETS * packet);
            self.state = State::Startup { base: 0.0, flat: 0 };
            return;
        }
        self.losses.settle(sent, bytes, true, self.horizon());
        if let State::Compete(compete) = &mut self.state {
            compete.on_loss(now, sent, bytes / packet, queue);
            self.set_window();
        }
    }

    /// Bytes that may be in flight.
    pub fn window(&self) -> u64 {
        self.window as u64
    }

    /// As [`Model::window`], or after silence one packet more than is in flight, four times a second.
    pub fn window_at(&self, now: Duration) -> u64 {
        let now = now.as_secs_f64();
        if self.silent(now) && now - self.nudged >= NUDGE {
            return self.window.max(self.in_flight + 3.0 * self.packet) as u64;
        }
        self.window()
    }

    /// What it believes of the path.
    pub fn estimate(&self) -> Estimate {
        let min_rtt = if self.last_rtt > 0.0 { self.min_rtt.get() } else { 0.0 };
        Estimate {
            rate: self.rates.max(),
            min_rtt: Duration::from_secs_f64(min_rtt),
            queue: Duration::from_secs_f64(self.queue()),
            loss: self.losses.share(),
            window: self.window(),
            phase: self.phase(),
        }
    }

    fn phase(&self) -> Phase {
        match self.state {
            State::Startup { .. } => Phase::Startup,
            State::Drain { .. } => Phase::Drain,
            State::Cruise { .. } => Phase::Cruise,
            State::Probe { .. } => Phase::Probe,
            State::Compete(_) => Phase::Compete,
        }
    }

    fn silent(&self, now: f64) -> bool {
        self.in_flight > 0.0 && self.srtt > 0.0 && now - self.last_ack > (3.0 * self.srtt).max(0.5)
    }

    fn queue(&self) -> f64 {
        if self.last_rtt > 0.0 { (self.srtt - self.min_rtt.get()).max(0.0) } else { 0.0 }
    }

    /// Bytes the path holds when its queue is empty.
    fn content(&self) -> f64 {
        let rate = self.rates.max();
        if rate > 0.0 { self.ceiling.map_or(rate, |ceiling| rate.min(ceiling)) * self.min_rtt.get() } else { 0.0 }
    }

    /// Some rounds' worth of bytes.
    fn horizon(&self) -> f64 {
        (4.0 * self.window).max(64.0 * self.packet)
    }

    /// Round trips longer than the shortest by more than this mean a queue.
    fn tolerance(&self) -> f64 {
        (self.min_rtt.get() / 10.0).clamp(0.004, 0.012) + self.jitter.min(0.030) / 2.0
    }

    fn take_rtt(&mut self, now: f64, rtt: f64) {
        let span = match self.state {
            State::Compete(_) | State::Drain { resume: Some(_), .. } => 15.0,
            _ => (12.0 * self.srtt).max(5.0),
        };
        self.min_rtt.sample(now, rtt, span);
        if self.last_rtt == 0.0 {
            self.srtt = rtt;
        } else {
            self.srtt += (rtt - self.srtt) / 8.0;
            self.jitter += ((rtt - self.last_rtt).abs() - self.jitter) / 32.0;
        }
        self.last_rtt = rtt;
    }

    /// How far acknowledgements run ahead of the rate when they come in lumps.
    fn take_lump(&mut self, now: f64, bytes: f64) {
        let rate = self.rates.max();
        let (from, acked) = self.lump_from;
        let expected = rate * (now - from);
        if acked <= expected || rate == 0.0 {
            self.lump_from = (now, bytes);
        } else {
            self.lump_from.1 += bytes;
        }
        let ahead = self.lump_from.1 - rate * (now - self.lump_from.0);
        self.lumps = self.lumps.max(ahead.min(rate * 0.02)) ;
    }

    fn on_probe_settled(&mut self, hurt: bool) {
        if hurt {
            self.limit = Some(self.content());
            self.patience = (self.patience * 2).min(CRUISE_ROUNDS_MAX);
        } else {
            self.limit = None;
            self.patience = CRUISE_ROUNDS;
        }
    }

    /// What each acknowledgement may change, without waiting for the round.
    fn step(&mut self, now: f64, batch: &Batch, rtt: f64) {
        let full = batch.newest > self.app_limited_at;
        let floor = self.min_rtt.get();
        let tolerance = self.tolerance();
        let queued = self.round.samples >= 8 && self.round.min_rtt > floor + tolerance;
        let (srtt, queue, packet) = (self.srtt, self.queue(), self.packet);
        let (in_flight, window) = (self.in_flight, self.window);
        match &mut self.state {
            State::Startup { .. } => {
                if full {
                    self.window += batch.bytes;
                }
                if queued && full {
                    self.drain(None);
                }
            }
            State::Probe { .. } if queued => {
                self.losses.probed(now);
                self.drain(None);
            }
            State::Drain { low_since, seen, samples, .. } => {
                if low_since.is_none() && in_flight <= window {
                    *low_since = Some(now);
                }
                if rtt <= floor + tolerance / 2.0 {
                    self.on_drained();
                } else if let Some(low) = *low_since
                    && batch.newest >= low
                {
                    *seen = seen.min(rtt);
                    *samples += 1;
                    let long = batch.newest >= low + srtt / 2.0;
                    let seen = *seen;
                    if long && *samples >= 4 {
                        if seen <= floor + tolerance { self.on_drained() } else { self.on_stuck(now) }
                    }
                }
            }
            State::Compete(compete) => {
                if full {
                    compete.on_ack(now, batch.bytes / packet, srtt, queue);
                    compete.clamp((in_flight + batch.bytes) / packet * 1.5 + 10.0);
                }
                if now >= compete.test_at {
                    let resume = compete.clone();
                    self.drain(Some(resume));
                }
            }
            State::Cruise { .. } | State::Probe { .. } => {}
        }
    }

    fn drain(&mut self, resume: Option<Box<Compete>>) {
        self.state = State::Drain { low_since: None, seen: f64::INFINITY, samples: 0, resume };
    }

    /// The queue is gone, so it was ours.
    fn on_drained(&mut self) {
        self.stuck = 0;
        self.state = State::Cruise { rounds: 0 };
    }

    /// We sent less than the path takes for a round trip and the queue is still there.
    fn on_stuck(&mut self, now: f64) {
        let State::Drain { resume, .. } = &mut self.state else { return };
        let interval = (20.0 * self.srtt).max(4.0);
        if let Some(mut compete) = resume.take() {
            compete.test_at = now + interval;
            compete.tests += 1;
            self.state = State::Compete(compete);
            return;
        }
        self.stuck += 1;
        if self.stuck < 2 {
            self.state = State::Cruise { rounds: CRUISE_ROUNDS - 2 };
            return;
        }
        let window = self.rates.recent(2).max(0.4 * self.capacity) * self.srtt / self.packet;
        let fair = 0.5 * self.capacity * self.srtt / self.packet;
        self.state = State::Compete(Box::new(Compete::new(now, window.max(MIN_PACKETS), fair, now + interval)));
    }

    fn end_round(&mut self, now: f64, newest: f64) {
        let round = std::mem::replace(&mut self.round, Round::new(now, newest));
        let elapsed = (now - round.started).max(newest - round.newest);
        if round.broken || elapsed <= 0.0 || round.started == 0.0 {
            return;
        }
        let rate = round.acked / elapsed;
        let best = self.rates.max();
        self.rates.push(rate, round.app_limited);
        self.lumps *= 0.95;
        if round.app_limited {
            return;
        }
        self.capacity = self.rates.max().max(self.capacity * (1.0 - elapsed / 30.0).max(0.0));
        let queued = round.min_rtt > self.min_rtt.get() * 1.25 + 0.005;
        let shrunk = queued && rate < 0.8 * best;
        let loss = round.lost / (round.lost + round.acked);
        match &mut self.state {
            State::Startup { base, flat } => {
                if rate >= *base * 1.25 {
                    (*base, *flat) = (rate, 0);
                } else {
                    *flat += 1;
                }
                if *flat >= 3 || (loss > 0.2 && round.lost > 8.0 * self.packet) {
                    self.drain(None);
                }
            }
            State::Cruise { rounds } => {
                *rounds += 1;
                let due = *rounds >= self.patience;
                if shrunk {
                    // The path has become narrower, or we share it now.
                    self.rates.keep(1);
                    self.drain(None);
                } else if due {
                    let base = self.rates.max();
                    self.state = State::Probe { rounds: 0, base };
                    self.losses.probing(now);
                }
            }
            State::Probe { rounds, base } => {
                *rounds += 1;
                let grown = rate >= *base * (1.0 + PROBE.0 / 2.0);
                if *rounds >= 2 {
                    self.losses.probed(now);
                    if grown {
                        self.state = State::Startup { base: rate, flat: 0 };
                    } else {
                        self.drain(None);
                    }
                }
            }
            State::Drain { .. } => {
                if shrunk {
                    self.rates.keep(1);
                }
            }
            State::Compete(_) => {}
        }
    }

    fn set_window(&mut self) {
        let content = self.content();
        if content == 0.0 {
            return;
        }
        let rate = content / self.min_rtt.get();
        let spare = SPARE_PACKETS * self.packet + self.lumps;
        let over = |(share, seconds): (f64, f64)| content + (share * content).min(seconds * rate) + spare;
        let window = match &self.state {
            State::Startup { .. } => self.window.min((STARTUP_GAIN * content).max(INITIAL_PACKETS * self.packet)),
            State::Drain { .. } => DRAIN_GAIN * self.rates.recent(3).min(rate) * self.min_rtt.get(),
            State::Cruise { .. } => self.limit.map_or(over(CRUISE), |limit| over(CRUISE).min(limit + spare)),
            State::Probe { .. } => self.limit.map_or(over(PROBE), |limit| over(PROBE).min(1.1 * limit + spare)),
            State::Compete(compete) => {
                let limit = rate * (4.0 * self.min_rtt.get()).max(self.min_rtt.get() + 0.25);
                compete.window(self.packet, self.rates.max(), self.srtt, limit)
            }
        };
        let ceiling = self.ceiling.map_or(f64::INFINITY, |rate| rate * self.srtt);
        self.window = window.min(ceiling).max(MIN_PACKETS * self.packet);
    }

    /// For the tests' tables.
    #[cfg(test)]
    pub(super) fn trace(&self) -> String {
        let estimate = self.estimate();
        format!(
            "{:?} rate {:.2} Mbit/s min {:.1} ms queue {:.1} ms loss {:.3} window {} limit {:?} stuck {} jitter {:.4} lumps {:.0}{}",
            estimate.phase,
            estimate.rate / 125e3,
            self.min_rtt.get() * 1e3,
            self.queue() * 1e3,
            estimate.loss,
            estimate.window,
            self.limit,
            self.stuck,
            self.jitter,
            self.lumps,
            if let State::Compete(compete) = &self.state && compete.insists() { " insists" } else { "" },
        )
    }
}

impl Round {
    fn new(started: f64, newest: f64) -> Self {
        Self {
            started,
            newest,
            acked: 0.0,
            lost: 0.0,
            min_rtt: f64::INFINITY,
            samples: 0,
            app_limited: false,
            broken: false,
        }
    }

    fn take(&mut self, batch: &Batch, rtt: f64, app_limited: bool) {
        self.acked += batch.bytes;
        self.min_rtt = self.min_rtt.min(rtt);
        self.samples += 1;
        self.app_limited |= app_limited;
    }
}
