//! Two agents with one identity: a disk that was cloned, a certificate that was copied. Pure.
//!
//! Each run of an agent has an origin of its own, so a run that comes back after another one of the same site was here has
//! been alive all the time: there are two. It harms nothing, since each writes ledgers of its own; but each throws the
//! other's connection out, and a person should know.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use wire::{OriginId, UnixMicros};

/// Runs of a site that are remembered.
const RUNS: usize = 8;
/// So long after the last time one came back two are still called alive.
const ALIVE: Duration = Duration::from_secs(600);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Twin {
    /// Which run.
    pub origin: OriginId,
    /// From which address it came last.
    pub address: String,
}

/// The runs of one site.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// The last that came, newest last.
    seen: VecDeque<Twin>,
    twins: Option<(UnixMicros, [Twin; 2])>,
}

impl Runs {
    /// A run has come. True if that is the first sign of two.
    pub(super) fn came(&mut self, origin: OriginId, address: &str, now: UnixMicros) -> bool {
        let own = Twin { origin, address: address.to_owned() };
        let before = self.seen.iter().position(|seen| seen.origin == origin);
        let other = self.seen.back().filter(|last| last.origin != origin).cloned();
        if let Some(before) = before {
            self.seen.remove(before);
        }
        self.seen.push_back(own.clone());
        if self.seen.len() > RUNS {
            self.seen.pop_front();
        }
        let Some(other) = other.filter(|_| before.is_some()) else { return false };
        let news = self.twins(now).is_none();
        self.twins = Some((now, [other, own]));
        news
    }

    /// The two, while there are two.
    pub(super) fn twins(&self, now: UnixMicros) -> Option<&[Twin; 2]> {
        self.twins.as_ref().filter(|(at, _)| now.since(*at) < ALIVE).map(|(_, twins)| twins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

    fn origin(n: u8) -> OriginId {
        OriginId([n; 16])
    }

    #[test]
    fn restarts_and_reconnections_are_no_twins() {
        let mut runs = Runs::default();
        for n in [1, 1, 2, 2, 3] {
            assert!(!runs.came(origin(n), "a", NOW));
        }
        assert_eq!(runs.twins(NOW), None);
    }

    #[test]
    fn a_run_that_comes_back_after_another_has_a_twin() {
        let mut runs = Runs::default();
        assert!(!runs.came(origin(1), "a", NOW));
        assert!(!runs.came(origin(2), "b", NOW));
        assert!(runs.came(origin(1), "a", NOW));
        assert!(!runs.came(origin(2), "b", NOW), "it was said");
        let addresses: Vec<_> = runs.twins(NOW).unwrap().iter().map(|twin| &*twin.address).collect();
        assert_eq!(addresses, ["a", "b"]);
        assert_eq!(runs.twins(NOW + ALIVE), None);
    }
}
