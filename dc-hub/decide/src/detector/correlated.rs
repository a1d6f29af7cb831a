//! Many sites silent at once are one event, and seldom a hundred dead recorders.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::SiteId;
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
    /// The sites that fell silent together with the one at `pivot`, if they are many. `fell` are all silent
    /// sites with the instants of their last beats.
    pub fn with(&self, pivot: Boot, fell: &[(SiteId, Boot)], of: usize) -> Option<BTreeSet<SiteId>> {
        let mut at: Vec<Boot> = fell.iter().map(|(_, at)| *at).filter(|at| self.near(*at, pivot)).collect();
        at.sort_unstable();
        // Any window of this length that has the pivot in it.
        let many = at.iter().any(|from| {
            *from <= pivot
                && self.is_many(at.iter().filter(|at| *at >= from && self.near(**at, *from)).count(), of)
        });
        let near = || fell.iter().filter(|(_, at)| self.near(*at, pivot)).map(|(site, _)| site.clone());
        many.then(|| near().collect())
    }

    fn near(&self, one: Boot, other: Boot) -> bool {
        one.since(other).max(other.since(one)) <= self.window
    }

    fn is_many(&self, sites: usize, of: usize) -> bool {
        sites >= self.sites_min && sites * 100 >= of * self.percent_min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fell(at_s: &[u64]) -> Vec<(SiteId, Boot)> {
        let site = |n: usize| SiteId::new(format!("site-{n}")).unwrap();
        at_s.iter().enumerate().map(|(n, s)| (site(n), Boot(s * 1_000_000))).collect()
    }

    fn together(at_s: &[u64], pivot_s: u64, of: usize) -> usize {
        let pivot = Boot(pivot_s * 1_000_000);
        Correlation::default().with(pivot, &fell(at_s), of).map_or(0, |sites| sites.len())
    }

    #[test]
    fn three_and_a_fifth_within_half_a_minute() {
        assert_eq!(together(&[100, 110, 120], 110, 15), 3);
        assert_eq!(together(&[100, 110], 110, 2), 0, "two are no crowd, however small the fleet");
        assert_eq!(together(&[100, 110, 120], 110, 16), 0, "three of sixteen are less than a fifth");
        assert_eq!(together(&[100, 115, 131], 115, 3), 0, "31 s from first to last");
        assert_eq!(together(&[100, 130, 131], 130, 3), 0);
        assert_eq!(together(&[101, 130, 131], 130, 3), 3);
    }

    #[test]
    fn what_was_dark_long_before_does_not_count() {
        assert_eq!(together(&[10, 20, 1_000], 1_000, 3), 0);
    }
}
