//! Faults begin and end.

use std::time::Duration;

use wire::proto::GapCause;

use super::{Fault, Ways, text};
use crate::event::Event;
use crate::node::{NodeIx, SiteIx};
use crate::place::PlaceIx;
use crate::reach::State;
use crate::time::ms;
use crate::world::World;

impl World {
    /// A fault of the schedule begins.
    pub fn fault_begins(&mut self, index: usize) {
        let planned = self.plan[index].clone();
        let sites = self.stage.params.sites;
        self.stage.turn(|| format!("-- {}", text::tell(&planned.fault, sites)));
        let calm_since = self.disturbed_at;
        self.disturbed();
        if planned.fault.lasts() {
            self.active.insert(index);
            self.stage.after(planned.lasts, Event::Heal(index));
        }
        self.begin(&planned.fault);
        if let Fault::Kill(node) | Fault::Power(node) = planned.fault {
            self.note_death(node, calm_since);
        }
        self.look_at_log();
    }

    /// It ends, if it has not ended already.
    pub fn fault_ends(&mut self, index: usize) {
        if !self.active.remove(&index) {
            return;
        }
        let fault = self.plan[index].fault.clone();
        let sites = self.stage.params.sites;
        self.stage.turn(|| format!("-- end of {}", text::tell(&fault, sites)));
        self.disturbed();
        self.end(&fault);
        self.look_at_log();
    }

    fn begin(&mut self, fault: &Fault) {
        match *fault {
            Fault::Cut(a, b, ways) => self.each_way(a, b, ways, |way| way.cuts += 1),
            Fault::UdpBlock(a, b) => self.each_way(a, b, Ways::Both, |way| way.udp_blocks += 1),
            Fault::Clog(a, b, by) => self.each_way(a, b, Ways::Both, |way| way.clog += by),
            Fault::Loss(a, b, permille) => {
                self.each_way(a, b, Ways::Both, |way| way.loss_permille += permille);
            }
            Fault::Kill(node) => {
                self.stage.node_mut(node).downs += 1;
                self.stop_process(node, false);
            }
            Fault::Power(node) => {
                self.stage.node_mut(node).downs += 1;
                self.stop_process(node, true);
            }
            Fault::Pause(node) => self.pause(node),
            Fault::Camera(site, camera) => self.camera_falls(site, camera),
            Fault::Wall(node, by) => {
                let jump = Duration::from_secs(by.unsigned_abs());
                self.stage.node_mut(node).clock.jump(jump, by > 0);
            }
            Fault::Stall(node, by) => self.stage.node_mut(node).disk_stall += by,
            Fault::Snapshot(site) => {
                let place = &mut self.places[site.index()];
                let mut copy = place.archive.clone();
                copy.batch = None;
                place.snapshot = Some(Box::new(copy));
            }
            Fault::Restore(site) => self.restore(site),
            Fault::Dark(site) => self.go_dark(site),
            Fault::Elect => self.elect(true),
            Fault::Replace => self.replace_voter(),
            Fault::Rot(site) => self.rot(site),
        }
    }

    fn end(&mut self, fault: &Fault) {
        match *fault {
            Fault::Cut(a, b, ways) => self.each_way(a, b, ways, |way| way.cuts -= 1),
            Fault::UdpBlock(a, b) => self.each_way(a, b, Ways::Both, |way| way.udp_blocks -= 1),
            Fault::Clog(a, b, by) => self.each_way(a, b, Ways::Both, |way| way.clog -= by),
            Fault::Loss(a, b, permille) => {
                self.each_way(a, b, Ways::Both, |way| way.loss_permille -= permille);
            }
            Fault::Kill(node) | Fault::Power(node) => {
                self.stage.node_mut(node).downs -= 1;
                let wait = self.stage.chance.record.span(ms(100), ms(1_500));
                self.stage.after(wait, Event::Start(node));
            }
            Fault::Pause(node) => {
                let machine = self.stage.node_mut(node);
                machine.pauses -= 1;
                if machine.pauses == 0 {
                    self.resume(node);
                }
            }
            Fault::Camera(site, camera) => self.camera_rises(site, camera),
            Fault::Stall(node, by) => self.stage.node_mut(node).disk_stall -= by,
            Fault::Dark(site) => self.light_again(site),
            Fault::Wall(..)
            | Fault::Snapshot(_)
            | Fault::Restore(_)
            | Fault::Rot(_)
            | Fault::Elect
            | Fault::Replace => {}
        }
    }

    fn each_way(
        &mut self,
        a: NodeIx,
        b: NodeIx,
        ways: Ways,
        change: impl Fn(&mut crate::model::net::Direction),
    ) {
        for (from, to, hit) in [(a, b, ways != Ways::Back), (b, a, ways != Ways::There)] {
            if !hit {
                continue;
            }
            let now = self.stage.now;
            let way = self.stage.net.way_mut(from, to);
            let (before, was_cut) = (way.stops_quic(), way.is_cut());
            change(way);
            let (is_cut, cut_at) = (way.is_cut(), way.cut_at);
            if is_cut && !was_cut {
                way.cut_at = now;
            }
            let stops = way.stops_quic();
            if was_cut && !is_cut {
                self.beats_flow_again(from, to, now.since(cut_at));
            }
            match (before, stops) {
                (false, true) => self.stage.stopped(from, to),
                (true, false) => self.stage.flows_again(from, to),
                _ => {}
            }
        }
    }

    fn camera_falls(&mut self, site: SiteIx, camera: usize) {
        self.sites[site.index()].downs[camera] += 1;
        self.sites[site.index()].cameras[camera].fall(self.stage.now);
        for index in 0..self.places.len() {
            let place = &self.places[index];
            let run =
                place.run.as_ref().filter(|_| place.site == site && !self.stage.node(place.node).paused);
            let stream = run.and_then(|run| run.streams.iter().position(|stream| stream.camera == camera));
            if let Some(stream) = stream {
                let ix = PlaceIx(u16::try_from(index).unwrap_or(u16::MAX));
                let now = self.stage.now;
                self.stream_ends(ix, stream, now, GapCause::CameraDown);
            }
        }
    }

    fn camera_rises(&mut self, site: SiteIx, camera: usize) {
        let downs = &mut self.sites[site.index()].downs[camera];
        *downs -= 1;
        if *downs == 0 {
            self.sites[site.index()].cameras[camera].rise(self.stage.now);
        }
    }

    fn go_dark(&mut self, site: SiteIx) {
        for camera in 0..self.stage.params.cameras {
            self.camera_falls(site, camera);
        }
        for hub in self.hub_ixs() {
            self.begin(&Fault::Cut(site.node(), self.hub_node(hub), Ways::Both));
        }
        self.begin(&Fault::Power(site.node()));
    }

    fn light_again(&mut self, site: SiteIx) {
        for camera in 0..self.stage.params.cameras {
            self.camera_rises(site, camera);
        }
        for hub in self.hub_ixs() {
            self.end(&Fault::Cut(site.node(), self.hub_node(hub), Ways::Both));
        }
        self.end(&Fault::Power(site.node()));
    }

    fn restore(&mut self, site: SiteIx) {
        let home = site.index();
        if self.places[home].snapshot.is_none() {
            return;
        }
        self.stop_process(site.node(), true);
        let place = &mut self.places[home];
        if let Some(copy) = &place.snapshot {
            place.archive = (**copy).clone();
        }
        place.restores += 1;
        let state = if place.restores == 1 { State::RestoredOnce } else { State::RestoredTwice };
        self.stage.reach.note(state);
        for truth in self.stage.oracle.ledgers.iter_mut().filter(|truth| truth.site == site) {
            truth.rolled_back = true;
        }
        self.stage.node_mut(site.node()).ran.clear();
        self.stage.after(ms(800), Event::Start(site.node()));
    }

    fn rot(&mut self, site: SiteIx) {
        let vault = &mut self.vaults[site.index()];
        let which = self.stage.chance.hub.below(vault.store.tails.len());
        let Some(parts) = vault.store.tails.values_mut().nth(which) else { return };
        if let Some(part) = parts.values_mut().next() {
            let mut bytes = part.to_vec();
            bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1);
            *part = bytes.into();
        }
    }
}
