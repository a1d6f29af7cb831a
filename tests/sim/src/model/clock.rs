//! A node's clocks: one that counts since boot and drifts, and one on the wall that may jump.

use std::time::Duration;

use crate::time::{Time, micros};

/// The clocks of one machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    booted: Time,
    /// Parts per million by which it is fast (or slow).
    drift_ppm: i64,
    /// By how much the wall clock is off, in microseconds.
    wall_off: i64,
}

/// When every run begins, on walls that are right: 2026-11-01.
const WALL_START_US: i64 = 1_793_491_200_000_000;

impl Clock {
    /// Clocks of a machine that boots when the run begins.
    pub fn new(drift_ppm: i64) -> Self {
        Self { booted: Time::ZERO, drift_ppm, wall_off: 0 }
    }

    /// The machine boots again: its boot clock begins at zero.
    pub fn reboot(&mut self, now: Time) {
        self.booted = now;
    }

    /// Someone, or NTP, moves the wall clock.
    pub fn jump(&mut self, by: Duration, forward: bool) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.wall_off += if forward { by } else { -by };
    }

    /// What CLOCK_BOOTTIME tells.
    pub fn boot(&self, now: Time) -> Duration {
        let since = micros(now.since(self.booted));
        // No run lasts long enough for this to overflow.
        let drift = i64::try_from(since).unwrap_or(0) * self.drift_ppm / 1_000_000;
        Duration::from_micros(since.saturating_add_signed(drift))
    }

    /// When the boot clock will tell `boot`.
    pub fn when(&self, boot: Duration) -> Time {
        let Some(scaled) = micros(boot).checked_mul(1_000_000) else { return Time::NEVER };
        // One microsecond later, so that rounding never wakes anyone early.
        self.booted + Duration::from_micros(scaled / 1_000_000_u64.saturating_add_signed(self.drift_ppm) + 1)
    }

    /// What the wall clock tells.
    pub fn wall(&self, now: Time) -> wire::UnixMicros {
        let true_us = i64::try_from(now.0).unwrap_or(i64::MAX);
        wire::UnixMicros(WALL_START_US + true_us + self.wall_off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_woken_early() {
        for drift in [-200, 0, 37, 200] {
            let mut clock = Clock::new(drift);
            clock.reboot(Time(1_234_567));
            for boot in [0, 1, 999_983, 3_600_000_000] {
                let boot = Duration::from_micros(boot);
                let woken = clock.boot(clock.when(boot));
                assert!(
                    woken >= boot && woken < boot + Duration::from_micros(4),
                    "{drift} {boot:?} {woken:?}"
                );
            }
        }
    }
}
