//! A vault without disks: what is in here is durable.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;

use crate::chain::Head;
use crate::entry::{Entry, part_count};
use crate::session::hub::{Completion, KnownSegment, SiteView, VaultView};
use crate::session::settled::{Digest, Settled, is_settled};
use crate::session::site::recovered_from;
use crate::{LedgerId, Policies, RangeSet, SegmentNumber, Seq};

pub(super) type Key = (LedgerId, SegmentNumber);

#[derive(Debug, Default)]
pub(super) struct VaultLedger {
    pub(super) entries: Vec<Entry>,
    pub(super) held: RangeSet,
    /// Freed here.
    pub(super) gone: RangeSet,
}

#[derive(Debug, Default)]
pub(super) struct VaultModel {
    pub(super) ledgers: BTreeMap<LedgerId, VaultLedger>,
    pub(super) tails: BTreeMap<Key, BTreeMap<u32, Bytes>>,
    pub(super) files: BTreeMap<Key, Vec<u8>>,
    /// As the site told.
    pub(super) policies: Policies,
    /// What its digest leaves out, to see that somebody notices.
    pub(super) blind: Option<Blind>,
}

/// A mistake in what a vault takes for settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blind {
    /// Bytes that it lacks don't matter to it.
    Held,
    /// It waits for what it has freed.
    Gone,
    /// It tells how many entries there are, and not which.
    Head,
}

/// A known seq with other bytes.
#[derive(Debug)]
pub(super) struct Conflict;

impl VaultModel {
    pub(super) fn take_entries(
        &mut self,
        id: &LedgerId,
        first: Seq,
        entries: &[Entry],
    ) -> Result<(), Conflict> {
        let ledger = self.ledgers.entry(id.clone()).or_default();
        let first = usize::try_from(first.0).unwrap();
        assert!(first <= ledger.entries.len(), "entries with a hole in front came");
        for (seq, entry) in (first..).zip(entries) {
            match ledger.entries.get(seq) {
                Some(known) if known.bytes() == entry.bytes() => {}
                Some(_) => return Err(Conflict),
                None => {
                    ledger.entries.push(entry.clone());
                    if entry.segment().is_none() {
                        ledger.held.insert_one(seq as u64);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn take_part(&mut self, id: &LedgerId, number: SegmentNumber, part: u32, data: Bytes) {
        self.tails.entry((id.clone(), number)).or_default().entry(part).or_insert(data);
    }

    /// Puts a segment together.
    pub(super) fn complete(&mut self, id: &LedgerId, number: SegmentNumber, seq: Seq) -> Completion {
        let entry = self.entry(id, seq).unwrap().clone();
        let segment = entry.segment().unwrap();
        let before = recovered_from(segment);
        let mut file = Vec::new();
        for part in 0..part_count(segment) {
            let own = self.tails.get(&(id.clone(), number)).and_then(|parts| parts.get(&part));
            let old = || self.tails.get(before.as_ref()?)?.get(&part);
            file.extend_from_slice(own.or_else(old).expect("Complete came before all parts were durable"));
        }
        let right = blake3::hash(&file).as_bytes().as_slice() == segment.hash;
        self.tails.remove(&(id.clone(), number));
        before.and_then(|key| self.tails.remove(&key));
        if !right {
            return Completion::Mismatch;
        }
        self.files.insert((id.clone(), number), file);
        self.ledgers.get_mut(id).unwrap().held.insert_one(seq.0);
        Completion::Held
    }

    /// The file is found damaged: it is held no more.
    pub(super) fn lose(&mut self, id: &LedgerId, number: SegmentNumber, seq: Seq) {
        self.files.remove(&(id.clone(), number)).expect("it was held");
        self.ledgers.get_mut(id).unwrap().held.remove(seq.0..seq.0 + 1);
    }

    pub(super) fn entry(&self, id: &LedgerId, seq: Seq) -> Option<&Entry> {
        self.ledgers.get(id)?.entries.get(usize::try_from(seq.0).ok()?)
    }

    /// As after a disk's fault, or back from an older copy: the bytes of an entry are lost, or the end of a ledger.
    pub(super) fn lose_some(&mut self, random: &mut SmallRng) {
        let Some((id, ledger)) = self.ledgers.iter_mut().choose(random) else { return };
        let Some(seq) = (0..ledger.entries.len()).choose(random) else { return };
        let end = if random.random() { ledger.entries.len() } else { seq + 1 };
        for lost in seq..end {
            if let Some(segment) = ledger.entries[lost].segment() {
                self.files.remove(&(id.clone(), SegmentNumber(segment.number)));
                ledger.held.remove(lost as u64..lost as u64 + 1);
            }
        }
        if end == ledger.entries.len() {
            ledger.entries.truncate(seq);
            ledger.held.remove(seq as u64..u64::MAX);
        }
    }

    /// Ledgers that have tails.
    pub(super) fn unfinished(&self) -> Vec<LedgerId> {
        let ledgers: BTreeSet<_> = self.tails.keys().map(|(ledger, _)| ledger.clone()).collect();
        ledgers.into_iter().collect()
    }

    /// Is this part durable here, under this name, as a tail or in a file?
    pub(super) fn has(&self, id: &LedgerId, number: SegmentNumber, part: u32) -> bool {
        let key = (id.clone(), number);
        self.files.contains_key(&key) || self.tails.get(&key).is_some_and(|parts| parts.contains_key(&part))
    }
}

impl VaultView for VaultModel {
    fn ledger(&self, id: &LedgerId) -> (Seq, Head) {
        let entries = self.ledgers.get(id).map_or(&[][..], |ledger| &ledger.entries);
        let head = entries.iter().fold(Head::genesis(id), |head, entry| head.after(entry.bytes()));
        (Seq(entries.len() as u64), head)
    }

    fn held(&self, id: &LedgerId) -> RangeSet {
        self.ledgers.get(id).map(|ledger| ledger.held.clone()).unwrap_or_default()
    }

    fn gone(&self, id: &LedgerId) -> RangeSet {
        self.ledgers.get(id).map(|ledger| ledger.gone.clone()).unwrap_or_default()
    }

    fn segment(&self, id: &LedgerId, number: SegmentNumber) -> Option<KnownSegment> {
        let entries = &self.ledgers.get(id)?.entries;
        let is_it = |entry: &Entry| entry.segment().is_some_and(|segment| segment.number == number.0);
        let seq = entries.iter().position(is_it)?;
        let segment = entries[seq].segment()?;
        let (parts, recovered_from) = (part_count(segment), recovered_from(segment));
        Some(KnownSegment { seq: Seq(seq as u64), parts, recovered_from })
    }

    fn tail(&self, id: &LedgerId, number: SegmentNumber) -> RangeSet {
        let parts = self.tails.get(&(id.clone(), number));
        parts
            .into_iter()
            .flat_map(|parts| parts.keys())
            .map(|part| u64::from(*part)..u64::from(*part) + 1)
            .collect()
    }

    fn tails(&self, id: &LedgerId) -> Vec<(SegmentNumber, RangeSet)> {
        let of_ledger = self.tails.keys().filter(|(ledger, _)| ledger == id);
        of_ledger.map(|(_, number)| (*number, self.tail(id, *number))).collect()
    }
}

impl SiteView for VaultModel {
    fn digest(&self, except: &BTreeSet<LedgerId>) -> Digest {
        self.settled(except).digest()
    }

    fn settled(&self, except: &BTreeSet<LedgerId>) -> Settled {
        let mut settled = Settled::default();
        for id in self.ledgers.keys().filter(|id| !except.contains(id)) {
            let (next, head) = self.ledger(id);
            let done = match self.blind {
                Some(Blind::Held) => RangeSet::from(0..next.0),
                _ if self.policies.replicate(&id.stream).withholds() => RangeSet::from(0..next.0),
                Some(Blind::Gone) => self.held(id),
                _ => self.held(id).union(&self.gone(id)),
            };
            let head = if self.blind == Some(Blind::Head) { Head([7; 32]) } else { head };
            if is_settled(next, &done) {
                settled.insert(id, &head);
            }
        }
        settled
    }
}
