//! What a host does for a site, as its runner says: the standby is a place like the site's own, with the same
//! recorder, archive and uplink.

use decide::standby::Act;
use wire::proto::GapCause;

use super::HubIx;
use crate::event::Event;
use crate::node::SiteIx;
use crate::place::archive::Archive;
use crate::place::{Place, PlaceIx};
use crate::reach::State;
use crate::time::ms;
use crate::world::World;

impl World {
    /// The log went on: what does it ask of this host?
    pub fn follow_log(&mut self, hub: HubIx) {
        for site in self.site_ixs() {
            let state = &mut self.hubs[hub.index()];
            if state.core.is_none() {
                return;
            }
            let acts = state.runners[site.index()].handle_state(&state.state);
            for act in acts {
                self.act(hub, site, act);
            }
            self.probe_if_watching(hub, site);
            self.next_camera(hub, site);
        }
    }

    /// The runner's next step, if it may do one now.
    pub fn next_camera(&mut self, hub: HubIx, site: SiteIx) {
        let node = self.hub_node(hub);
        let now = self.boot(node);
        let state = &mut self.hubs[hub.index()];
        if state.core.is_none() {
            return;
        }
        let answering = state.probers[site.index()].answering();
        let Some(act) = state.runners[site.index()].next(now, answering) else { return };
        self.act(hub, site, act);
        let life = self.stage.node(node).life;
        self.stage.after(ms(51), Event::Step { hub, life, site });
    }

    fn act(&mut self, hub: HubIx, site: SiteIx, act: Act) {
        match &act {
            Act::Record { camera, .. } => self.stage.turn(|| format!("h{} records {camera}", hub.0)),
            Act::Stop { camera, .. } => self.stage.turn(|| format!("h{} lets go of {camera}", hub.0)),
            _ => self.stage.tell(|| format!("h{} for {site}: {act:?}", hub.0)),
        }
        match act {
            Act::Prepare(_) => {}
            Act::Record { camera, .. } => {
                let camera = self.names.camera(site, &camera);
                let ix = self.standby_place(hub, site);
                self.begin_camera(ix, camera);
            }
            Act::Stop { camera, .. } => {
                let camera = self.names.camera(site, &camera);
                let node = self.hub_node(hub);
                if let Some(ix) = self.place_at(node, site) {
                    self.end_camera(ix, camera);
                }
            }
            Act::Authority(epoch) => {
                self.stage.reach.note_if(epoch.is_some(), State::StandbyActivated);
                let node = self.hub_node(hub);
                if epoch.is_some() {
                    self.standby_place(hub, site); // it beats, whatever it can record
                    let life = self.stage.node(node).life;
                    let wait = self.stage.chance.hub.span(ms(100), ms(2_000));
                    self.stage.after(wait, Event::Effect { node, life, site });
                }
            }
        }
    }

    /// The place of a site on a machine, if there is one.
    pub fn place_at(&self, node: crate::node::NodeIx, site: SiteIx) -> Option<PlaceIx> {
        let found = self.places.iter().position(|place| place.node == node && place.site == site)?;
        Some(PlaceIx(u16::try_from(found).unwrap_or(u16::MAX)))
    }

    fn standby_place(&mut self, hub: HubIx, site: SiteIx) -> PlaceIx {
        let node = self.hub_node(hub);
        if let Some(ix) = self.place_at(node, site) {
            return ix;
        }
        let archive = Archive::default();
        self.places.push(Place { site, node, archive, snapshot: None, restores: 0, run: None });
        let ix = PlaceIx(u16::try_from(self.places.len() - 1).unwrap_or(u16::MAX));
        self.start_run(ix, &[]);
        ix
    }

    /// A standby begins to record a camera: a new origin, if it recorded none before.
    fn begin_camera(&mut self, ix: PlaceIx, camera: usize) {
        let Some(run) = &mut self.places[ix.index()].run else { return };
        if run.streams.iter().all(|stream| !stream.is_wanted) && !run.streams.is_empty() {
            run.origin = wire::OriginId(self.stage.chance.record.id());
        }
        let stream = self.open_stream(ix, camera);
        let Some(run) = &mut self.places[ix.index()].run else { return };
        run.streams[stream].is_wanted = true;
        if run.ready {
            let life = run.life;
            self.stage.after(
                ms(0),
                Event::Connect { place: ix, life, stream: crate::place::recorder::short(stream) },
            );
        }
    }

    fn end_camera(&mut self, ix: PlaceIx, camera: usize) {
        let now = self.stage.now;
        let Some(run) = &mut self.places[ix.index()].run else { return };
        for index in 0..run.streams.len() {
            let Some(run) = &mut self.places[ix.index()].run else { return };
            if run.streams[index].camera == camera && std::mem::take(&mut run.streams[index].is_wanted) {
                self.stream_ends(ix, index, now, GapCause::HandOver);
            }
        }
    }
}
