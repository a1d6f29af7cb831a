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
    /// Is nothing freed whatever the rules say?
    pub suspended: bool,
    /// Is the wall clock in doubt? Then nothing goes for its age.
    pub clock_in_doubt: bool,
    /// Holds in force here.
    pub holds: usize,
    /// Bytes that they keep; none while that is being measured.
    pub kept_bytes: Option<u64>,
    #[serde(skip)]
    looked: bool,
    /// What went wrong last, or is to be known.
    pub detail: String,
}

impl Shown {
    /// What the disk is full of, if holds keep some of it.
    pub(super) fn full_of(&self) -> Option<String> {
        let see = "see `holdfast holds`";
        match self.kept_bytes {
            _ if self.holds == 0 => None,
            Some(0) => None,
            Some(bytes) => Some(format!("holds keep {} MB of it, {see}", bytes / 1_000_000)),
            None => Some(format!("holds keep some of it, {see}")),
        }
    }
}

/// What a look at things showed.
pub(super) struct Looked {
    pub(super) free_bytes: u64,
    pub(super) ballast_bytes: u64,
    pub(super) belief: Belief,
    pub(super) stuck: bool,
    pub(super) holds: usize,
    pub(super) kept_bytes: Option<u64>,
    pub(super) unknown: Option<String>,
}

impl Status {
    /// A copy.
    pub fn snapshot(&self) -> Shown {
        self.shown().clone()
    }

    /// The time, if the clock that tells it is not in doubt.
    pub fn trusted_wall(&self) -> Option<wire::UnixMicros> {
        let shown = self.shown();
        (shown.looked && !shown.clock_in_doubt).then(wire::clock::wall)
    }

    pub(super) fn looked(&self, looked: Looked) {
        let mut shown = self.shown();
        (shown.holds, shown.kept_bytes) = (looked.holds, looked.kept_bytes);
        let Looked { free_bytes, ballast_bytes, belief, stuck, unknown, .. } = looked;
        shown.looked = true;
        shown.suspended = unknown.is_some();
        let full_of = shown.full_of();
        if stuck && !shown.stuck {
            let holds = full_of.as_deref();
            tracing::error!(
                free_bytes,
                holds,
                "the disk is getting full, and nothing may be freed: make room"
            );
        }
        (shown.free_bytes, shown.ballast_bytes, shown.stuck) = (free_bytes, ballast_bytes, stuck);
        shown.clock_in_doubt = belief != Belief::Sure;
        shown.detail = match belief {
            Belief::Sure if stuck => {
                let full = "the disk is getting full, and nothing may be freed".to_owned();
                full_of.map_or(full.clone(), |holds| format!("{full}: {holds}"))
            }
            Belief::Sure => unknown.map_or(String::new(), |why| format!("nothing is freed: {why}")),
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
