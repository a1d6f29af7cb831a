//! Which of the segments that the hub has, and the archive has not, are fetched. Pure.
//!
//! Only what the site lacks: of a time that is held already nothing comes back. And never at the cost of what is
//! recorded here: not before that is at the hub, and not into room that it will want.

use std::time::Duration;

use wire::UnixMicros;

use crate::retention::plan::Policy;

/// What is known of a segment and of the archive it would come into.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The wall clock.
    pub(super) now: UnixMicros,
    /// Its first instant.
    pub(super) start: UnixMicros,
    /// The first instant after it.
    pub(super) end: UnixMicros,
    /// Its length.
    pub(super) bytes: u64,
    /// What is held of its stream around that time.
    pub(super) held: Vec<(UnixMicros, UnixMicros)>,
    /// What is kept of its camera.
    pub(super) keep: Policy,
    /// Bytes held of its camera.
    pub(super) camera_bytes: u64,
    /// Bytes free on the disk.
    pub(super) free: u64,
    /// With this much free, retention makes no room.
    pub(super) free_high: u64,
    /// Does something that was recorded here wait to be sent?
    pub(super) backlog: bool,
    /// By then a segment that is being recorded is held.
    pub(super) settles_after: Duration,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::uplink) enum Verdict {
    /// It is fetched now.
    Fetch,
    /// It is not, and never will be.
    Unwanted,
    /// Not yet, nor any other of its ledger.
    Later(&'static str),
}

/// Decides.
pub(super) fn verdict(facts: &Facts) -> Verdict {
    let old = |age: Duration| facts.end + age < facts.now;
    if facts.keep.age_max.is_some_and(old) {
        return Verdict::Unwanted;
    }
    // Of the same time something may be open here; a clock that was set back must not make it wait for years.
    let settled = facts.end + facts.settles_after <= facts.now || facts.start > facts.now;
    if !settled {
        return Verdict::Later("the present to be recorded");
    }
    if is_covered(facts.start, facts.end, &facts.held) {
        return Verdict::Unwanted;
    }
    if facts.backlog {
        return Verdict::Later("what was recorded here to be at the hub");
    }
    if facts.keep.bytes_max.is_some_and(|most| facts.camera_bytes + facts.bytes > most) {
        return Verdict::Later("room: its camera has all that may be kept of it");
    }
    if facts.free < facts.free_high + facts.bytes {
        return Verdict::Later("room on the disk");
    }
    Verdict::Fetch
}

/// Is every instant in one of them?
fn is_covered(start: UnixMicros, end: UnixMicros, held: &[(UnixMicros, UnixMicros)]) -> bool {
    let mut held = held.to_vec();
    held.sort_unstable();
    let reached = held.into_iter().fold(
        start,
        |reached, (from, to)| {
            if from <= reached { reached.max(to) } else { reached }
        },
    );
    reached >= end && reached > start
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: i64) -> UnixMicros {
        UnixMicros(1_750_000_000_000_000 + seconds * 1_000_000)
    }

    fn spans(spans: &[(i64, i64)]) -> Vec<(UnixMicros, UnixMicros)> {
        spans.iter().map(|(from, to)| (at(*from), at(*to))).collect()
    }

    /// A segment of the last hour, of 100 bytes, and plenty of room.
    fn facts() -> Facts {
        Facts {
            now: at(3600),
            start: at(10),
            end: at(20),
            bytes: 100,
            held: Vec::new(),
            keep: Policy::default(),
            camera_bytes: 0,
            free: 1_000,
            free_high: 900,
            backlog: false,
            settles_after: Duration::from_secs(30),
        }
    }

    #[test]
    fn what_is_lacking_is_fetched_and_what_is_held_is_not() {
        assert_eq!(verdict(&facts()), Verdict::Fetch);
        for (held, lacking) in [
            (spans(&[(0, 30)]), false),
            (spans(&[(15, 25), (5, 15)]), false),
            (spans(&[(5, 15), (16, 25)]), true),
            (spans(&[(11, 20)]), true),
            (spans(&[(10, 19)]), true),
            (spans(&[(0, 10), (20, 30)]), true),
        ] {
            let facts = Facts { held: held.clone(), ..facts() };
            assert_eq!(verdict(&facts) == Verdict::Fetch, lacking, "{held:?}");
        }
    }

    #[test]
    fn what_would_be_freed_at_once_is_not_fetched() {
        let keep = Policy { age_max: Some(DAY), bytes_max: None };
        assert_eq!(verdict(&Facts { keep, ..facts() }), Verdict::Fetch);
        assert_eq!(verdict(&Facts { keep, now: at(0) + 2 * DAY, ..facts() }), Verdict::Unwanted);
    }

    #[test]
    fn it_never_displaces_what_is_recorded_here_nor_goes_before_it() {
        let later = |facts: Facts| matches!(verdict(&facts), Verdict::Later(_));
        assert!(later(Facts { free: 999, ..facts() }));
        assert!(later(Facts { backlog: true, ..facts() }));
        let keep = Policy { age_max: None, bytes_max: Some(1_000) };
        assert!(later(Facts { keep, camera_bytes: 901, ..facts() }));
        assert_eq!(verdict(&Facts { keep, camera_bytes: 900, ..facts() }), Verdict::Fetch);
    }

    #[test]
    fn the_present_may_still_be_recorded_here() {
        assert!(matches!(verdict(&Facts { now: at(40), ..facts() }), Verdict::Later(_)));
        assert_eq!(verdict(&Facts { now: at(50), ..facts() }), Verdict::Fetch);
        assert_eq!(verdict(&Facts { now: at(-100), ..facts() }), Verdict::Fetch, "a clock that was set back");
    }
}
