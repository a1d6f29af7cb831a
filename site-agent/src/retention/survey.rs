//! What there is to choose from: of every ledger the oldest few segments, acked and not, read again only when
//! something of the ledger has changed. So a step costs what changed, not what there is.

use std::collections::BTreeMap;

use wire::{LedgerId, OriginId, RangeSet, Seq, SiteId, UnixMicros};

use super::plan::{Age, Camera, Hold, Rules, Segment};
use crate::archive::{Archive, LedgerRecord, Result};

/// Segments shown of each ledger, acked and not.
const WINDOW: usize = 8;

/// The oldest of every ledger.
#[derive(Default)]
pub(super) struct Survey {
    ledgers: BTreeMap<LedgerId, Seen>,
    /// Holds in force when it was made: with others everything is looked at anew.
    holds: Vec<Hold>,
}

/// One ledger as it was seen last.
struct Seen {
    held: Vec<wire::proto::Range>,
    acked: Vec<wire::proto::Range>,
    withheld: bool,
    windows: [Window; 2],
    /// Seqs that holds keep, as far as was looked: they are not read again, however many they are.
    kept: RangeSet,
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
}

impl Survey {
    /// The oldest segments there are, and the bytes held of each camera. Up to the youngest shown, of each kind,
    /// nothing older is missing.
    pub(super) fn take(&mut self, look: &Look<'_>) -> Result<(Vec<Segment>, BTreeMap<Camera, u64>)> {
        let in_force = look.rules.holds.iter().filter(|hold| look.holds_now < hold.until);
        if !in_force.clone().eq(&self.holds) {
            self.holds = in_force.cloned().collect();
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
                let kept = self.ledgers.remove(&ledger).map(|seen| seen.kept).unwrap_or_default();
                let seen = see(look, &site, &ledger, &record, kept)?;
                self.ledgers.insert(ledger, seen);
            }
        }
        let mut segments = Vec::new();
        for kind in 0..2 {
            let windows = || self.ledgers.values().map(|seen| &seen.windows[kind]);
            let ends = windows().filter(|window| window.more);
            let horizon = ends.filter_map(|window| window.segments.last()).map(|last| last.age).min();
            let shown = windows().flat_map(|window| &window.segments);
            segments.extend(shown.filter(|one| horizon.is_none_or(|horizon| one.age <= horizon)).cloned());
        }
        Ok((segments, held))
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
    mut kept: RangeSet,
) -> Result<Seen> {
    let (held, withheld) = (record.held(), is_withheld(look, ledger, record));
    let unacked = if withheld { RangeSet::new() } else { held.minus(&record.acked()) };
    let windows = [
        window(look, site, ledger, (&held.minus(&unacked), &mut kept), true)?,
        window(look, site, ledger, (&unacked, &mut kept), false)?,
    ];
    let (held, acked) = (record.held_ranges.clone(), record.acked_ranges.clone());
    Ok(Seen { held, acked, withheld, windows, kept })
}

fn window(
    look: &Look<'_>,
    site: &SiteId,
    ledger: &LedgerId,
    (seqs, kept): (&RangeSet, &mut RangeSet),
    acked: bool,
) -> Result<Window> {
    let camera = Camera::of(site, ledger);
    let returned = look.archive.ledger(ledger).is_some_and(|record| record.returned);
    let mut found_kept = RangeSet::new();
    let wanted = |seq: Seq, start, end| {
        let keeps = look.rules.keeps(look.holds_now, &camera, start, end);
        if keeps {
            found_kept.insert_one(seq.0);
        }
        !keeps
    };
    let found = look.archive.held_segments(ledger, &seqs.minus(kept), WINDOW, wanted)?;
    *kept = kept.union(&found_kept);
    let current = (look.current)(ledger.origin);
    let more = found.len() == WINDOW;
    let mut latest = UnixMicros::MIN;
    let segment = |held: crate::archive::HeldSegment| {
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
        }
    };
    Ok(Window { segments: found.into_iter().map(segment).collect(), more })
}
