//! How many bytes arrived when, in steps of 10 ms.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Seconds of a step.
const STEP: f64 = 0.01;

/// Counts, from any thread.
pub(crate) struct Arrivals(Vec<AtomicU64>);

impl Arrivals {
    /// For so long; what comes later is not counted.
    pub(crate) fn new(length: Duration) -> Self {
        let steps = (length.as_secs_f64() / STEP).ceil() as usize;
        Self((0..steps).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn count(&self, at: Duration, bytes: u64) {
        if let Some(step) = self.0.get((at.as_secs_f64() / STEP) as usize) {
            step.fetch_add(bytes, Relaxed);
        }
    }

    /// Bytes from one time to another, in seconds, to the nearest steps.
    pub(crate) fn bytes(&self, from: f64, to: f64) -> u64 {
        let step = |at: f64| ((at / STEP).round() as usize).min(self.0.len());
        let (from, to) = (step(from), step(to));
        self.0[from..to.max(from)].iter().map(|bytes| bytes.load(Relaxed)).sum()
    }

    /// Mbit/s from one time to another.
    pub(crate) fn mbit(&self, from: f64, to: f64) -> f64 {
        self.bytes(from, to) as f64 * 8e-6 / (to - from)
    }

    /// When the first byte after a time came, in seconds, to 10 ms.
    pub(crate) fn first_after(&self, at: f64) -> Option<f64> {
        let from = (at / STEP).ceil() as usize;
        let found = self.0.iter().skip(from).position(|bytes| bytes.load(Relaxed) > 0)?;
        Some((from + found) as f64 * STEP)
    }

    /// The ends of all windows of this length between two times.
    pub(crate) fn windows(&self, from: f64, to: f64, window: f64) -> impl Iterator<Item = (f64, f64)> {
        let steps = ((to - from - window) / STEP).floor().max(-1.0) as i64;
        (0..=steps)
            .map(move |step| from + window + step as f64 * STEP)
            .map(move |end| (end, self.mbit(end - window, end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_found_again() {
        let arrivals = Arrivals::new(Duration::from_secs(2));
        for step in 50..150 {
            arrivals.count(Duration::from_millis(step * 10 + 3), 12_500);
        }
        arrivals.count(Duration::from_secs(60), 1);
        assert_eq!(arrivals.bytes(0.0, 2.0), 1_250_000);
        assert!((arrivals.mbit(0.5, 1.5) - 10.0).abs() < 1e-9);
        assert_eq!(arrivals.first_after(0.0), Some(0.5));
        assert_eq!(arrivals.first_after(1.6), None);
        let full = arrivals.windows(0.0, 2.0, 0.3).find(|(_, mbit)| *mbit > 9.99);
        assert!((full.unwrap().0 - 0.8).abs() < 0.011, "{full:?}");
        assert_eq!(arrivals.windows(0.0, 0.2, 0.3).count(), 0);
    }
}
