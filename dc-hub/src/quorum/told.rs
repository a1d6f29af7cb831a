//! How each verdict reads, and what was decided lately, kept in memory for whoever asks why.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use decide::SiteId;
use decide::control::Event;
use decide::quorum::Telling;
use serde::Serialize;
use wire::UnixMicros;

/// What was decided is remembered so far back; the log's state keeps the last of each site for ever.
const REMEMBERED: usize = 512;

/// Something that was decided.
#[derive(Clone, Debug, Serialize)]
pub struct Was {
    /// The entry of the log.
    pub index: u64,
    /// When it was applied here, by this node's wall clock.
    pub at_us: UnixMicros,
    /// What it changed.
    pub event: Event,
}

/// What there is to tell.
#[derive(Debug, Default)]
pub struct Told(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    verdicts: BTreeMap<SiteId, (UnixMicros, Telling)>,
    decided: VecDeque<Was>,
}

impl Told {
    /// How the verdict about a site reads at this node, and since when.
    pub fn verdict(&self, site: &SiteId) -> Option<(UnixMicros, Telling)> {
        self.lock().verdicts.get(site).cloned()
    }

    /// What was decided lately, oldest first; of one site, or of everything.
    pub fn decided(&self, site: Option<&SiteId>) -> Vec<Was> {
        let of = |was: &&Was| site.is_none() || was.event.site() == site;
        self.lock().decided.iter().filter(of).cloned().collect()
    }

    /// Verdicts from after this site on, at most so many.
    pub(super) fn verdicts_after(&self, site: Option<&SiteId>, most: usize) -> Vec<Telling> {
        let from = site.map_or(Bound::Unbounded, Bound::Excluded);
        let inner = self.lock();
        let some = inner.verdicts.range::<SiteId, _>((from, Bound::Unbounded)).take(most);
        some.map(|(_, (_, telling))| telling.clone()).collect()
    }

    pub(super) fn telling(&self, telling: Telling) {
        let mut inner = self.lock();
        let known = inner.verdicts.get(&telling.site).map(|(_, known)| known);
        if known == Some(&telling) {
            return;
        }
        if known.is_none_or(|known| known.line != telling.line) {
            tracing::info!(site = %telling.site, line = ?telling.line, "verdict");
        }
        inner.verdicts.insert(telling.site.clone(), (wire::clock::wall(), telling));
    }

    pub(super) fn applied(&self, index: u64, events: &[Event]) {
        let at_us = wire::clock::wall();
        let mut inner = self.lock();
        for event in events {
            if inner.decided.len() == REMEMBERED {
                inner.decided.pop_front();
            }
            inner.decided.push_back(Was { index, at_us, event: event.clone() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
