//! What all sites together have seen.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::series::quantile;

/// Counted by every site.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sites: usize,
    lost: u64,
    acked: u64,
    ack_ms: Vec<f64>,
}

/// What was counted since the last time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) lost: u64,
    pub(super) acked: u64,
    /// From a beat to its ack.
    pub(super) ack_ms_p50: f64,
    pub(super) ack_ms_p99: f64,
}

impl Counts {
    /// A site's session has begun.
    pub(super) fn joined(&self) {
        self.lock().sites += 1;
    }

    /// A site's session has ended.
    pub(super) fn lost(&self) {
        self.lock().lost += 1;
    }

    /// A beat was acked so long after it was said.
    pub(super) fn acked(&self, after: Duration) {
        let mut inner = self.lock();
        inner.acked += 1;
        inner.ack_ms.push(after.as_secs_f64() * 1000.0);
    }

    /// Sites that have a session.
    pub(super) fn sites(&self) -> usize {
        self.lock().sites
    }

    /// What was counted, and begins anew.
    pub(super) fn take(&self) -> Taken {
        let mut inner = self.lock();
        let mut times = std::mem::take(&mut inner.ack_ms);
        Taken {
            lost: std::mem::take(&mut inner.lost),
            acked: std::mem::take(&mut inner.acked),
            ack_ms_p50: quantile(&mut times, 0.5),
            ack_ms_p99: quantile(&mut times, 0.99),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
