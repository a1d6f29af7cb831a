//! Lag: from the arrival of the oldest frame in a fragment at the agent to the hub's word that the
//! fragment is synced. One clock, the agent's; the way back is counted in.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;
use wire::{LedgerId, RangeSet, SegmentNumber};

/// Parts waited for at most; beyond it the oldest is forgotten.
const WAITING_MAX: usize = 10_000;

/// Percentiles.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LagSummary {
    /// Half are at most this.
    pub p50: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
    /// The largest.
    pub max: u64,
    /// How many fragments were measured.
    pub count: u64,
}

/// Measures lag over a run.
#[derive(Debug)]
pub(super) struct Lag {
    waiting: BTreeMap<(LedgerId, SegmentNumber, u32), Instant>,
    histogram: Histogram<u64>,
}

impl Default for Lag {
    fn default() -> Self {
        // Three digits; values beyond the range are counted at its end.
        let histogram = Histogram::new_with_bounds(1, 3_600_000, 3);
        Self {
            waiting: BTreeMap::new(),
            histogram: histogram.unwrap_or_else(|_| unreachable!("the bounds are constants")),
        }
    }
}

impl Lag {
    pub(super) fn sent(&mut self, ledger: &LedgerId, segment: SegmentNumber, part: u32, since: Instant) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_first();
        }
        self.waiting.insert((ledger.clone(), segment, part), since);
    }

    pub(super) fn acked(
        &mut self,
        ledger: &LedgerId,
        segment: SegmentNumber,
        parts: &RangeSet,
        now: Instant,
    ) {
        for part in parts.values() {
            let key = (ledger.clone(), segment, u32::try_from(part).unwrap_or(u32::MAX));
            // Headers wait for nothing and would flatter the figure.
            if let Some(since) = self.waiting.remove(&key)
                && part > 0
            {
                let lag = now.saturating_duration_since(since).as_millis();
                self.histogram.saturating_record(u64::try_from(lag).unwrap_or(u64::MAX).max(1));
            }
        }
    }

    /// The connection is gone: what was under way will be counted by nobody.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn summary(&self) -> LagSummary {
        LagSummary {
            p50: self.histogram.value_at_quantile(0.5),
            p99: self.histogram.value_at_quantile(0.99),
            max: self.histogram.max(),
            count: self.histogram.len(),
        }
    }
}
