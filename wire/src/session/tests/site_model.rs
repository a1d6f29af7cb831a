//! A site without disks or cameras: ledgers with real entries and real chain heads, segments of a few parts.
//!
//! All of it survives a cut; a restart ends the ledgers and takes in what was open.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::chain::Head;
use crate::entry::Entry;
use crate::proto::entry::Kind;
use crate::session::site::LedgerFacts;
use crate::{
    LedgerId, OriginId, Policies, RangeSet, Replicate, SegmentNumber, Seq, StreamId, UnixMicros, proto,
};

/// What the session is told of, in the order in which it happens.
#[derive(Clone, Debug)]
pub(super) enum Happened {
    Opened(LedgerId),
    Part(LedgerId, SegmentNumber, u32),
    Committed { ledger: LedgerId, seq: Seq, head: Head, segment: Option<(SegmentNumber, u32)> },
}

#[derive(Debug, Default)]
pub(super) struct SiteLedger {
    pub(super) entries: Vec<Entry>,
    /// `heads[n]` is the head before entry n.
    pub(super) heads: Vec<Head>,
    pub(super) ended: bool,
    /// Parts of committed segments.
    pub(super) segments: BTreeMap<SegmentNumber, Vec<Bytes>>,
    /// The segment being recorded.
    pub(super) open: Option<(SegmentNumber, Vec<Bytes>)>,
    /// What the site remembers of acks.
    pub(super) acked: RangeSet,
    next_number: u64,
}

#[derive(Debug)]
pub(super) struct SiteModel {
    pub(super) ledgers: BTreeMap<LedgerId, SiteLedger>,
    /// Streams recorded by this run.
    pub(super) streams: Vec<StreamId>,
    pub(super) origin: OriginId,
    pub(super) policies: Policies,
    /// Opened and Committed so far.
    pub(super) history: Vec<Happened>,
    /// Parts of files that were too short to be recovered.
    pub(super) discarded: u64,
    runs: u8,
    parts_made: u64,
}

impl SiteModel {
    pub(super) fn new(streams: usize) -> Self {
        let mut site = Self {
            ledgers: BTreeMap::new(),
            streams: Vec::new(),
            origin: OriginId([1; 16]),
            policies: Policies::default(),
            history: Vec::new(),
            discarded: 0,
            runs: 1,
            parts_made: 0,
        };
        for _ in 0..streams {
            site.add_stream();
        }
        site
    }

    pub(super) fn add_stream(&mut self) -> Happened {
        let stream: StreamId = format!("cam-{}/main", self.streams.len()).parse().unwrap();
        self.streams.push(stream.clone());
        self.open_ledger(stream)
    }

    pub(super) fn ledger_of(&self, stream: usize) -> LedgerId {
        LedgerId { origin: self.origin, stream: self.streams[stream].clone() }
    }

    /// Records one more part of the stream's open segment, which begins with its header.
    pub(super) fn record(&mut self, stream: usize) -> Happened {
        let id = self.ledger_of(stream);
        self.parts_made += 1;
        let data = Bytes::from(format!("part {}", self.parts_made));
        let ledger = self.ledgers.get_mut(&id).unwrap();
        let number = SegmentNumber(ledger.next_number);
        let (number, parts) = ledger.open.get_or_insert((number, Vec::new()));
        parts.push(data);
        Happened::Part(id, *number, u32::try_from(parts.len() - 1).unwrap())
    }

    /// Closes and commits the open segment, if it has a fragment.
    pub(super) fn commit_segment(&mut self, stream: usize) -> Option<Happened> {
        let id = self.ledger_of(stream);
        let ledger = self.ledgers.get_mut(&id).unwrap();
        let (number, parts) = ledger.open.take_if(|(_, parts)| parts.len() > 1)?;
        ledger.next_number = number.0 + 1;
        Some(self.enter(&id, number, parts, None))
    }

    pub(super) fn commit_gap(&mut self, stream: usize) -> Happened {
        let gap = proto::Gap { start_us: 1, end_us: 2, ..Default::default() };
        let id = self.ledger_of(stream);
        self.append(&id, Kind::Gap(gap), None)
    }

    /// A crash and a start: nothing is appended to the old ledgers; files left open enter the new ones.
    pub(super) fn restart(&mut self) {
        self.runs += 1;
        self.origin = OriginId([self.runs; 16]);
        self.history.clear();
        let mut left = Vec::new();
        for (id, ledger) in &mut self.ledgers {
            ledger.ended = true;
            match ledger.open.take() {
                Some((number, parts)) if parts.len() > 1 => left.push((id.clone(), number, parts)),
                Some((_, parts)) => self.discarded += parts.len() as u64,
                None => {}
            }
        }
        for stream in self.streams.clone() {
            self.open_ledger(stream);
        }
        for (before, number, parts) in left {
            let id = LedgerId { origin: self.origin, stream: before.stream.clone() };
            let ledger = self.ledgers.get_mut(&id).unwrap();
            let new = SegmentNumber(ledger.next_number);
            ledger.next_number += 1;
            let name = proto::SegmentName {
                origin: Bytes::copy_from_slice(&before.origin.0),
                stream: before.stream.as_str().to_owned(),
                number: number.0,
            };
            self.enter(&id, new, parts, Some(name));
        }
    }

    /// What a session begins with.
    pub(super) fn facts(&self) -> Vec<LedgerFacts> {
        self.ledgers.keys().map(|id| self.facts_of(id)).collect()
    }

    pub(super) fn facts_of(&self, id: &LedgerId) -> LedgerFacts {
        let ledger = &self.ledgers[id];
        LedgerFacts {
            ledger: id.clone(),
            next: Seq(ledger.entries.len() as u64),
            head: *ledger.heads.last().unwrap(),
            ended: ledger.ended,
            gone: RangeSet::new(),
            acked: ledger.acked.clone(),
            opened: UnixMicros(0),
        }
    }

    pub(super) fn head_at(&self, id: &LedgerId, next: Seq) -> Option<Head> {
        self.ledgers.get(id)?.heads.get(usize::try_from(next.0).ok()?).copied()
    }

    pub(super) fn replicate(&self, id: &LedgerId) -> Replicate {
        self.policies.replicate(&id.stream)
    }

    /// The bytes of a part, committed or not.
    pub(super) fn part(&self, id: &LedgerId, number: SegmentNumber, part: u32) -> Option<Bytes> {
        let ledger = self.ledgers.get(id)?;
        let open = ledger.open.as_ref().filter(|(open, _)| *open == number).map(|(_, parts)| parts);
        open.or_else(|| ledger.segments.get(&number))?.get(part as usize).cloned()
    }

    fn open_ledger(&mut self, stream: StreamId) -> Happened {
        let id = LedgerId { origin: self.origin, stream };
        let ledger = SiteLedger { heads: vec![Head::genesis(&id)], ..SiteLedger::default() };
        self.ledgers.insert(id.clone(), ledger);
        self.history.push(Happened::Opened(id.clone()));
        Happened::Opened(id)
    }

    fn enter(
        &mut self,
        id: &LedgerId,
        number: SegmentNumber,
        parts: Vec<Bytes>,
        recovered_from: Option<proto::SegmentName>,
    ) -> Happened {
        let file = parts.concat();
        let length = |part: &Bytes| u32::try_from(part.len()).unwrap();
        let segment = proto::Segment {
            number: number.0,
            bytes: file.len() as u64,
            hash: Bytes::copy_from_slice(blake3::hash(&file).as_bytes()),
            header_bytes: length(&parts[0]),
            header_hash: Bytes::copy_from_slice(blake3::hash(&parts[0]).as_bytes()),
            fragments: parts[1..]
                .iter()
                .map(|part| proto::Fragment { bytes: length(part), ..Default::default() })
                .collect(),
            recovered_from,
            ..Default::default()
        };
        let count = u32::try_from(parts.len()).unwrap();
        self.ledgers.get_mut(id).unwrap().segments.insert(number, parts);
        self.append(id, Kind::Segment(segment), Some((number, count)))
    }

    fn append(&mut self, id: &LedgerId, kind: Kind, segment: Option<(SegmentNumber, u32)>) -> Happened {
        let ledger = self.ledgers.get_mut(id).unwrap();
        assert!(!ledger.ended);
        let entry = Entry::write(UnixMicros(0), kind);
        let head = ledger.heads.last().unwrap().after(entry.bytes());
        let seq = Seq(ledger.entries.len() as u64);
        ledger.entries.push(entry);
        ledger.heads.push(head);
        let happened = Happened::Committed { ledger: id.clone(), seq, head, segment };
        self.history.push(happened.clone());
        happened
    }
}
