//! How each site stands with the hub: whom it beats to, where its vault is, whether a standby has authority.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::ensure;
use control_log::Member;
use decide::control::{Drill, DrillKind, HostKind, Site, State, Tier};
use decide::{CameraId, HostId, NodeId, SiteId};
use tokio::sync::watch;
use wire::proto;
use wire::transport::Holder;

use crate::beats::Stands;

/// What sites are told, from the control log as this node has applied it.
#[derive(Debug)]
pub struct Standings {
    /// This node's name: the only voter that is known of before the log has begun.
    own: String,
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    state: Arc<State>,
    members: BTreeMap<NodeId, Member>,
    /// What standbys record, as they said last.
    recorded: BTreeMap<SiteId, BTreeSet<CameraId>>,
    /// What machines of sites are to do for others, by machine.
    hosting: BTreeMap<HostId, Vec<proto::Hosting>>,
}

impl Standings {
    /// Of a node that knows nothing yet.
    pub fn new(own: &str) -> Self {
        Self { own: own.to_owned(), known: Mutex::default(), changes: watch::Sender::default() }
    }

    /// The log, as applied here. Connections look only after what may change what a site is told: words in rounds come
    /// by the dozen, and there are thousands of sites.
    pub(super) fn applied(&self, state: Arc<State>) {
        let mut known = self.lock();
        let changed = !tells_the_same(&known.state, &state);
        known.recorded.retain(|site, _| state.site(site).is_some_and(Site::is_away));
        if changed {
            known.hosting = hosting(&state);
        }
        known.state = state;
        drop(known);
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// What the standby of this site records, as it said last.
    pub(super) fn recorded(&self, site: &SiteId, cameras: BTreeSet<CameraId>) {
        let mut known = self.lock();
        let before = match cameras.is_empty() {
            true => known.recorded.remove(site).unwrap_or_default(),
            false => known.recorded.insert(site.clone(), cameras.clone()).unwrap_or_default(),
        };
        drop(known);
        if before != cameras {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// The log's nodes.
    pub(super) fn members(&self, members: BTreeMap<NodeId, Member>) {
        self.lock().members = members;
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stands for Standings {
    fn standing(&self, site: &SiteId) -> proto::Standing {
        let known = self.lock();
        let (state, members) = (&known.state, &known.members);
        let recorded = known.recorded.get(site).into_iter().flatten().map(|camera| camera.local().to_owned());
        let recorded = recorded.collect();
        let voter = |id: NodeId| {
            let member = members.get(&id)?;
            // Where a hub of one node is, sites know best. One that is left of several may be another than they were
            // configured for.
            let several = members.len() > 1 || state.nodes().len() > 1;
            let known = several && !member.address.is_empty();
            let addresses = if known { vec![member.address.clone()] } else { Vec::new() };
            Some(proto::Voter { node: member.name.clone(), id: id.0, addresses })
        };
        let counts = |id: &NodeId| state.nodes().get(id).is_none_or(|node| !node.removed);
        let mut voters: Vec<_> =
            state.membership().voters().into_iter().filter(counts).filter_map(voter).collect();
        if voters.is_empty() {
            voters.push(proto::Voter { node: self.own.clone(), id: 0, addresses: Vec::new() });
        }
        let hosting = HostId::new(site.as_str()).ok().and_then(|host| known.hosting.get(&host).cloned());
        let known = state.site(site);
        let owner = known.and_then(|known| members.get(&known.vault?)).map(|member| member.name.clone());
        proto::Standing {
            revision: state.at().map_or(0, |at| at.index),
            voters,
            owner: owner.unwrap_or_default(),
            epoch: known.map(|known| epoch(known.epoch)),
            covered: known.is_some_and(is_covered),
            away: known.is_some_and(Site::is_away),
            recorded,
            holds: known.map(|known| state.told_holds(known)),
            drill: known.and_then(|known| known.drill.as_deref()).filter(|drill| !drill.over).map(drill),
            revoked: state.revoked_nodes().map(ToString::to_string).collect(),
            hosting: hosting.unwrap_or_default(),
        }
    }

    fn is_revoked(&self, site: &SiteId) -> bool {
        self.lock().state.site(site).is_some_and(|known| known.revoked)
    }

    fn awaits_holds(&self, site: &SiteId) -> bool {
        self.lock().state.site(site).is_some_and(Site::awaits_holds)
    }

    fn may_bring(&self, site: &SiteId, host: &Holder) -> anyhow::Result<()> {
        let known = self.lock();
        let (state, members) = (&known.state, &known.members);
        let owner = state.site(site).and_then(|known| members.get(&known.vault?));
        ensure!(
            owner.is_some_and(|owner| owner.name == self.own),
            "the vault of site {site} is not kept here but at {}",
            owner.map_or("no node yet", |owner| &owner.name)
        );
        match host {
            Holder::Hub(name) => {
                let is = |kind: &HostKind| matches!(kind, HostKind::Node(node) if members.get(node).is_some_and(|node| node.name == *name));
                state.may_bring(site, &HostId::new(name)?, is)?;
            }
            Holder::Site(own) => {
                let is = |kind: &HostKind| matches!(kind, HostKind::Site(site) if site == own);
                state.may_bring(site, &HostId::new(own.as_str())?, is)?;
            }
        }
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// What machines of sites are to do for others.
fn hosting(state: &State) -> BTreeMap<HostId, Vec<proto::Hosting>> {
    let mut hosting: BTreeMap<HostId, Vec<proto::Hosting>> = BTreeMap::new();
    for (name, site) in state.sites() {
        for host in &site.neighbours {
            let (record, ask) = (site.wants_recorded_by(host), state.watches(name, host));
            if !record && !ask {
                continue;
            }
            let epoch = (site.life.authority() == Some(host)).then(|| epoch(site.epoch));
            let told = proto::Hosting { site: name.to_string(), record, ask, epoch, log: site.asked_at() };
            hosting.entry(host.clone()).or_default().push(told);
        }
    }
    hosting
}

fn is_covered(site: &Site) -> bool {
    site.placement.is_some() && site.spec.tier != Tier::None
}

/// Would every site be told the same after `later` as after `earlier`, but for the revision?
fn tells_the_same(earlier: &State, later: &State) -> bool {
    let drill = |site: &Site| site.drill.as_ref().map(|drill| (drill.index, drill.over));
    let whose = |site: &Site| (site.vault, site.epoch, is_covered(site), site.is_away(), site.revoked);
    let at_work = |site: &Site| (site.wants_neighbours(), site.assisted.is_empty(), site.asked_at());
    let beside = |site: &Site| {
        (!site.neighbours.is_empty()).then(|| (at_work(site), site.placement.clone(), site.spec.tier))
    };
    let told = |site: &Site| (whose(site), drill(site), site.holds_revision, beside(site));
    // Copies of a state share what an entry didn't change.
    let same = |before: &Arc<Site>, after: &Arc<Site>| {
        Arc::ptr_eq(before, after) || (told(before) == told(after) && before.neighbours == after.neighbours)
    };
    earlier.membership() == later.membership()
        && earlier.nodes() == later.nodes()
        && earlier.revoked_nodes().eq(later.revoked_nodes())
        && earlier.generation() == later.generation()
        && earlier.sites().len() == later.sites().len()
        && earlier
            .sites()
            .iter()
            .zip(later.sites())
            .all(|(one, other)| one.0 == other.0 && same(one.1, other.1))
}

fn drill(drill: &Drill) -> proto::Drill {
    let kind = match drill.order.kind {
        DrillKind::Recorder => proto::DrillKind::Recorder,
        DrillKind::Wan => proto::DrillKind::Wan,
        DrillKind::Site => proto::DrillKind::Site,
    };
    proto::Drill {
        index: drill.index,
        kind: kind.into(),
        shadow: drill.order.shadow,
        length_ms: u32::try_from(drill.order.length.as_millis()).unwrap_or(u32::MAX),
    }
}

fn epoch(epoch: decide::Epoch) -> proto::Epoch {
    proto::Epoch { generation: epoch.generation.count, salt: epoch.generation.salt, n: epoch.n }
}

#[cfg(test)]
mod tests {
    use decide::control::{
        BitsPerSecond, Command, FailbackPolicy, HostSpec, Load, Membership, Role, SiteSpec, Stamp, Tier,
    };
    use decide::epoch::Term;
    use wire::UnixMicros;

    use super::*;

    fn applied(commands: Vec<Command>) -> Arc<State> {
        let mut state = State::default();
        for (index, command) in (1..).zip(commands) {
            let at = Stamp { index, term: Term(1), time: UnixMicros(0) };
            state.apply(at, &command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
        }
        Arc::new(state)
    }

    #[test]
    fn sites_are_told_where_the_node_is_that_is_left_of_several() {
        let site = SiteId::new("shop-1").unwrap();
        let told = |ids: &[u64]| {
            let standings = Standings::new("hub-2");
            let mut commands: Vec<_> =
                ids.iter().map(|id| Command::AddNode { node: NodeId(*id), role: Role::Full }).collect();
            commands.push(Command::Membership(Membership::of([NodeId(2)])));
            standings.applied(applied(commands));
            let left =
                Member { role: Role::Full, name: "hub-2".to_owned(), address: "hub-2:7443".to_owned() };
            standings.members(BTreeMap::from([(NodeId(2), left)]));
            standings.standing(&site).voters[0].addresses.clone()
        };
        assert_eq!(told(&[1, 2]), ["hub-2:7443"]);
        assert!(told(&[2]).is_empty(), "sites know where a hub of one node is");
    }

    #[test]
    fn a_host_brings_to_the_owner_what_it_had_a_place_for_and_is_who_its_certificate_says() {
        let (site, host) = (SiteId::new("shop-1").unwrap(), |name: &str| HostId::new(name).unwrap());
        let set_host = |name: &str, kind, streams| {
            let capacity = Load { streams, rate: BitsPerSecond(1_000_000_000) };
            let spec = HostSpec { kind, capacity, domain: name.to_owned(), draining: false };
            Command::SetHost { host: host(name), spec }
        };
        let nodes = (1..=3).map(|n| Command::AddNode { node: NodeId(n), role: Role::Full });
        let hosts = (1..=3).map(|n| set_host(&format!("hub-{n}"), HostKind::Node(NodeId(n)), 9));
        let spec = SiteSpec {
            home: host("shop-1"),
            priority: 1,
            tier: Tier::Warm,
            failback: FailbackPolicy::default(),
            uplink: BitsPerSecond(1_000_000),
            prefer: Vec::new(),
        };
        let mut commands: Vec<_> = nodes.chain(hosts).collect();
        commands.push(set_host("shop-1", HostKind::Site(site.clone()), 0));
        commands.push(Command::SetSite { site: site.clone(), spec });
        commands.push(Command::SetVault { site: site.clone(), node: NodeId(1) });
        commands.push(Command::Place { site: site.clone(), host: Some(host("hub-2")) });
        let state = applied(commands);
        let node = |n: u64| Holder::Hub(format!("hub-{n}"));
        let standings = |own: &str| {
            let standings = Standings::new(own);
            let member = |n: u64| {
                let (name, address) = (format!("hub-{n}"), format!("hub-{n}:7443"));
                (NodeId(n), Member { role: Role::Full, name, address })
            };
            standings.members((1..=3).map(member).collect());
            standings.applied(state.clone());
            standings
        };
        let keeper = standings("hub-1");
        keeper.may_bring(&site, &node(2)).unwrap();
        let refused = |holder: &Holder| keeper.may_bring(&site, holder).unwrap_err().to_string();
        assert!(refused(&node(3)).contains("never had a place"), "{}", refused(&node(3)));
        // A site may be called like a node; its certificate is another's.
        let thief = Holder::Site(SiteId::new("hub-2").unwrap());
        assert!(refused(&thief).contains("another machine"), "{}", refused(&thief));
        let elsewhere = standings("hub-3").may_bring(&site, &node(2)).unwrap_err().to_string();
        assert!(elsewhere.contains("kept here but at hub-1"), "{elsewhere}");
    }
}
