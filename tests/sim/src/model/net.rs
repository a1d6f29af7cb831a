//! The network: for each ordered pair of nodes whether, when and how often something arrives.
//!
//! Datagrams may be lost, doubled and overtaken. Streams ([`crate::conn`]) are never anything but late, and
//! break when nothing gets through for too long. A pair can be cut in one direction only; can be clogged,
//! which makes everything late; can let TCP through and no UDP.

use std::time::Duration;

use crate::chance::Chance;
use crate::node::NodeIx;
use crate::params::Params;
use crate::time::{Time, ms};

/// One direction of a pair.
#[derive(Clone, Debug)]
pub struct Direction {
    /// Delay when nothing is wrong.
    pub delay: Duration,
    /// How far a delay may be off upwards.
    pub jitter: Duration,
    /// Faults that cut it now.
    pub cuts: u8,
    /// Faults that keep UDP out now.
    pub udp_blocks: u8,
    /// What clogs add to a delay now.
    pub clog: Duration,
    /// Loss of datagrams, of a thousand.
    pub loss_permille: u32,
    /// Datagrams that arrive twice, of a thousand.
    pub twice_permille: u32,
    /// When a stream last stopped getting through.
    pub stopped: Time,
    /// When it was last cut.
    pub cut_at: Time,
    /// From when on beats get through: a connection has to be there.
    pub beats_from: Time,
}

impl Direction {
    /// Does nothing at all get through?
    pub fn is_cut(&self) -> bool {
        self.cuts > 0
    }

    /// Do QUIC's packets not get through?
    pub fn stops_quic(&self) -> bool {
        self.cuts > 0 || self.udp_blocks > 0
    }
}

/// All pairs.
#[derive(Debug)]
pub struct Net {
    nodes: usize,
    directions: Vec<Direction>,
    chance: Chance,
}

impl Net {
    /// A network of `nodes` nodes; `delay` tells the delay of a pair.
    pub fn new(nodes: usize, chance: Chance, quality: impl Fn(NodeIx, NodeIx) -> Direction) -> Self {
        let pair = |ix: usize| quality(NodeIx::at(ix / nodes), NodeIx::at(ix % nodes));
        Self { nodes, directions: (0..nodes * nodes).map(pair).collect(), chance }
    }

    /// The way from one node to another.
    pub fn way(&self, from: NodeIx, to: NodeIx) -> &Direction {
        &self.directions[from.index() * self.nodes + to.index()]
    }

    /// The same, to change it.
    pub fn way_mut(&mut self, from: NodeIx, to: NodeIx) -> &mut Direction {
        &mut self.directions[from.index() * self.nodes + to.index()]
    }

    /// Do QUIC's packets get through both ways?
    pub fn quic_flows(&self, a: NodeIx, b: NodeIx) -> bool {
        !self.way(a, b).stops_quic() && !self.way(b, a).stops_quic()
    }

    /// Does anything get through both ways?
    pub fn flows(&self, a: NodeIx, b: NodeIx) -> bool {
        !self.way(a, b).is_cut() && !self.way(b, a).is_cut()
    }

    /// How long something on a stream takes now; losses make it later.
    pub fn delay(&mut self, from: NodeIx, to: NodeIx) -> Duration {
        if from == to {
            return Duration::from_micros(50);
        }
        let way = &self.directions[from.index() * self.nodes + to.index()];
        let mut delay = way.delay + self.chance.span(Duration::ZERO, way.jitter) + way.clog;
        if self.chance.permille(way.loss_permille) {
            delay += 2 * way.delay + ms(25);
        }
        delay
    }

    /// When a datagram arrives: never, once, or twice. `udp` tells whether a UDP block stops it.
    pub fn datagram(&mut self, from: NodeIx, to: NodeIx, udp: bool) -> [Option<Duration>; 2] {
        let way = self.way(from, to);
        let (loss, twice) = (way.loss_permille, way.twice_permille);
        if way.is_cut() || (udp && way.udp_blocks > 0) || self.chance.permille(loss) {
            return [None, None];
        }
        let first = Some(self.delay(from, to));
        let second = self.chance.permille(twice).then(|| self.delay(from, to));
        [first, second]
    }
}

/// The network of a run, when nothing is wrong with it.
pub fn healthy(params: &Params) -> Net {
    let sites = params.sites;
    let wan = params.wan_delay;
    Net::new(sites + params.hubs, Chance::of(params.seed, "network"), move |from, to| {
        let wide = from.index() < sites || to.index() < sites;
        let delay = if wide { wan } else { ms(2) };
        Direction {
            delay,
            jitter: delay / 4,
            cuts: 0,
            udp_blocks: 0,
            clog: Duration::ZERO,
            loss_permille: 0,
            twice_permille: if wide { 5 } else { 0 },
            stopped: Time::ZERO,
            cut_at: Time::ZERO,
            beats_from: Time::ZERO,
        }
    })
}
