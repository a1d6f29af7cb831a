//! Who is who: nodes, voters, hosts, sites.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Applied, Call, Closed, Event, Refusal, State, close};
use crate::control::command::Plan;
use crate::control::drill::DrillsAllowed;
use crate::control::membership::{Membership, Role};
use crate::control::spec::{CameraSpec, HostKind, HostSpec, SiteSpec};
use crate::control::state::{Exposed, Node, Site};
use crate::control::{Host, NEIGHBOURS_MAX};
use crate::epoch::Epoch;
use crate::ids::{CameraId, HostId, NodeId, SiteId};
use crate::standby::Life;

impl State {
    pub(super) fn add_node(&mut self, node: NodeId, role: Role) -> Applied {
        // Not only ids that are known: an id below the highest may have been known to a history that is lost.
        if self.nodes.keys().next_back().is_some_and(|highest| node <= *highest) {
            return Err(Refusal::NodeIdUsed(node));
        }
        self.nodes.insert(node, Node { role, removed: false });
        Ok(Vec::new())
    }

    /// The log changed its voters: that is a fact. Whoever is in no set any more is removed for ever; whoever
    /// comes back under its old id stays in the denominator and never counts.
    pub(super) fn change_membership(&mut self, membership: &Membership) -> Vec<Event> {
        let (before, after) = (self.membership.voters(), membership.voters());
        let mut events = Vec::new();
        for node in &after {
            let known = self.nodes.entry(*node).or_insert(Node { role: Role::Full, removed: false });
            if known.removed && !before.contains(node) {
                events.push(Event::CallPerson(Call::NodeIdReused { node: *node }));
            }
        }
        for gone in before.difference(&after) {
            if let Some(node) = self.nodes.get_mut(gone) {
                node.removed = true;
            }
        }
        self.membership = membership.clone();
        events
    }

    /// A name stays with its machine; but a node that was taken out, because its disk was lost, may come back as another
    /// node under its old name and certificate.
    pub(super) fn set_host(&mut self, host: &HostId, spec: &HostSpec) -> Applied {
        let gone = |node: &NodeId| self.nodes.get(node).is_some_and(|node| node.removed);
        let known = self.hosts.get(host).map(|known| &known.spec.kind);
        let replaced = matches!(
            (known, &spec.kind),
            (Some(HostKind::Node(old)), HostKind::Node(new)) if gone(old) && !gone(new) && self.nodes.contains_key(new)
        );
        let hosts = Arc::make_mut(&mut self.hosts);
        match hosts.get_mut(host) {
            Some(known) if known.revoked => return Err(Refusal::HostRevoked(host.clone())),
            Some(known) if known.spec.kind != spec.kind && !replaced => {
                return Err(Refusal::HostTaken(host.clone()));
            }
            Some(known) => known.spec = spec.clone(),
            None => hosts.insert(host.clone(), Host { spec: spec.clone(), revoked: false }),
        }
        Ok(Vec::new())
    }

    /// A revoked host keeps the authority it had, in the log, until a round, a person or the site takes it:
    /// fencing needs a new epoch, not a silent change of the old one. It gets no place from now on, a hub node's word
    /// counts for nothing from now on, and whose camera passwords it may have had needs others.
    pub(super) fn revoke_host(&mut self, host: &HostId) -> Applied {
        let known = self.hosts.get(host).ok_or_else(|| Refusal::NoHost(host.clone()))?;
        if known.revoked {
            return Err(Refusal::AlreadySo);
        }
        let kind = known.spec.kind.clone();
        if let HostKind::Node(node) = kind {
            self.enough_without(host, node)?;
            if let Some(node) = self.nodes.get_mut(&node) {
                node.removed = true;
            }
        }
        if let Some(known) = Arc::make_mut(&mut self.hosts).get_mut(host) {
            known.revoked = true;
        }
        let mut events = vec![Event::HostRevoked(host.clone())];
        for (name, site) in &mut self.sites {
            if site.placement.as_ref() == Some(host) {
                Arc::make_mut(site).placement = None;
                events.push(Event::Placed { site: name.clone(), host: None });
            }
            // A neighbour has them from its own configuration.
            let knew = may_have_known(&kind, &self.nodes, name) || site.neighbours.contains(host);
            if site.log_ins_since.is_some() && !site.revoked && knew {
                let site = Arc::make_mut(site);
                let exposed = site.exposed.get_or_insert_default();
                exposed.hosts.insert(host.clone());
                exposed.revision = site.revision;
                events.push(Event::NewPasswords { site: name.clone(), needed: true });
            }
        }
        Ok(events)
    }

    /// Those who are left have to be a majority of the configured voters: else nobody could even take the node out.
    fn enough_without(&self, host: &HostId, node: NodeId) -> Result<(), Refusal> {
        let counts = |id: &NodeId| *id != node && self.node_ok(*id).is_ok();
        let left: BTreeSet<_> = self.membership.voters().into_iter().filter(counts).collect();
        match !self.membership.contains(node) || self.membership.is_majority(&left) {
            true => Ok(()),
            false => Err(Refusal::NoMajorityLeft(host.clone())),
        }
    }

    pub(super) fn set_site(&mut self, name: &SiteId, spec: &SiteSpec) -> Applied {
        if !self.hosts.contains_key(&spec.home) {
            return Err(Refusal::NoHost(spec.home.clone()));
        }
        if self.sites.contains_key(name) {
            let site = self.site_mut(name)?;
            if site.spec.home != spec.home {
                return Err(Refusal::HomeIsFixed { site: name.clone(), home: site.spec.home.clone() });
            }
            site.spec = spec.clone();
            return Ok(Vec::new());
        }
        let epoch = Epoch { generation: self.generation, n: 0 };
        self.sites.insert(name.clone(), Arc::new(new_site(spec, epoch)));
        Ok(Vec::new())
    }

    pub(super) fn revoke_site(&mut self, name: &SiteId) -> Applied {
        let site = self.site_mut(name)?;
        site.revoked = true;
        site.placement = None;
        site.drill = None;
        let closed = close(name, site, Closed::Void);
        Ok([Event::SiteRevoked(name.clone())].into_iter().chain(closed).collect())
    }

    pub(super) fn set_config(
        &mut self,
        name: &SiteId,
        (revision, log_ins_since): (u64, Option<u64>),
        cameras: &BTreeMap<CameraId, CameraSpec>,
    ) -> Applied {
        let site = self.site_mut(name)?;
        if revision <= site.revision {
            return Err(Refusal::OldRevision { site: name.clone(), have: site.revision, offered: revision });
        }
        (site.revision, site.cameras) = (revision, cameras.clone());
        site.assisted.retain(|camera| cameras.contains_key(camera));
        site.log_ins_since = log_ins_since;
        let changed = |exposed: &mut Exposed| log_ins_since.is_none_or(|since| since > exposed.revision);
        let clean = site.exposed.take_if(changed).is_some();
        Ok(clean.then(|| Event::NewPasswords { site: name.clone(), needed: false }).into_iter().collect())
    }

    pub(super) fn set_neighbours(&mut self, name: &SiteId, hosts: &BTreeSet<HostId>) -> Applied {
        let site = self.site_mut(name)?;
        if site.neighbours == *hosts {
            return Err(Refusal::AlreadySo);
        }
        if hosts.len() > NEIGHBOURS_MAX {
            return Err(Refusal::TooManyNeighbours(hosts.len()));
        }
        site.neighbours.clone_from(hosts);
        Ok(Vec::new())
    }

    pub(super) fn set_vault(&mut self, name: &SiteId, node: NodeId) -> Applied {
        self.node_ok(node)?;
        if self.nodes.get(&node).is_some_and(|node| node.role == Role::Witness) {
            return Err(Refusal::IsWitness(node));
        }
        self.site_mut(name)?.vault = Some(node);
        Ok(Vec::new())
    }

    pub(super) fn place(&mut self, name: &SiteId, host: Option<&HostId>) -> Applied {
        if self.site_ok(name)?.placement.as_ref() == host {
            return Err(Refusal::AlreadySo);
        }
        if let Some(host) = host {
            self.eligible_anew(name, host)?;
        }
        let site = self.site_mut(name)?;
        site.placement = host.cloned();
        site.hosted.extend(host.cloned());
        Ok(vec![Event::Placed { site: name.clone(), host: host.cloned() }])
    }

    pub(super) fn declare(&mut self, name: &SiteId, plan: Option<&Plan>) -> Applied {
        let site = self.site_mut(name)?;
        if site.plan.as_ref() == plan {
            return Err(Refusal::AlreadySo);
        }
        // A goodbye is a run's word, maintenance a person's: the run doesn't end or replace a person's.
        if let (Some(Plan::Maintenance { .. }), Some(Plan::Bye { .. })) = (&site.plan, plan) {
            return Err(Refusal::AlreadySo);
        }
        site.plan = plan.cloned();
        Ok(vec![Event::Planned { site: name.clone(), plan: plan.cloned() }])
    }
}

/// Could a host of that kind have been told the passwords of this site's cameras? Sites tell every node that may stand
/// by, and who was connected when is nowhere written down: so it could.
fn may_have_known(kind: &HostKind, nodes: &BTreeMap<NodeId, Node>, site: &SiteId) -> bool {
    match kind {
        HostKind::Node(node) => nodes.get(node).is_none_or(|node| node.role != Role::Witness),
        HostKind::Site(owner) => owner == site,
    }
}

fn new_site(spec: &SiteSpec, epoch: Epoch) -> Site {
    Site {
        spec: spec.clone(),
        revision: 0,
        cameras: BTreeMap::new(),
        epoch,
        life: Life::Home,
        round: None,
        placement: None,
        vault: None,
        plan: None,
        pinned: false,
        giving_back: None,
        assisted: Default::default(),
        revoked: false,
        why: None,
        drill: None,
        drilled: BTreeMap::new(),
        last_good_drill: None,
        holds: BTreeMap::new(),
        holds_revision: 0,
        hosted: BTreeSet::new(),
        log_ins_since: None,
        exposed: None,
        neighbours: BTreeSet::new(),
        drills: DrillsAllowed::default(),
    }
}
