//! A site, a vault, and connections between them that come and go in a seeded order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::link::{BACKLOG_STREAMS, Link, PartStream};
use super::site_model::{Happened, SiteLedger, SiteModel};
use super::vault_model::VaultModel;
use crate::session::hub::{Completion, VaultView};
use crate::session::site::SiteLimits;
use crate::{LedgerId, RangeSet, Replicate, SegmentNumber};

/// What may go wrong, each in so many of a thousand steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) cut: u32,
    pub(super) restart: u32,
    /// Of a thousand segments put together.
    pub(super) rot: u32,
    /// Likewise.
    pub(super) store_fails: u32,
    /// Of a thousand connections: that before it the vault has lost something of a ledger.
    pub(super) loss: u32,
}

pub(super) const NO_FAULTS: Faults = Faults { cut: 0, restart: 0, rot: 0, store_fails: 0, loss: 0 };

pub(super) struct World {
    pub(super) site: SiteModel,
    pub(super) vault: VaultModel,
    pub(super) link: Option<Link>,
    pub(super) now: Instant,
    pub(super) random: SmallRng,
    pub(super) faults: Faults,
    /// What people have asked for.
    pub(super) asked: BTreeMap<LedgerId, RangeSet>,
    /// A segment could not be stored in this connection: only the next one tries again.
    pub(super) store_failed: bool,
    /// Parts sent and not durable when a connection was cut.
    pub(super) lost_under_way: u64,
    pub(super) parts_sent: u64,
    pub(super) cuts: u64,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            site: SiteModel::new(2),
            vault: VaultModel::default(),
            link: None,
            now: crate::clock::now(),
            random: SmallRng::seed_from_u64(seed),
            faults,
            asked: BTreeMap::new(),
            store_failed: false,
            lost_under_way: 0,
            parts_sent: 0,
            cuts: 0,
        }
    }

    pub(super) fn chance(&mut self, of_thousand: u32) -> bool {
        self.random.random_range(0..1000) < of_thousand
    }

    pub(super) fn connect(&mut self) {
        if self.chance(self.faults.loss) {
            self.vault.lose_some(&mut self.random);
        }
        let limits = SiteLimits { backlog_jobs: 4, entries_per_message: 3, ..SiteLimits::default() };
        let mut link = Link::new(&self.site, &self.vault, limits);
        // The shell follows first and lists then: what happened in between is told twice.
        let twice = self.random.random_range(0..=self.site.history.len().min(3));
        link.events.extend(self.site.history[self.site.history.len() - twice..].iter().cloned());
        self.link = Some(link);
        self.store_failed = false;
    }

    pub(super) fn cut(&mut self) {
        if let Some(link) = self.link.take() {
            self.lost_under_way += link.in_flight();
            self.parts_sent += link.sent.values().map(|times| u64::from(*times)).sum::<u64>();
            self.cuts += 1;
        }
    }

    /// Something happens.
    pub(super) fn step(&mut self) {
        if self.chance(self.faults.cut) {
            self.cut();
        }
        if self.chance(self.faults.restart) {
            self.cut();
            self.site.restart();
        }
        if self.link.is_none() && self.chance(200) {
            self.connect();
        }
        match self.random.random_range(0..4) {
            0 => self.record(),
            _ => drop(self.traffic()),
        }
    }

    /// Something happens at the site.
    fn record(&mut self) {
        let stream = self.random.random_range(0..self.site.streams.len());
        let happened = match self.random.random_range(0..100) {
            0..60 => Some(self.site.record(stream)),
            60..80 => self.site.commit_segment(stream),
            80..90 => Some(self.site.commit_gap(stream)),
            90 if self.site.streams.len() < 4 => Some(self.site.add_stream()),
            91 => {
                self.now += Duration::from_secs(11);
                None
            }
            _ => {
                self.now += Duration::from_millis(self.random.random_range(0..3000));
                None
            }
        };
        self.tell(happened);
    }

    pub(super) fn tell(&mut self, happened: Option<Happened>) {
        if let Some(link) = &mut self.link {
            link.events.extend(happened);
        }
    }

    /// One thing moves on the connection. Returns whether anything did.
    pub(super) fn traffic(&mut self) -> bool {
        let Some(mut link) = self.link.take() else { return false };
        let moved = match self.random.random_range(0..10) {
            0 => link.follow(&self.site, self.now, self.random.random()),
            1 => link.poll_site(&mut self.site),
            2 => {
                let moved = link.deliver_to_hub(&mut self.vault);
                self.want(&mut link);
                moved
            }
            3 => link.poll_hub(&self.vault),
            4 => link.deliver_to_site(&self.site),
            5 => link.sync(&self.site, &mut self.vault),
            6 if !link.jobs.is_empty() => {
                link.step_job(self.random.random_range(0..link.jobs.len()), &self.site);
                true
            }
            7 => link.deliver_part(PartStream::Backlog(self.random.random_range(0..BACKLOG_STREAMS))),
            8 if !link.completing.is_empty() => self.complete(&mut link),
            9 if !link.live.is_empty() => {
                let index = self.random.random_range(0..link.live.len());
                let ledger = link.live.keys().nth(index).cloned().unwrap();
                if self.random.random() {
                    link.send_live(&ledger, &self.site, self.now)
                } else {
                    link.deliver_part(PartStream::Live(ledger))
                }
            }
            _ => false,
        };
        self.link = Some(link);
        moved
    }

    /// Somebody asks for the bytes of an entry that the hub knows; told whenever the site's offer is complete.
    pub(super) fn ask(&mut self, ledger: &LedgerId, seqs: std::ops::Range<u64>) {
        assert!(seqs.end <= self.vault.ledger(ledger).0.0, "the hub doesn't know {seqs:?} of {ledger}");
        self.asked.entry(ledger.clone()).or_default().insert(seqs);
    }

    /// As the shell does; what was said already is not said again.
    fn want(&mut self, link: &mut Link) {
        if !link.hub.is_offer_complete() {
            return;
        }
        for (ledger, seqs) in &self.asked {
            let left = seqs.minus(&self.vault.held(ledger));
            if !left.is_empty() {
                link.hub.want(&self.vault, ledger, &left);
            }
        }
    }

    fn complete(&mut self, link: &mut Link) -> bool {
        let index = self.random.random_range(0..link.completing.len());
        let (ledger, number, _) = link.completing[index].clone();
        if self.chance(self.faults.rot)
            && let Some(parts) = self.vault.tails.get_mut(&(ledger, number))
            && let Some(part) = parts.values_mut().next()
        {
            *part = bytes::Bytes::from_static(b"rotten");
        }
        let fails = self.chance(self.faults.store_fails);
        self.store_failed |= link.complete(index, &mut self.vault, fails) == Completion::Failed;
        true
    }

    /// Records parts of the first stream, and lets them arrive.
    pub(super) fn record_and_settle(&mut self, parts: usize) {
        for _ in 0..parts {
            let recorded = self.site.record(0);
            self.tell(Some(recorded));
        }
        self.settle();
    }

    /// Lets everything that is under way arrive; fails if it never ends.
    pub(super) fn settle(&mut self) {
        let mut idle = 0;
        for _ in 0..200_000 {
            idle = if self.traffic() { 0 } else { idle + 1 };
            if idle > 400 {
                return;
            }
        }
        panic!("it never becomes quiet");
    }

    /// Everything recorded and committed is at both sides, byte for byte, and the site knows it.
    pub(super) fn check_equal(&self) {
        for (id, ledger) in &self.site.ledgers {
            let next = ledger.entries.len() as u64;
            assert_eq!(self.vault.ledger(id).1, *ledger.heads.last().unwrap(), "heads of {id}");
            let (all, stays) = (RangeSet::from(0..next), self.stays(id));
            assert_eq!(self.vault.held(id), all.minus(&stays), "held of {id}");
            // Of an ended ledger in a digest nothing is told, and nothing need be.
            if stays.is_empty() {
                assert_eq!(ledger.acked, all, "acked of {id}");
            }
            assert!(stays.minus(&ledger.acked) == stays, "acked and not held: {id}");
            for (seq, entry) in (0..).zip(&ledger.entries) {
                let Some(segment) = entry.segment().filter(|_| !stays.contains(seq)) else { continue };
                let number = SegmentNumber(segment.number);
                assert_eq!(self.vault.files[&(id.clone(), number)], ledger.segments[&number].concat());
            }
        }
        assert_eq!(self.link.as_ref().unwrap().site.unacked(), 0);
    }

    /// What the policies keep at the site.
    fn stays(&self, id: &LedgerId) -> RangeSet {
        let entries = (0..).zip(&self.site.ledgers[id].entries);
        let segments = entries.filter(|(_, entry)| entry.segment().is_some());
        let segments: RangeSet = segments.map(|(seq, _)| seq..seq + 1).collect();
        match self.site.replicate(id) {
            Replicate::Live | Replicate::Scheduled => RangeSet::new(),
            Replicate::OnDemand => segments.minus(self.asked.get(id).unwrap_or(&RangeSet::new())),
            Replicate::Never => segments,
        }
    }

    /// Nothing was sent again but what was under way at a cut.
    pub(super) fn check_thrift(&mut self) {
        self.cut();
        let ledgers = self.site.ledgers.values();
        let open = |ledger: &SiteLedger| ledger.open.as_ref().map_or(0, |(_, parts)| parts.len());
        let kept = |ledger: &SiteLedger| ledger.segments.values().map(Vec::len).sum::<usize>() + open(ledger);
        let allowed = ledgers.map(kept).sum::<usize>() as u64 + self.lost_under_way + self.site.discarded;
        assert!(self.parts_sent <= allowed, "{} parts sent, {allowed} were to be", self.parts_sent);
    }
}
