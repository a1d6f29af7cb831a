//! Effects that must happen under one authority only: whoever believes to have it sends some now and then, and
//! the gate at the hub's edge lets them through, or not.

use decide::{Epoch, HostId};

use crate::event::Event;
use crate::invariants::Invariant;
use crate::node::{NodeIx, SiteIx};
use crate::reach::State;
use crate::time::{ms, secs};
use crate::world::World;

impl World {
    /// A host acts with authority, if it believes to have it.
    pub fn effect(&mut self, node: NodeIx, site: SiteIx) {
        let life = self.stage.node(node).life;
        let epoch = match self.hub_of(node) {
            Some(hub) => {
                self.hubs[hub.index()].runners.get(site.index()).and_then(|runner| runner.authority())
            }
            None => self.places[site.index()].run.as_ref().filter(|run| run.holds).map(|run| run.epoch),
        };
        if epoch.is_none() && node != site.node() {
            return;
        }
        let wait = self.stage.chance.hub.span(secs(2), secs(8));
        self.stage.after(wait, Event::Effect { node, life, site });
        let Some(epoch) = epoch else { return };
        // It may be under way for long, and the one who sent it may not be who it was.
        let late = self.stage.chance.net.span(ms(5), secs(3));
        self.stage.after(late, Event::EffectArrives { node, site, epoch: Box::new(epoch) });
    }

    /// An effect comes to the gate.
    pub fn effect_arrives(&mut self, node: NodeIx, site: SiteIx, epoch: Epoch) {
        let host = self.names.host(node).clone();
        match self.gates[site.index()].accept(epoch, &host) {
            Ok(()) => self.effect_accepted(site, epoch, &host),
            Err(_) => self.stage.reach.note(State::Fenced),
        }
    }

    /// What an enforcer has let through, it must never go back behind.
    fn effect_accepted(&mut self, site: SiteIx, epoch: Epoch, host: &HostId) {
        let last = &mut self.watched.accepted[site.index()];
        let broken =
            last.as_ref().is_some_and(|(before, by)| epoch < *before || (epoch == *before && by != host));
        if broken {
            let what = format!("{site}: an effect of {host} at epoch {epoch} was let through after {last:?}");
            self.stage.violate(Invariant::Authority, what);
        } else {
            *last = Some((epoch, host.clone()));
        }
    }
}
