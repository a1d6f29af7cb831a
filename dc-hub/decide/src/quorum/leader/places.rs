//! Every site has its place, or it is known why not.

use super::{Leader, Look, Says};
use crate::control::{Command, Site, State};
use crate::ids::HostId;
use crate::quorum::retry::Wish;
use crate::standby::admission::{need, rooms, sum, wants};
use crate::standby::{SiteNeed, place};

impl Leader {
    /// Gives up a place that is no good any more: the host may not, or reports nothing. If the recorder is silent
    /// too, who asks the cameras already gets it at once.
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
        let settings = &look.watch.settings;
        let in_doubt = look.holder.silent_for(look.now) >= settings.timers.short_min;
        let limit = if in_doubt { settings.host_mute_in_doubt } else { settings.host_mute };
        let mute = look.watch.is_mute(look.now, host, since, limit);
        if mute {
            self.mute.insert(host.clone(), look.now);
        }
        if mute || look.state.unsuitable(look.name, host).is_some() {
            let (site, host) = (look.name.clone(), self.reserve(look));
            says.propose(look.name, Wish::Place, || Command::Place { site, host });
        }
    }

    /// The reserve, if it is well and has room.
    fn reserve(&self, look: &Look<'_>) -> Option<HostId> {
        let reserve = look.state.reserve(look.name)?;
        let reports = look.watch.reports.get(reserve);
        let well = reports.is_some_and(|at| look.now.since(*at) < look.watch.settings.host_mute_in_doubt);
        (well && look.state.eligible(look.name, reserve).is_ok()).then(|| reserve.clone())
    }

    /// Finds places for sites that have none, or whose host has become too small, the highest priority first:
    /// where there is not room for all, lower ones give theirs up. What stands by already stays.
    pub(super) fn give_places(&mut self, state: &State, says: &mut Says<'_>) {
        let now = says.now;
        let again = says.watch.settings.host_again;
        let reports = &says.watch.reports;
        self.mute
            .retain(|host, at| now.since(*at) < again && reports.get(host).is_none_or(|report| report < at));
        let wanting = state.sites().iter().filter(|(_, site)| wants(site));
        if wanting.clone().all(|(_, site)| site.placement.is_some()) && !overfull(state) {
            return;
        }
        let hosts = rooms(state, |host| self.mute.contains_key(host));
        let needs: Vec<SiteNeed> =
            wanting.map(|(name, site)| need(state, (name, site), site.holder(), &hosts)).collect();
        let plan = place(&needs, &hosts);
        for need in needs {
            let host = plan.placed.get(&need.site).cloned();
            if host != need.now {
                let site = need.site.clone();
                says.propose(&need.site, Wish::Place, || Command::Place { site, host });
            }
        }
    }
}

/// Has any host less room than was reserved on it? A site's cameras, or a host's capacity, may change.
fn overfull(state: &State) -> bool {
    let reserved = sum(state, Site::candidate);
    let at_work = sum(state, |site| site.life.authority());
    reserved.into_iter().any(|(host, load)| {
        let taken = load + at_work.get(host).copied().unwrap_or_default();
        state.hosts().get(host).is_none_or(|host| !taken.fits(host.spec.room()))
    })
}
