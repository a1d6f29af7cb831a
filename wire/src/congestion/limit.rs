//! A window that must not be exceeded, learned from losses: what a policer or a queue of a few packets lets
//! pass.
//!
//! Set when probes lose more than they should ([`Harm`]), raised when they stop doing so, faster each time.

use super::losses::Harm;

/// The limit, and how the probes fared that set it.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    bytes: Option<f64>,
    /// Probes in a row that lost more than usual.
    harmed: u32,
    /// Probes in a row that did not.
    harmless: u32,
    /// Much is lost whatever we send: the limit is what keeps the rate, not what lowers the loss.
    sustain: bool,
    /// Cruising rounds before the next probe.
    patience: u32,
}

/// Rounds between probes, when they do no harm.
pub(super) const CRUISE_ROUNDS: u32 = 6;
const CRUISE_ROUNDS_MAX: u32 = 24;
/// Above this share nothing is sent beyond what arrives, whoever's fault it is.
pub(super) const LOSS_HIGH: f64 = 0.2;

/// What the path seems to hold, in bytes, by three accounts.
pub(super) struct Fits {
    /// Without the queue, at the best rate known.
    pub(super) content: f64,
    /// The same at the rate of the last rounds.
    pub(super) recent: f64,
    /// Half of what it held at its best: no limit is below.
    pub(super) least: f64,
}

impl Default for Limit {
    fn default() -> Self {
        Self { bytes: None, harmed: 0, harmless: 0, sustain: false, patience: CRUISE_ROUNDS }
    }
}

impl Limit {
    /// A probe's packets are all accounted for; `share` of all packets is lost at present.
    pub(super) fn on_probe(&mut self, harm: Harm, share: f64, fits: &Fits) {
        self.sustain = harm == Harm::None && share >= LOSS_HIGH;
        if harm == Harm::None && !self.sustain {
            return self.on_harmless(fits.content);
        }
        self.harmless = 0;
        self.harmed += 1;
        // One may be chance.
        if self.harmed < 2 && share < LOSS_HIGH {
            return;
        }
        let bytes = match harm {
            Harm::Probe => fits.content,
            Harm::Cruise => 0.97 * fits.recent,
            // Not of our making as far as we can see: no more than keeps what arrives.
            Harm::None => fits.recent / (1.0 - share.min(0.5)),
        };
        self.bytes = Some(bytes.max(fits.least));
        self.patience = (self.patience * 2).min(CRUISE_ROUNDS_MAX);
    }

    /// Whatever set the limit may be gone.
    fn on_harmless(&mut self, content: f64) {
        (self.patience, self.harmed) = (CRUISE_ROUNDS, 0);
        self.harmless += 1;
        let raise = 1.0 + 0.1 * f64::from(1 << self.harmless.min(4));
        self.bytes = self.bytes.map(|bytes| raise * bytes).filter(|&bytes| bytes < 1.3 * content);
    }

    /// The path is another.
    pub(super) fn clear(&mut self) {
        (self.bytes, self.harmed, self.patience) = (None, 0, CRUISE_ROUNDS);
    }

    /// An outage: what was learned of the window is void, what was learned of probing is not.
    pub(super) fn lift(&mut self) {
        self.bytes = None;
    }

    /// Nothing limits.
    pub(super) fn is_none(&self) -> bool {
        self.bytes.is_none()
    }

    /// Whether so many cruising rounds are enough before the next probe: not before it has `rested`, unless there is a
    /// limit, which each harmless probe raises; but sooner if
    /// `loss` of a round calls for one.
    pub(super) fn probe_due(&self, rounds: u32, rested: bool, loss: f64) -> bool {
        ((rested || self.bytes.is_some()) && rounds >= self.patience)
            || (loss > LOSS_HIGH && !self.sustain && rounds >= 2)
    }

    /// Whether a probe that delivered more may be believed: a policer lets the first after a rest pass.
    pub(super) fn believes(&self) -> bool {
        self.bytes.is_none() || self.harmless >= 2
    }

    /// The window while draining, where `bytes` are wanted.
    pub(super) fn drain(&self, bytes: f64) -> f64 {
        bytes.min(self.get())
    }

    /// The window while cruising, where `bytes` are wanted.
    pub(super) fn cruise(&self, bytes: f64) -> f64 {
        if self.sustain { bytes.max(self.bytes.unwrap_or(0.0)) } else { bytes.min(self.get()) }
    }

    /// The window while probing, where `bytes` are wanted.
    pub(super) fn probe(&self, bytes: f64, packet: f64) -> f64 {
        bytes.min((1.1 * self.get()).max(self.get() + 2.0 * packet))
    }

    fn get(&self) -> f64 {
        self.bytes.unwrap_or(f64::INFINITY)
    }
}
