//! What a disk that is out held, and what one that is there again gives back.
//!
//! Out: everything held on it is *away*, in the index: held no more, wanted from the other side, and never said to be
//! lost. Back: each file that is there with the length of its entry is held again (scrub compares the rest in its time),
//! what is missing is damaged like any, and files that no entry names are entered by a run that records nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wire::{LedgerId, OriginId, RangeSet, SegmentNumber, Seq, SiteId, StreamId};

use super::{Disk, Whose};
use crate::archive::change::{Change, Done};
use crate::archive::recover::{Recovered, salvage};
use crate::archive::writer::Pass;
use crate::archive::{Archive, Event, LedgerRecord, Result, layout, new_origin};

/// Segments told of in one change.
const STEP: usize = 1024;

impl Archive {
    /// What is held on this disk is away. Nothing is entered on it any more when this is called.
    pub(super) fn send_away(&self, disk: &Disk) -> Result<u64> {
        // Whatever was under way when the disk went out is through with this.
        self.submit_blocking(Change::Deleted { files: Vec::new(), outdated: Vec::new() })?;
        let mut sent = 0;
        for (ledger, record) in self.ledgers() {
            let (held, mut seqs) = (record.held(), RangeSet::new());
            if held.is_empty() {
                continue;
            }
            self.inner.index.walk_disk(&ledger, disk.number(), |_, seq| {
                if held.contains(seq.0) {
                    seqs.insert_one(seq.0);
                }
            })?;
            if !seqs.is_empty() {
                sent += seqs.len();
                self.submit_blocking(Change::Away { ledger, seqs })?;
            }
        }
        Ok(sent)
    }

    /// A disk is there again, and not written to yet: gives back what it held. Returns how many segments.
    pub(super) fn give_back(&self, disk: &Disk, whose: &Whose) -> Result<u64> {
        let mut back = 0;
        for (ledger, record) in self.ledgers() {
            if !record.away_ranges.is_empty() {
                back += self.give_back_of(disk, &ledger, &record)?;
            }
        }
        if disk.unlisted {
            back += self.list(disk, whose)?;
        }
        self.enter_unknown_on(disk, whose)?;
        Ok(back)
    }

    /// The index was lost while the disk was not there: what is in the place of an entry, and has its length, is held
    /// again; what nobody has an entry of is entered as what it is.
    fn list(&self, disk: &Disk, whose: &Whose) -> Result<u64> {
        let (mut listed, mut unknown) = (0, BTreeMap::<SiteId, Vec<Recovered>>::new());
        for file in layout::files(&disk.dir().join("media"))? {
            let Some((site, ledger, number)) = layout::parse_any_segment(disk.dir(), &file) else { continue };
            let Some(seq) = self.seq_of(&ledger, number)? else {
                if let Some(site) = whose.site_of(self, &ledger).filter(|own| *own == site)
                    && let Some(found) = salvage(&file)?
                {
                    unknown.entry(site).or_default().push(found);
                }
                continue;
            };
            let expected = self.entry(&ledger, seq)?.and_then(|entry| Some(entry.segment()?.bytes));
            let right = std::fs::metadata(&file).is_ok_and(|found| Some(found.len()) == expected);
            if right && !self.holds(&ledger, seq) {
                self.submit_blocking(Change::Bytes { ledger, seq, file })?;
                listed += 1;
            }
        }
        for (site, found) in unknown {
            listed += self.enter_as_run(&site, found, whose.is_vault())?;
        }
        Ok(listed)
    }

    fn give_back_of(&self, disk: &Disk, ledger: &LedgerId, record: &LedgerRecord) -> Result<u64> {
        let (away, site) = (record.away(), record.site()?);
        let mut segments = Vec::new();
        self.inner.index.walk_disk(ledger, disk.number(), |number, seq| {
            if away.contains(seq.0) {
                segments.push((number, seq));
            }
        })?;
        let mut back = 0;
        for some in segments.chunks(STEP) {
            let (mut whole, mut not) = (RangeSet::new(), RangeSet::new());
            for (number, seq) in some {
                let file = layout::segment(disk.dir(), &site, ledger, *number);
                let expected = self.entry(ledger, *seq)?.and_then(|entry| Some(entry.segment()?.bytes));
                let there = std::fs::metadata(&file).map(|found| found.len()).ok();
                let right = expected.is_some() && there == expected;
                if right { whole.insert_one(seq.0) } else { not.insert_one(seq.0) }
            }
            back += whole.len();
            self.submit_blocking(Change::Back { ledger: ledger.clone(), whole, not })?;
        }
        Ok(back)
    }

    /// Files on a disk that nobody writes to, and that no entry names: what was being recorded when it went out.
    fn enter_unknown_on(&self, disk: &Disk, whose: &Whose) -> Result<u64> {
        let mut files = layout::files(&disk.dir().join("open"))?;
        for (ledger, record) in self.ledgers() {
            files.extend(self.without_entry_on(disk, &ledger, &record)?);
        }
        let mut found: BTreeMap<SiteId, Vec<Recovered>> = BTreeMap::new();
        for file in files {
            match salvage(&file)? {
                Some(one) => {
                    if let Some(site) = whose.site_of(self, &one.ledger) {
                        found.entry(site).or_default().push(one);
                    }
                }
                None => crate::archive::damage::set_aside(disk.dir(), &file)?,
            }
        }
        let mut entered = 0;
        for (site, some) in found {
            entered += self.enter_as_run(&site, some, whose.is_vault())?;
        }
        Ok(entered)
    }

    /// Of the ledgers that are written here, files in the last folder that were moved there and not entered.
    fn without_entry_on(
        &self,
        disk: &Disk,
        ledger: &LedgerId,
        record: &LedgerRecord,
    ) -> Result<Vec<PathBuf>> {
        if record.returned {
            return Ok(Vec::new());
        }
        crate::archive::recover::files_without_entry(self, disk, ledger)
    }

    /// Enters recovered files by a run that records nothing.
    pub(in crate::archive) fn enter_as_run(
        &self,
        site: &SiteId,
        mut found: Vec<Recovered>,
        standby: bool,
    ) -> Result<u64> {
        let (origin, at): (OriginId, _) = (new_origin(), wire::clock::wall());
        let mut numbers: BTreeMap<StreamId, u64> = BTreeMap::new();
        found.sort_by_key(|found| found.segment.start_us);
        for one in found {
            let ledger = LedgerId { origin, stream: one.ledger.stream.clone() };
            let number = numbers.entry(ledger.stream.clone()).or_insert_with(|| 0);
            if *number == 0 {
                let site = site.clone();
                self.submit_blocking(match standby {
                    true => Change::OpenStandby { ledger, site, opened: at },
                    false => Change::Open { ledger, site, opened: at },
                })?;
            }
            self.submit_blocking(one.entered(origin, SegmentNumber(*number), at))?;
            *number += 1;
        }
        for stream in numbers.keys() {
            self.submit_blocking(Change::End { ledger: LedgerId { origin, stream: stream.clone() } })?;
        }
        Ok(numbers.values().sum())
    }
}

impl Pass<'_> {
    pub(in crate::archive) fn away(
        &mut self,
        ledger: LedgerId,
        seqs: &RangeSet,
    ) -> Result<(Done, Option<Event>)> {
        let mut record = self.known(&ledger)?;
        let gone = record.go_away(seqs);
        record.bytes = record.bytes.saturating_sub(self.bytes_of(&ledger, &gone)?);
        self.changed.insert(ledger, record);
        Ok((Done::Stored, None))
    }

    pub(in crate::archive) fn back(
        &mut self,
        ledger: LedgerId,
        whole: &RangeSet,
        not: &RangeSet,
    ) -> Result<(Done, Option<Event>)> {
        let mut record = self.known(&ledger)?;
        let back = record.come_back(whole, not);
        record.bytes += self.bytes_of(&ledger, &back)?;
        self.changed.insert(ledger, record);
        Ok((Done::Stored, None))
    }

    fn bytes_of(&self, ledger: &LedgerId, seqs: &RangeSet) -> Result<u64> {
        let mut bytes = 0;
        for range in seqs.iter() {
            self.inner.index.walk(ledger, range, |_, _, entry| {
                bytes += entry.segment().map_or(0, |segment| segment.bytes);
                Ok(())
            })?;
        }
        Ok(bytes)
    }
}

impl Archive {
    /// How many segments are wanted because this disk is not there.
    pub(super) fn away_on(&self, disk: &Disk) -> Result<u64> {
        let ledgers: Vec<_> =
            self.ledgers().into_iter().filter(|(_, one)| !one.away_ranges.is_empty()).collect();
        let out = self.disks().all().into_iter().filter(|disk| !disk.is_in_use()).count();
        if out == 1 {
            return Ok(ledgers.iter().map(|(_, record)| record.away().len()).sum());
        }
        let mut count = 0;
        for (ledger, record) in ledgers {
            let away = record.away();
            let on = |_, seq: Seq| count += u64::from(away.contains(seq.0));
            self.inner.index.walk_disk(&ledger, disk.number(), on)?;
        }
        Ok(count)
    }
}
