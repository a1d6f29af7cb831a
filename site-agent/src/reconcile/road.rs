//! When bytes have crossed, over a line that carries different amounts at different hours. Pure.

use std::time::Duration;

use wire::UnixMicros;

/// A stretch of time in which the same holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hours {
    /// Until this instant; the last one's is never reached.
    pub until: UnixMicros,
    /// Bytes of parts a second that a limit leaves to backlog.
    pub backlog_max: Option<f64>,
    /// Do bytes of scheduled streams go?
    pub window: bool,
}

impl Hours {
    /// It is always like this.
    pub fn always(backlog_max: Option<f64>, window: bool) -> Vec<Self> {
        vec![Self { until: UnixMicros::MAX, backlog_max, window }]
    }
}

/// The line from now on: what is put on it first crosses first.
#[derive(Clone, Debug)]
pub(super) struct Road {
    stretches: Vec<Stretch>,
}

/// Seconds from now; bytes a second; bytes.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: f64,
    to: f64,
    rate: f64,
    window: bool,
    used: f64,
}

impl Stretch {
    fn free(&self) -> f64 {
        if self.rate > 0.0 { (self.rate * (self.to - self.from) - self.used).max(0.0) } else { 0.0 }
    }
}

impl Road {
    /// `rate` is what the line leaves to backlog where no limit does.
    pub(super) fn new(now: UnixMicros, rate: f64, hours: &[Hours]) -> Self {
        let mut from = 0.0;
        let stretch = |hours: &Hours| {
            let to = match hours.until {
                UnixMicros::MAX => f64::INFINITY,
                until if until > now => until.since(now).as_secs_f64(),
                _ => 0.0,
            };
            let rate = rate.min(hours.backlog_max.unwrap_or(f64::MAX)).max(0.0);
            let begins = std::mem::replace(&mut from, to);
            Stretch { from: begins, to, rate, window: hours.window, used: 0.0 }
        };
        Self { stretches: hours.iter().map(stretch).collect() }
    }

    /// Bytes a second that go now.
    pub(super) fn rate(&self) -> f64 {
        self.stretches.first().map_or(0.0, |stretch| stretch.rate)
    }

    /// Puts `bytes` on the line, behind all that is there, if they have crossed within `within`; those of scheduled
    /// streams only within windows. Tells when they have; none if they never do, or too late: then nothing was put there.
    pub(super) fn cross(
        &mut self,
        bytes: u64,
        scheduled: bool,
        within: Option<Duration>,
    ) -> Option<Duration> {
        let mut left = bytes as f64;
        let mut taken = Vec::new();
        let mut end = 0.0;
        for (place, stretch) in self.stretches.iter().enumerate() {
            let takes = if scheduled && !stretch.window { 0.0 } else { stretch.free().min(left) };
            if takes > 0.0 || (left <= 0.0 && taken.is_empty()) {
                taken.push((place, takes));
                end = stretch.from + (stretch.used + takes) / stretch.rate.max(f64::MIN_POSITIVE);
                left -= takes;
            }
            if left <= 0.0 {
                break;
            }
        }
        let end = Some(end).filter(|end| left <= 0.0 && *end < EVER)?;
        let end = Duration::from_secs_f64(end);
        if within.is_some_and(|within| end > within) {
            return None;
        }
        for (place, bytes) in taken {
            if let Some(stretch) = self.stretches.get_mut(place) {
                stretch.used += bytes;
            }
        }
        Some(end)
    }
}

/// What takes longer never happens.
pub(super) const EVER: f64 = 10.0 * 365.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMicros = UnixMicros(1_750_000_000_000_000);

    fn at(seconds: u64) -> UnixMicros {
        NOW + Duration::from_secs(seconds)
    }

    fn crossed(road: &mut Road, bytes: u64, scheduled: bool) -> Option<u64> {
        road.cross(bytes, scheduled, None).map(|after| after.as_secs())
    }

    #[test]
    fn one_after_the_other() {
        let mut road = Road::new(NOW, 100.0, &Hours::always(None, true));
        assert_eq!(crossed(&mut road, 1_000, false), Some(10));
        assert_eq!(road.cross(1_000, false, Some(Duration::from_secs(19))), None, "too late");
        assert_eq!(crossed(&mut road, 1_000, true), Some(20), "what does not cross takes no room");
    }

    #[test]
    fn limits_come_and_go_with_the_hours() {
        let hours = [
            Hours { until: at(100), backlog_max: Some(10.0), window: false },
            Hours { until: UnixMicros::MAX, backlog_max: None, window: false },
        ];
        let mut road = Road::new(NOW, 100.0, &hours);
        assert_eq!(road.rate(), 10.0);
        assert_eq!(crossed(&mut road, 500, false), Some(50));
        // 500 bytes until 100 s, the others ten times as fast.
        assert_eq!(crossed(&mut road, 1_500, false), Some(110));
        assert_eq!(crossed(&mut road, 1, true), None, "no window ever opens");
    }

    #[test]
    fn scheduled_streams_wait_for_a_window_and_others_do_not_wait_for_them() {
        let hours = [
            Hours { until: at(100), backlog_max: None, window: false },
            Hours { until: at(200), backlog_max: None, window: true },
            Hours { until: UnixMicros::MAX, backlog_max: None, window: false },
        ];
        let mut road = Road::new(NOW, 100.0, &hours);
        assert_eq!(crossed(&mut road, 4_000, true), Some(140));
        assert_eq!(crossed(&mut road, 1_000, false), Some(10));
        assert_eq!(crossed(&mut road, 7_000, true), None, "6,000 bytes of the window are left");
        assert_eq!(crossed(&mut road, 6_000, true), Some(200));
        assert_eq!(crossed(&mut road, 10_000, false), Some(210), "the window is full");
    }

    #[test]
    fn a_line_that_carries_nothing_carries_nothing() {
        let mut road = Road::new(NOW, 0.0, &Hours::always(None, true));
        assert_eq!(road.cross(1, false, None), None);
    }
}
