//! Where each part lies, in memory; rebuilt from the files at a start.

use std::collections::BTreeMap;

use wire::{LedgerId, RangeSet, SegmentNumber, SiteId, UnixMicros};

use super::{Fragment, Tail, TailPart};

pub(super) type Key = (LedgerId, SegmentNumber);

/// A record's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) file: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) start: UnixMicros,
    pub(super) end: UnixMicros,
    pub(super) key: bool,
}

#[derive(Debug)]
struct Entry {
    site: SiteId,
    places: BTreeMap<u32, Place>,
    start: UnixMicros,
    end: UnixMicros,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    tails: BTreeMap<Key, Entry>,
    /// Records in use, by file.
    used: BTreeMap<u64, u64>,
    bytes: BTreeMap<SiteId, u64>,
    /// The file being written: never deleted under the writer.
    current: u64,
}

impl Index {
    pub(super) fn insert(&mut self, part: &TailPart, file: u64, offset: u64, length: u32) {
        let key = (part.ledger.clone(), part.segment);
        let entry = self.tails.entry(key).or_insert_with(|| Entry {
            site: part.site.clone(),
            places: BTreeMap::new(),
            start: part.start,
            end: part.end,
        });
        entry.start = entry.start.min(part.start);
        entry.end = entry.end.max(part.end);
        if entry.places.contains_key(&part.part) {
            return; // the first is as good
        }
        entry.places.insert(
            part.part,
            Place { file, offset, length, start: part.start, end: part.end, key: part.key },
        );
        *self.used.entry(file).or_default() += 1;
        *self.bytes.entry(part.site.clone()).or_default() += u64::from(length);
    }

    /// Forgets a segment; returns files that are now unused.
    pub(super) fn remove(&mut self, key: &Key) -> Vec<u64> {
        let Some(entry) = self.tails.remove(key) else { return Vec::new() };
        let mut unused = Vec::new();
        for place in entry.places.values() {
            if let Some(bytes) = self.bytes.get_mut(&entry.site) {
                *bytes = bytes.saturating_sub(u64::from(place.length));
            }
            if let Some(count) = self.used.get_mut(&place.file) {
                *count -= 1;
                if *count == 0 && place.file != self.current {
                    self.used.remove(&place.file);
                    unused.push(place.file);
                }
            }
        }
        unused
    }

    /// The writer goes on to another file; returns the old one if nothing in it is needed.
    pub(super) fn begin_file(&mut self, number: u64) -> Option<u64> {
        let old = std::mem::replace(&mut self.current, number);
        (old != 0 && self.is_unused(old)).then(|| {
            self.used.remove(&old);
            old
        })
    }

    pub(super) fn is_unused(&self, file: u64) -> bool {
        self.used.get(&file).is_none_or(|count| *count == 0)
    }

    pub(super) fn parts(&self, key: &Key) -> RangeSet {
        self.tails.get(key).map(parts).unwrap_or_default()
    }

    pub(super) fn place(&self, key: &Key, part: u32) -> Option<Place> {
        self.tails.get(key)?.places.get(&part).copied()
    }

    pub(super) fn of_ledger(&self, ledger: &LedgerId) -> Vec<Tail> {
        let range = (ledger.clone(), SegmentNumber(0))..=(ledger.clone(), SegmentNumber(u64::MAX));
        self.tails.range(range).map(tail).collect()
    }

    pub(super) fn select(&self, wanted: impl Fn(&Key, &SiteId) -> bool) -> Vec<Tail> {
        self.tails.iter().filter(|(key, entry)| wanted(key, &entry.site)).map(tail).collect()
    }

    pub(super) fn site_bytes(&self, site: &SiteId) -> u64 {
        self.bytes.get(site).copied().unwrap_or(0)
    }
}

fn parts(entry: &Entry) -> RangeSet {
    entry.places.keys().map(|part| u64::from(*part)..u64::from(*part) + 1).collect()
}

fn tail(((ledger, segment), entry): (&Key, &Entry)) -> Tail {
    Tail {
        site: entry.site.clone(),
        ledger: ledger.clone(),
        segment: *segment,
        parts: parts(entry),
        start: entry.start,
        end: entry.end,
        fragments: entry.places.iter().map(fragment).collect(),
    }
}

fn fragment((&part, place): (&u32, &Place)) -> Fragment {
    let &Place { start, end, key, .. } = place;
    Fragment { part, start, end, key }
}
