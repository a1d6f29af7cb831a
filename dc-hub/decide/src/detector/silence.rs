//! How long silence must last, and why: a function of the last beat and of what the path did since.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Detector, Timers};
use crate::time::Boot;

/// A voter's quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    /// Nothing was heard for so long.
    pub silent_for: Duration,
    /// So long was asked for.
    pub needed: Duration,
    /// Why so long.
    pub basis: Basis,
}

/// What the silence is accused by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Basis {
    /// Cameras answer over the path of the last beat, without a break since: the short timer.
    Unbroken {
        /// What the beat gaps were like: the timer is three times this, within its bounds.
        gap_p999: Duration,
    },
    /// The path was broken since the last beat and is open again: the recorder gets time to redial.
    Reopened {
        /// For how long it has been open.
        open_for: Duration,
    },
    /// Nothing answers, or not on the path of the last beat.
    Silence,
}

/// What the detector asks for now.
pub(super) fn judge(detector: &Detector, now: Boot, timers: &Timers) -> Quiet {
    let silent_for = detector.silent_for(now);
    let gap_p999 = detector.gaps.p999();
    let short = timers.short(gap_p999);
    let quiet = |needed, basis| Quiet { silent_for, needed, basis };
    let alone = quiet(timers.long.max(short), Basis::Silence);

    let Some(view) = detector.path.as_ref().filter(|_| detector.answers(now, timers).is_some()) else {
        return alone;
    };
    let Some(begun) = view.begun() else { return alone };
    let since = detector.quiet_since();
    if detector.came_over(&view.answers.path) && begun <= since && view.ends() >= since + timers.proof(short)
    {
        return quiet(short, Basis::Unbroken { gap_p999 });
    }
    if begun > since {
        // As long as it takes, whatever the silence has lasted: needed = what was silent when the path
        // opened, plus the wait.
        let needed = timers.long.max(short).max(begun.since(since) + timers.reopen_wait);
        return quiet(needed, Basis::Reopened { open_for: now.since(begun) });
    }
    alone
}
