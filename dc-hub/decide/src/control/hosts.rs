//! The machines that can run virtual servers, and which of them look at which site's cameras.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::spec::{HostKind, HostSpec};
use super::state::{Site, State};
use crate::ids::{HostId, SiteId};

/// A host, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// What it is and can do.
    pub spec: HostSpec,
    /// Trusted no more.
    pub revoked: bool,
}

/// Every host. Hub nodes are few among the machines of many sites, so they are found without a search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<HostId, Host>", into = "BTreeMap<HostId, Host>")]
pub(super) struct Hosts {
    all: BTreeMap<HostId, Host>,
    nodes: Vec<HostId>,
}

impl From<BTreeMap<HostId, Host>> for Hosts {
    fn from(all: BTreeMap<HostId, Host>) -> Self {
        let mut hosts = Self::default();
        all.into_iter().for_each(|(id, host)| hosts.insert(id, host));
        hosts
    }
}

impl From<Hosts> for BTreeMap<HostId, Host> {
    fn from(hosts: Hosts) -> Self {
        hosts.all
    }
}

impl Deref for Hosts {
    type Target = BTreeMap<HostId, Host>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Hosts {
    /// One of them, to change anything but its kind.
    pub(super) fn get_mut(&mut self, host: &HostId) -> Option<&mut Host> {
        self.all.get_mut(host)
    }

    /// A new one.
    pub(super) fn insert(&mut self, host: HostId, what: Host) {
        if matches!(what.spec.kind, HostKind::Node(_)) {
            let place = self.nodes.partition_point(|known| *known < host);
            self.nodes.insert(place, host.clone());
        }
        self.all.insert(host, what);
    }

    /// The hub nodes among them.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&HostId, &Host)> {
        self.nodes.iter().filter_map(|id| Some((id, self.all.get(id)?)))
    }
}

/// Why nothing is taken from whoever says that it stood by for a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAHost {
    /// There is no such site.
    #[error("no site {0} is known")]
    Site(SiteId),
    /// There is no such machine.
    #[error("no host `{0}` is known, or it is another machine")]
    Unknown(HostId),
    /// It is trusted no more.
    #[error("host {0} is revoked")]
    Revoked(HostId),
    /// It never stood by for this site.
    #[error("host {host} never had a place for site {site}")]
    Never {
        /// Which host.
        host: HostId,
        /// Which site.
        site: SiteId,
    },
}

impl State {
    /// May `host`, a machine of this kind by its certificate, bring what it recorded as the standby of `site`? Whoever
    /// ever had a place there may: a place that is lost since takes nothing away from what was recorded.
    pub fn may_bring(
        &self,
        site: &SiteId,
        host: &HostId,
        is: impl Fn(&HostKind) -> bool,
    ) -> Result<(), NotAHost> {
        let known = self.site(site).ok_or_else(|| NotAHost::Site(site.clone()))?;
        let machine = self.hosts.get(host).filter(|machine| is(&machine.spec.kind));
        match machine {
            None => Err(NotAHost::Unknown(host.clone())),
            Some(machine) if machine.revoked => Err(NotAHost::Revoked(host.clone())),
            // A log of an earlier version noted nothing.
            Some(_) if known.hosted.contains(host) || known.has_place_on(host) => Ok(()),
            Some(_) if known.neighbours.contains(host) => Ok(()),
            Some(_) => Err(NotAHost::Never { host: host.clone(), site: site.clone() }),
        }
    }

    /// The hub nodes that are trusted no more.
    pub fn revoked_nodes(&self) -> impl Iterator<Item = &HostId> {
        self.hosts.nodes().filter(|(_, host)| host.revoked).map(|(id, _)| id)
    }

    /// The node that watches a site's cameras beside the host with its place: should that one fall silent together
    /// with the site's recorder, another has looked all along. It reserves no room.
    pub fn reserve(&self, site: &SiteId) -> Option<&HostId> {
        self.reserve_of(site, self.site(site)?)
    }

    /// Does this host ask a site's cameras whether they are there?
    pub fn watches(&self, site: &SiteId, host: &HostId) -> bool {
        self.site(site)
            .is_some_and(|known| has_place(known, host) || self.reserve_of(site, known) == Some(host))
    }

    /// The sites whose cameras a host asks: those with their place there first.
    pub fn watched_by(&self, host: &HostId) -> Vec<&SiteId> {
        let (places, others): (Vec<_>, Vec<_>) =
            self.sites.iter().partition(|(_, site)| has_place(site, host));
        let reserves = others.into_iter().filter(|(name, site)| self.reserve_of(name, site) == Some(host));
        places.into_iter().chain(reserves).map(|(name, _)| name).collect()
    }

    fn reserve_of(&self, name: &SiteId, site: &Site) -> Option<&HostId> {
        if site.revoked {
            return None;
        }
        let home = self.hosts.get(&site.spec.home).map(|host| &host.spec.domain);
        let others = self.hosts.nodes().filter(|(id, host)| {
            !site.has_place_on(id) && self.speaks_against((name, site), (id, host)).is_none()
        });
        let rank = |(id, host): &(&HostId, &Host)| {
            let preferred = site.spec.prefer.iter().position(|preferred| preferred == *id);
            (home == Some(&host.spec.domain), preferred.unwrap_or(usize::MAX))
        };
        others.min_by_key(rank).map(|(id, _)| id)
    }
}

fn has_place(site: &Site, host: &HostId) -> bool {
    !site.revoked && site.has_place_on(host)
}
