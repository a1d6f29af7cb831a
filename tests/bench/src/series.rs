//! What was counted over time, and rates from it.

use std::time::Duration;

/// A counter at some instants, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<(Duration, u64)>);

impl Series {
    pub(crate) fn push(&mut self, at: Duration, count: u64) {
        self.0.push((at, count));
    }

    /// Per second: the slope of the straight line closest to all samples from `from` on. Counters that go in
    /// steps have no better one, since two samples would tell where in a step they fell. None below three
    /// samples.
    pub(crate) fn rate(&self, from: Duration) -> Option<f64> {
        let points: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter(|(at, _)| *at >= from)
            .map(|(at, count)| (at.as_secs_f64(), *count as f64))
            .collect();
        if points.len() < 3 {
            return None;
        }
        let number = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        let (x, y) = (x / number, y / number);
        let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let rise: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        (spread > 0.0).then(|| rise / spread)
    }

    /// Per second, from the beginning to the last sample.
    pub(crate) fn rate_since_zero(&self) -> Option<f64> {
        let (at, count) = self.0.last()?;
        (*at > Duration::ZERO).then(|| *count as f64 / at.as_secs_f64())
    }

    /// The last count.
    pub(crate) fn last(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }
}

/// What is at most this for a share of all; 0 of nothing.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (share * values.len() as f64).ceil() as usize;
    values.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: impl Iterator<Item = (u64, u64)>) -> Series {
        let mut series = Series::default();
        points.for_each(|(at_ms, count)| series.push(Duration::from_millis(at_ms), count));
        series
    }

    #[test]
    fn a_steady_counter() {
        let steady = series((0..50).map(|step| (step * 100, step * 1000)));
        assert!((steady.rate(Duration::ZERO).unwrap() - 10_000.0).abs() < 1e-6);
        assert!((steady.rate(Duration::from_secs(3)).unwrap() - 10_000.0).abs() < 1e-6);
        assert_eq!(steady.rate(Duration::from_millis(4750)), None, "two samples tell too little");
        assert!((steady.rate_since_zero().unwrap() - 10_000.0).abs() < 1e-6);
    }

    #[test]
    fn a_counter_in_steps() {
        // 2 MB every 3.2 s: 625 kB/s, looked at for 32 s at any phase.
        for phase in (0..3200).step_by(100) {
            let steps = series((0..320).map(|step| (step * 100, (step * 100 + phase) / 3200 * 2_000_000)));
            let rate = steps.rate(Duration::ZERO).unwrap();
            assert!((rate / 625_000.0 - 1.0).abs() < 0.02, "phase {phase}: {rate}");
        }
    }

    #[test]
    fn nothing_has_no_rate() {
        assert_eq!(Series::default().rate(Duration::ZERO), None);
        assert_eq!(Series::default().rate_since_zero(), None);
    }

    #[test]
    fn quantiles() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            [0.5, 0.95, 0.99, 1.0].map(|share| quantile(&mut values, share)),
            [50.0, 95.0, 99.0, 100.0]
        );
        assert_eq!((quantile(&mut [], 0.5), mean(&[]), mean(&[1.0, 2.0])), (0.0, 0.0, 1.5));
    }
}
