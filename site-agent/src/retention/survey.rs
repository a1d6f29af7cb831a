//! What there is to choose from: of every ledger the oldest few segments, acked and not, read again only when
//! something of the ledger has changed. So a step costs what changed, not what there is.

use std::collections::BTreeMap;

use wire::{LedgerId, OriginId, RangeSet, SiteId, UnixMicros};

use super::plan::{Age, Camera, Rules, Segment};
use crate::archive::{Archive, LedgerRecord, Result};

/// Segments shown of each ledger, acked and not.
const WINDOW: usize = 8;

/// The oldest of every ledger.
#[derive(Default)]
pub(super) struct Survey {
    ledgers: BTreeMap<LedgerId, Seen>,
}

/// One ledger as it was seen last.
struct Seen {
    held: Vec<wire::proto::Range>,
    acked: Vec<wire::proto::Range>,
    withheld: bool,
    windows: [Window; 2],
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
    pub(super) now: UnixMicros,
    /// Runs that go on.
    pub(super) current: &'a dyn Fn(OriginId) -> bool,
}

impl Survey {
    /// The oldest segments there are, and the bytes held of each camera. Up to the youngest shown, of each kind,
    /// nothing older is missing.
    pub(super) fn take(&mut self, look: &Look<'_>) -> Result<(Vec<Segment>, BTreeMap<Camera, u64>)> {
        let mut held = BTreeMap::new();
        for (ledger, record) in look.archive.ledgers() {
            let site = record.site()?;
            *held.entry(Camera::of(&site, &ledger)).or_default() += record.bytes;
            if record.bytes == 0 {
                self.ledgers.remove(&ledger); // it has no segment left
                continue;
            }
            let withheld = look.rules.withholds(&ledger);
            let known = self.ledgers.get(&ledger).is_some_and(|seen| {
                seen.held == record.held_ranges
                    && seen.acked == record.acked_ranges
                    && seen.withheld == withheld
            });
            if !known || !look.rules.holds.is_empty() {
                let seen = see(look, &site, &ledger, &record)?;
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

fn see(look: &Look<'_>, site: &SiteId, ledger: &LedgerId, record: &LedgerRecord) -> Result<Seen> {
    let (held, withheld) = (record.held(), look.rules.withholds(ledger));
    let unacked = if withheld { RangeSet::new() } else { held.minus(&record.acked()) };
    let windows = [
        window(look, site, ledger, &held.minus(&unacked), true)?,
        window(look, site, ledger, &unacked, false)?,
    ];
    let (held, acked) = (record.held_ranges.clone(), record.acked_ranges.clone());
    Ok(Seen { held, acked, withheld, windows })
}

fn window(look: &Look<'_>, site: &SiteId, ledger: &LedgerId, seqs: &RangeSet, acked: bool) -> Result<Window> {
    let camera = Camera::of(site, ledger);
    let wanted = |start, end| !look.rules.keeps(look.now, &camera, start, end);
    let found = look.archive.held_segments(ledger, seqs, WINDOW, wanted)?;
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
            age: Age { current, end: latest },
        }
    };
    Ok(Window { segments: found.into_iter().map(segment).collect(), more })
}
