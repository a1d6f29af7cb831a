//! Ledgers with nothing left to exchange, told as one digest, and found by splitting where digests differ.
//!
//! A ledger's head says all of it: which ledger it is, how many entries there are and each of their bytes. So
//! the sum of heads stands for a set of ledgers, it does not depend on their order, and one ledger is taken out of it
//! by subtraction. Whether the *bytes* are all where they should be no head says: a side puts a ledger into its
//! digest only if it wants nothing of it and believes that the other wants nothing either
//! ([`is_settled`]). What was freed at the site is told by entries, and so is in heads as well.
//!
//! Pure arithmetic; it knows nothing of messages' order, clocks or archives. The sums are no proof against somebody
//! who makes up ledgers to collide: a site that does so hides from the hub what is its own.

use std::collections::BTreeMap;

use crate::chain::Head;
use crate::id::{LedgerId, Seq};
use crate::proto;
use crate::range::RangeSet;

/// Bits of a place that one split looks at.
const SPLIT_BITS: u32 = 6;
/// The buckets that a split makes of one.
pub const FAN_OUT: usize = 1 << SPLIT_BITS;
/// No bucket is smaller than these bits make it.
const BITS_MAX: u32 = 60;
/// A bucket of so few ledgers is offered as it is: telling it in parts would cost as much.
pub const OFFERED_WHOLE: u64 = 32;

/// Is nothing left to exchange of a ledger of so many entries, by what is `done` (held, acked or gone)?
pub fn is_settled(next: Seq, done: &RangeSet) -> bool {
    done.contains_all(0..next.0)
}

/// Where a ledger stands among all, whatever its entries: even, and the same on both sides.
fn place(ledger: &LedgerId) -> u128 {
    mark(&Head::genesis(ledger))
}

fn mark(head: &Head) -> u128 {
    head.0.iter().take(16).fold(0, |mark, byte| (mark << 8) | u128::from(*byte))
}

/// Some ledgers in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many.
    pub count: u64,
    sum: u128,
}

impl Digest {
    fn add(&mut self, mark: u128) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(mark);
    }

    fn take(&mut self, mark: u128) {
        self.count -= 1;
        self.sum = self.sum.wrapping_sub(mark);
    }

    /// As it is sent.
    pub fn to_proto(&self) -> proto::Digest {
        proto::Digest { count: self.count, sum: bytes::Bytes::copy_from_slice(&self.sum.to_be_bytes()) }
    }

    /// Reads what was sent; what is no digest equals none.
    pub fn from_proto(digest: &proto::Digest) -> Option<Self> {
        Some(Self { count: digest.count, sum: u128::from_be_bytes((*digest.sum).try_into().ok()?) })
    }
}

/// Ledgers whose places begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    prefix: u64,
    bits: u32,
}

impl Bucket {
    /// All ledgers.
    pub const ALL: Self = Self { prefix: 0, bits: 0 };

    /// The buckets it is split into, in order; `None` if it is too small.
    pub fn split(self) -> Option<impl Iterator<Item = Self>> {
        let bits = self.bits + SPLIT_BITS;
        let child = move |index: u64| Self { prefix: self.prefix | (index << (64 - bits)), bits };
        (bits <= BITS_MAX).then(|| (0..FAN_OUT as u64).map(child))
    }

    /// Never empty and never all of `u128`'s end: that many bits are always left free below.
    fn places(self) -> std::ops::RangeInclusive<u128> {
        let first = u128::from(self.prefix) << 64;
        let free = u128::MAX.checked_shr(self.bits).unwrap_or(0);
        first..=first | free
    }

    /// As it is sent.
    pub fn to_proto(self) -> proto::Bucket {
        proto::Bucket { bits: self.bits, prefix: self.prefix }
    }

    /// Reads what was sent.
    pub fn from_proto(bucket: &proto::Bucket) -> Option<Self> {
        let &proto::Bucket { bits, prefix } = bucket;
        let free = u64::MAX.checked_shr(bits).unwrap_or(0);
        (bits <= BITS_MAX && bits % SPLIT_BITS == 0 && prefix & free == 0).then_some(Self { prefix, bits })
    }
}

/// Settled ledgers of one site, kept up to date one by one. 32 bytes each.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    marks: BTreeMap<u128, u128>,
    all: Digest,
}

impl Settled {
    /// A ledger is settled, with this head.
    pub fn insert(&mut self, ledger: &LedgerId, head: &Head) {
        self.remove(ledger);
        let mark = mark(head);
        self.marks.insert(place(ledger), mark);
        self.all.add(mark);
    }

    /// A ledger is settled no more, or never was.
    pub fn remove(&mut self, ledger: &LedgerId) {
        if let Some(mark) = self.marks.remove(&place(ledger)) {
            self.all.take(mark);
        }
    }

    /// All but some of them.
    pub fn digest_without<'a>(&self, except: impl IntoIterator<Item = &'a LedgerId>) -> Digest {
        let mut digest = self.all;
        let marks = except.into_iter().filter_map(|ledger| self.marks.get(&place(ledger)));
        marks.for_each(|mark| digest.take(*mark));
        digest
    }

    /// All.
    pub fn digest(&self) -> Digest {
        self.all
    }

    /// Those of one bucket.
    pub fn of(&self, bucket: Bucket) -> Digest {
        let mut digest = Digest::default();
        self.marks.range(bucket.places()).for_each(|(_, mark)| digest.add(*mark));
        digest
    }

    /// Tells a bucket in parts, or, where that is no use, that all of it is to be offered.
    pub fn split(&self, bucket: Bucket, whole: bool) -> proto::Split {
        let mut split = proto::Split { bucket: Some(bucket.to_proto()), ..Default::default() };
        if let Some(buckets) = bucket.split().filter(|_| !whole) {
            let digests: Vec<_> = buckets.map(|bucket| self.of(bucket)).collect();
            split.counts = digests.iter().map(|digest| digest.count).collect();
            split.sums = digests.iter().flat_map(|digest| digest.sum.to_be_bytes()).collect();
        }
        split
    }

    /// What the other side's telling of a bucket means for ours.
    pub fn compare(&self, split: &proto::Split) -> Differs {
        let mut differs = Differs::default();
        let Some(bucket) = split.bucket.as_ref().and_then(Bucket::from_proto) else { return differs };
        let told = split.counts.iter().zip(split.sums.chunks_exact(16));
        let Some(buckets) = bucket.split().filter(|_| told.len() == FAN_OUT) else {
            differs.offer.push(bucket);
            return differs;
        };
        for (bucket, (count, sum)) in buckets.zip(told) {
            let sum = bytes::Bytes::copy_from_slice(sum);
            let (ours, theirs) = (self.of(bucket), Digest::from_proto(&proto::Digest { count: *count, sum }));
            match theirs {
                Some(theirs) if theirs == ours => {}
                _ if ours.count == 0 => {} // what we never had, or lost, is no business of ours
                Some(theirs) if theirs.count > 0 && ours.count > OFFERED_WHOLE => differs.split.push(bucket),
                _ => differs.offer.push(bucket),
            }
        }
        differs
    }
}

/// Where two sides differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differs {
    /// Buckets to be offered ledger by ledger.
    pub offer: Vec<Bucket>,
    /// Buckets to be told in parts.
    pub split: Vec<Bucket>,
}

impl Differs {
    /// Adds what else was found.
    pub fn extend(&mut self, more: Self) {
        self.offer.extend(more.offer);
        self.split.extend(more.split);
        // They have no ledger in common, so that one search finds the only one that may have it.
        self.offer.sort_unstable();
    }

    /// Is this ledger in one of the buckets to be offered?
    pub fn offers(&self, ledger: &LedgerId) -> bool {
        let place = place(ledger);
        let after = self.offer.partition_point(|bucket| *bucket.places().start() <= place);
        self.offer[..after].last().is_some_and(|bucket| bucket.places().contains(&place))
    }
}

/// Names ledgers in a message: an empty origin is that of the ledger before it.
#[derive(Debug, Default)]
pub(super) struct Names {
    before: bytes::Bytes,
}

impl Names {
    pub(super) fn write(&mut self, ledger: &LedgerId) -> proto::Ledger {
        let mut name = ledger.to_proto();
        if name.origin == self.before {
            name.origin.clear();
        } else {
            self.before = name.origin.clone();
        }
        name
    }

    pub(super) fn read(&mut self, name: Option<&proto::Ledger>) -> Result<LedgerId, crate::NameError> {
        let mut name = name.cloned().ok_or(crate::NameError::NoLedger)?;
        if name.origin.is_empty() {
            name.origin = self.before.clone();
        }
        self.before = name.origin.clone();
        LedgerId::from_proto(Some(&name))
    }
}

#[cfg(test)]
mod tests;
