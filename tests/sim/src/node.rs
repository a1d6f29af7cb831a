//! Machines, and the one process of ours that runs on each: an agent at a site, a hub node elsewhere.

use std::fmt;

use crate::event::Event;
use crate::model::clock::Clock;

/// A machine: sites first, then hub nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIx(pub u8);

impl NodeIx {
    /// The machine at `index`.
    pub fn at(index: usize) -> Self {
        Self(u8::try_from(index).unwrap_or(u8::MAX))
    }

    /// Its index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A site: also its machine's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteIx(pub u8);

impl SiteIx {
    /// Its index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Its machine.
    pub fn node(self) -> NodeIx {
        NodeIx(self.0)
    }
}

impl fmt::Display for SiteIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// A machine's state.
#[derive(Debug)]
pub struct Node {
    /// `s0`, `h2`.
    pub name: String,
    /// Its clocks.
    pub clock: Clock,
    /// Does its process run? (It may be paused.)
    pub up: bool,
    /// Is the process stopped, to be continued?
    pub paused: bool,
    /// What would have happened to it while it was paused.
    pub deferred: Vec<Event>,
    /// Faults that keep its process down now.
    pub downs: u8,
    /// Faults that pause it now.
    pub pauses: u8,
    /// Counts its process's starts: what was under way for an earlier one is dropped.
    pub life: u32,
    /// When its process ran, and was not frozen: what an oracle knows.
    pub ran: Vec<(crate::time::Time, crate::time::Time)>,
    /// By how much its disk is slower now.
    pub disk_stall: std::time::Duration,
}

impl Node {
    /// A machine that runs.
    pub fn new(name: String, clock: Clock) -> Self {
        Self {
            name,
            clock,
            up: true,
            paused: false,
            deferred: Vec::new(),
            downs: 0,
            pauses: 0,
            life: 0,
            ran: Vec::new(),
            disk_stall: std::time::Duration::ZERO,
        }
    }
}
