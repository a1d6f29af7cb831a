//! When to try again: pure, and the same for the same seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How soon a failure may be followed by another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nothing is lost by asking again: 250 ms, doubling to 30 s, ±50 %.
    Soon,
    /// The camera said no to a log-in or to one more session: 10 s, doubling to 5 min, up to 50 % more and
    /// never less. Cameras lock an address out after 5 to 7 bad log-ins, often for half an hour and for
    /// people too, and some count a refused session as one. So this pace survives other failures in
    /// between: a camera that alternates between refusing and hanging up is not asked faster.
    Gently,
    /// It can't work before a person has changed something: 60 s, ±50 %.
    Rarely,
}

/// Frames for this long say that all is well, and waiting begins from its shortest again.
pub(super) const WELL_AFTER: Duration = Duration::from_secs(30);

const SOON: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
const GENTLY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
const RARELY: Duration = Duration::from_secs(60);

/// Draws the waits between attempts.
pub(super) struct Backoff {
    rng: StdRng,
    soon: Duration,
    gently: Duration,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), soon: SOON.0, gently: GENTLY.0 }
    }

    /// How long to wait after a session that gave frames for `well` (zero if it never began) and then
    /// failed.
    pub(super) fn wait(&mut self, pace: Pace, well: Duration) -> Duration {
        if well >= WELL_AFTER {
            (self.soon, self.gently) = (SOON.0, GENTLY.0);
        }
        match pace {
            Pace::Soon => {
                let wait = self.soon;
                self.soon = (wait * 2).min(SOON.1);
                wait.mul_f64(self.rng.random_range(0.5..1.5))
            }
            Pace::Gently => {
                let wait = self.gently;
                self.gently = (wait * 2).min(GENTLY.1);
                wait.mul_f64(self.rng.random_range(1.0..1.5))
            }
            Pace::Rarely => RARELY.mul_f64(self.rng.random_range(0.5..1.5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(backoff: &mut Backoff, pace: Pace, count: usize) -> Vec<f64> {
        (0..count).map(|_| backoff.wait(pace, Duration::ZERO).as_secs_f64()).collect()
    }

    fn within(waits: &[f64], bases: &[f64], jitter: std::ops::Range<f64>) {
        assert_eq!(waits.len(), bases.len());
        for (wait, base) in waits.iter().zip(bases) {
            assert!(
                (base * jitter.start..base * jitter.end).contains(wait),
                "{wait} s is not about {base} s"
            );
        }
    }

    #[test]
    fn a_camera_that_is_down_is_tried_soon_then_every_half_minute() {
        let bases = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0];
        for seed in 0..100 {
            within(&waits(&mut Backoff::new(seed), Pace::Soon, 10), &bases, 0.5..1.5);
        }
    }

    #[test]
    fn a_camera_that_refuses_is_never_tried_faster_than_every_ten_seconds() {
        let bases = [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0];
        for seed in 0..100 {
            within(&waits(&mut Backoff::new(seed), Pace::Gently, 7), &bases, 1.0..1.5);
        }
    }

    #[test]
    fn refusals_are_remembered_across_other_failures() {
        let mut backoff = Backoff::new(1);
        within(&waits(&mut backoff, Pace::Gently, 2), &[10.0, 20.0], 1.0..1.5);
        within(&waits(&mut backoff, Pace::Soon, 2), &[0.25, 0.5], 0.5..1.5);
        backoff.wait(Pace::Soon, WELL_AFTER - Duration::from_millis(1));
        within(&waits(&mut backoff, Pace::Gently, 1), &[40.0], 1.0..1.5);
    }

    #[test]
    fn half_a_minute_of_frames_makes_everything_good() {
        let mut backoff = Backoff::new(2);
        waits(&mut backoff, Pace::Soon, 9);
        waits(&mut backoff, Pace::Gently, 9);
        let wait = backoff.wait(Pace::Soon, WELL_AFTER).as_secs_f64();
        within(&[wait], &[0.25], 0.5..1.5);
        within(&waits(&mut backoff, Pace::Gently, 1), &[10.0], 1.0..1.5);
    }

    #[test]
    fn what_a_person_must_change_is_looked_at_once_a_minute() {
        within(&waits(&mut Backoff::new(3), Pace::Rarely, 5), &[60.0; 5], 0.5..1.5);
    }

    #[test]
    fn a_seed_says_it_all_and_seeds_differ() {
        let ten = |seed| waits(&mut Backoff::new(seed), Pace::Soon, 10);
        assert_eq!(ten(7), ten(7));
        assert_ne!(ten(7), ten(8));
    }
}
