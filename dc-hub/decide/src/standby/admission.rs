//! Who needs a place, who has room, and what would become of all if some hosts were lost (N+M): a pure function of
//! the control log's state.

use std::collections::{BTreeMap, BTreeSet};

use super::{HostRoom, Placement, SiteNeed, place};
use crate::control::{Host, HostKind, Ineligible, Load, Site, State, Tier};
use crate::ids::{HostId, SiteId};

/// Does the site want a standby? What it would cost nobody knows before its cameras are known: until then it gets no place,
/// or it might get one on a host without room.
pub fn wants(site: &Site) -> bool {
    !site.revoked && site.spec.tier != Tier::None && site.revision > 0
}

/// What all sites cost the host that `of` says, host by host.
pub fn sum<'a>(state: &'a State, of: impl Fn(&'a Site) -> Option<&'a HostId>) -> BTreeMap<&'a HostId, Load> {
    let mut loads: BTreeMap<&HostId, Load> = BTreeMap::new();
    for site in state.sites().values() {
        if let Some(host) = of(site) {
            *loads.entry(host).or_default() += site.load();
        }
    }
    loads
}

/// What each host has left beside the standbys that are at work, but for those of `without`.
pub fn rooms(state: &State, without: impl Fn(&HostId) -> bool) -> BTreeMap<HostId, HostRoom> {
    let at_work = sum(state, |site| site.life.authority());
    let usable = |(name, host): &(&HostId, &Host)| !host.revoked && !without(name);
    let room = |(name, host): (&HostId, &Host)| {
        let taken = at_work.get(name).copied().unwrap_or_default();
        let room = HostRoom { room: host.spec.room().less(taken), domain: host.spec.domain.clone() };
        (name.clone(), room)
    };
    state.hosts().iter().filter(usable).map(room).collect()
}

/// What a site needs, if `holder` is the recorder it is to be stood by for.
pub fn need(
    state: &State,
    (name, site): (&SiteId, &Site),
    holder: &HostId,
    hosts: &BTreeMap<HostId, HostRoom>,
) -> SiteNeed {
    let never = hosts.keys().filter_map(|host| {
        let is_holder = (holder == host).then_some(Ineligible::Holder);
        Some((host.clone(), is_holder.or_else(|| state.unsuitable(name, host))?))
    });
    SiteNeed {
        site: name.clone(),
        priority: site.spec.priority,
        load: site.load(),
        prefer: site.spec.prefer.clone(),
        now: site.placement.clone(),
        apart_from: state.hosts().get(holder).map(|host| host.spec.domain.clone()),
        never: never.collect(),
        beside: site.neighbours.clone(),
    }
}

/// The hosts that can stand by for sites other than their own: hub nodes that are no witnesses.
pub fn shared_hosts(state: &State) -> BTreeSet<HostId> {
    let node = |host: &Host| match host.spec.kind {
        HostKind::Node(node) => state.nodes().get(&node).is_some_and(|node| node.keeps_vaults()),
        HostKind::Site(_) => false,
    };
    state.hosts().iter().filter(|(_, host)| !host.revoked && node(host)).map(|(id, _)| id.clone()).collect()
}

/// Where every site's standby would be if all their own recorders failed, and `lost` were gone. A site whose
/// standby is at work there would need another.
pub fn admit(state: &State, lost: &BTreeSet<HostId>) -> Placement {
    let hosts = rooms(state, |host| lost.contains(host));
    let wanting = state.sites().iter().filter(|(_, site)| wants(site));
    // A standby that is at work on a host that stays has its room already.
    let open = wanting.filter(|(_, site)| site.life.authority().is_none_or(|host| lost.contains(host)));
    let needs: Vec<SiteNeed> =
        open.map(|(name, site)| need(state, (name, site), &site.spec.home, &hosts)).collect();
    place(&needs, &hosts)
}

/// Every way to lose so many of `hosts`.
pub fn losses(hosts: &BTreeSet<HostId>, count: usize) -> Vec<BTreeSet<HostId>> {
    if count == 0 {
        return vec![BTreeSet::new()];
    }
    let mut all = Vec::new();
    for (at, host) in hosts.iter().enumerate() {
        let later: BTreeSet<HostId> = hosts.iter().skip(at + 1).cloned().collect();
        all.extend(losses(&later, count - 1).into_iter().map(|mut rest| {
            rest.insert(host.clone());
            rest
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Command;
    use crate::fixtures::{Log, host_spec, hub, site};
    use crate::ids::NodeId;

    fn set(hosts: &[u64]) -> BTreeSet<HostId> {
        hosts.iter().map(|n| hub(*n)).collect()
    }

    #[test]
    fn with_room_to_spare_any_node_may_be_lost() {
        // Nine sites of two cameras; three nodes with room for twenty each.
        let log = Log::fleet(9);
        assert_eq!(shared_hosts(&log.state), set(&[1, 2, 3]));
        for lost in losses(&shared_hosts(&log.state), 1) {
            let plan = admit(&log.state, &lost);
            assert!(plan.unplaced.is_empty(), "{lost:?}: {plan:?}");
            assert!(plan.placed.values().all(|host| !lost.contains(host)));
        }
    }

    #[test]
    fn without_room_it_is_said_who_gets_none_and_why() {
        let mut log = Log::fleet(3);
        for n in 1..=3 {
            let spec = host_spec(HostKind::Node(NodeId(n)), &format!("dc-{n}"), 2);
            log.must(Command::SetHost { host: hub(n), spec });
        }
        assert!(admit(&log.state, &set(&[])).unplaced.is_empty(), "one each");
        let plan = admit(&log.state, &set(&[2]));
        assert_eq!(plan.unplaced.keys().collect::<Vec<_>>(), [&site(3)]);
        let reasons = &plan.unplaced[&site(3)].reasons;
        assert_eq!((reasons[&hub(1)], reasons.get(&hub(2))), (Ineligible::Full, None));
    }

    #[test]
    fn every_pair_is_one_loss() {
        assert_eq!(losses(&set(&[1, 2, 3]), 2), [set(&[1, 2]), set(&[1, 3]), set(&[2, 3])]);
        assert_eq!(losses(&set(&[1]), 2), []);
    }
}
