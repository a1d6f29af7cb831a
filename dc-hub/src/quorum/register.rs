//! What this node has to make known to the control log: itself as a host, and the sites that connect to it.
//! Pure: it compares what is with what the log says.

use std::collections::BTreeMap;
use std::time::Duration;

use decide::control::{BitsPerSecond, Command, Hold, HostKind, HostSpec, Load, SiteSpec, State};
use decide::{Boot, HostId, NodeId, SiteId};
use wire::UnixMicros;
use wire::holds::Digest;

use crate::config::Policy;
use crate::standby::Facts;

/// What was proposed and doesn't show yet is proposed again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// One thing about a site rests on the one before: so soon after that the next is proposed.
const STEP: Duration = Duration::from_millis(100);
/// A hold that has ended is shown for so long; then it goes from the log.
const SHOWN_ON: Duration = Duration::from_secs(24 * 3600);
/// What a site gets that says nothing else.
const PRIORITY: u8 = 100;

/// This node, as it makes itself known.
#[derive(Clone, Debug)]
pub struct Own {
    /// Which node.
    pub node: NodeId,
    /// Its host.
    pub host: HostId,
    /// Does it keep an archive? A witness doesn't, and can record nothing.
    pub full: bool,
    /// What it can record, and how sites are to be treated.
    pub policy: Policy,
}

/// What this node knows better than the log.
#[derive(Debug)]
pub(super) struct Register {
    own: Own,
    sites: BTreeMap<SiteId, Facts>,
    /// What sites say of the holds they keep.
    kept: BTreeMap<SiteId, Digest>,
    /// When all is looked at again, and when sites are of which not everything is known yet.
    next: Boot,
    step: Boot,
    /// What was proposed last of a site, and when.
    proposed: BTreeMap<SiteId, (Command, Boot)>,
}

impl Register {
    pub(super) fn new(own: Own) -> Self {
        Self {
            own,
            sites: BTreeMap::new(),
            kept: BTreeMap::new(),
            next: Boot(0),
            step: Boot(0),
            proposed: BTreeMap::new(),
        }
    }

    /// A site that is connected here told of its cameras.
    pub(super) fn heard(&mut self, facts: Facts) {
        self.next = Boot(0);
        self.sites.insert(facts.site.clone(), facts);
    }

    /// A site says which holds it keeps.
    pub(super) fn keeps(&mut self, site: SiteId, digest: Digest) {
        self.kept.insert(site, digest);
    }

    /// What to propose now. `wall` is the time by this machine's clock, if that is not in doubt.
    pub(super) fn look(&mut self, now: Boot, wall: Option<UnixMicros>, state: &State) -> Vec<Command> {
        let kept = std::mem::take(&mut self.kept);
        let mut commands: Vec<Command> =
            kept.into_iter().filter_map(|(site, digest)| confirmed(state, site, digest)).collect();
        if now < self.poll_timeout() {
            return commands;
        }
        let all = now >= self.next;
        if all {
            self.next = now + AGAIN;
        }
        self.step = self.next;
        // Before this node is in the log, nothing it says of itself would stay.
        if !state.nodes().contains_key(&self.own.node) {
            return commands;
        }
        if all {
            commands.extend(self.host(state));
            commands.extend(wall.into_iter().flat_map(|wall| self.over(state, wall)));
        }
        commands.extend(self.steps(now, state));
        commands
    }

    /// The next thing about each site; what was proposed a moment ago may be under way.
    fn steps(&mut self, now: Boot, state: &State) -> Vec<Command> {
        let wanted =
            self.sites.values().filter_map(|facts| Some((facts.site.clone(), self.site(state, facts)?)));
        let wanted: BTreeMap<SiteId, Command> = wanted.collect();
        self.proposed.retain(|site, _| wanted.contains_key(site));
        if !wanted.is_empty() {
            self.step = self.next.min(now + STEP);
        }
        let mut steps = Vec::new();
        for (site, command) in wanted {
            let under_way = |(known, at): &(Command, Boot)| *known == command && now < *at + AGAIN;
            if !self.proposed.get(&site).is_some_and(under_way) {
                steps.push(command.clone());
                self.proposed.insert(site, (command, now));
            }
        }
        steps
    }

    /// When [`Register::look`] may find something.
    pub(super) fn poll_timeout(&self) -> Boot {
        self.next.min(self.step)
    }

    /// Holds of the sites whose vault is here that ended a while ago.
    fn over(&self, state: &State, wall: UnixMicros) -> Vec<Command> {
        let here = state.sites().iter().filter(|(_, site)| site.vault == Some(self.own.node));
        let over = |hold: &Hold| hold.is_in_force() && hold.order.until + SHOWN_ON <= wall;
        here.flat_map(|(name, site)| {
            let ids = site.holds.iter().filter(|(_, hold)| over(hold)).map(|(id, _)| *id);
            ids.map(|hold| Command::HoldOver { site: name.clone(), hold }).collect::<Vec<_>>()
        })
        .collect()
    }

    fn host(&self, state: &State) -> Option<Command> {
        let policy = &self.own.policy;
        let spec = HostSpec {
            kind: HostKind::Node(self.own.node),
            capacity: Load { streams: policy.streams_max, rate: BitsPerSecond(policy.rate_bps_max) },
            domain: policy.domain.clone(),
            draining: false,
        };
        let known = state.hosts().get(&self.own.host);
        let wanted = self.own.full && known.is_none_or(|known| known.spec != spec && !known.revoked);
        wanted.then(|| Command::SetHost { host: self.own.host.clone(), spec })
    }

    /// The first thing about a site that the log doesn't have: each rests on the one before.
    fn site(&self, state: &State, facts: &Facts) -> Option<Command> {
        let site = facts.site.clone();
        let home = home(&site)?;
        let own = home == self.own.host;
        match state.hosts().get(&home).map(|known| &known.spec.kind) {
            None if own => return self.host(state),
            None => {
                let (kind, domain) = (HostKind::Site(site.clone()), format!("site {site}"));
                let spec = HostSpec { kind, capacity: Load::default(), domain, draining: false };
                return Some(Command::SetHost { host: home, spec });
            }
            Some(HostKind::Node(node)) => {
                tracing::error!(%site, %node, "a hub node has the site's name: rename one of them; no standby till then");
                return None;
            }
            Some(HostKind::Site(_)) => {}
        }
        let Some(known) = state.site(&site) else {
            // Where its vault is, a standby's footage lies beside its own.
            let prefer = vec![self.own.host.clone()];
            return Some(Command::SetSite { site, spec: self.spec(facts, home, prefer) });
        };
        // One that was taken out keeps nobody's vault any more.
        let keeper = known.vault.filter(|node| state.nodes().get(node).is_some_and(|node| !node.removed));
        if known.revoked || keeper.is_some_and(|node| node != self.own.node) {
            return None; // nodes with different settings would change it to and fro
        }
        if keeper.is_none() && self.own.full {
            return Some(Command::SetVault { site, node: self.own.node });
        }
        let spec = self.spec(facts, home, known.spec.prefer.clone());
        if known.spec != spec {
            return Some(Command::SetSite { site, spec });
        }
        if known.revision <= facts.revision && known.neighbours != facts.neighbours {
            return Some(Command::SetNeighbours { site, hosts: facts.neighbours.clone() });
        }
        if known.revision <= facts.revision && known.drills != facts.drills {
            return Some(Command::AllowDrills { site, allowed: facts.drills });
        }
        (known.revision < facts.revision).then(|| Command::Config {
            site,
            revision: facts.revision,
            cameras: facts.cameras.clone(),
            log_ins_since: facts.log_ins_since,
        })
    }

    fn spec(&self, facts: &Facts, home: HostId, prefer: Vec<HostId>) -> SiteSpec {
        let policy = &self.own.policy;
        let uplink = BitsPerSecond(policy.uplink_bps);
        SiteSpec { home, priority: PRIORITY, tier: facts.tier, failback: policy.failback, uplink, prefer }
    }
}

/// Does the site's word confirm what the log says?
fn confirmed(state: &State, site: SiteId, digest: Digest) -> Option<Command> {
    let known = state.site(&site)?;
    let confirms = known.awaits_holds() && state.holds_digest(known) == digest;
    confirms.then_some(Command::HoldsKept { site, digest: digest.0 })
}

/// The host that a site's own machine is.
pub(super) fn home(site: &SiteId) -> Option<HostId> {
    HostId::new(site.as_str()).ok() // both are slugs: it always fits
}

#[cfg(test)]
mod tests;
