//! Liveness of authority: once all faults are over, it is where the policy wants it and nobody is asked.
//!
//! Everything that only forbids is kept by a hub that does nothing; this is what it must do: close every round,
//! give back to sites that are well, and agree.

use decide::standby::Stage as Life;

use crate::world::World;

impl World {
    /// What is not as it should be, once everything had time.
    pub fn unsettled(&self) -> Option<String> {
        let end = self.log.entries.len();
        if let Some(late) = self.hub_ixs().find(|hub| self.hubs[hub.index()].applied != end) {
            let applied = self.hubs[late.index()].applied;
            return Some(format!("h{} has applied {applied} of {end} entries", late.0));
        }
        for (name, site) in self.newest_state().sites() {
            if site.round.is_some() {
                return Some(format!("{name}: a round is open"));
            }
            let stage = site.life.stage();
            let may_stay =
                self.stage.params.manual_failback && matches!(stage, Life::Recording | Life::Healing);
            if stage != Life::Home && !may_stay {
                return Some(format!("{name}: authority is not at home, but {:?}", site.life));
            }
        }
        None
    }
}
