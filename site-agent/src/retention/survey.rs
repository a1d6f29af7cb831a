//! What there is to choose from: of every ledger the oldest few segments, acked and not, read again only when
//! something of the ledger has changed. So a step costs what changed, not what there is.

use std::collections::BTreeMap;

use wire::{LedgerId, OriginId, RangeSet, SiteId, UnixMicros};

use super::plan::{Age, Camera, Hold, Rules, Segment};
use crate::archive::{Archive, DiskNumber, HeldSegment, LedgerRecord, Result};

/// Segments shown of each ledger, acked and not.
const WINDOW: usize = 8;

/// The oldest of every ledger.
#[derive(Default)]
pub(super) struct Survey {
    ledgers: BTreeMap<LedgerId, Seen>,
    /// Holds in force when it was made: with others everything is looked at anew.
    holds: Vec<Hold>,
    /// Disks that were in use then, likewise.
    disks: Vec<DiskNumber>,
}

/// One ledger as it was seen last.
struct Seen {
    held: Vec<wire::proto::Range>,
    acked: Vec<wire::proto::Range>,
    withheld: bool,
    /// Of each disk that was looked at, acked and not.
    windows: BTreeMap<DiskNumber, [Window; 2]>,
    passed: Passed,
}

/// What was looked at and is not to be chosen from: it is not read again, however much it is.
#[derive(Default)]
struct Passed {
    /// Seqs that holds keep.
    kept: RangeSet,
    /// Seqs that are not on a disk.
    elsewhere: BTreeMap<DiskNumber, RangeSet>,
}

/// The oldest segments of one kind.
#[derive(Default)]
struct Window {
    segments: Vec<Segment>,
    /// There may be more behind them.
    more: bool,
}

/// Whose archive is looked at, and how.
pub(super) struct Look<'a> {
    pub(super) archive: &'a Archive,
    pub(super) rules: &'a Rules,
    /// Until when holds hold is asked at this time.
    pub(super) holds_now: UnixMicros,
    /// Runs that go on.
    pub(super) current: &'a dyn Fn(OriginId) -> bool,
    /// Disks that are in use.
    pub(super) disks: &'a [DiskNumber],
}

impl Survey {
    /// The oldest segments there are, and the bytes held of each camera. Up to the youngest shown, of each kind,
    /// nothing older is missing.
    pub(super) fn take(&mut self, look: &Look<'_>) -> Result<(Vec<Segment>, BTreeMap<Camera, u64>)> {
        let in_force = look.rules.holds.iter().filter(|hold| look.holds_now < hold.until);
        if !in_force.clone().eq(&self.holds) || look.disks != self.disks {
            self.holds = in_force.cloned().collect();
            self.disks = look.disks.to_vec();
            self.ledgers.clear();
        }
        let mut held = BTreeMap::new();
        for (ledger, record) in look.archive.ledgers() {
            let site = record.site()?;
            *held.entry(Camera::of(&site, &ledger)).or_default() += record.bytes;
            if record.bytes == 0 {
                self.ledgers.remove(&ledger); // it has no segment left
                continue;
            }
            let withheld = is_withheld(look, &ledger, &record);
            let known = self.ledgers.get(&ledger).is_some_and(|seen| {
                seen.held == record.held_ranges
                    && seen.acked == record.acked_ranges
                    && seen.withheld == withheld
            });
            if !known {
                let passed = self.ledgers.remove(&ledger).map(|seen| seen.passed).unwrap_or_default();
                let seen = see(look, &site, &ledger, &record, passed)?;
                self.ledgers.insert(ledger, seen);
            }
        }
        let mut segments = Vec::new();
        for kind in 0..2 {
            let of_all = look.disks.iter().filter_map(|disk| self.horizon(*disk, kind)).min();
            for disk in look.disks {
                let horizon = self.horizon(*disk, kind);
                let shown = self.windows(*disk, kind).flat_map(|window| &window.segments);
                let shown = shown.filter(|one| horizon.is_none_or(|horizon| one.age <= horizon));
                segments.extend(shown.cloned().map(|one| {
                    let in_order = of_all.is_none_or(|horizon| one.age <= horizon);
                    Segment { in_order, ..one }
                }));
            }
        }
        Ok((segments, held))
    }

    fn windows(&self, disk: DiskNumber, kind: usize) -> impl Iterator<Item = &Window> {
        self.ledgers.values().filter_map(move |seen| Some(&seen.windows.get(&disk)?[kind]))
    }

    /// Nothing on a disk is older than this and not shown; none, if all is shown.
    fn horizon(&self, disk: DiskNumber, kind: usize) -> Option<Age> {
        let ends = self.windows(disk, kind).filter(|window| window.more);
        ends.filter_map(|window| window.segments.last()).map(|last| last.age).min()
    }
}

/// Policies are of the site's own streams; what is recorded for another may have the same names.
fn is_withheld(look: &Look<'_>, ledger: &LedgerId, record: &LedgerRecord) -> bool {
    !record.is_standby_here() && look.rules.withholds(ledger)
}

fn see(
    look: &Look<'_>,
    site: &SiteId,
    ledger: &LedgerId,
    record: &LedgerRecord,
    mut passed: Passed,
) -> Result<Seen> {
    let (held, withheld) = (record.held(), is_withheld(look, ledger, record));
    let unacked = if withheld { RangeSet::new() } else { held.minus(&record.acked()) };
    let mut windows = BTreeMap::new();
    for disk in look.disks {
        let acked = window(look, site, ledger, (*disk, &held.minus(&unacked), &mut passed), true)?;
        let others = window(look, site, ledger, (*disk, &unacked, &mut passed), false)?;
        windows.insert(*disk, [acked, others]);
    }
    let (held, acked) = (record.held_ranges.clone(), record.acked_ranges.clone());
    Ok(Seen { held, acked, withheld, windows, passed })
}

fn window(
    look: &Look<'_>,
    site: &SiteId,
    ledger: &LedgerId,
    (disk, seqs, passed): (DiskNumber, &RangeSet, &mut Passed),
    acked: bool,
) -> Result<Window> {
    let camera = Camera::of(site, ledger);
    let returned = look.archive.ledger(ledger).is_some_and(|record| record.returned);
    let (mut found_kept, mut found_elsewhere) = (RangeSet::new(), RangeSet::new());
    let elsewhere = passed.elsewhere.entry(disk).or_default();
    let several = look.disks.len() > 1;
    let wanted = |held: &HeldSegment| {
        if several && look.archive.disk_number(ledger, held.number)? != disk {
            found_elsewhere.insert_one(held.seq.0);
            return Ok(false);
        }
        let keeps = look.rules.keeps(look.holds_now, &camera, held.start, held.end);
        if keeps {
            found_kept.insert_one(held.seq.0);
        }
        Ok(!keeps)
    };
    let left = seqs.minus(&passed.kept).minus(elsewhere);
    let found = look.archive.held_segments_with(ledger, &left, WINDOW, wanted)?;
    passed.kept = passed.kept.union(&found_kept);
    *elsewhere = elsewhere.union(&found_elsewhere);
    let current = (look.current)(ledger.origin);
    let more = found.len() == WINDOW;
    let mut latest = UnixMicros::MIN;
    let segment = |held: HeldSegment| {
        latest = latest.max(held.end);
        Segment {
            ledger: ledger.clone(),
            seq: held.seq,
            from: held.from,
            camera: camera.clone(),
            start: held.start,
            end: held.end,
            bytes: held.bytes,
            acked,
            age: Age { own: !returned, current, end: latest },
            disk,
            in_order: true,
        }
    };
    Ok(Window { segments: found.into_iter().map(segment).collect(), more })
}
