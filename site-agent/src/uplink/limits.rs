//! What a class of traffic may take of the line, and how that is kept. Pure.
//!
//! [`allowed`] reads the schedule; a [`Bucket`] keeps to a rate; [`Capacity`] is what a share is a share of.

use std::time::{Duration, Instant};

use jiff::civil::Time;
use wire::transport::Settings;

use crate::config::{Allowance, Class, ClassLimit};
use crate::replication::within;

/// What a bucket saves up at most: after a pause so much goes at once.
const BURST: Duration = Duration::from_millis(250);
/// Who waited for a bucket within this time is held down by it. More than a wait and the sending after it.
const HELD: Duration = Duration::from_secs(2);
/// Nobody waits longer before asking again: hours begin and end, and the line changes.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Bytes of parts a second that `class` may send at `local` time, over a line that carries `capacity` bytes of
/// UDP payload a second; `None` if there is no limit, or none that is known yet.
pub(crate) fn allowed(
    limits: &[ClassLimit],
    class: Class,
    local: Time,
    capacity: Option<f64>,
) -> Option<f64> {
    let limit = limits
        .iter()
        .find(|limit| limit.class == class && limit.hours.is_none_or(|hours| within(hours, local)))?;
    let settings = Settings::default();
    match limit.most {
        Allowance::Rate(bits) => Some(settings.stream_rate(settings.udp_rate(bits))),
        Allowance::Share(share) => capacity.map(|udp| settings.stream_rate(udp) * share),
    }
}

/// A token bucket that may be overdrawn: whoever finds anything in it may take all they want, and the next
/// waits until the debt is paid. So pieces of any size pass, and the mean is exact.
#[derive(Debug)]
pub(super) struct Bucket {
    bytes: f64,
    at: Instant,
}

impl Bucket {
    /// Empty at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { bytes: 0.0, at: now }
    }

    /// Takes `bytes`, or says how long to wait before asking again. `rate` is in bytes a second.
    pub(super) fn take(&mut self, now: Instant, rate: Option<f64>, bytes: usize) -> Result<(), Duration> {
        let Some(rate) = rate else {
            *self = Self::new(now);
            return Ok(());
        };
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.bytes = (self.bytes + rate * since).min(rate * BURST.as_secs_f64());
        if self.bytes < 0.0 || rate <= 0.0 {
            let wait = -self.bytes / rate.max(1.0);
            return Err(Duration::from_secs_f64(wait).clamp(Duration::from_millis(1), WAIT_MAX));
        }
        self.bytes -= bytes as f64;
        Ok(())
    }
}

/// What the line carries. While a limit of our own holds the rate down, what is measured is that limit: half
/// of the half of the half would soon be nothing. So meanwhile it only grows.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    bytes_per_s: Option<f64>,
    /// When somebody last had to wait for a bucket.
    held_down: Option<Instant>,
}

impl Capacity {
    /// A limit made somebody wait.
    pub(super) fn held_down(&mut self, now: Instant) {
        self.held_down = Some(now);
    }

    /// Takes a measurement in; zero is none.
    pub(super) fn measured(&mut self, now: Instant, bytes_per_s: f64) -> Option<f64> {
        let held_down = self.held_down.is_some_and(|at| now.saturating_duration_since(at) < HELD);
        if bytes_per_s > 0.0 {
            let floor = self.bytes_per_s.filter(|_| held_down).unwrap_or(0.0);
            self.bytes_per_s = Some(bytes_per_s.max(floor));
        }
        self.bytes_per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i8, minute: i8) -> Time {
        Time::constant(hour, minute, 0, 0)
    }

    fn limit(class: Class, hours: Option<(Time, Time)>, mbit: f64) -> ClassLimit {
        ClassLimit { class, hours, most: Allowance::Rate(mbit * 1e6) }
    }

    #[test]
    fn the_first_limit_that_fits_class_and_hour_counts() {
        let night = Some((at(22, 0), at(6, 30)));
        let limits = [
            limit(Class::Backlog, night, 8.0),
            limit(Class::Live, None, 3.0),
            limit(Class::Backlog, Some((at(6, 0), at(12, 0))), 2.0),
        ];
        let mbit = |class, hour, minute| {
            let rate = allowed(&limits, class, at(hour, minute), None)?;
            Some((rate * 8.0 / 1e6 / (1416.0 / 1500.0)).round())
        };
        assert_eq!(mbit(Class::Backlog, 23, 59), Some(8.0));
        assert_eq!(mbit(Class::Backlog, 6, 29), Some(8.0));
        assert_eq!(mbit(Class::Backlog, 6, 30), Some(2.0));
        assert_eq!(mbit(Class::Backlog, 12, 0), None);
        assert_eq!(mbit(Class::Live, 12, 0), Some(3.0));
    }

    #[test]
    fn a_share_is_of_what_is_measured_and_nothing_until_then() {
        let half = ClassLimit { class: Class::Backlog, hours: None, most: Allowance::Share(0.5) };
        assert_eq!(allowed(std::slice::from_ref(&half), Class::Backlog, at(1, 0), None), None);
        let rate = allowed(&[half], Class::Backlog, at(1, 0), Some(1e6)).unwrap();
        assert!((rate - 0.5e6 * 1416.0 / 1452.0).abs() < 1.0, "{rate}");
    }

    /// Bytes that pass in so many seconds, in pieces of `piece`.
    fn passed(rate: impl Fn(f64) -> Option<f64>, seconds: f64, piece: usize) -> f64 {
        let began = wire::clock::now();
        let (mut now, mut bytes) = (0.0, 0.0);
        let mut bucket = Bucket::new(began);
        while now < seconds && bytes < 1e9 {
            match bucket.take(began + Duration::from_secs_f64(now), rate(now), piece) {
                Ok(()) => bytes += piece as f64,
                Err(wait) => now += wait.as_secs_f64(),
            }
        }
        bytes
    }

    #[test]
    fn a_rate_is_kept_whatever_the_size_of_pieces() {
        for piece in [100, 16_384, 500_000] {
            let bytes = passed(|_| Some(250_000.0), 100.0, piece);
            assert!((bytes / 25e6 - 1.0).abs() < 0.03, "{bytes} in pieces of {piece}");
        }
    }

    #[test]
    fn nothing_is_saved_up_and_a_stop_is_a_stop() {
        let began = wire::clock::now();
        let mut bucket = Bucket::new(began);
        let later = began + Duration::from_secs(3600);
        let burst = (0..1000).filter(|_| bucket.take(later, Some(250_000.0), 1000).is_ok()).count();
        assert_eq!(burst, 63, "a quarter of a second's worth, and one begun");
        assert_eq!(bucket.take(later, Some(0.0), 1), Err(WAIT_MAX));
        assert_eq!(passed(|now| Some(if now < 50.0 { 0.0 } else { 1000.0 }), 100.0, 100), 50_100.0);
    }

    #[test]
    fn a_limit_does_not_eat_what_it_is_a_share_of() {
        let mut capacity = Capacity::default();
        let now = wire::clock::now();
        assert_eq!(capacity.measured(now, 0.0), None);
        assert_eq!(capacity.measured(now, 100.0), Some(100.0));
        capacity.held_down(now);
        assert_eq!(capacity.measured(now, 50.0), Some(100.0));
        assert_eq!(capacity.measured(now + HELD / 2, 50.0), Some(100.0));
        assert_eq!(capacity.measured(now, 120.0), Some(120.0));
        // Nobody has to wait any more: the line itself is slower.
        assert_eq!(capacity.measured(now + HELD, 20.0), Some(20.0));
    }
}
