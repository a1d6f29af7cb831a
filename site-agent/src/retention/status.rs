//! How retention is doing, for status pages and metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use wire::proto::GapCause;

use super::clock_guard::Belief;

/// How it is doing.
#[derive(Debug, Default)]
pub struct Status(Mutex<Shown>);

/// What is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Shown {
    /// Bytes free on the archive's disk.
    pub free_bytes: u64,
    /// Bytes kept for when it is full.
    pub ballast_bytes: u64,
    /// Segments freed in this run.
    pub freed_segments: u64,
    /// Their bytes.
    pub freed_bytes: u64,
    /// Those of them that the hub had not acked.
    pub lost_segments: u64,
    /// Is less free than wanted, with nothing left that may go?
    pub stuck: bool,
    /// Is the wall clock in doubt? Then nothing goes for its age.
    pub clock_in_doubt: bool,
    /// What went wrong last, or is to be known.
    pub detail: String,
}

impl Status {
    /// A copy.
    pub fn snapshot(&self) -> Shown {
        self.shown().clone()
    }

    pub(super) fn looked(&self, free_bytes: u64, ballast_bytes: u64, belief: Belief, stuck: bool) {
        let mut shown = self.shown();
        if stuck && !shown.stuck {
            tracing::error!(free_bytes, "the disk is getting full, and nothing may be freed: make room");
        }
        (shown.free_bytes, shown.ballast_bytes, shown.stuck) = (free_bytes, ballast_bytes, stuck);
        shown.clock_in_doubt = belief != Belief::Sure;
        shown.detail = match belief {
            Belief::Sure if stuck => "the disk is getting full, and nothing may be freed".to_owned(),
            Belief::Sure => String::new(),
            Belief::Jumped(off) => format!(
                "the clock jumped by {} s; `site-agent confirm-clock` if it is right",
                off / 1_000_000
            ),
            Belief::Unsettled(off) => {
                format!(
                    "the machine was off, or its clock is wrong, by {} s; `site-agent confirm-clock` if it is right",
                    off / 1_000_000
                )
            }
        };
    }

    pub(super) fn freed(&self, segments: usize, bytes: u64, cause: GapCause) {
        let mut shown = self.shown();
        shown.freed_segments += segments as u64;
        shown.freed_bytes += bytes;
        if cause == GapCause::LostBeforeReplication {
            shown.lost_segments += segments as u64;
        }
    }

    pub(super) fn failed(&self, error: &crate::archive::ArchiveError) {
        self.shown().detail = error.to_string();
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
