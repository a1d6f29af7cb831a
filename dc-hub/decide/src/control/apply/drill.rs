//! Drills: begun where all is well, over when their time has passed, ended when all is well again.
//!
//! A drill moves nothing by itself: what a rehearsed failure leads to is decided as for a real one.

use super::{Applied, Event, Refusal, Stamp, State};
use crate::control::command::Person;
use crate::control::drill::{DRILL_MAX, DRILL_MIN, Drill, DrillOrder, DrillsAllowed, LastDrill};
use crate::control::spec::Tier;
use crate::control::state::Site;
use crate::ids::{NodeId, SiteId};
use crate::standby::Life;

impl State {
    /// Could a drill of this site begin now, over a shadow or for real?
    pub fn drillable(&self, name: &SiteId, shadow: bool) -> Result<(), Refusal> {
        let site = self.site_ok(name)?;
        if !site.drills.allows(shadow) {
            return Err(Refusal::DrillForbidden { site: name.clone(), allowed: site.drills });
        }
        if let Some(drill) = &site.drill {
            return Err(Refusal::DrillRunning { site: name.clone(), drill: drill.index });
        }
        if self.frozen.contains(name) {
            return Err(Refusal::Frozen(name.clone()));
        }
        if site.plan.is_some() {
            return Err(Refusal::IsPlanned(name.clone()));
        }
        if site.life != Life::Home {
            return Err(Refusal::NotHome { site: name.clone(), stage: site.life.stage() });
        }
        if site.placement.is_none() || site.spec.tier == Tier::None {
            return Err(Refusal::NoStandby(name.clone()));
        }
        Ok(())
    }

    pub(super) fn allow_drills(&mut self, name: &SiteId, allowed: DrillsAllowed) -> Applied {
        let site = self.site_mut(name)?;
        if std::mem::replace(&mut site.drills, allowed) == allowed {
            return Err(Refusal::AlreadySo);
        }
        Ok(Vec::new())
    }

    pub(super) fn begin_drill(&mut self, at: Stamp, name: &SiteId, order: &DrillOrder) -> Applied {
        self.drillable(name, order.shadow)?;
        if !(DRILL_MIN..=DRILL_MAX).contains(&order.length) {
            return Err(Refusal::DrillLength(order.length));
        }
        let site = self.site_mut(name)?;
        let drill = Drill { index: at.index, order: order.clone(), begun: Some(at), over: false };
        site.drill = Some(Box::new(drill));
        site.drilled.insert(order.kind, LastDrill::begun(at, order));
        Ok(vec![told(name, site)])
    }

    /// The site may come back. A person can end early only what the site can hear of.
    pub(super) fn drill_over(
        &mut self,
        at: Stamp,
        name: &SiteId,
        index: u64,
        by: Option<&Person>,
    ) -> Applied {
        let site = self.site_mut(name)?;
        let drill = site.drill.as_mut().filter(|drill| drill.index == index);
        let drill = drill.ok_or_else(|| Refusal::NoDrill(name.clone()))?;
        if drill.over {
            return Err(Refusal::AlreadySo);
        }
        if by.is_some() && drill.is_cut_off() {
            return Err(Refusal::CantHear(name.clone()));
        }
        drill.over = true;
        let interrupted = drill.is_interrupted_at(at);
        site.note_interruption(index, interrupted);
        Ok(vec![told(name, site)])
    }

    pub(super) fn end_drill(&mut self, at: Stamp, name: &SiteId, index: u64) -> Applied {
        let site = self.site_mut(name)?;
        let ended = site.drill.take_if(|drill| drill.index == index && drill.over);
        let ended = ended.ok_or_else(|| Refusal::NoDrill(name.clone()))?;
        site.note_interruption(index, ended.is_interrupted_at(at));
        Ok(vec![told(name, site)])
    }

    /// Who measured a drill has the last word of it; that nobody told of it counts only until then.
    pub(super) fn drilled(&mut self, name: &SiteId, index: u64, good: bool, node: Option<NodeId>) -> Applied {
        let site = self.site_mut(name)?;
        let last = site.drilled.values_mut().find(|last| last.index == index);
        let last = last.ok_or_else(|| Refusal::NoDrill(name.clone()))?;
        let good = good && !last.interrupted;
        let known = last.good.is_some();
        if known && (node.is_none() || (last.good, last.told_by) == (Some(good), node)) {
            return Err(Refusal::AlreadySo);
        }
        (last.good, last.told_by) = (Some(good), node);
        let begun = last.begun;
        if good {
            site.last_good_drill = site.last_good_drill.max(Some(begun));
        }
        Ok(vec![Event::Drilled { site: name.clone(), good }])
    }
}

impl Site {
    fn note_interruption(&mut self, drill: u64, interrupted: bool) {
        let last = self.drilled.values_mut().find(|last| last.index == drill);
        if let Some(last) = last {
            last.interrupted |= interrupted;
        }
    }
}

fn told(name: &SiteId, site: &Site) -> Event {
    Event::Drill { site: name.clone(), drill: site.drill.clone() }
}
