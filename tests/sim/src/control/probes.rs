//! What a candidate host sees of a site's cameras: an asking every half second, each with a deadline.

use std::sync::Arc;

use decide::evidence::{Answer, Answers};

use super::HubIx;
use crate::event::Event;
use crate::node::SiteIx;
use crate::world::World;

impl World {
    /// Does this host watch the site's cameras: because it stands by for it, would, or is the next who would?
    fn watches(&self, hub: HubIx, site: SiteIx) -> bool {
        let host = &self.names.hosts[hub.index()];
        self.hubs[hub.index()].state.watches(&self.names.sites[site.index()], host)
    }

    /// Begins to ask, if it is to and does not.
    pub fn probe_if_watching(&mut self, hub: HubIx, site: SiteIx) {
        let probing = self.hubs[hub.index()].probing.get(site.index()).copied().unwrap_or(true);
        if !probing && self.watches(hub, site) {
            self.hubs[hub.index()].probing[site.index()] = true;
            let wait = self.stage.chance.hub.span(std::time::Duration::ZERO, self.stage.params.probe_every);
            self.probe(hub, site, wait);
        }
    }

    /// Asks all cameras of a site, after a while.
    fn probe(&mut self, hub: HubIx, site: SiteIx, wait: std::time::Duration) {
        let (node, there, every) = (self.hub_node(hub), site.node(), self.stage.params.probe_every);
        let life = self.stage.node(node).life;
        let round_trip = self.stage.net.delay(node, there) + self.stage.net.delay(there, node);
        let reached = self.stage.net.flows(node, there) && round_trip < every;
        let takes = if reached { round_trip } else { every };
        self.stage.after(wait + takes, Event::ProbeDone { hub, life, site, reached });
    }

    /// The answers are in, or the deadline has passed: every voter is told.
    pub fn probe_done(&mut self, hub: HubIx, site: SiteIx, reached: bool) {
        let node = self.hub_node(hub);
        let now = self.boot(node);
        let reached = reached && self.stage.net.flows(node, site.node());
        let cameras = &self.sites[site.index()].cameras;
        let prober = &mut self.hubs[hub.index()].probers[site.index()];
        for (camera, name) in cameras.iter().zip(self.names.cameras[site.index()].iter()) {
            let free = camera.sessions < camera.sessions_max;
            let answer = (reached && camera.up).then_some(if free { Answer::Free } else { Answer::Busy });
            prober.handle_answer(now, name, answer);
        }
        let report = Arc::new(prober.report(now));
        for other in self.hub_ixs() {
            if other == hub {
                self.answers_arrive(hub, &report);
                continue;
            }
            let to = self.hub_node(other);
            if let [Some(delay), _] = self.stage.net.datagram(node, to, false) {
                self.stage.after(delay, Event::AnswersArrive { hub: other, answers: report.clone() });
            }
        }
        self.next_camera(hub, site);
        if self.watches(hub, site) {
            let every = self.stage.params.probe_every;
            let round_trip = 2 * self.stage.net.way(node, site.node()).delay;
            self.probe(hub, site, every.saturating_sub(if reached { round_trip } else { every }));
        } else {
            self.hubs[hub.index()].probing[site.index()] = false;
        }
    }

    /// A voter hears what a candidate host sees.
    pub fn answers_arrive(&mut self, hub: HubIx, answers: &Answers) {
        self.with_core(hub, |core, now, _| core.handle_answers(now, answers));
    }
}
