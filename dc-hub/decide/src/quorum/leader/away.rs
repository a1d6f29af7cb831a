//! While a standby has authority: healing, failback, return; and a standby's host that falls silent itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Leader, Look, Says};
use crate::control::{Command, FailbackPolicy, Person, Return};
use crate::ids::CameraId;
use crate::quorum::retry::Wish;
use crate::quorum::table::{Facts, Line};
use crate::standby::{Life, Stage};

impl Leader {
    pub(super) fn look_away(&mut self, look: &Look<'_>, line: Line, facts: &Facts, says: &mut Says<'_>) {
        if line == Line::Abstain {
            return;
        }
        let (stage, home) = (look.site.life.stage(), look.home_lives());
        if stage != Stage::Failback {
            self.overlaps.remove(look.name);
        }
        match stage {
            Stage::Healing | Stage::Failback if look.home_relapsed() => self.relapse(look, says),
            Stage::Failback => self.give_back(look, says),
            Stage::Healing if look.drill_is_over() && home && facts.stalled.is_empty() => {
                let by = look.site.drill.as_ref().map(|drill| drill.order.by.clone());
                self.fail_back(look, says, by);
            }
            Stage::Healing if self.may_fail_back(look, facts) => self.fail_back(look, says, None),
            Stage::Recording if home && look.site.plan.is_none() => self.heal(look, says),
            _ => {}
        }
        // The standby's own recorder may be lost too. A site that lives and may have its authority back is
        // a better home for it than a third host.
        let going_home = stage == Stage::Failback || (home && look.is_automatic());
        match line {
            Line::Open if !going_home => self.ask(look, facts, says),
            Line::RecorderLost if !going_home => self.activate(look, facts, says),
            _ => {}
        }
    }

    fn heal(&mut self, look: &Look<'_>, says: &mut Says<'_>) {
        let (site, expected) = (look.name.clone(), look.site.epoch);
        says.propose(look.name, Wish::Life, || Command::Heal { site, expected });
    }

    fn relapse(&mut self, look: &Look<'_>, says: &mut Says<'_>) {
        let (site, expected) = (look.name.clone(), look.site.epoch);
        says.propose(look.name, Wish::Life, || Command::Relapse { site, expected });
    }

    fn fail_back(&mut self, look: &Look<'_>, says: &mut Says<'_>, by: Option<Person>) {
        let (site, expected) = (look.name.clone(), look.site.epoch);
        says.propose(look.name, Wish::Life, || Command::Failback { site, expected, by });
    }

    /// Both have passed: long enough away, long enough stable. Nothing is waited for if the standby has
    /// fallen silent itself.
    fn may_fail_back(&self, look: &Look<'_>, facts: &Facts) -> bool {
        let FailbackPolicy::Automatic { active_min, stable_min } = look.site.spec.failback else {
            return false;
        };
        let waited = look.watch.away_for(look.now, look.name) >= active_min
            && look.now.since(look.known.stage_since) >= stable_min
            && facts.stalled.is_empty();
        look.is_automatic() && look.home_lives() && (waited || look.standby_is_lost())
    }

    /// The overlap is there, or there is nobody to overlap with.
    fn give_back(&mut self, look: &Look<'_>, says: &mut Says<'_>) {
        if !look.home_lives() {
            return;
        }
        if look.standby_is_lost() {
            let silent_for = look.holder.silent_for(look.now);
            self.send_home(look, says, None, BTreeMap::new(), silent_for);
            return;
        }
        let index = look.site.giving_back.as_ref().map_or(u64::MAX, |giving| giving.index);
        let told = look.holder.log() >= index && look.holder.is_fresh(look.now, &look.watch.settings.timers);
        if !told {
            return;
        }
        let overlap = self.overlaps.entry(look.name.clone()).or_default();
        overlap.update(&look.known.home, look.holder);
        if overlap.is_enough(&look.site.cameras) {
            let (recorded, keyframes) = (overlap.recorded(), overlap.keyframes());
            self.send_home(look, says, Some(recorded), keyframes, Duration::ZERO);
        }
    }

    fn send_home(
        &self,
        look: &Look<'_>,
        says: &mut Says<'_>,
        standby: Option<BTreeSet<CameraId>>,
        overlap: BTreeMap<CameraId, u64>,
        silent_for: Duration,
    ) {
        let (site, expected) = (look.name.clone(), look.site.epoch);
        says.propose(look.name, Wish::Return, || {
            Command::Return(Return { site, expected, standby, overlap, silent_for })
        });
    }
}

impl Look<'_> {
    /// The site's own recorder beats, and records something if there is something it could have: cameras with
    /// one session are the standby's until it lets them go.
    pub(super) fn home_lives(&self) -> bool {
        let home = &self.known.home;
        let could = self.site.cameras.values().any(|spec| !spec.single_session);
        home.is_fresh(self.now, &self.watch.settings.timers) && (!could || home.recording().next().is_some())
    }

    fn home_relapsed(&self) -> bool {
        self.known.home.silent_for(self.now) >= self.watch.settings.relapse
    }

    /// The recorder of the standby says nothing, for as long as that takes.
    fn standby_is_lost(&self) -> bool {
        self.holder.quiet(self.now, &self.watch.settings.timers).is_some()
    }

    /// May the hub give it back without a person?
    fn is_automatic(&self) -> bool {
        matches!(self.site.spec.failback, FailbackPolicy::Automatic { .. })
            && !self.site.pinned
            && self.site.plan.is_none()
            && !matches!(self.site.life, Life::Home)
    }
}
