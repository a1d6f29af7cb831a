//! What is durable in a vault, as the session asks for it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wire::chain::Head;
use wire::entry::{Entry, part_count};
use wire::session::hub::{KnownSegment, SiteView, VaultView};
use wire::session::settled::{Digest, Settled, is_settled};
use wire::session::site::recovered_from;
use wire::{LedgerId, Policies, RangeSet, SegmentNumber, Seq};

use crate::place::PlaceIx;

/// A ledger's row, and all its entries.
#[derive(Clone, Debug)]
pub struct VaultRow {
    /// The ledger's number with the oracle.
    pub known: u32,
    /// Who writes it.
    pub place: PlaceIx,
    /// Entries by seq.
    pub entries: Vec<Entry>,
    /// The chain's head after them.
    pub head: Head,
    /// Seqs whose bytes are here, if they have any.
    pub held: RangeSet,
    /// Segments by their number.
    pub segments: BTreeMap<SegmentNumber, KnownSegment>,
}

/// What is durable.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// Ledgers.
    pub rows: BTreeMap<LedgerId, VaultRow>,
    /// Parts of segments that are not held.
    pub tails: BTreeMap<(LedgerId, SegmentNumber), BTreeMap<u32, Bytes>>,
    /// The mutant `ranges`: what is held is told without its holes of one.
    pub over_holes: bool,
}

/// A known seq came with other bytes, or entries with a hole before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict(pub Seq);

impl Store {
    /// A ledger is known from now on.
    pub fn claim(&mut self, ledger: &LedgerId, known: u32, place: PlaceIx) {
        self.rows.entry(ledger.clone()).or_insert_with(|| VaultRow {
            known,
            place,
            entries: Vec::new(),
            head: Head::genesis(ledger),
            held: RangeSet::new(),
            segments: BTreeMap::new(),
        });
    }

    /// Entries are durable. Tells which were new.
    pub fn take_entries(
        &mut self,
        id: &LedgerId,
        first: Seq,
        entries: &[Entry],
    ) -> Result<Vec<Seq>, Conflict> {
        let Some(row) = self.rows.get_mut(id) else { return Err(Conflict(first)) };
        let mut new = Vec::new();
        for (seq, entry) in (first.0..).map(Seq).zip(entries) {
            let next = row.entries.len() as u64;
            let known = row.entries.get(usize::try_from(seq.0).unwrap_or(usize::MAX));
            match known {
                Some(known) if known.bytes() == entry.bytes() => continue,
                Some(_) => return Err(Conflict(seq)),
                None if seq.0 > next => return Err(Conflict(seq)),
                None => {}
            }
            match entry.segment() {
                None => row.held.insert_one(seq.0),
                Some(segment) => {
                    let known = KnownSegment {
                        seq,
                        parts: part_count(segment),
                        recovered_from: recovered_from(segment),
                    };
                    row.segments.insert(SegmentNumber(segment.number), known);
                }
            }
            row.head = row.head.after(entry.bytes());
            row.entries.push(entry.clone());
            new.push(seq);
        }
        Ok(new)
    }

    /// A part is durable in the journal.
    pub fn take_part(&mut self, id: &LedgerId, number: SegmentNumber, part: u32, data: Bytes) {
        let row = self.rows.get(id);
        let held = row.is_some_and(|row| {
            row.segments.get(&number).is_some_and(|segment| row.held.contains(segment.seq.0))
        });
        if !held {
            self.tails.entry((id.clone(), number)).or_default().entry(part).or_insert(data);
        }
    }

    /// A segment's parts, by its own name or that of the tail it continues; `None` if one is missing.
    pub fn parts(&self, id: &LedgerId, number: SegmentNumber) -> Option<Vec<Bytes>> {
        let known = self.rows.get(id)?.segments.get(&number)?;
        let own = self.tails.get(&(id.clone(), number));
        let before = known.recovered_from.as_ref().and_then(|name| self.tails.get(name));
        let part = |part: u32| {
            own.and_then(|parts| parts.get(&part))
                .or_else(|| before.and_then(|parts| parts.get(&part)))
                .cloned()
        };
        (0..known.parts).map(part).collect()
    }

    /// The journal needs a segment's parts no more.
    pub fn forget(&mut self, id: &LedgerId, number: SegmentNumber) {
        self.tails.remove(&(id.clone(), number));
        let known = self.rows.get(id).and_then(|row| row.segments.get(&number));
        if let Some(before) = known.and_then(|known| known.recovered_from.as_ref()) {
            self.tails.remove(before);
        }
    }

    /// Ledgers that a place wrote of whose unfinished segments there are parts.
    pub fn unfinished(&self, place: PlaceIx) -> Vec<LedgerId> {
        let of_place = |id: &&LedgerId| self.rows.get(*id).is_some_and(|row| row.place == place);
        let ledgers: BTreeSet<_> = self.tails.keys().map(|(id, _)| id).filter(of_place).collect();
        ledgers.into_iter().cloned().collect()
    }

    /// An entry.
    pub fn entry(&self, id: &LedgerId, seq: Seq) -> Option<&Entry> {
        self.rows.get(id)?.entries.get(usize::try_from(seq.0).ok()?)
    }
}

impl VaultView for Store {
    fn ledger(&self, id: &LedgerId) -> (Seq, Head) {
        let row = self.rows.get(id);
        row.map_or((Seq(0), Head::genesis(id)), |row| (Seq(row.entries.len() as u64), row.head))
    }

    fn held(&self, id: &LedgerId) -> RangeSet {
        let held = self.rows.get(id).map(|row| row.held.clone()).unwrap_or_default();
        if self.over_holes { without_holes_of_one(&held) } else { held }
    }

    fn segment(&self, id: &LedgerId, number: SegmentNumber) -> Option<KnownSegment> {
        self.rows.get(id)?.segments.get(&number).cloned()
    }

    fn tail(&self, id: &LedgerId, number: SegmentNumber) -> RangeSet {
        self.tails.get(&(id.clone(), number)).map(part_set).unwrap_or_default()
    }

    fn tails(&self, id: &LedgerId) -> Vec<(SegmentNumber, RangeSet)> {
        let first = (id.clone(), SegmentNumber(0));
        let of_ledger = self.tails.range(first..).take_while(|((ledger, _), _)| ledger == id);
        of_ledger.map(|((_, number), parts)| (*number, part_set(parts))).collect()
    }
}

/// What is durable of one place's.
pub struct OfPlace<'a> {
    /// Among this.
    pub store: &'a Store,
    /// Whose.
    pub place: PlaceIx,
    /// Which of its bytes are to come, as it told.
    pub policies: &'a Policies,
}

impl SiteView for OfPlace<'_> {
    fn digest(&self, except: &BTreeSet<LedgerId>) -> Digest {
        self.settled(except).digest()
    }

    fn settled(&self, except: &BTreeSet<LedgerId>) -> Settled {
        let rows = self.store.rows.iter();
        let mut settled = Settled::default();
        for (id, row) in rows.filter(|(id, row)| row.place == self.place && !except.contains(id)) {
            let withheld = self.policies.replicate(&id.stream).withholds();
            if withheld || is_settled(Seq(row.entries.len() as u64), &self.store.held(id)) {
                settled.insert(id, &row.head);
            }
        }
        settled
    }
}

fn part_set(parts: &BTreeMap<u32, Bytes>) -> RangeSet {
    parts.keys().map(|part| u64::from(*part)..u64::from(*part) + 1).collect()
}

/// A union that takes ranges for touching when one number lies between them.
fn without_holes_of_one(set: &RangeSet) -> RangeSet {
    let all = set.iter().map(|range| range.start..range.end + 1).collect::<RangeSet>();
    let last = all.iter().next_back().map_or(0, |range| range.end);
    all.minus(&RangeSet::from(last.saturating_sub(1)..last))
}
