//! How far apart packets leave the socket, told by the controller of the connection that sends most over it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Bytes a second that the socket lets go evenly; shared by a controller and a socket.
#[derive(Debug, Default)]
pub struct Pace(AtomicU64);

impl Pace {
    /// From now on so many bytes a second; none: as they come.
    pub(crate) fn set(&self, rate: Option<f64>) {
        self.0.store(rate.map_or(0, |rate| rate.max(1.0) as u64), Relaxed);
    }

    /// Bytes a second; none if they may leave as they come.
    pub(crate) fn get(&self) -> Option<f64> {
        let rate = self.0.load(Relaxed);
        (rate > 0).then_some(rate as f64)
    }
}

/// What may leave at once, as time at the pace. Timers have a grain of a millisecond, and what they missed by it is made
/// good; what was missed by more is not, for that would be a burst again.
const BURST: Duration = Duration::from_micros(1_500);

/// When the next packet may leave (the generic cell rate algorithm). Pure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spacing {
    /// When everything that left would have left, one after the other.
    due: Option<Instant>,
}

impl Spacing {
    /// None: now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        self.due?.checked_sub(BURST).filter(|&at| at > now)
    }

    /// `bytes` leave at `rate` bytes a second; without one they count for nothing.
    pub(crate) fn spend(&mut self, now: Instant, bytes: usize, rate: Option<f64>) {
        self.due = rate.map(|rate| {
            self.due.map_or(now, |due| due.max(now)) + Duration::from_secs_f64(bytes as f64 / rate.max(1.0))
        });
    }

    /// How many packets of `bytes` may be handed to the kernel in one go.
    pub(crate) fn at_once(bytes: f64, rate: f64) -> usize {
        (rate * BURST.as_secs_f64() / bytes) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const PACKET: usize = 1_250;
    /// A packet a millisecond.
    const RATE: f64 = 1.25e6;

    /// Packets that leave in a second if whoever sends is woken `late`.
    fn sent(late: Duration) -> usize {
        let begin = clock::now();
        let (mut now, mut spacing, mut packets) = (begin, Spacing::default(), 0);
        while now < begin + Duration::from_secs(1) {
            match spacing.wait(now) {
                Some(at) => now = at + late,
                None => {
                    spacing.spend(now, PACKET, Some(RATE));
                    packets += 1;
                }
            }
        }
        packets
    }

    #[test]
    fn a_timer_that_is_a_little_late_costs_nothing() {
        for late_us in [0, 500, 1_000, 1_400] {
            let packets = sent(Duration::from_micros(late_us));
            assert!((985..=1_010).contains(&packets), "{packets} packets, woken {late_us} us late");
        }
        assert!(sent(Duration::from_millis(4)) < 500, "what was missed by more is not sent in one go");
    }

    #[test]
    fn without_a_pace_nothing_waits() {
        let (now, mut spacing) = (clock::now(), Spacing::default());
        for _ in 0..100 {
            assert_eq!(spacing.wait(now), None);
            spacing.spend(now, PACKET, None);
        }
        spacing.spend(now, 100 * PACKET, Some(RATE));
        assert!(spacing.wait(now).is_some());
        spacing.spend(now, PACKET, None);
        assert_eq!(spacing.wait(now), None, "a pace that is given up binds no longer");
    }
}
