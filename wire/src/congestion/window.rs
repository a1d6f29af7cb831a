//! How large the window is in each phase.

use super::model::{INITIAL_PACKETS, MIN_PACKETS, Model};
use super::phases::State;

/// Added to every multiple of the estimate, so that small windows can grow and acknowledgements of every
/// second packet don't stall them.
const SPARE_PACKETS: f64 = 4.0;
/// But no more of it than this many seconds of queue, down to two packets.
const SPARE: f64 = 0.010;
/// The start-up window is at most this many times the content of the path as measured a round ago.
const STARTUP_GAIN: f64 = 4.0;
/// Below the path's content, so that a queue of ours drains.
pub(super) const DRAIN_GAIN: f64 = 0.96;
/// Beside somebody who keeps the queue full: the share of the best rate known that is not given up.
const HELD: f64 = 0.45;

/// So much above the path's content, and at most so many seconds of queue.
///
/// The bound in seconds matters on long paths, where 8 % of 600 ms would be a queue of 48 ms.
#[derive(Clone, Copy)]
pub(super) struct Excess {
    share: f64,
    seconds: f64,
}

/// While cruising.
pub(super) const CRUISE: Excess = Excess { share: 0.08, seconds: 0.008 };
/// While probing.
pub(super) const PROBE: Excess = Excess { share: 0.25, seconds: 0.030 };

impl Excess {
    /// Seconds of queue on a path of `span` seconds.
    pub(super) fn queue(self, span: f64) -> f64 {
        (self.share * span).min(self.seconds)
    }
}

impl Model {
    pub(super) fn set_window(&mut self) {
        let content = self.content();
        if content == 0.0 {
            return;
        }
        let (packet, span) = (self.packet, self.span());
        let rate = content / span;
        let spare = (SPARE_PACKETS * packet).min((SPARE * rate).max(2.0 * packet));
        let over = |excess: Excess| content + excess.queue(span) * rate + spare;
        let window = match &self.state {
            State::Startup { .. } => self.window.min((STARTUP_GAIN * content).max(INITIAL_PACKETS * packet)),
            // By the rate of the last rounds: the best known may be past.
            State::Drain { .. } => DRAIN_GAIN * self.limit.drain(self.rates.recent(3).min(rate) * span),
            State::Cruise { .. } => self.limit.cruise(over(CRUISE)),
            State::Probe { .. } => self.limit.probe(over(PROBE), packet),
            State::Compete(compete) => {
                let most =
                    rate.max(self.capacity) * (4.0 * self.min_rtt.get()).max(self.min_rtt.get() + 0.25);
                compete.window(packet, HELD * self.capacity * self.srtt, most)
            }
        };
        let ceiling = self.ceiling.map_or(f64::INFINITY, |rate| rate * self.srtt);
        self.window = window.min(ceiling).max(MIN_PACKETS * packet);
    }
}
