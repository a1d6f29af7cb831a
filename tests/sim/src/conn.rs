//! Connections between a site's uplink and its vault: lanes that keep their order and lose nothing, until
//! the connection breaks.
//!
//! While QUIC's packets don't get through, what was sent waits; if that lasts, each end gives up on its own,
//! the two at different times. So for a while one end may believe in a connection that the other has replaced.

use std::collections::VecDeque;

use wire::proto;

use crate::event::{Event, Up};
use crate::node::NodeIx;
use crate::place::PlaceIx;
use crate::stage::Stage;
use crate::time::{Time, ms};
use crate::vault::VaultIx;

/// A connection of the run; numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnIx(pub u32);

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The uplink's.
    Site,
    /// The vault's.
    Hub,
}

/// Lanes up: control, live streams, backlog streams.
pub const LANES: usize = 16;
/// The first lane for live parts.
pub const LIVE_LANE: u8 = 1;
/// The first lane for backlog.
pub const BACKLOG_LANE: u8 = 12;
/// Backlog lanes.
pub const BACKLOG_LANES: u8 = 4;

/// A connection.
#[derive(Debug)]
pub struct Conn {
    /// Whose uplink.
    pub place: PlaceIx,
    /// To which vault.
    pub vault: VaultIx,
    /// Where the uplink runs.
    pub site_node: NodeIx,
    /// Where the vault is.
    pub hub_node: NodeIx,
    /// Does the uplink believe in it?
    pub site_open: bool,
    /// Does the vault?
    pub hub_open: bool,
    lanes: [Lane<Up>; LANES],
    down: Lane<proto::HubMessage>,
}

/// What is under way in one order.
#[derive(Debug)]
struct Lane<T> {
    messages: VecDeque<T>,
    /// When the last of them arrives.
    last: Time,
    /// Arrivals that found the network stopped: they wait until it flows.
    stalled: usize,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), last: Time::ZERO, stalled: 0 }
    }
}

impl<T> Lane<T> {
    /// Takes a message; tells when it arrives.
    fn put(&mut self, message: T, at: Time) -> Time {
        self.messages.push_back(message);
        self.last = self.last.max(at);
        self.last
    }

    /// An arrival is due.
    fn arrive(&mut self, stopped: bool) -> Option<T> {
        if stopped || self.stalled > 0 {
            self.stalled += 1;
            return None;
        }
        self.messages.pop_front()
    }
}

impl Conn {
    /// One that both ends have just opened.
    pub fn new(place: PlaceIx, vault: VaultIx, site_node: NodeIx, hub_node: NodeIx) -> Self {
        Self {
            place,
            vault,
            site_node,
            hub_node,
            site_open: true,
            hub_open: true,
            lanes: Default::default(),
            down: Lane::default(),
        }
    }

    /// Does an end believe in it?
    pub fn is_open(&self, end: End) -> bool {
        match end {
            End::Site => self.site_open,
            End::Hub => self.hub_open,
        }
    }
}

impl Stage {
    /// Sends to the vault.
    pub fn send_up(&mut self, ix: ConnIx, lane: u8, message: Up) {
        let conn = &mut self.conns[ix.0 as usize];
        let delay = self.net.delay(conn.site_node, conn.hub_node);
        let at = conn.lanes[usize::from(lane)].put(message, self.now + delay);
        self.queue.put(at, Event::ToHub { conn: ix, lane });
    }

    /// Sends to the site.
    pub fn send_down(&mut self, ix: ConnIx, message: proto::HubMessage) {
        let conn = &mut self.conns[ix.0 as usize];
        let delay = self.net.delay(conn.hub_node, conn.site_node);
        let at = conn.down.put(message, self.now + delay);
        self.queue.put(at, Event::ToSite { conn: ix });
    }

    /// An arrival at the vault is due: is there something, or does it wait for the network?
    pub fn arrives_up(&mut self, ix: ConnIx, lane: u8) -> Option<Up> {
        let conn = &mut self.conns[ix.0 as usize];
        let stopped = self.net.way(conn.site_node, conn.hub_node).stops_quic();
        conn.lanes[usize::from(lane)].arrive(stopped).filter(|_| conn.hub_open)
    }

    /// Likewise, at the site.
    pub fn arrives_down(&mut self, ix: ConnIx) -> Option<proto::HubMessage> {
        let conn = &mut self.conns[ix.0 as usize];
        let stopped = self.net.way(conn.hub_node, conn.site_node).stops_quic();
        conn.down.arrive(stopped).filter(|_| conn.site_open)
    }

    /// QUIC stopped getting through from one node to another: the ends will notice.
    pub fn stopped(&mut self, from: NodeIx, to: NodeIx) {
        self.net.way_mut(from, to).stopped = self.now;
        for ix in self.between(from, to) {
            for end in [End::Site, End::Hub] {
                let later = self.chance.net.span(ms(0), ms(2_000));
                self.after(self.params.idle_timeout + later, Event::Idle { conn: ix, end });
            }
        }
    }

    /// QUIC gets through again: what waited flows, late.
    pub fn flows_again(&mut self, from: NodeIx, to: NodeIx) {
        for ix in self.between(from, to) {
            let conn = &mut self.conns[ix.0 as usize];
            let delay = self.net.delay(from, to);
            if conn.site_node == from {
                for (lane, number) in conn.lanes.iter_mut().zip(0..) {
                    lane.last = lane.last.max(self.now + delay);
                    for _ in 0..std::mem::take(&mut lane.stalled) {
                        self.queue.put(lane.last, Event::ToHub { conn: ix, lane: number });
                    }
                }
            }
            if conn.hub_node == from {
                conn.down.last = conn.down.last.max(self.now + delay);
                for _ in 0..std::mem::take(&mut conn.down.stalled) {
                    self.queue.put(conn.down.last, Event::ToSite { conn: ix });
                }
            }
        }
    }

    /// Has nothing got through for so long that an end gives up? Also when the other end is gone.
    pub fn is_idle(&self, ix: ConnIx, end: End) -> bool {
        let conn = &self.conns[ix.0 as usize];
        let other = if end == End::Site { End::Hub } else { End::Site };
        let silent = |from, to| {
            let way = self.net.way(from, to);
            way.stops_quic() && self.now.since(way.stopped) >= self.params.idle_timeout
        };
        let (site, hub) = (conn.site_node, conn.hub_node);
        conn.is_open(end) && (!conn.is_open(other) || silent(site, hub) || silent(hub, site))
    }

    /// An end is closed, or its process is gone. The other end learns it when it hears no more.
    pub fn close(&mut self, ix: ConnIx, end: End) {
        let conn = &mut self.conns[ix.0 as usize];
        let other = match end {
            End::Site => {
                conn.site_open = false;
                End::Hub
            }
            End::Hub => {
                conn.hub_open = false;
                End::Site
            }
        };
        if conn.is_open(other) {
            self.after(self.params.idle_timeout, Event::Idle { conn: ix, end: other });
        } else {
            conn.lanes = Default::default();
            conn.down = Lane::default();
            self.open_conns.retain(|open| *open != ix);
        }
    }

    fn between(&self, a: NodeIx, b: NodeIx) -> Vec<ConnIx> {
        let of_pair = |ix: &&ConnIx| {
            let conn = &self.conns[ix.0 as usize];
            (conn.site_node, conn.hub_node) == (a, b) || (conn.site_node, conn.hub_node) == (b, a)
        };
        self.open_conns.iter().filter(of_pair).copied().collect()
    }
}
