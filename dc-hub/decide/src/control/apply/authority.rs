//! Moves of authority, and the way home.

use std::collections::BTreeSet;

use super::{Applied, Call, Closed, Event, Refusal, Stamp, State, close, go};
use crate::beat::Bye;
use crate::control::OVERLAP_KEYFRAMES;
use crate::control::command::{Person, Plan, Return, TakeOverGround};
use crate::control::spec::FailbackPolicy;
use crate::control::state::GivingBack;
use crate::control::why::{Ground, Why};
use crate::epoch::Epoch;
use crate::ids::{CameraId, HostId, SiteId};
use crate::standby::{Life, Mode};

impl State {
    /// Epoch + 1, and `host` has it. The only place where authority leaves for a standby.
    pub(super) fn move_authority(
        &mut self,
        at: Stamp,
        name: &SiteId,
        host: &HostId,
        ground: Ground,
    ) -> Applied {
        let site = self.site_mut(name)?;
        let (before, after) = (site.epoch, site.epoch.next());
        let standby = Life::Standby { epoch: after, host: host.clone(), mode: Mode::Recording };
        let mut events = vec![go(name, site, standby)?];
        events.extend(close(name, site, Closed::Moved));
        let why = Box::new(Why { index: at.index, term: at.term, stamped: at.time, before, after, ground });
        site.epoch = after;
        site.hosted.insert(host.clone());
        site.assisted.clear();
        site.giving_back = None;
        site.why = Some(why.clone());
        if site.placement.as_ref() == Some(host) {
            // Its place is taken by what stands there now; the next one is found by whoever leads.
            site.placement = None;
        }
        events.push(Event::Authority { site: name.clone(), epoch: after, host: host.clone(), why });
        Ok(events)
    }

    pub(super) fn take_over(
        &mut self,
        at: Stamp,
        name: &SiteId,
        expected: Epoch,
        host: &HostId,
        ground: &TakeOverGround,
    ) -> Applied {
        let site = self.site_ok(name)?;
        self.expect_epoch(site, expected)?;
        let (ground, pinned) = match (ground, &site.plan) {
            (TakeOverGround::Planned, Some(plan)) if !site.is_away() && allows_take_over(plan) => {
                (Ground::Planned(plan.clone()), false)
            }
            (TakeOverGround::Planned, _) => return Err(Refusal::NotPlanned(name.clone())),
            (TakeOverGround::Person { by, reason }, _) => {
                (Ground::Person { by: by.clone(), reason: reason.clone() }, true)
            }
        };
        self.eligible_anew(name, host)?;
        let events = self.move_authority(at, name, host, ground)?;
        self.site_mut(name)?.pinned = pinned;
        Ok(events)
    }

    pub(super) fn heal(&mut self, name: &SiteId, expected: Epoch) -> Applied {
        self.expect_epoch(self.site_ok(name)?, expected)?;
        let site = self.site_mut(name)?;
        let Life::Standby { epoch, host, mode: Mode::Recording } = site.life.clone() else {
            return Err(Refusal::AlreadySo);
        };
        Ok(vec![go(name, site, Life::Healing { epoch, host })?])
    }

    pub(super) fn relapse(&mut self, name: &SiteId, expected: Epoch) -> Applied {
        self.expect_epoch(self.site_ok(name)?, expected)?;
        let site = self.site_mut(name)?;
        let (Life::Healing { epoch, host } | Life::Failback { epoch, host }) = site.life.clone() else {
            return Err(Refusal::AlreadySo);
        };
        site.giving_back = None;
        Ok(vec![go(name, site, Life::Standby { epoch, host, mode: Mode::Recording })?])
    }

    pub(super) fn failback(
        &mut self,
        at: Stamp,
        name: &SiteId,
        expected: Epoch,
        by: Option<&Person>,
    ) -> Applied {
        self.expect_epoch(self.site_ok(name)?, expected)?;
        let site = self.site_mut(name)?;
        let automatic = matches!(site.spec.failback, FailbackPolicy::Automatic { .. }) && !site.pinned;
        if by.is_none() && !automatic {
            return Err(Refusal::NotAutomatic(name.clone()));
        }
        let Some(host) = site.life.authority().cloned() else { return Err(Refusal::AlreadySo) };
        let events = vec![go(name, site, Life::Failback { epoch: site.epoch, host })?];
        site.giving_back = Some(GivingBack { index: at.index, by: by.cloned() });
        Ok(events)
    }

    /// Make before break: the epoch goes home only once every camera the standby records now has its overlap
    /// at the site. A standby that says nothing any more can't be overlapped with.
    pub(super) fn give_back(&mut self, at: Stamp, back: &Return) -> Applied {
        let name = &back.site;
        let site = self.site_ok(name)?;
        self.expect_epoch(site, back.expected)?;
        for camera in back.standby.iter().flatten() {
            let keyframes = back.overlap.get(camera).copied().unwrap_or(0);
            let one_at_a_time = site.cameras.get(camera).is_some_and(|camera| camera.single_session);
            if keyframes < OVERLAP_KEYFRAMES && !one_at_a_time {
                return Err(Refusal::NoOverlap { camera: camera.clone(), keyframes });
            }
        }
        let site = self.site_mut(name)?;
        let Some(from) = site.life.authority().cloned() else { return Err(Refusal::AlreadySo) };
        let mut events = vec![go(name, site, Life::Home)?];
        events.extend(close(name, site, Closed::Moved));
        let (before, after) = (site.epoch, site.epoch.next());
        let ground =
            Ground::Healed { from: from.clone(), by: site.giving_back.take().and_then(|giving| giving.by) };
        let why = Box::new(Why { index: at.index, term: at.term, stamped: at.time, before, after, ground });
        site.epoch = after;
        site.pinned = false;
        site.why = Some(why.clone());
        let (host, elsewhere) = (site.spec.home.clone(), site.placement.as_ref() != Some(&from));
        events.push(Event::Authority { site: name.clone(), epoch: after, host, why });
        // Whoever stood by well goes on standing by, if nothing speaks against it: it has the footage, and a hot one
        // records already, where another would only begin.
        if elsewhere && back.standby.is_some() && self.eligible(name, &from).is_ok() {
            events.extend(self.place(name, Some(&from))?);
        }
        Ok(events)
    }

    pub(super) fn assist(&mut self, name: &SiteId, cameras: &BTreeSet<CameraId>) -> Applied {
        let site = self.site_mut(name)?;
        let cameras: BTreeSet<_> =
            cameras.iter().filter(|camera| site.cameras.contains_key(camera)).cloned().collect();
        if site.is_away() || site.assisted == cameras {
            return Err(Refusal::AlreadySo);
        }
        site.assisted.clone_from(&cameras);
        Ok(vec![Event::Assisting { site: name.clone(), cameras }])
    }

    pub(super) fn freeze(&mut self, sites: &BTreeSet<SiteId>, of: usize) -> Applied {
        let new: BTreeSet<SiteId> =
            sites.iter().filter(|site| self.sites.contains_key(site)).cloned().collect();
        if new.is_subset(&self.frozen) {
            return Err(Refusal::AlreadySo);
        }
        self.frozen.extend(new);
        Ok(vec![Event::CallPerson(Call::ManyDark { sites: self.frozen.clone(), of })])
    }

    pub(super) fn thaw(&mut self, sites: &BTreeSet<SiteId>) -> Applied {
        let before = self.frozen.len();
        self.frozen.retain(|site| !sites.contains(site));
        if self.frozen.len() == before { Err(Refusal::AlreadySo) } else { Ok(Vec::new()) }
    }
}

/// May a standby take over on this alone? A restart only waits.
fn allows_take_over(plan: &Plan) -> bool {
    match plan {
        Plan::Maintenance { .. } => true,
        Plan::Bye { bye, .. } => *bye == Bye::Shutdown,
    }
}
