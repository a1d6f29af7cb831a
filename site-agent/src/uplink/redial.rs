//! When to dial again. Pure: it is told what happened and when, and given a random number.
//!
//! A path that heals is to be used within about a second, so during the first minute a dial begins every half
//! to whole second (earlier ones still under way: see `dial`). Longer outages are looked at more rarely, a
//! sixtieth of their length apart and at most 5 s. That keeps a dead hub's network quiet: a dial is up to
//! three packets of 1,200 bytes, so 1,000 sites send it 38 Mbit/s at first and 8 Mbit/s after five minutes.
//!
//! A hub that comes back is not stampeded: dials are spread over a second by their jitter, resets over a beat
//! (500 ms), and a handshake costs a core about a millisecond. 1,000 sites are served within about two
//! seconds.
//!
//! Whoever is refused (certificate, limits, a second agent with the same certificate) will most likely be
//! refused again: it asks after 1, 2, 4, 5 s, and at half of that at the least.

use std::time::{Duration, Instant};

/// The first dial comes at most this after the connection's end: all sites of a hub notice at once.
const FIRST_MAX: Duration = Duration::from_millis(250);
/// Between the beginnings of two dials, before jitter, while the outage is young and after a refusal…
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// …and at most.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A pause is the outage's length divided by this.
const OUTAGE_PARTS: u32 = 60;

/// One outage, from its beginning on.
#[derive(Debug)]
pub struct Redial {
    since: Instant,
    first: bool,
    /// How often somebody answered, and said no.
    refusals: u32,
}

impl Redial {
    /// The link is down since `now`.
    pub fn new(now: Instant) -> Self {
        Self { since: now, first: true, refusals: 0 }
    }

    /// Somebody answered and said no, in the handshake or soon after it.
    pub fn refused(&mut self) {
        self.first = false;
        self.refusals += 1;
    }

    /// From now to the beginning of the next dial. `draw` is random, from 0 to 1.
    pub fn pause(&mut self, now: Instant, draw: f64) -> Duration {
        if std::mem::take(&mut self.first) {
            return FIRST_MAX.mul_f64(draw);
        }
        let outage = now.saturating_duration_since(self.since) / OUTAGE_PARTS;
        let doubled = PAUSE_MIN * 2u32.pow(self.refusals.saturating_sub(1).min(3));
        outage.max(doubled).clamp(PAUSE_MIN, PAUSE_MAX).mul_f64(0.5 + draw / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_young_outage_is_looked_at_every_second_and_an_old_one_every_five() {
        let began = wire::clock::now();
        let mut redial = Redial::new(began);
        assert_eq!(redial.pause(began, 1.0), FIRST_MAX);
        assert_eq!(redial.pause(began, 1.0), S);
        assert_eq!(redial.pause(began + 60 * S, 1.0), S);
        assert_eq!(redial.pause(began + 120 * S, 1.0), 2 * S);
        assert_eq!(redial.pause(began + 86_400 * S, 1.0), 5 * S);
        assert_eq!(redial.pause(began + 86_400 * S, 0.0), 5 * S / 2);
    }

    #[test]
    fn who_is_refused_asks_ever_more_rarely() {
        let began = wire::clock::now();
        let mut redial = Redial::new(began);
        let pauses = (0..5).map(|_| {
            redial.refused();
            redial.pause(began, 1.0)
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [S, 2 * S, 4 * S, PAUSE_MAX, PAUSE_MAX]);
    }

    #[test]
    fn dials_of_many_sites_are_spread() {
        let began = wire::clock::now();
        let pauses = (0..=10).map(|site| {
            let mut redial = Redial::new(began);
            redial.pause(began, f64::from(site) / 10.0) + redial.pause(began, f64::from(site) / 10.0)
        });
        let pauses: Vec<_> = pauses.collect();
        assert_eq!(pauses[10] - pauses[0], S / 2 + FIRST_MAX);
    }
}
