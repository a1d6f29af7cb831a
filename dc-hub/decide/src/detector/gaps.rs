//! The distribution of the gaps between beats, in fixed memory: a histogram that forgets.

use std::time::Duration;

/// Buckets per doubling of the gap: a gap is known to within a quarter, and told as its bucket's upper end.
const PER_DOUBLING: u32 = 4;
/// From 2^LOWEST microseconds (1 ms)…
const LOWEST: u32 = 10;
/// …over so many doublings (1,000 s).
const DOUBLINGS: u32 = 20;
const BUCKETS: usize = (PER_DOUBLING * DOUBLINGS) as usize;
/// With so many stored, every bucket is halved: at two beats a second half an hour counts.
const ENOUGH: u32 = 4_096;

/// Gaps, counted by size.
#[derive(Clone, Debug)]
pub struct Gaps {
    counts: [u16; BUCKETS],
    total: u32,
    /// The percentile, kept: it is asked for more often than it changes.
    p999: Duration,
}

impl Default for Gaps {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0, p999: Duration::ZERO }
    }
}

impl Gaps {
    /// Stores one gap.
    pub fn add(&mut self, gap: Duration) {
        let bucket = bucket_of(gap);
        self.counts[bucket] += 1;
        self.total += 1;
        if self.total >= ENOUGH {
            self.forget_half();
        }
        // Only a gap above the percentile, or enough gaps below it, can move it.
        if upper_end(bucket) > self.p999 || self.total.is_multiple_of(64) {
            self.p999 = self.percentile_999();
        }
    }

    /// The 99.9th percentile; with fewer than a thousand gaps, the longest.
    pub fn p999(&self) -> Duration {
        self.p999
    }

    fn percentile_999(&self) -> Duration {
        let above = self.total / 1_000;
        let mut seen = 0;
        for bucket in (0..BUCKETS).rev() {
            seen += u32::from(self.counts[bucket]);
            if seen > above {
                return upper_end(bucket);
            }
        }
        Duration::ZERO
    }

    fn forget_half(&mut self) {
        self.total = 0;
        for count in &mut self.counts {
            *count /= 2;
            self.total += u32::from(*count);
        }
    }
}

fn bucket_of(gap: Duration) -> usize {
    let micros = u64::try_from(gap.as_micros()).unwrap_or(u64::MAX).max(1 << LOWEST);
    let doubling = micros.ilog2();
    // The two bits below the highest one say which quarter.
    let quarter = (micros >> (doubling - 2)) & 3;
    let bucket = u64::from((doubling - LOWEST) * PER_DOUBLING) + quarter;
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn upper_end(bucket: usize) -> Duration {
    let (doubling, quarter) =
        (bucket as u32 / PER_DOUBLING + LOWEST, bucket as u64 % u64::from(PER_DOUBLING));
    Duration::from_micros((5 + quarter) << (doubling - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_bucket_holds_its_gaps_and_no_longer_ones() {
        for micros in [1_024, 1_500, 499_000, 500_000, 524_287, 524_288, 7_000_000, 14_999_999] {
            let (gap, end) =
                (Duration::from_micros(micros), upper_end(bucket_of(Duration::from_micros(micros))));
            assert!(gap < end && end <= gap.mul_f64(1.26), "{gap:?} {end:?}");
        }
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn one_outlier_in_four_thousand_is_above_the_percentile_and_ten_are_not() {
        let mut gaps = Gaps::default();
        (0..2_000).for_each(|_| gaps.add(ms(500)));
        gaps.add(ms(4_000));
        assert!(gaps.p999() < ms(700), "{:?}", gaps.p999());
        (0..10).for_each(|_| gaps.add(ms(4_000)));
        assert!(gaps.p999() >= ms(4_000), "{:?}", gaps.p999());
    }

    #[test]
    fn a_bad_hour_is_forgotten_and_memory_stays_fixed() {
        let mut gaps = Gaps::default();
        (0..100).for_each(|_| gaps.add(ms(8_000)));
        (0..100_000).for_each(|_| gaps.add(ms(500)));
        assert!(gaps.p999() < ms(700), "{:?}", gaps.p999());
        assert!(gaps.total < ENOUGH);
    }

    #[test]
    fn few_gaps_mean_the_longest() {
        let mut gaps = Gaps::default();
        [500, 510, 900].into_iter().for_each(|gap| gaps.add(ms(gap)));
        assert!(gaps.p999() >= ms(900));
    }
}
