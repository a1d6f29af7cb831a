//! Beats: every half second to every voter, from the host that runs the virtual server.
//!
//! They go over QUIC; when a beat is not acked for a second the next go over TCP as well. After a cut it takes
//! a redial or a retransmission timeout until they flow again, up to the longest redial and a handshake.

use std::sync::Arc;
use std::time::Duration;

use decide::Epoch;
use decide::beat::{Beat, CameraBeat, CameraState, Durable};
use wire::SegmentNumber;

use super::HubIx;
use crate::event::Event;
use crate::node::NodeIx;
use crate::place::PlaceIx;
use crate::time::{ms, secs};
use crate::world::World;

/// A beat on its way.
#[derive(Debug)]
pub struct BeatMessage {
    /// Who beats.
    pub place: PlaceIx,
    /// What it says.
    pub beat: Beat,
}

/// Silence on UDP after which TCP is used too.
const FALLBACK: Duration = secs(1);

impl World {
    /// A place beats, if it runs the virtual server.
    pub fn beat(&mut self, ix: PlaceIx) {
        let life = self.places[ix.index()].run.as_ref().map_or(0, |run| run.life);
        self.stage.after(self.stage.params.beat_every, Event::Beat { place: ix, life });
        let Some(message) = self.next_beat(ix) else { return };
        let from = self.places[ix.index()].node;
        for hub in self.hub_ixs() {
            self.send_beat(from, hub, &message);
        }
    }

    fn next_beat(&mut self, ix: PlaceIx) -> Option<Arc<BeatMessage>> {
        let place = &self.places[ix.index()];
        let (site, home) = (place.site, place.site.node() == place.node);
        let log = match self.hub_of(place.node) {
            None => 0,
            Some(hub) => {
                let runner = self.hubs[hub.index()].runners.get(site.index())?;
                runner.authority().or_else(|| runner.recording().next().map(|_| Epoch::default()))?;
                runner.log()
            }
        };
        let names = &self.names.cameras[site.index()];
        let over = self.stage.now >= self.stopped_at;
        let run = self.places[ix.index()].run.as_mut().filter(|run| run.ready)?;
        run.beats += 1;
        let camera = |(index, camera): (usize, &decide::CameraId)| {
            let stream = run.streams.iter().rev().find(|stream| stream.camera == index && stream.is_wanted);
            let recording = stream.is_some_and(|stream| stream.on.is_some());
            let state = match stream {
                _ if over => CameraState::Idle,
                Some(_) if recording => CameraState::Recording,
                Some(_) => CameraState::Down,
                None if home => CameraState::Down,
                None => CameraState::Idle,
            };
            let durable = stream.and_then(|stream| stream.durable);
            let durable =
                durable.map(|(segment, fragment): (SegmentNumber, u32)| Durable { segment, fragment });
            let keyframes = stream.map_or(0, |stream| stream.keyframes);
            CameraBeat { camera: camera.clone(), state, durable, keyframes }
        };
        let cameras = names.iter().enumerate().map(camera).collect();
        let beat = Beat { origin: run.origin, number: run.beats, epoch: run.epoch, log, cameras };
        Some(Arc::new(BeatMessage { place: ix, beat }))
    }

    fn send_beat(&mut self, from: NodeIx, hub: HubIx, message: &Arc<BeatMessage>) {
        let to = self.hub_node(hub);
        if from == to {
            self.stage.after(Duration::ZERO, Event::BeatArrives { hub, message: message.clone() });
            return;
        }
        let now = self.stage.now;
        let way = self.stage.net.way(from, to);
        let tcp = way.udp_blocks > 0 && now.since(way.stopped) >= FALLBACK;
        if now < way.beats_from || now < self.stage.net.way(to, from).beats_from {
            return;
        }
        for delay in self.stage.net.datagram(from, to, !tcp).into_iter().flatten() {
            self.stage.after(delay, Event::BeatArrives { hub, message: message.clone() });
        }
    }

    /// A beat arrives at a hub node.
    pub fn beat_arrives(&mut self, hub: HubIx, message: &BeatMessage) {
        let place = &self.places[message.place.index()];
        let (site, from) = (place.site, place.node);
        let home = site.node() == from;
        let names = self.names.clone();
        let (name, host) = (&names.sites[site.index()], names.host(from));
        self.with_core(hub, |core, now, _| core.handle_beat(now, name, host, &names.way, &message.beat));
        let now = self.boot(self.hub_node(hub));
        let state = &mut self.hubs[hub.index()];
        if home && let Some(runner) = state.runners.get_mut(site.index()) {
            runner.handle_home_beat(now);
        }
        let Some(known) = state.state.site(name) else { return };
        if known.epoch > message.beat.epoch {
            let (epoch, holds) = (known.epoch, known.holder() == host);
            let there = self.hub_node(hub);
            let life = self.places[message.place.index()].run.as_ref().map_or(0, |run| run.life);
            if let [Some(delay), _] = self.stage.net.datagram(there, from, false) {
                let told = Box::new((epoch, holds));
                self.stage.after(delay, Event::EpochTold { place: message.place, life, told });
            }
        }
    }

    /// A hub node told a place the epoch in force.
    pub fn epoch_told(&mut self, ix: PlaceIx, epoch: Epoch, holds: bool) {
        if let Some(run) = &mut self.places[ix.index()].run
            && epoch > run.epoch
        {
            run.epoch = epoch;
            run.holds = holds;
        }
    }

    /// After a cut, beats flow again when a connection does.
    pub fn beats_flow_again(&mut self, from: NodeIx, to: NodeIx, cut_for: Duration) {
        let redial = if cut_for >= self.stage.params.idle_timeout {
            // First after 250 ms, doubling to 5 s; where in there the cut ended is chance.
            self.stage.chance.net.span(ms(50), secs(5)) + ms(600)
        } else {
            self.stage.chance.net.span(ms(20), cut_for.min(secs(4)).max(ms(20)))
        };
        let way = self.stage.net.way_mut(from, to);
        way.beats_from = self.stage.now + redial;
    }
}
