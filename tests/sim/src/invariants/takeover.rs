//! 2, the other half: a site that is silent with answering cameras *is* activated.
//!
//! A hub that never activates breaks no rule about authority, and is useless. So where nothing stands in the
//! way — the agent was killed or lost power, no other fault was there for a while before and none came since,
//! a leader leads, the candidate host sees a camera answer — the take-over has to come within 10 s, and in 99
//! of 100 cases within 5 s (which is counted over all runs, [`crate::run::Summary`]).

use std::time::Duration;

use decide::standby::Stage as Life;

use crate::event::Event;
use crate::invariants::Invariant;
use crate::node::{NodeIx, SiteIx};
use crate::time::{Time, secs};
use crate::world::World;

/// All take-overs.
pub const ALL_WITHIN: Duration = secs(10);
/// 99 of 100.
pub const MOST_WITHIN: Duration = secs(5);
/// Nothing was wrong for so long before.
const CALM_BEFORE: Duration = secs(45);

impl World {
    /// A fault begins or ends, or a process starts: what follows is not a plain death any more.
    pub fn disturbed(&mut self) {
        self.watched.deaths.clear();
        self.disturbed_at = self.stage.now;
    }

    /// A machine's process has just died. Is it to be taken over?
    pub fn note_death(&mut self, node: NodeIx, calm_since: Time) {
        if node.index() >= self.sites.len() || self.active.len() != 1 || !self.stage.params.clean_beats {
            return;
        }
        let site = SiteIx(node.0);
        let name = self.names.sites[site.index()].clone();
        let calm =
            self.stage.now.since(calm_since) >= CALM_BEFORE && self.stage.now > Time::ZERO + CALM_BEFORE;
        let ran_long = self.stage.node(node).ran.last().is_some_and(|ran| ran.1.since(ran.0) >= CALM_BEFORE);
        let state = self.newest_state();
        let Some(known) = state.site(&name) else { return };
        let at_home = known.life.stage() == Life::Home && known.plan.is_none() && state.frozen().is_empty();
        let placed = known.placement.is_some();
        let camera = self.sites[site.index()].cameras.iter().any(|camera| camera.up);
        let led = self.log.leader.is_some_and(|leader| self.leads(leader));
        if calm && ran_long && at_home && placed && camera && led {
            self.watched.deaths.insert(name, self.stage.now);
            self.stage.after(ALL_WITHIN, Event::TakeoverDue { site, died: self.stage.now });
        }
    }

    /// By now the site has to be taken over.
    pub fn takeover_due(&mut self, site: SiteIx, died: Time) {
        let name = &self.names.sites[site.index()];
        if self.watched.deaths.get(name) == Some(&died) {
            let what = format!("{name}: its recorder died at {died}, and nobody has taken over");
            self.stage.violate(Invariant::Takeover, what);
        }
    }
}
