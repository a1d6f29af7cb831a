//! Sets of numbers as sorted, disjoint, non-touching half-open ranges.
//!
//! Reconciling is this algebra: what is wanted is everything minus held minus gone. Its laws are
//! property-tested against plain sets.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::proto;

/// A set of `u64`, small when it has few gaps.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// start → end; ranges are non-empty and never touch.
    ranges: BTreeMap<u64, u64>,
}

impl std::fmt::Debug for RangeSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `range`; an empty or reversed range adds nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&before, &before_end)) = self.ranges.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&next, &next_end)) = self.ranges.range(start..=end).next() {
            self.ranges.remove(&next);
            end = end.max(next_end);
        }
        self.ranges.insert(start, end);
    }

    /// Adds one number.
    pub fn insert_one(&mut self, value: u64) {
        self.insert(value..value.saturating_add(1));
    }

    /// Takes `range` out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        if let Some((&before, &before_end)) = self.ranges.range(..range.start).next_back()
            && before_end > range.start
        {
            self.ranges.insert(before, range.start);
            if before_end > range.end {
                self.ranges.insert(range.end, before_end);
            }
        }
        while let Some((&next, &next_end)) = self.ranges.range(range.clone()).next() {
            self.ranges.remove(&next);
            if next_end > range.end {
                self.ranges.insert(range.end, next_end);
            }
        }
    }

    /// Is `value` in the set?
    pub fn contains(&self, value: u64) -> bool {
        self.end_of(value).is_some()
    }

    /// Where the range ends that `value` is in; `None` if it is in none.
    pub fn end_of(&self, value: u64) -> Option<u64> {
        self.ranges.range(..=value).next_back().map(|(_, &end)| end).filter(|&end| value < end)
    }

    /// Is all of `range` in the set? An empty range always is.
    pub fn contains_all(&self, range: Range<u64>) -> bool {
        range.start >= range.end
            || self.ranges.range(..=range.start).next_back().is_some_and(|(_, &end)| range.end <= end)
    }

    /// Everything of either set.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        other.iter().for_each(|range| all.insert(range));
        all
    }

    /// What is here and not in `other`.
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        other.iter().for_each(|range| rest.remove(range));
        rest
    }

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// The numbers in ascending order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.iter().flatten()
    }

    /// The smallest number.
    pub fn first(&self) -> Option<u64> {
        self.ranges.first_key_value().map(|(&start, _)| start)
    }

    /// How many numbers there are.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }

    /// How many ranges there are: what it costs to keep and to send.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// As it is sent.
    pub fn to_proto(&self) -> Vec<proto::Range> {
        self.iter().map(|range| proto::Range { start: range.start, end: range.end }).collect()
    }

    /// Reads what was sent; empty and overlapping ranges are harmless.
    pub fn from_proto(ranges: &[proto::Range]) -> Self {
        ranges.iter().map(|range| range.start..range.end).collect()
    }
}

impl From<Range<u64>> for RangeSet {
    fn from(range: Range<u64>) -> Self {
        std::iter::once(range).collect()
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u64),
        Remove(u64, u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (any::<bool>(), 0u64..60, 0u64..12).prop_map(|(insert, start, length)| {
            if insert { Step::Insert(start, start + length) } else { Step::Remove(start, start + length) }
        });
        proptest::collection::vec(step, 0..40)
    }

    fn build(steps: &[Step]) -> (RangeSet, BTreeSet<u64>) {
        let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
        for step in steps {
            match *step {
                Step::Insert(start, end) => {
                    set.insert(start..end);
                    model.extend(start..end);
                }
                Step::Remove(start, end) => {
                    set.remove(start..end);
                    model.retain(|value| !(start..end).contains(value));
                }
            }
        }
        (set, model)
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in steps()) {
            let (set, model) = build(&steps);
            prop_assert_eq!(set.values().collect::<BTreeSet<_>>(), model.clone());
            prop_assert_eq!(set.len(), model.len() as u64);
            for value in 0..75 {
                prop_assert_eq!(set.contains(value), model.contains(&value));
            }
        }

        #[test]
        fn ranges_are_sorted_disjoint_and_never_touch(steps in steps()) {
            let ranges: Vec<_> = build(&steps).0.iter().collect();
            prop_assert!(ranges.iter().all(|range| range.start < range.end));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }

        #[test]
        fn union_and_minus_are_those_of_sets(left in steps(), right in steps()) {
            let ((a, model_a), (b, model_b)) = (build(&left), build(&right));
            prop_assert_eq!(a.union(&b).values().collect::<BTreeSet<_>>(), &model_a | &model_b);
            prop_assert_eq!(a.minus(&b).values().collect::<BTreeSet<_>>(), &model_a - &model_b);
        }

        #[test]
        fn contains_all_means_each(steps in steps(), start in 0u64..60, length in 0u64..12) {
            let (set, model) = build(&steps);
            let range = start..start + length;
            prop_assert_eq!(set.contains_all(range.clone()), range.into_iter().all(|v| model.contains(&v)));
        }

        #[test]
        fn it_survives_the_wire(steps in steps()) {
            let set = build(&steps).0;
            prop_assert_eq!(RangeSet::from_proto(&set.to_proto()), set);
        }
    }

    #[test]
    fn hostile_ranges_are_harmless() {
        let ranges = [proto::Range { start: 9, end: 3 }, proto::Range { start: 0, end: u64::MAX }];
        assert_eq!(RangeSet::from_proto(&ranges).range_count(), 1);
    }
}
