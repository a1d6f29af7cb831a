//! A vault without disks: what is in here is durable.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::chain::Head;
use crate::entry::{Entry, part_count};
use crate::session::hub::{Completion, KnownSegment, VaultView};
use crate::session::site::recovered_from;
use crate::{LedgerId, RangeSet, SegmentNumber, Seq};

pub(super) type Key = (LedgerId, SegmentNumber);

#[derive(Debug, Default)]
pub(super) struct VaultLedger {
    pub(super) entries: Vec<Entry>,
    pub(super) held: RangeSet,
}

#[derive(Debug, Default)]
pub(super) struct VaultModel {
    pub(super) ledgers: BTreeMap<LedgerId, VaultLedger>,
    pub(super) tails: BTreeMap<Key, BTreeMap<u32, Bytes>>,
    pub(super) files: BTreeMap<Key, Vec<u8>>,
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
