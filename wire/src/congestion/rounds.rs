//! What a round trip has shown, and what follows from it.

use super::limit::LOSS_HIGH;
use super::model::Model;
use super::phases::{Seen, State};
use super::round::Round;
use super::window::{CRUISE, PROBE};

/// Start-up goes on while each round delivers so much more than the one before.
const GROWTH: f64 = 1.25;
/// So many rounds without that end it.
const FLAT_ROUNDS: u32 = 3;
/// A round that delivers less than this of the best rate, and has a queue, is on a narrower path.
const SHRUNK: f64 = 0.8;
/// The best rate of the last minute fades over so many seconds.
const MEMORY: f64 = 60.0;

/// One round, weighed against what is known.
struct Finding {
    rate: f64,
    /// The share of it that was lost.
    loss: f64,
    lost: f64,
    min_rtt: f64,
    /// The path has become narrower, or we share it now.
    shrunk: bool,
    /// No queue at all, from its first to its last packet.
    calm: bool,
}

impl Model {
    pub(super) fn end_round(&mut self, now: f64, newest: f64) {
        let round = std::mem::replace(&mut self.round, Round::new(now, newest));
        let elapsed = (now - round.started).max(newest - round.newest);
        if round.broken || elapsed <= 0.0 || round.started == 0.0 {
            return;
        }
        if let State::Cruise { rounds: 3.., .. } = self.state
            && round.acked > 0.0
        {
            // Only here does the queue of ours stand still.
            self.noise.push(round.waited / round.acked - round.min_rtt);
        }
        let rate = round.acked / elapsed;
        let best = self.rates.max();
        self.rates.push(rate, round.app_limited);
        if round.app_limited {
            return;
        }
        self.remember(elapsed);
        let queued = round.min_rtt > self.min_rtt.get() * 1.25 + 0.005;
        let bare = self.min_rtt.get() + self.tolerance() / 2.0 + self.least();
        let finding = Finding {
            rate,
            loss: round.lost / (round.lost + round.acked),
            lost: round.lost,
            min_rtt: round.min_rtt,
            shrunk: queued && rate < SHRUNK * best,
            calm: round.waited / round.acked < bare,
        };
        self.on_finding(now, &finding);
    }

    /// Keeps the best rate of the last minute or so; beside others for as long as there is hope.
    fn remember(&mut self, elapsed: f64) {
        let kept = match &mut self.state {
            State::Compete(compete) => compete.hope_after_round(),
            _ => (1.0 - elapsed / MEMORY).max(0.0),
        };
        self.capacity = self.rates.max().max(self.capacity * kept);
    }

    fn on_finding(&mut self, now: f64, finding: &Finding) {
        match &mut self.state {
            State::Startup { .. } => self.end_startup_round(now, finding),
            State::Cruise { rounds, rested_at } => {
                *rounds += 1;
                let (rounds, rested) = (*rounds, now >= *rested_at);
                self.end_cruise_round(now, rounds, rested, finding);
            }
            State::Probe { rounds, base } => {
                let (rounds, base) = (*rounds + 1, *base);
                self.end_probe_round(now, rounds, base, finding);
            }
            State::Drain { low_since, seen, lowered, resume: None } if finding.shrunk && !*lowered => {
                // The window was not low enough to tell anything. Once: beside somebody who fills the queue
                // the rate follows the window all the way down.
                (*low_since, *seen, *lowered) = (None, Seen::NOTHING, true);
                self.rates.keep(1);
                self.losses.forget(now);
            }
            State::Compete(_) if finding.calm => {
                // Whoever kept the queue full has gone.
                self.losses.forget(now);
                self.state = State::startup(finding.rate);
            }
            State::Drain { .. } | State::Compete(_) => {}
        }
    }

    fn end_startup_round(&mut self, now: f64, finding: &Finding) {
        let State::Startup { base, flat, .. } = &mut self.state else { return };
        let grown = finding.rate >= *base * GROWTH;
        if grown {
            (*base, *flat) = (finding.rate, 0);
        } else {
            *flat += 1;
        }
        let spilled = finding.loss > LOSS_HIGH && finding.lost > 8.0 * self.packet && !grown;
        if *flat >= FLAT_ROUNDS || spilled {
            self.losses.forget(now);
            self.drain(None);
        }
    }

    fn end_cruise_round(&mut self, now: f64, rounds: u32, rested: bool, finding: &Finding) {
        // Above the content and yet no queue: there is more than we know of.
        let bare = self.min_rtt.get() + 0.25 * CRUISE.queue(self.span()) + self.noise.get();
        let idle = finding.min_rtt < bare && self.limit.is_none() && rounds >= 4;
        if finding.shrunk {
            self.rates.keep(1);
            self.losses.forget(now);
            self.limit.clear();
            self.drain(None);
        } else if self.disputed() && !finding.calm && rounds >= 3 {
            self.drain(None);
        } else if idle || self.limit.probe_due(rounds, rested, finding.loss) {
            self.state = State::Probe { rounds: 0, base: self.rates.max() };
            self.losses.probing(now);
        }
    }

    fn end_probe_round(&mut self, now: f64, rounds: u32, base: f64, finding: &Finding) {
        self.state = State::Probe { rounds, base };
        if rounds < 2 {
            return;
        }
        self.losses.probed(now);
        let span = self.span();
        let hoped = PROBE.queue(span) / span;
        if self.limit.believes() && finding.rate >= base * (1.0 + hoped / 2.0) {
            self.limit.clear();
            self.state = State::startup(finding.rate);
        } else {
            self.drain(None);
        }
    }
}
