//! What the hub has of a site and gives back: ledgers that its standbys wrote, what it salvaged, and what earlier runs
//! here wrote on a disk that is gone.
//!
//! Entries come first, and count as acked: the vault has what they are about. Their bytes are *missing* until they are
//! here ([`Change::Bytes`](super::Change::Bytes)), or known not to be wanted. Nobody adds to such a ledger here, so it
//! counts as ended, also while its writer at the hub goes on.

use std::cmp::Reverse;

use wire::chain::Head;
use wire::entry::Entry;
use wire::proto::RecalledKind;
use wire::{LedgerId, RangeSet, Seq};

use super::change::{Done, Returned};
use super::damage::Placed;
use super::records::LedgerRecord;
use super::writer::Pass;
use super::{Archive, ArchiveError, Event, Result};

impl Returned {
    /// What a ledger is of which this is the record, at a site.
    pub fn of(record: &LedgerRecord) -> Result<Self> {
        let by = match (record.returned, record.salvage) {
            (true, true) => RecalledKind::Salvage,
            (true, false) => RecalledKind::Standby,
            (false, _) => RecalledKind::Unspecified,
        };
        Ok(Self { site: record.site()?, opened: record.opened(), by })
    }
}

impl Archive {
    /// Ledgers with segments whose bytes the hub has and this archive has not, those of the latest runs first, with how
    /// many those are.
    pub fn missing(&self) -> Vec<(LedgerId, u64)> {
        let ledgers = self.inner.read_ledgers();
        let mut missing: Vec<_> = ledgers
            .iter()
            .map(|(ledger, record)| (record.opened_us, ledger, record.missing().len()))
            .filter(|(_, _, segments)| *segments > 0)
            .collect();
        missing.sort_by_key(|(opened, ledger, _)| (Reverse(*opened), *ledger));
        missing.into_iter().map(|(_, ledger, segments)| (ledger.clone(), segments)).collect()
    }

    /// The first of them in a ledger from `from` on, as many as `most`.
    pub fn missing_in(&self, ledger: &LedgerId, from: Seq, most: usize) -> Result<Vec<Placed>> {
        let Some(record) = self.ledger(ledger) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let seqs = record.missing().minus(&RangeSet::from(0..from.0));
        self.collect_segments(ledger, &seqs, most, &mut found)?;
        Ok(found)
    }
}

impl Pass<'_> {
    pub(super) fn take_returned(
        &mut self,
        ledger: LedgerId,
        about: &Returned,
        (first, entries): (Seq, &[Entry]),
        acked: &RangeSet,
    ) -> Result<(Done, Option<Event>)> {
        match self.record(&ledger) {
            // What runs here has one writer, and that is not the hub.
            Some(record) if !record.ended => return Err(ArchiveError::WrittenHere(ledger)),
            Some(_) => {}
            None => {
                let mut record = LedgerRecord::new(&about.site, Head::genesis(&ledger), about.opened);
                record.ended = true;
                record.returned = about.by != RecalledKind::Unspecified;
                record.salvage = about.by == RecalledKind::Salvage;
                self.changed.insert(ledger.clone(), record);
            }
        }
        let done = self.take_in(&about.site, ledger.clone(), first, entries)?;
        let mut record = self.known(&ledger)?;
        record.acked_ranges = record.acked().union(acked).to_proto();
        self.changed.insert(ledger, record);
        Ok(done)
    }

    pub(super) fn unwanted(&mut self, ledger: LedgerId, seqs: &RangeSet) -> Result<(Done, Option<Event>)> {
        let mut record = self.known(&ledger)?;
        let missing = record.missing();
        let unwanted = missing.minus(&missing.minus(seqs));
        record.gone_ranges = record.gone().union(&unwanted).to_proto();
        self.changed.insert(ledger, record);
        Ok((Done::Stored, None))
    }
}
