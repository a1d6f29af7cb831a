//! What the index keeps of a ledger beside its entries. Protobuf, so that later versions can add to it.

use std::fmt;

use wire::chain::Head;
use wire::session::site::LedgerFacts;
use wire::{LedgerId, RangeSet, Seq, SiteId, UnixMicros, proto};

use super::{ArchiveError, Result};

/// Who brings ledgers of a site to a vault: the site's own agent, or a host on which its standby ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// Whose cameras.
    pub site: SiteId,
    /// The host, as the control log knows it; none is the site's own agent.
    pub host: Option<String>,
}

impl Sender {
    /// The site's own agent.
    pub fn agent(site: &SiteId) -> Self {
        Self { site: site.clone(), host: None }
    }

    /// As a ledger's record has it.
    pub fn host_name(&self) -> &str {
        self.host.as_deref().unwrap_or_default()
    }

    /// Does it bring the ledger of this record?
    pub fn brings(&self, record: &LedgerRecord) -> bool {
        record.site == self.site.as_str() && record.host == self.host_name() && !record.is_written_here()
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}, for {}", self.site),
            None => self.site.fmt(f),
        }
    }
}

/// The state of a ledger.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LedgerRecord {
    /// Whose it is.
    #[prost(string, tag = "1")]
    pub site: String,
    /// The seq of the entry to come.
    #[prost(uint64, tag = "2")]
    pub next: u64,
    /// The chain's head before it.
    #[prost(bytes = "vec", tag = "3")]
    pub head: Vec<u8>,
    /// Its origin will never write again.
    #[prost(bool, tag = "4")]
    pub ended: bool,
    /// When its origin began.
    #[prost(int64, tag = "5")]
    pub opened_us: i64,
    /// The latest instant any of its entries speaks of.
    #[prost(int64, tag = "6")]
    pub last_us: i64,
    /// Seqs that are durable here: the entry, and the bytes where it has any.
    #[prost(message, repeated, tag = "7")]
    pub held_ranges: Vec<proto::Range>,
    /// Seqs whose bytes are not here and won't come: freed here, or in a vault also freed at the site before they
    /// came. Entries without bytes between them count too, which keeps the ranges few.
    #[prost(message, repeated, tag = "8")]
    pub gone_ranges: Vec<proto::Range>,
    /// Seqs that the vault has acked (at a site).
    #[prost(message, repeated, tag = "9")]
    pub acked_ranges: Vec<proto::Range>,
    /// Bytes of the segments held here.
    #[prost(uint64, tag = "10")]
    pub bytes: u64,
    /// It is a vault's own, with what was salvaged: no recorder's run.
    #[prost(bool, tag = "11")]
    pub salvage: bool,
    /// In a vault: a standby's run on this very machine writes it. At a site no ledger is marked.
    #[prost(bool, tag = "12")]
    pub standby: bool,
    /// Seqs whose bytes were here and were found damaged or missing: neither held nor gone, but wanted again.
    #[prost(message, repeated, tag = "13")]
    pub damaged_ranges: Vec<proto::Range>,
    /// At a site: the hub wrote it, and gave it back. It has ended as far as this archive is concerned.
    #[prost(bool, tag = "14")]
    pub returned: bool,
    /// Seqs whose bytes are on a disk that is not there. They are among the damaged, that is, wanted from the other side;
    /// but nobody says that they are lost, for the disk may come back.
    #[prost(message, repeated, tag = "15")]
    pub away_ranges: Vec<proto::Range>,
    /// In a vault, of a standby's ledger: the host that wrote it elsewhere and brings it. Empty: it was written here.
    #[prost(string, tag = "20")]
    pub host: String,
}

impl LedgerRecord {
    /// A ledger without entries.
    pub fn new(site: &SiteId, genesis: Head, opened: UnixMicros) -> Self {
        Self {
            site: site.as_str().to_owned(),
            head: genesis.0.to_vec(),
            opened_us: opened.0,
            last_us: opened.0,
            ..Self::default()
        }
    }

    /// Whose it is.
    pub fn site(&self) -> Result<SiteId> {
        SiteId::new(self.site.clone())
            .map_err(|error| ArchiveError::Damaged("a ledger".into(), error.to_string()))
    }

    /// Does this vault write it itself? Then nobody else does, its site included.
    pub fn is_written_here(&self) -> bool {
        (self.salvage || self.standby) && !self.returned && self.host.is_empty()
    }

    /// Does, or did, a standby on this very machine write it?
    pub fn is_standby_here(&self) -> bool {
        self.standby && self.is_written_here()
    }

    /// Is something of it to come, or not acked yet?
    pub fn is_left(&self) -> bool {
        !self.ended || !self.acked().union(&self.gone()).contains_all(0..self.next)
    }

    /// Does the site's own recorder write it? Nothing else is the site's to send.
    pub fn is_by_site(&self) -> bool {
        !self.salvage && !self.standby && !self.returned
    }

    /// Whoever brings it to a vault, if it is not written there.
    pub fn sender(&self) -> Result<Sender> {
        let host = Some(self.host.clone()).filter(|host| !host.is_empty());
        Ok(Sender { site: self.site()?, host })
    }

    /// Seqs whose bytes are neither here nor gone for good, in a ledger that nobody adds to here: they are to come from
    /// the hub, if they are wanted at all.
    pub fn missing(&self) -> RangeSet {
        let all = RangeSet::from(0..if self.ended { self.next } else { 0 });
        all.minus(&self.held()).minus(&self.gone()).minus(&self.damaged())
    }

    /// The seq of the entry to come.
    pub fn next(&self) -> Seq {
        Seq(self.next)
    }

    /// The chain's head before it. A damaged record reads as zeros and so fails every comparison.
    pub fn head(&self) -> Head {
        Head::from_bytes(&self.head).unwrap_or(Head([0; 32]))
    }

    /// When its origin began.
    pub fn opened(&self) -> UnixMicros {
        UnixMicros(self.opened_us)
    }

    /// Seqs durable here.
    pub fn held(&self) -> RangeSet {
        RangeSet::from_proto(&self.held_ranges)
    }

    /// Seqs whose bytes are not here and won't come.
    pub fn gone(&self) -> RangeSet {
        RangeSet::from_proto(&self.gone_ranges)
    }

    /// Seqs whose bytes are damaged here, and wanted again.
    pub fn damaged(&self) -> RangeSet {
        RangeSet::from_proto(&self.damaged_ranges)
    }

    /// Seqs among these whose disk is not there.
    pub fn away(&self) -> RangeSet {
        RangeSet::from_proto(&self.away_ranges)
    }

    /// Seqs the vault has acked.
    pub fn acked(&self) -> RangeSet {
        RangeSet::from_proto(&self.acked_ranges)
    }

    /// What a session is told of the ledger.
    pub fn facts(&self, ledger: LedgerId) -> LedgerFacts {
        LedgerFacts {
            ledger,
            next: self.next(),
            head: self.head(),
            ended: self.ended,
            gone: self.gone(),
            acked: self.acked(),
            opened: self.opened(),
        }
    }

    /// Marks seqs durable here.
    pub(super) fn hold(&mut self, seq: Seq) {
        let mut held = self.held();
        held.insert_one(seq.0);
        self.held_ranges = held.to_proto();
        if !self.gone_ranges.is_empty() {
            self.gone_ranges = self.gone().minus(&RangeSet::from(seq.0..seq.0 + 1)).to_proto();
        }
        self.undamage(&RangeSet::from(seq.0..seq.0 + 1));
    }

    /// Marks a seq as damaged here.
    pub(super) fn damage(&mut self, seq: Seq) {
        let seqs = RangeSet::from(seq.0..seq.0 + 1);
        self.held_ranges = self.held().minus(&seqs).to_proto();
        self.damaged_ranges = self.damaged().union(&seqs).to_proto();
    }

    fn undamage(&mut self, seqs: &RangeSet) {
        if !self.damaged_ranges.is_empty() {
            self.damaged_ranges = self.damaged().minus(seqs).to_proto();
            self.away_ranges = self.away().minus(seqs).to_proto();
        }
    }

    /// Their disk is not there: none of them is held until it is. Returns those that were held.
    pub(super) fn go_away(&mut self, seqs: &RangeSet) -> RangeSet {
        let held = self.held();
        let gone = seqs.minus(&seqs.minus(&held));
        self.held_ranges = held.minus(&gone).to_proto();
        self.damaged_ranges = self.damaged().union(&gone).to_proto();
        self.away_ranges = self.away().union(&gone).to_proto();
        gone
    }

    /// Their disk is there again, with `whole` of them as they should be; the others are simply damaged. Returns those of
    /// the whole that were away.
    pub(super) fn come_back(&mut self, whole: &RangeSet, not: &RangeSet) -> RangeSet {
        let away = self.away();
        let back = whole.minus(&whole.minus(&away));
        self.held_ranges = self.held().union(&back).to_proto();
        self.damaged_ranges = self.damaged().minus(&back).to_proto();
        self.away_ranges = away.minus(&back).minus(not).to_proto();
        back
    }

    /// Marks seqs as not here any more.
    pub(super) fn lose(&mut self, seqs: &RangeSet) {
        self.held_ranges = self.held().minus(seqs).to_proto();
        self.gone_ranges = self.gone().union(seqs).to_proto();
        self.undamage(seqs);
    }
}
