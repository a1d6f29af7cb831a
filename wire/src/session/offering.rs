//! What a site offers: ledger by ledger those in which something may be left to exchange, all others as one digest.
//!
//! A ledger goes from the digest to the others when the hub tells of it, or when it is in a bucket in which the two
//! sides differ; never back in one connection.

use std::collections::BTreeMap;

use super::settled::{Differs, Names, Settled, is_settled};
use super::site::LedgerFacts;
use crate::id::LedgerId;
use crate::policy::Policies;
use crate::proto;
use crate::range::RangeSet;

/// Ledgers in one Offer: keeps the message far below the frame limit.
const LEDGERS_MAX: usize = 1000;

/// The ledgers that a site believes to be equal, and what is found out about them.
#[derive(Debug)]
pub(super) struct Offering {
    settled: BTreeMap<LedgerId, LedgerFacts>,
    /// As they were when the session began: what both sides compare.
    summary: Settled,
    differs: Differs,
    /// The hub has told where it differs, and waits for what we say to it, if only that it is nothing.
    owed: bool,
}

impl Offering {
    /// Parts a site's ledgers; returns those to be offered one by one. Of bytes that stay at the site nobody waits to
    /// hear; whether the hub knows all entries its own digest tells.
    pub(super) fn new(ledgers: Vec<LedgerFacts>, policies: &Policies) -> (Vec<LedgerFacts>, Self) {
        let withheld = |facts: &LedgerFacts| policies.replicate(&facts.ledger.stream).withholds();
        let equal =
            |facts: &LedgerFacts| facts.ended && (withheld(facts) || is_settled(facts.next, &facts.acked));
        let (settled, others): (Vec<_>, Vec<_>) = ledgers.into_iter().partition(equal);
        let mut summary = Settled::default();
        settled.iter().for_each(|facts| summary.insert(&facts.ledger, &facts.head));
        let settled = settled.into_iter().map(|facts| (facts.ledger.clone(), facts)).collect();
        (others, Self { settled, summary, differs: Differs::default(), owed: false })
    }

    pub(super) fn contains(&self, ledger: &LedgerId) -> bool {
        self.settled.contains_key(ledger)
    }

    /// Bytes were freed here.
    pub(super) fn gone(&mut self, ledger: &LedgerId, seqs: &RangeSet) {
        if let Some(facts) = self.settled.get_mut(ledger) {
            facts.gone = facts.gone.union(seqs);
        }
    }

    /// It is one of the others from now on.
    pub(super) fn take(&mut self, ledger: &LedgerId) -> Option<LedgerFacts> {
        self.settled.remove(ledger)
    }

    /// What a connection begins with.
    pub(super) fn first<'a>(&self, others: impl Iterator<Item = &'a LedgerFacts>) -> Vec<proto::Offer> {
        let mut offers = offers(others);
        if let Some(last) = offers.last_mut() {
            last.settled = Some(self.summary.digest().to_proto());
        }
        offers
    }

    /// The hub differs from us in some bucket.
    pub(super) fn differs(&mut self, split: &proto::Split) {
        self.owed = true;
        self.differs.extend(self.summary.compare(split));
    }

    /// What is to be offered because of that, with the ledgers that are in it.
    pub(super) fn next(&mut self) -> Option<(Vec<LedgerFacts>, Vec<proto::Offer>)> {
        if !std::mem::take(&mut self.owed) {
            return None;
        }
        let differs = std::mem::take(&mut self.differs);
        let found = self.settled.extract_if(.., |ledger, _| differs.offers(ledger)).map(|(_, facts)| facts);
        let found: Vec<_> = found.collect();
        let mut offers = offers(found.iter());
        if let Some(last) = offers.last_mut() {
            last.split = differs.split.into_iter().map(|bucket| bucket.to_proto()).collect();
        }
        Some((found, offers))
    }
}

/// Offers ledgers; the last message says so.
fn offers<'a>(ledgers: impl Iterator<Item = &'a LedgerFacts>) -> Vec<proto::Offer> {
    let facts: Vec<_> = ledgers.collect();
    let one = |facts: &[&LedgerFacts]| {
        let mut names = Names::default();
        let state = |facts: &&LedgerFacts| state_of(facts, names.write(&facts.ledger));
        proto::Offer { ledgers: facts.iter().map(state).collect(), ..Default::default() }
    };
    let mut offers: Vec<_> = facts.chunks(LEDGERS_MAX).map(one).collect();
    if offers.is_empty() {
        offers.push(proto::Offer::default());
    }
    if let Some(last) = offers.last_mut() {
        last.last = true;
    }
    offers
}

pub(super) fn state_of(facts: &LedgerFacts, name: proto::Ledger) -> proto::LedgerState {
    proto::LedgerState {
        ledger: Some(name),
        floor: 0,
        next: facts.next.0,
        ended: facts.ended,
        gone: facts.gone.to_proto(),
        opened_us: facts.opened.0,
    }
}
