//! What this node has to make known to the control log: itself as a host, and the sites that connect to it.
//! Pure: it compares what is with what the log says.

use std::collections::BTreeMap;
use std::time::Duration;

use decide::control::{BitsPerSecond, Command, HostKind, HostSpec, Load, SiteSpec, State};
use decide::{Boot, HostId, NodeId, SiteId};

use crate::config::Policy;
use crate::standby::Facts;

/// What was proposed and doesn't show yet is proposed again after this.
const AGAIN: Duration = Duration::from_secs(2);
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
    next: Boot,
}

impl Register {
    pub(super) fn new(own: Own) -> Self {
        Self { own, sites: BTreeMap::new(), next: Boot(0) }
    }

    /// A site that is connected here told of its cameras.
    pub(super) fn heard(&mut self, facts: Facts) {
        self.next = Boot(0);
        self.sites.insert(facts.site.clone(), facts);
    }

    /// What to propose now, and when to look again.
    pub(super) fn look(&mut self, now: Boot, state: &State) -> Vec<Command> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now + AGAIN;
        // Before this node is in the log, nothing it says of itself would stay.
        if !state.nodes().contains_key(&self.own.node) {
            return Vec::new();
        }
        let mut commands: Vec<Command> = self.host(state).into_iter().collect();
        self.sites.values().for_each(|facts| commands.extend(self.site(state, facts)));
        commands
    }

    /// When [`Register::look`] may find something.
    pub(super) fn poll_timeout(&self) -> Boot {
        self.next
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
        if known.revoked || known.vault.is_some_and(|node| node != self.own.node) {
            return None; // nodes with different settings would change it to and fro
        }
        if known.vault.is_none() && self.own.full {
            return Some(Command::SetVault { site, node: self.own.node });
        }
        let spec = self.spec(facts, home, known.spec.prefer.clone());
        if known.spec != spec {
            return Some(Command::SetSite { site, spec });
        }
        (known.revision < facts.revision).then(|| Command::Config {
            site,
            revision: facts.revision,
            cameras: facts.cameras.clone(),
        })
    }

    fn spec(&self, facts: &Facts, home: HostId, prefer: Vec<HostId>) -> SiteSpec {
        let policy = &self.own.policy;
        let uplink = BitsPerSecond(policy.uplink_bps);
        SiteSpec { home, priority: PRIORITY, tier: facts.tier, failback: policy.failback, uplink, prefer }
    }
}

/// The host that a site's own machine is.
pub(super) fn home(site: &SiteId) -> Option<HostId> {
    HostId::new(site.as_str()).ok() // both are slugs: it always fits
}

#[cfg(test)]
mod tests;
