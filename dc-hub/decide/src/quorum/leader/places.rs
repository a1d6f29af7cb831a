//! Every site has its place, or it is known why not.

use std::collections::BTreeMap;

use super::{Leader, Look, Says};
use crate::control::{Command, Host, Ineligible, Load, Site, State, Tier};
use crate::ids::{HostId, SiteId};
use crate::quorum::retry::Wish;
use crate::standby::{HostRoom, SiteNeed, place};

impl Leader {
    /// Gives up a place that is no good any more: the host may not, or reports nothing.
    pub(super) fn keep_place(&mut self, look: &Look<'_>, says: &mut Says<'_>) {
        let Some(host) = look.site.candidate() else {
            self.placed.remove(look.name);
            return;
        };
        let since = match self.placed.get(look.name) {
            Some((known, since)) if known == host => *since,
            _ => {
                self.placed.insert(look.name.clone(), (host.clone(), look.now));
                look.now
            }
        };
        let mute = look.watch.is_mute(look.now, host, since);
        if mute {
            self.mute.insert(host.clone(), look.now);
        }
        if mute || look.state.unsuitable(look.name, host).is_some() {
            let site = look.name.clone();
            says.propose(look.name, Wish::Place, || Command::Place { site, host: None });
        }
    }

    /// Finds places for sites that have none, or whose host has become too small, the highest priority first:
    /// where there is not room for all, lower ones give theirs up. What stands by already stays.
    pub(super) fn give_places(&mut self, state: &State, says: &mut Says<'_>) {
        let now = says.now;
        let again = says.watch.settings.host_again;
        let reports = &says.watch.reports;
        self.mute
            .retain(|host, at| now.since(*at) < again && reports.get(host).is_none_or(|report| report < at));
        let wanting = |site: &&Site| !site.revoked && site.spec.tier != Tier::None;
        let all_placed = state.sites().values().filter(wanting).all(|site| site.placement.is_some());
        if all_placed && !overfull(state) {
            return;
        }
        let hosts = self.rooms(state);
        let needs: Vec<SiteNeed> = state
            .sites()
            .iter()
            .filter(|(_, site)| wanting(site))
            .map(|(name, site)| need(state, name, site, &hosts))
            .collect();
        let plan = place(&needs, &hosts);
        for need in needs {
            let host = plan.placed.get(&need.site).cloned();
            if host != need.now {
                let site = need.site.clone();
                says.propose(&need.site, Wish::Place, || Command::Place { site, host });
            }
        }
    }

    /// What each host that may get something has left beside the standbys that are at work.
    fn rooms(&self, state: &State) -> BTreeMap<HostId, HostRoom> {
        let at_work = sum(state, |site| site.life.authority());
        let usable = |(name, host): &(&HostId, &Host)| !host.revoked && !self.mute.contains_key(*name);
        let room = |(name, host): (&HostId, &Host)| {
            let taken = at_work.get(name).copied().unwrap_or_default();
            let room = HostRoom { room: host.spec.capacity.less(taken), domain: host.spec.domain.clone() };
            (name.clone(), room)
        };
        state.hosts().iter().filter(usable).map(room).collect()
    }
}

/// Has any host less room than was reserved on it? A site's cameras, or a host's capacity, may change.
fn overfull(state: &State) -> bool {
    let reserved = sum(state, Site::candidate);
    let at_work = sum(state, |site| site.life.authority());
    reserved.into_iter().any(|(host, load)| {
        let taken = load + at_work.get(host).copied().unwrap_or_default();
        state.hosts().get(host).is_none_or(|host| !taken.fits(host.spec.capacity))
    })
}

/// What all sites cost the host that `of` says, host by host.
fn sum<'a>(state: &'a State, of: impl Fn(&'a Site) -> Option<&'a HostId>) -> BTreeMap<&'a HostId, Load> {
    let mut loads: BTreeMap<&HostId, Load> = BTreeMap::new();
    for site in state.sites().values() {
        if let Some(host) = of(site) {
            *loads.entry(host).or_default() += site.load();
        }
    }
    loads
}

fn need(state: &State, name: &SiteId, site: &Site, hosts: &BTreeMap<HostId, HostRoom>) -> SiteNeed {
    let never = hosts.keys().filter_map(|host| {
        let holder = (site.holder() == host).then_some(Ineligible::Holder);
        Some((host.clone(), holder.or_else(|| state.unsuitable(name, host))?))
    });
    SiteNeed {
        site: name.clone(),
        priority: site.spec.priority,
        load: site.load(),
        prefer: site.spec.prefer.clone(),
        now: site.placement.clone(),
        apart_from: state.hosts().get(site.holder()).map(|host| host.spec.domain.clone()),
        never: never.collect(),
    }
}
