//! Many sites silent at once are one event, and seldom a hundred dead recorders.

use std::time::Duration;

use crate::time::Boot;

/// From when on silence is one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    /// At least so many sites…
    pub sites_min: usize,
    /// …and so many percent of all…
    pub percent_min: usize,
    /// …fell silent within this.
    pub window: Duration,
}

impl Default for Correlation {
    fn default() -> Self {
        Self { sites_min: 3, percent_min: 20, window: Duration::from_secs(30) }
    }
}

impl Correlation {
    /// Did so many recorders fall silent together with the one that did at `pivot` that it is one event? `fell`
    /// are the instants of the last beats of all that are silent, in order.
    pub fn is_one_event(&self, pivot: Boot, fell: &[Boot], of: usize) -> bool {
        debug_assert!(fell.is_sorted());
        // Of every window that has the pivot in it, the fullest begins with a last beat.
        let mut end = 0;
        fell.iter().enumerate().any(|(begin, from)| {
            while fell.get(end).is_some_and(|at| at.since(*from) <= self.window) {
                end += 1;
            }
            *from <= pivot && pivot.since(*from) <= self.window && self.is_many(end - begin, of)
        })
    }

    /// Did these two happen together?
    pub fn near(&self, one: Boot, other: Boot) -> bool {
        one.since(other).max(other.since(one)) <= self.window
    }

    fn is_many(&self, sites: usize, of: usize) -> bool {
        sites >= self.sites_min && sites * 100 >= of * self.percent_min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together(at_s: &[u64], pivot_s: u64, of: usize) -> bool {
        let fell: Vec<Boot> = at_s.iter().map(|s| Boot(s * 1_000_000)).collect();
        Correlation::default().is_one_event(Boot(pivot_s * 1_000_000), &fell, of)
    }

    #[test]
    fn three_and_a_fifth_within_half_a_minute() {
        assert!(together(&[100, 110, 120], 110, 15));
        assert!(!together(&[100, 110], 110, 2), "two are no crowd, however small the fleet");
        assert!(!together(&[100, 110, 120], 110, 16), "three of sixteen are less than a fifth");
        assert!(!together(&[100, 115, 131], 115, 3), "31 s from first to last");
        assert!(!together(&[100, 130, 131], 130, 3));
        assert!(together(&[101, 130, 131], 130, 3));
        assert!(together(&[10, 101, 130, 131], 101, 3));
    }

    #[test]
    fn what_was_dark_long_before_does_not_count() {
        assert!(!together(&[10, 20, 1_000], 1_000, 3));
        assert!(!together(&[10, 20, 30, 1_000], 1_000, 3), "a crowd, but not with this one");
    }
}
