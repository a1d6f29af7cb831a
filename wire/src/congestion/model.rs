//! How much may be in flight: a pure state machine over what was sent, acknowledged and lost, and when.
//!
//! The window is (highest delivery rate of ten rounds) × (shortest round trip) × a gain near one, plus a few
//! packets. Random loss does not enter. `docs/design/congestion.md` has the reasons and the figures.
//!
//! It guarantees at least four packets, and at most the ceiling's worth per round trip. It reads no clock and
//! knows nothing of QUIC; times are durations since the connection began.

use std::time::Duration;

use super::filters::{MinRtt, Noise, Rates, Trains};
use super::limit::{Fits, Limit};
use super::losses::{Harm, Losses};
use super::phases::State;
use super::round::{Batch, Round};
use super::window::DRAIN_GAIN;

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
    pub(super) packet: f64,
    pub(super) ceiling: Option<f64>,
    pub(super) window: f64,
    pub(super) state: State,
    pub(super) rates: Rates,
    pub(super) min_rtt: MinRtt,
    pub(super) losses: Losses,
    pub(super) srtt: f64,
    pub(super) last_rtt: f64,
    pub(super) round: Round,
    pub(super) batch: Batch,
    pub(super) in_flight: f64,
    /// As of the last acknowledgement.
    pub(super) in_flight_acked: f64,
    /// Packets sent up to here were sent with nothing waiting behind them.
    pub(super) app_limited_at: f64,
    pub(super) last_ack: f64,
    /// When silence last let a packet out.
    pub(super) nudged: f64,
    pub(super) limit: Limit,
    /// Drains lately in which the queue stayed, less a third of those in which it went.
    pub(super) stuck: f64,
    /// The highest rate of the last minute or so, forgotten slowly: what a share is a share of.
    pub(super) capacity: f64,
    pub(super) noise: Noise,
    pub(super) trains: Trains,
}

/// Packets in flight before anything is known; paced, as all are.
pub(super) const INITIAL_PACKETS: f64 = 32.0;
/// Never fewer: loss is noticed by three packets that come after.
pub(super) const MIN_PACKETS: f64 = 4.0;
/// A round is a round trip, or this if that is shorter and nothing is urgent.
const ROUND: f64 = 0.040;
/// After silence this long one packet may go every so often, beyond any window: when the path heals, an
/// acknowledgement of it tells. quinn's own probes are up to as far apart as the outage was long.
const NUDGE: f64 = 0.25;

/// Packets leave faster than the window lasts a round trip by this, or what a timer missed would be missing. quinn's
/// own pacing, which lets ten go at a time, has the same.
const PACE: f64 = 1.25;

impl Model {
    /// For packets of `packet` bytes; never above `ceiling` bytes a second if there is one.
    pub fn new(packet: u64, ceiling: Option<u64>) -> Self {
        let packet = packet as f64;
        Self {
            packet,
            ceiling: ceiling.map(|rate| rate as f64),
            window: INITIAL_PACKETS * packet,
            state: State::startup(0.0),
            rates: Rates::default(),
            min_rtt: MinRtt::default(),
            losses: Losses::default(),
            srtt: 0.0,
            last_rtt: 0.0,
            round: Round::new(0.0, 0.0),
            batch: Batch::default(),
            in_flight: 0.0,
            in_flight_acked: 0.0,
            app_limited_at: -1.0,
            last_ack: 0.0,
            nudged: 0.0,
            limit: Limit::default(),
            stuck: 0.0,
            capacity: 0.0,
            noise: Noise::default(),
            trains: Trains::default(),
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
        let sum = self.in_flight + bytes as f64;
        // What is sent includes bare acknowledgements, which never are in flight: the sum may not run away. In
        // silence nothing is there to be acknowledged.
        let most = self.in_flight_acked + self.window + INITIAL_PACKETS * self.packet;
        self.in_flight = if self.silent(now) { sum } else { sum.min(most) };
    }

    /// `bytes` sent at `sent` have arrived.
    pub fn on_ack(&mut self, now: Duration, sent: Duration, bytes: u64, app_limited: bool) {
        let (sent, bytes) = (sent.as_secs_f64(), bytes as f64);
        self.batch.bytes += bytes;
        self.batch.waited += bytes * (now.as_secs_f64() - sent);
        self.batch.newest = self.batch.newest.max(sent);
        self.batch.app_limited |= app_limited;
        self.losses.settle(sent, bytes, false, self.horizon());
    }

    /// That was all of one acknowledgement; `in_flight` bytes remain.
    pub fn on_end_acks(&mut self, now: Duration, in_flight: u64, app_limited: bool) {
        let now = now.as_secs_f64();
        self.in_flight = in_flight as f64;
        self.in_flight_acked = self.in_flight;
        let batch = std::mem::take(&mut self.batch);
        if batch.bytes == 0.0 {
            return;
        }
        if app_limited || batch.app_limited {
            self.app_limited_at = now;
        }
        let rtt = (now - batch.newest).max(1e-5);
        self.take_rtt(now, rtt);
        self.trains.take(now, batch.newest, batch.bytes, 4.0 * self.packet);
        self.round.take(&batch, rtt, batch.newest <= self.app_limited_at);
        self.round.broken |= now - self.last_ack > (4.0 * self.srtt).max(0.2);
        self.last_ack = now;
        if let Some(harm) = self.losses.harm(batch.newest, self.packet) {
            self.on_probe_settled(harm);
        }
        let long = matches!(self.state, State::Startup { .. }) || now - self.round.started >= ROUND;
        let round_over = batch.newest >= self.round.started && long;
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
            self.limit.lift();
            self.window = (0.5 * self.content()).max(INITIAL_PACKETS * packet);
            self.state = State::startup(0.0);
            return;
        }
        self.losses.settle(sent, bytes, true, self.horizon());
        if let State::Compete(compete) = &mut self.state {
            compete.on_loss(now, sent, bytes / packet, queue);
            self.set_window();
        }
    }

    /// Somebody on the path marked packets instead of dropping them: a queue builds where round trips don't
    /// show it. One drained round, as after any queue seen.
    pub fn on_mark(&mut self, now: Duration) {
        if matches!(self.state, State::Startup { .. } | State::Cruise { .. } | State::Probe { .. }) {
            self.losses.forget(now.as_secs_f64());
            self.drain(None);
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

    /// Bytes a second at which packets are to leave one by one; none if they may leave as quinn lets them. Beside
    /// somebody who keeps the queue full ten in one go don't find room. Otherwise what leaves in one go tells
    /// how fast the line is.
    pub fn pace(&self) -> Option<f64> {
        matches!(self.state, State::Compete(_)).then(|| PACE * self.window / self.srtt.max(1e-3))
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

    pub(super) fn queue(&self) -> f64 {
        if self.last_rtt > 0.0 { (self.srtt - self.min_rtt.get()).max(0.0) } else { 0.0 }
    }

    /// Bytes the path holds when its queue is empty.
    pub(super) fn content(&self) -> f64 {
        let rate = self.rates.max();
        if rate > 0.0 { self.ceiling.map_or(rate, |ceiling| rate.min(ceiling)) * self.span() } else { 0.0 }
    }

    /// The round trip without a queue, as the window has to bridge it: with what the path's own unevenness
    /// (jitter, acknowledgements in lumps) adds to the shortest.
    pub(super) fn span(&self) -> f64 {
        self.min_rtt.get() + 2.0 * self.noise.get()
    }

    /// Some rounds' worth of bytes.
    fn horizon(&self) -> f64 {
        (4.0 * self.window).max(64.0 * self.packet)
    }

    /// Round trips longer than the shortest by more than this mean a queue.
    pub(super) fn tolerance(&self) -> f64 {
        (self.min_rtt.get() / 10.0).clamp(0.004, 0.012) + self.noise.get()
    }

    /// What a line adds to the round trip by being slow now: the queue even the smallest window makes, and the
    /// two packets of an acknowledgement, which passed faster when the shortest round trip was seen.
    pub(super) fn least(&self) -> f64 {
        let rate = self.rates.recent(3);
        if rate <= 0.0 {
            return 0.0;
        }
        let smallest = (MIN_PACKETS * self.packet - DRAIN_GAIN * self.content()).max(0.0) / rate;
        let slower = 2.0 * self.packet * (1.0 / rate - 1.0 / self.capacity.max(rate));
        smallest + slower
    }

    fn on_probe_settled(&mut self, harm: Harm) {
        let fits = Fits {
            content: self.content(),
            recent: self.rates.recent(4) * self.span(),
            least: 0.5 * self.capacity * self.span(),
        };
        self.limit.on_probe(harm, self.losses.share(), &fits);
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
        }
        self.last_rtt = rtt;
    }
}
