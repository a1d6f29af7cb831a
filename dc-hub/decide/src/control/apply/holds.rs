//! Holds: placed and lifted by people, confirmed by sites, ended by themselves.
//!
//! A revoked site's footage can be held and let go like any other's: it is at the hub. Nobody confirms there.

use std::sync::Arc;

use super::{Applied, Event, Refusal, Stamp, State};
use crate::control::command::Person;
use crate::control::event::HoldChange;
use crate::control::hold::{Hold, HoldId, HoldOrder, Released};
use crate::control::state::Site;
use crate::ids::SiteId;
use wire::holds::{Digest, HOLDS_MAX};

impl State {
    pub(super) fn place_hold(&mut self, at: Stamp, name: &SiteId, order: &HoldOrder) -> Applied {
        let site = self.any_site(name)?;
        order.check(name).map_err(Refusal::BadHold)?;
        let in_force = || site.holds.iter().filter(|(_, hold)| hold.is_in_force());
        if let Some((id, _)) = in_force().find(|(_, hold)| hold.order.is_same(order)) {
            return Err(Refusal::HeldAlready { site: name.clone(), hold: *id });
        }
        if in_force().count() >= HOLDS_MAX {
            return Err(Refusal::TooManyHolds(name.clone()));
        }
        let site = self.any_site_mut(name)?;
        let hold = Hold { order: order.clone(), placed: at.time, confirmed: None, released: None };
        site.holds.insert(HoldId(at.index), hold);
        site.holds_revision = at.index;
        Ok(vec![changed(name, HoldId(at.index), HoldChange::Placed { by: order.by.clone() })])
    }

    pub(super) fn release_hold(&mut self, at: Stamp, name: &SiteId, id: HoldId, by: &Person) -> Applied {
        let site = self.any_site_mut(name)?;
        let hold = site.holds.get_mut(&id).filter(|hold| hold.is_in_force());
        let hold = hold.ok_or_else(|| Refusal::NoHold { site: name.clone(), hold: id })?;
        hold.released = Some(Released { by: by.clone(), at: at.time });
        if site.revoked {
            site.holds.remove(&id);
        }
        forget_oldest_released(site);
        site.holds_revision = at.index;
        Ok(vec![changed(name, id, HoldChange::Released { by: by.clone() })])
    }

    /// The site keeps what the log says, all of it and no more.
    pub(super) fn holds_kept(&mut self, at: Stamp, name: &SiteId, digest: Digest) -> Applied {
        let site = self.any_site(name)?;
        if self.holds_digest(site) != digest {
            return Err(Refusal::OtherHolds(name.clone()));
        }
        if !site.awaits_holds() {
            return Err(Refusal::AlreadySo);
        }
        let site = self.any_site_mut(name)?;
        site.holds.retain(|_, hold| hold.is_in_force());
        for hold in site.holds.values_mut() {
            hold.confirmed = hold.confirmed.or(Some(at.time));
        }
        Ok(vec![Event::HoldsKept { site: name.clone() }])
    }

    /// Its end has passed by the clock of the node that says so, which had no doubt, and by the leader's.
    pub(super) fn hold_over(&mut self, at: Stamp, name: &SiteId, id: HoldId) -> Applied {
        let site = self.any_site_mut(name)?;
        let Some(hold) = site.holds.get(&id).filter(|hold| hold.is_in_force()) else {
            return Err(Refusal::NoHold { site: name.clone(), hold: id });
        };
        if at.time < hold.order.until {
            return Err(Refusal::HoldGoesOn { site: name.clone(), hold: id });
        }
        site.holds.remove(&id);
        site.holds_revision = at.index;
        Ok(vec![changed(name, id, HoldChange::Over)])
    }

    /// The site, also if it is revoked.
    fn any_site(&self, site: &SiteId) -> Result<&Site, Refusal> {
        self.sites.get(site).map(Arc::as_ref).ok_or_else(|| Refusal::NoSite(site.clone()))
    }

    fn any_site_mut(&mut self, site: &SiteId) -> Result<&mut Site, Refusal> {
        self.sites.get_mut(site).map(Arc::make_mut).ok_or_else(|| Refusal::NoSite(site.clone()))
    }
}

/// Lifted holds wait for the site to confirm, but no more of them than there may be in force.
fn forget_oldest_released(site: &mut Site) {
    let released = || site.holds.iter().filter(|(_, hold)| !hold.is_in_force()).map(|(id, _)| *id);
    if released().count() > HOLDS_MAX
        && let Some(oldest) = released().next()
    {
        site.holds.remove(&oldest);
    }
}

fn changed(site: &SiteId, hold: HoldId, change: HoldChange) -> Event {
    Event::Hold { site: site.clone(), hold, change }
}
