//! May this voter trust its own silence? One whose event loop hung, whose disk is slow, or that hears nobody
//! at all, abstains: what it didn't hear says more of itself than of a site.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Boot;

/// What the shell measures of its own machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// How late the event loop was, at worst since the last report.
    pub lag: Duration,
    /// How long the last synced write of the log took.
    pub disk: Duration,
    /// Canaries that answered, of those that should: fixed peers outside this machine.
    pub canaries: (u32, u32),
}

/// Why a voter abstains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unfit {
    /// Its event loop hung for so long.
    Lag(Duration),
    /// A synced write took so long.
    Disk(Duration),
    /// No canary answers.
    Alone,
}

/// Bounds of fitness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitnessBounds {
    /// A loop later than this has hung.
    pub lag_max: Duration,
    /// A synced write longer than this is a sick disk.
    pub disk_max: Duration,
    /// After trouble, so long without any.
    pub calm: Duration,
    /// What was read so soon after the loop hung had waited in a buffer: it says nothing about now.
    pub drain: Duration,
}

impl Default for FitnessBounds {
    fn default() -> Self {
        Self {
            lag_max: Duration::from_millis(500),
            disk_max: Duration::from_secs(2),
            calm: Duration::from_secs(2),
            drain: Duration::from_millis(500),
        }
    }
}

/// Whether this voter is fit.
#[derive(Clone, Debug, Default)]
pub struct Fitness {
    bounds: FitnessBounds,
    trouble: Option<(Boot, Unfit)>,
    hung: Option<Boot>,
}

impl Fitness {
    /// With these bounds.
    pub fn new(bounds: FitnessBounds) -> Self {
        Self { bounds, trouble: None, hung: None }
    }

    /// Takes a report in. Says whether the loop had hung: then everything that waits in buffers is stale.
    pub fn handle(&mut self, now: Boot, vitals: Vitals) -> bool {
        let hung = vitals.lag > self.bounds.lag_max;
        let unfit = if hung {
            Some(Unfit::Lag(vitals.lag))
        } else if vitals.disk > self.bounds.disk_max {
            Some(Unfit::Disk(vitals.disk))
        } else if vitals.canaries.0 == 0 && vitals.canaries.1 > 0 {
            Some(Unfit::Alone)
        } else {
            None
        };
        if let Some(unfit) = unfit {
            self.trouble = Some((now, unfit));
        }
        if hung {
            self.hung = Some(now);
        }
        hung
    }

    /// The loop was late by so much, as the machine itself noticed. Says whether that is a hang.
    pub fn handle_lateness(&mut self, now: Boot, lag: Duration) -> bool {
        self.handle(now, Vitals { lag, disk: Duration::ZERO, canaries: (0, 0) })
    }

    /// Why it must abstain, if it must.
    pub fn unfit(&self, now: Boot) -> Option<Unfit> {
        let (since, unfit) = self.trouble?;
        (now.since(since) < self.bounds.calm).then_some(unfit)
    }

    /// Is what is read now what waited while the loop hung?
    pub fn draining(&self, now: Boot) -> bool {
        self.hung.is_some_and(|hung| now.since(hung) < self.bounds.drain)
    }
}
