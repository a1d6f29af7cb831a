//! Drills: their time passes by this node's own clock, and what they took away comes back.
//!
//! A leader that did not begin a drill ends it: something failed for real, and nothing is to be rehearsed beside that. A
//! site that left the network for the drill hears nothing of it, and comes back when its time has passed.

use super::{Leader, Look, Says};
use crate::control::{Command, DrillKind};
use crate::quorum::retry::Wish;
use crate::standby::Life;

impl Leader {
    /// Says that a drill's time is over, or that it would only lose footage, and ends it once its site is at home and heard, or too late for that.
    pub(super) fn keep_drill(&self, look: &Look<'_>, says: &mut Says<'_>) {
        let (Some(drill), Some(known)) = (&look.site.drill, look.known.drill) else { return };
        let (site, index) = (look.name.clone(), drill.index);
        let Some(over) = known.over.filter(|_| drill.over) else {
            let of_another = drill.begun.is_some_and(|begun| begun.term != self.term) && !drill.is_cut_off();
            if of_another || look.now.since(known.since) >= drill.order.length || look.is_drilled_in_vain() {
                says.propose(look.name, Wish::Drill, || Command::DrillOver { site, drill: index, by: None });
            }
            return;
        };
        let settings = &look.watch.settings;
        let limit = if look.home_lives() { settings.drill_return_max } else { settings.drill_grace };
        let home = look.site.life == Life::Home && look.home_lives();
        if home || look.now.since(over) >= limit {
            says.propose(look.name, Wish::Drill, || Command::EndDrill { site, drill: index });
        }
    }
}

impl Look<'_> {
    /// The recorder stands still for real, and no camera answers who should take over: nobody records.
    fn is_drilled_in_vain(&self) -> bool {
        let order = self.site.drill.as_ref().map(|drill| &drill.order);
        let real = order.is_some_and(|order| order.kind == DrillKind::Recorder && !order.shadow);
        real && !self.site.is_away()
            && self.known.home.answers(self.now, &self.watch.settings.timers).is_none()
    }

    /// A drill took authority away, and its time is over: nobody has to wait for what was only rehearsed.
    pub(super) fn drill_is_over(&self) -> bool {
        let over = self.site.drill.as_ref().is_some_and(|drill| drill.over);
        over && !self.site.pinned && self.site.plan.is_none()
    }
}
