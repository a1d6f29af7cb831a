//! One ledger as a site's session sees it: what the hub has of it, what is on its way, what is wanted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::site::{LedgerFacts, LivePart};
use crate::id::{SegmentNumber, Seq};
use crate::policy::{Policy, Replicate};
use crate::range::RangeSet;

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) facts: LedgerFacts,
    pub(super) policy: Policy,
    /// Entries the hub has, or that were sent in this connection.
    pub(super) told: u64,
    pub(super) acked: RangeSet,
    /// Seqs whose bytes were all sent in this connection.
    pub(super) sent: RangeSet,
    pub(super) under_way: RangeSet,
    /// Seqs whose bytes the hub has asked for, and has not got yet.
    pub(super) asked: RangeSet,
    /// Of those under way, what goes because it was asked for.
    pub(super) rushed: RangeSet,
    /// Seqs under way of which more is wanted than their job knows of.
    pub(super) again: RangeSet,
    /// Per segment not yet acked: parts the hub has, were sent, or are in line.
    pub(super) parts: BTreeMap<SegmentNumber, RangeSet>,
    /// Segments committed here and not acked, by number: what a Resend or a dropped queue needs.
    pub(super) seqs: BTreeMap<SegmentNumber, Seq>,
    /// Numbers of segments that a job took whole: no part of them was live in this connection.
    pub(super) whole: RangeSet,
    /// How often the hub threw a segment's parts away in this connection.
    pub(super) resends: BTreeMap<SegmentNumber, u32>,
    pub(super) live: VecDeque<LivePart>,
    pub(super) quarantined: bool,
}

impl Ledger {
    pub(super) fn new(facts: LedgerFacts, policy: Policy) -> Self {
        Self {
            policy,
            asked: RangeSet::new(),
            rushed: RangeSet::new(),
            told: 0,
            acked: facts.acked.clone(),
            facts,
            sent: RangeSet::new(),
            under_way: RangeSet::new(),
            again: RangeSet::new(),
            parts: BTreeMap::new(),
            seqs: BTreeMap::new(),
            whole: RangeSet::new(),
            resends: BTreeMap::new(),
            live: VecDeque::new(),
            quarantined: false,
        }
    }

    /// The bytes of this entry are not all sent after all.
    pub(super) fn want_again(&mut self, seq: Seq) {
        self.sent.remove(seq.0..seq.0 + 1);
        if self.under_way.contains(seq.0) {
            self.again.insert_one(seq.0);
        }
    }

    /// The hub wants the bytes of these now.
    pub(super) fn ask(&mut self, seqs: &RangeSet) {
        if self.policy.replicate != Replicate::Never {
            let to_come = RangeSet::from(self.facts.next.0..u64::MAX);
            let more = seqs.minus(&to_come).minus(&self.acked).minus(&self.facts.gone);
            self.asked = self.asked.union(&more);
        }
    }

    /// The first seq that was asked for and should go now.
    pub(super) fn asked(&self) -> Option<u64> {
        if self.quarantined || self.asked.is_empty() {
            return None;
        }
        self.asked.minus(&self.sent).minus(&self.under_way).first().filter(|seq| *seq < self.told)
    }

    /// Entries of which something is left to be done.
    pub(super) fn unacked(&self) -> u64 {
        let all = match self.policy.replicate.withholds() {
            false => RangeSet::from(0..self.facts.next.0),
            true => self.asked.union(&RangeSet::from(self.told..self.facts.next.0)),
        };
        all.minus(&self.acked).minus(&self.facts.gone).len()
    }

    /// May bytes go as backlog now, unasked?
    fn goes(&self, window: bool) -> bool {
        let now = match self.policy.replicate {
            Replicate::Live => true,
            Replicate::Scheduled => window,
            Replicate::OnDemand | Replicate::Never => false,
        };
        now && !self.quarantined
    }

    /// Seqs of which nothing is left to be sent.
    fn settled(&self) -> [&RangeSet; 4] {
        [&self.acked, &self.facts.gone, &self.sent, &self.under_way]
    }

    /// Should the bytes of this entry go as backlog now, unasked?
    pub(super) fn wants(&self, seq: u64, window: bool) -> bool {
        self.goes(window) && seq < self.told && !self.settled().iter().any(|set| set.contains(seq))
    }

    /// The first seq whose bytes should go as backlog now, unasked.
    pub(super) fn wanted(&self, window: bool) -> Option<u64> {
        if !self.goes(window) {
            return None;
        }
        let mut from = 0;
        // The sets are nearly contiguous, so this walks a few ranges, not the ledger.
        'search: while from < self.told {
            for set in self.settled() {
                if let Some(end) = set.end_of(from) {
                    from = end;
                    continue 'search;
                }
            }
            return Some(from);
        }
        None
    }

    /// Leaves what is in line to the backlog.
    pub(super) fn give_up_live(&mut self) {
        let mut dropped = BTreeSet::new();
        for part in self.live.drain(..) {
            if let Some(parts) = self.parts.get_mut(&part.segment) {
                parts.remove(u64::from(part.part)..u64::from(part.part) + 1);
            }
            dropped.insert(part.segment);
        }
        for number in dropped {
            if let Some(seq) = self.seqs.get(&number).copied() {
                self.want_again(seq);
            }
        }
    }
}
