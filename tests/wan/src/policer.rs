//! A token bucket that drops.

use crate::settings;

/// Tokens are in bit·ns⁻¹·10⁹, as work is in [`crate::link`]: whole numbers, nothing rounded away.
#[derive(Debug)]
pub(crate) struct Bucket {
    settings: settings::Policer,
    tokens: u128,
    at: u64,
}

impl Bucket {
    /// Full at `now`.
    pub(crate) fn new(settings: settings::Policer, now: u64) -> Self {
        Self { settings, tokens: work(settings.burst_bytes), at: now }
    }

    /// Takes a packet's tokens, if they are there.
    pub(crate) fn passes(&mut self, now: u64, bytes: u32) -> bool {
        let earned = u128::from(self.settings.rate_bps) * u128::from(now.saturating_sub(self.at));
        self.tokens = (self.tokens + earned).min(work(self.settings.burst_bytes));
        self.at = self.at.max(now);
        match self.tokens.checked_sub(work(bytes.into())) {
            Some(rest) => {
                self.tokens = rest;
                true
            }
            None => false,
        }
    }
}

fn work(bytes: u64) -> u128 {
    u128::from(bytes) * 8_000_000_000
}
