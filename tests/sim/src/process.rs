//! Processes start, die, are frozen and go on.

use std::time::Duration;

use wire::proto::GapCause;

use crate::event::Event;
use crate::invariants::acked;
use crate::node::NodeIx;
use crate::place::PlaceIx;
use crate::reach::State;
use crate::time::Time;
use crate::vault::VaultIx;
use crate::world::World;

/// How long a camera keeps a session that nobody reads.
const CAMERA_PATIENCE: Duration = Duration::from_secs(10);

impl World {
    /// A process starts, unless something keeps it down.
    pub fn start_process(&mut self, node: NodeIx) {
        let now = self.stage.now;
        let machine = self.stage.node_mut(node);
        if machine.up || machine.downs > 0 {
            return;
        }
        machine.up = true;
        machine.life += 1;
        machine.ran.push((now, Time::NEVER));
        let name = machine.name.clone();
        self.stage.tell(|| format!("{name} starts"));
        let cameras: Vec<usize> = (0..self.stage.params.cameras).collect();
        for index in 0..self.places.len() {
            if self.places[index].node == node {
                let home = self.places[index].site.node() == node;
                let cameras = if home { cameras.as_slice() } else { &[] };
                self.start_run(PlaceIx(u16::try_from(index).unwrap_or(u16::MAX)), cameras);
            }
        }
        if let Some(hub) = self.hub_of(node) {
            self.start_hub(hub);
        }
        self.disturbed();
        self.look_at_log();
        for index in 0..self.vaults.len() {
            if self.vaults[index].node == node {
                acked::check(&mut self.stage, &self.vaults[index]);
            }
        }
    }

    /// A process dies, with its machine's power or without.
    pub fn stop_process(&mut self, node: NodeIx, power: bool) {
        let now = self.stage.now;
        let machine = self.stage.node_mut(node);
        if !machine.up {
            return;
        }
        let was_paused = std::mem::replace(&mut machine.paused, false);
        machine.up = false;
        machine.deferred.clear();
        if power {
            machine.clock.reboot(now);
        }
        if let Some(ran) = machine.ran.last_mut().filter(|_| !was_paused) {
            ran.1 = now;
        }
        for index in 0..self.places.len() {
            if self.places[index].node == node {
                self.end_run(PlaceIx(u16::try_from(index).unwrap_or(u16::MAX)), power);
            }
        }
        if let Some(hub) = self.hub_of(node) {
            self.stop_hub(hub);
        }
        for index in 0..self.vaults.len() {
            if self.vaults[index].node == node {
                self.end_vault(VaultIx(u8::try_from(index).unwrap_or(u8::MAX)), power);
            }
        }
    }

    /// A process is frozen.
    pub fn pause(&mut self, node: NodeIx) {
        let now = self.stage.now;
        let machine = self.stage.node_mut(node);
        machine.pauses += 1;
        let life = machine.life;
        if machine.up && !machine.paused {
            self.stage.queue.put(now + CAMERA_PATIENCE, Event::CamerasGiveUp { node, life });
            let machine = self.stage.node_mut(node);
            machine.paused = true;
            if let Some(ran) = machine.ran.last_mut() {
                ran.1 = now;
            }
        }
    }

    /// Cameras don't send to a frozen recorder for ever.
    pub fn cameras_give_up(&mut self, node: NodeIx, life: u32) {
        let machine = self.stage.node(node);
        if machine.life != life || !machine.paused {
            return;
        }
        for place in self.places.iter_mut().filter(|place| place.node == node) {
            for stream in place.run.iter_mut().flat_map(|run| &mut run.streams) {
                if let Some(on) = &mut stream.on {
                    self.sites[place.site.index()].cameras[stream.camera].close_session(on.falls);
                    on.falls = u32::MAX; // that session is no more
                }
            }
        }
    }

    /// It goes on: what waited happens now. Cameras have long given up on it.
    pub fn resume(&mut self, node: NodeIx) {
        let now = self.stage.now;
        let machine = self.stage.node_mut(node);
        if !std::mem::replace(&mut machine.paused, false) {
            return;
        }
        let since = machine.ran.last().map_or(now, |ran| ran.1);
        machine.ran.push((now, Time::NEVER));
        for event in std::mem::take(&mut self.stage.node_mut(node).deferred) {
            self.stage.queue.put(now, event);
        }
        for index in 0..self.places.len() {
            if self.places[index].node != node {
                continue;
            }
            let streams = self.places[index].run.as_ref().map_or(0, |run| run.streams.len());
            for stream in 0..streams {
                let ix = PlaceIx(u16::try_from(index).unwrap_or(u16::MAX));
                self.stage.reach.note(State::PausedWhileRecording);
                self.stream_ends(ix, stream, since, GapCause::LostPackets);
            }
        }
    }
}
