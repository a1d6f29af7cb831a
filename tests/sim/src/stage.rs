//! What all models act on: time, the queue, the network, machines, and who watches.

use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::conn::{Conn, ConnIx};
use crate::event::Event;
use crate::invariants::{Invariant, Violation};
use crate::model::net::Net;
use crate::mutant::Mutant;
use crate::node::{Node, NodeIx};
use crate::oracle::Oracle;
use crate::params::Params;
use crate::queue::Queue;
use crate::reach::Reach;
use crate::time::Time;
use crate::trace::Trace;

/// Generators, one per component.
#[derive(Debug)]
pub struct Chances {
    /// Delays and losses.
    pub net: Chance,
    /// Syncs, and what power cuts take.
    pub disk: Chance,
    /// Recorders: connecting, origins.
    pub record: Chance,
    /// Hub nodes.
    pub hub: Chance,
    /// The control log.
    pub log: Chance,
}

/// The stage.
#[derive(Debug)]
pub struct Stage {
    /// How this run is set up.
    pub params: Params,
    /// The rule that is switched off, if any.
    pub mutant: Option<Mutant>,
    /// Now.
    pub now: Time,
    /// The instant of [`Time::ZERO`], for cores that count in `Instant`.
    pub zero: Instant,
    /// What happens next.
    pub queue: Queue<Event>,
    /// The network.
    pub net: Net,
    /// Machines.
    pub nodes: Vec<Node>,
    /// Connections ever made.
    pub conns: Vec<Conn>,
    /// Those at least one end believes in.
    pub open_conns: Vec<ConnIx>,
    /// Randomness.
    pub chance: Chances,
    /// What really happened.
    pub oracle: Oracle,
    /// Rare states that were reached.
    pub reach: Reach,
    /// What is told to a person.
    pub trace: Trace,
    /// Rules that were broken.
    pub violations: Vec<Violation>,
}

impl Stage {
    /// Lets something happen later.
    pub fn after(&mut self, delay: Duration, event: Event) {
        self.queue.put(self.now + delay, event);
    }

    /// A machine.
    pub fn node(&self, ix: NodeIx) -> &Node {
        &self.nodes[ix.index()]
    }

    /// A machine, to change it.
    pub fn node_mut(&mut self, ix: NodeIx) -> &mut Node {
        &mut self.nodes[ix.index()]
    }

    /// Is this the life of the machine's process that runs now?
    pub fn is_alive(&self, ix: NodeIx, life: u32) -> bool {
        let node = self.node(ix);
        node.up && node.life == life
    }

    /// The monotonic clock of a machine, for cores that take an `Instant`.
    pub fn instant(&self, ix: NodeIx) -> Instant {
        self.zero + self.node(ix).clock.boot(self.now)
    }

    /// How long a sync takes on a machine's disk now.
    pub fn sync_time(&mut self, ix: NodeIx) -> Duration {
        let stall = self.node(ix).disk_stall;
        let longest = self.params.sync_max;
        self.chance.disk.span(longest / 20, longest) + stall
    }

    /// Tells what happens, if somebody listens.
    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        self.trace.tell(self.now, text);
    }

    /// Tells a turn of the story, if somebody listens.
    pub fn turn(&mut self, text: impl FnOnce() -> String) {
        self.trace.turn(self.now, text);
    }

    /// A rule is broken.
    pub fn violate(&mut self, invariant: Invariant, what: String) {
        self.trace.tell(self.now, || format!("VIOLATION of {invariant}: {what}"));
        self.violations.push(Violation { invariant, at: self.now, what });
    }
}
