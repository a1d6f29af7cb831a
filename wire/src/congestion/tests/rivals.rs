//! Rough models of the TCP that shares a line: CUBIC (RFC 9438) and BBR version 1.
//!
//! Rough means: enough to compete for a queue as they do. SACK is perfect, CUBIC has HyStart's delay exit,
//! BBR has its gain cycle, its window of two BDP and its RTT probe.

use std::collections::VecDeque;

use super::flow::Sent;
use super::path::PACKET_BYTES;

const PACKET: f64 = PACKET_BYTES as f64;

/// TCP CUBIC, in packets.
pub(super) struct Cubic {
    window: f64,
    threshold: f64,
    w_max: f64,
    epoch: f64,
    recovery: f64,
    reno: f64,
    min_rtt: f64,
}

impl Cubic {
    pub(super) fn new() -> Self {
        Self {
            window: 10.0,
            threshold: f64::INFINITY,
            w_max: 0.0,
            epoch: 0.0,
            recovery: -1.0,
            reno: 0.0,
            min_rtt: f64::INFINITY,
        }
    }

    pub(super) fn window(&self) -> u64 {
        (self.window * PACKET) as u64 + PACKET_BYTES
    }

    pub(super) fn on_ack(&mut self, now: f64, sent: f64, acked: f64, srtt: f64, rtt: f64) {
        self.min_rtt = self.min_rtt.min(rtt);
        if sent <= self.recovery {
            return;
        }
        if self.window < self.threshold {
            self.window += acked;
            if rtt > self.min_rtt + (self.min_rtt / 8.0).clamp(0.004, 0.016) && self.window > 16.0 {
                self.threshold = self.window;
                (self.epoch, self.w_max, self.reno) = (now, self.window, self.window);
            }
            return;
        }
        let k = (self.w_max * 0.3 / 0.4).cbrt() * f64::from(u8::from(self.recovery >= 0.0));
        let target = 0.4 * (now - self.epoch + srtt - k).powi(3) + self.w_max;
        self.reno += 0.53 * acked / self.window;
        if target > self.window {
            self.window += ((target - self.window) / self.window * acked).min(acked / 2.0);
        }
        self.window = self.window.max(self.reno);
    }

    pub(super) fn on_loss(&mut self, now: f64, sent: f64) {
        if sent <= self.recovery {
            return;
        }
        self.recovery = now;
        self.w_max = if self.window < self.w_max { self.window * 0.85 } else { self.window };
        self.window = (self.window * 0.7).max(2.0);
        (self.threshold, self.epoch, self.reno) = (self.window, now, self.window);
    }
}

#[derive(PartialEq)]
enum Mode {
    Startup,
    Drain,
    Cycle(usize),
    ProbeRtt(f64),
}

/// TCP BBR, version 1.
pub(super) struct Bbr {
    mode: Mode,
    rates: VecDeque<(u64, f64)>,
    min_rtt: f64,
    min_rtt_at: f64,
    round: u64,
    round_ends: f64,
    full: f64,
    full_rounds: u32,
    phase_at: f64,
}

const GAINS: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];

impl Bbr {
    pub(super) fn new() -> Self {
        Self {
            mode: Mode::Startup,
            rates: VecDeque::new(),
            min_rtt: f64::INFINITY,
            min_rtt_at: 0.0,
            round: 0,
            round_ends: 0.0,
            full: 0.0,
            full_rounds: 0,
            phase_at: 0.0,
        }
    }

    fn rate(&self) -> f64 {
        self.rates.iter().map(|&(_, rate)| rate).fold(0.0, f64::max)
    }

    fn bdp(&self) -> f64 {
        self.rate() * self.min_rtt
    }

    pub(super) fn window(&self, _now: f64) -> u64 {
        let gain = match self.mode {
            Mode::Startup | Mode::Drain => 2.89,
            Mode::Cycle(_) => 2.0,
            Mode::ProbeRtt(_) => return 4 * PACKET_BYTES + 1,
        };
        if self.rates.is_empty() {
            return 10 * PACKET_BYTES;
        }
        (gain * self.bdp() + 3.0 * PACKET).max(4.0 * PACKET) as u64
    }

    pub(super) fn pacing_rate(&self) -> f64 {
        let gain = match self.mode {
            Mode::Startup => 2.89,
            Mode::Drain => 0.35,
            Mode::Cycle(phase) => GAINS[phase],
            Mode::ProbeRtt(_) => 1.0,
        };
        if self.rates.is_empty() { 10.0 * PACKET / 0.001 } else { gain * self.rate() }
    }

    pub(super) fn on_ack(&mut self, now: f64, sent: &Sent, rate: f64, delivered: f64, in_flight: u64) {
        let rtt = now - sent.at;
        let round_over = sent.delivered >= self.round_ends;
        if round_over {
            self.round += 1;
            self.round_ends = delivered;
        }
        if now - sent.delivered_at >= self.min_rtt * 0.99 || self.rates.is_empty() {
            self.rates.push_back((self.round, rate));
            while self.rates.front().is_some_and(|&(round, _)| round + 10 < self.round) {
                self.rates.pop_front();
            }
            // Only descending rates matter.
            while self.rates.len() > 1 && self.rates[self.rates.len() - 2].1 <= rate {
                let last = self.rates.len() - 2;
                self.rates.remove(last);
            }
        }
        let expired = now > self.min_rtt_at + 10.0;
        if rtt <= self.min_rtt || (expired && !matches!(self.mode, Mode::ProbeRtt(_))) {
            if rtt <= self.min_rtt {
                self.min_rtt_at = now;
            }
            self.min_rtt = rtt;
        }
        if expired && now > self.min_rtt_at + 10.0 && !matches!(self.mode, Mode::ProbeRtt(_)) {
            self.mode = Mode::ProbeRtt(now + 0.2 + rtt);
            self.min_rtt_at = now;
        }
        self.step(now, round_over, in_flight);
    }

    fn step(&mut self, now: f64, round_over: bool, in_flight: u64) {
        match self.mode {
            Mode::Startup => {
                if round_over && self.rate() >= self.full * 1.25 {
                    (self.full, self.full_rounds) = (self.rate(), 0);
                } else if round_over {
                    self.full_rounds += 1;
                }
                if self.full_rounds >= 3 {
                    self.mode = Mode::Drain;
                }
            }
            Mode::Drain => {
                if in_flight as f64 <= self.bdp() {
                    (self.mode, self.phase_at) = (Mode::Cycle(2), now);
                }
            }
            Mode::Cycle(phase) => {
                let elapsed = now - self.phase_at > self.min_rtt;
                let done = match phase {
                    0 => {
                        elapsed && in_flight as f64 >= 1.25 * self.bdp()
                            || now - self.phase_at > 2.0 * self.min_rtt
                    }
                    1 => elapsed || in_flight as f64 <= self.bdp(),
                    _ => elapsed,
                };
                if done {
                    (self.mode, self.phase_at) = (Mode::Cycle((phase + 1) % 8), now);
                }
            }
            Mode::ProbeRtt(until) => {
                if now >= until {
                    self.min_rtt_at = now;
                    (self.mode, self.phase_at) = (Mode::Cycle(2), now);
                }
            }
        }
    }
}
