//! `apply`: one command, one answer. Each guard stands before the first change, so that a refused command
//! changes nothing.

mod authority;
mod drill;
mod holds;
mod members;
mod restore;
mod rounds;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wire::holds::Digest;

use super::command::Command;
use super::event::{Call, Event};
use super::refusal::{Ineligible, Refusal};
use super::state::{Site, Stamp, State};
use crate::control::spec::{HostKind, Tier};
use crate::control::{Closed, Host};
use crate::epoch::Epoch;
use crate::ids::{HostId, NodeId, SiteId};
use crate::mutant::Mutant;
use crate::standby::{Life, NoSuchEdge, checked_transition};

type Applied = Result<Vec<Event>, Refusal>;

impl State {
    /// Applies the committed command at `at`. Every replica gets the same answer.
    pub fn apply(&mut self, at: Stamp, command: &Command) -> Applied {
        debug_assert!(
            self.at.is_none_or(|before| before.index < at.index),
            "the log was applied out of order"
        );
        self.at = Some(at);
        match command {
            Command::AddNode { node, role } => self.add_node(*node, *role),
            Command::Membership(membership) => Ok(self.change_membership(membership)),
            Command::SetHost { host, spec } => self.set_host(host, spec),
            Command::RevokeHost { host } => self.revoke_host(host),
            Command::SetSite { site, spec } => self.set_site(site, spec),
            Command::RevokeSite { site } => self.revoke_site(site),
            Command::Config { site, revision, cameras, log_ins_since } => {
                self.set_config(site, (*revision, *log_ins_since), cameras)
            }
            Command::SetNeighbours { site, hosts } => self.set_neighbours(site, hosts),
            Command::AllowDrills { site, allowed } => self.allow_drills(site, *allowed),
            Command::SetVault { site, node } => self.set_vault(site, *node),
            Command::Place { site, host } => self.place(site, host.as_ref()),
            Command::PlaceHold { site, order } => self.place_hold(at, site, order),
            Command::ReleaseHold { site, hold, by } => self.release_hold(at, site, *hold, by),
            Command::HoldsKept { site, digest } => self.holds_kept(at, site, Digest(*digest)),
            Command::HoldOver { site, hold } => self.hold_over(at, site, *hold),

            Command::Suspect { site, holder, answers } => self.suspect(at, site, holder, answers.as_ref()),
            Command::Silent { site, round, voter, quiet } => self.silent(site, *round, *voter, *quiet),
            Command::Heard { site, round, voter, arrival } => self.heard(site, *round, *voter, arrival),
            Command::Verdict(verdict) => self.verdict(at, verdict),

            Command::Declare { site, plan } => self.declare(site, plan.as_ref()),
            Command::TakeOver { site, expected, host, ground } => {
                self.take_over(at, site, *expected, host, ground)
            }
            Command::Heal { site, expected } => self.heal(site, *expected),
            Command::Relapse { site, expected } => self.relapse(site, *expected),
            Command::Failback { site, expected, by } => self.failback(at, site, *expected, by.as_ref()),
            Command::Return(back) => self.give_back(at, back),
            Command::Assist { site, cameras } => self.assist(site, cameras),

            Command::Drill { site, order } => self.begin_drill(at, site, order),
            Command::DrillOver { site, drill, by } => self.drill_over(at, site, *drill, by.as_ref()),
            Command::EndDrill { site, drill } => self.end_drill(at, site, *drill),
            Command::Drilled { site, drill, good, node } => self.drilled(site, *drill, *good, *node),

            Command::Freeze { sites, of } => self.freeze(sites, *of),
            Command::Thaw { sites, .. } => self.thaw(sites),
            Command::Recover { seen, salt } => Ok(self.recover(*seen, *salt)),
            Command::SeenEpoch { site, epoch, salt } => self.seen_epoch(site, *epoch, *salt),
            Command::ConfirmDeletion { .. } => self.confirm_deletion(),
        }
    }

    /// Could `host` stand by for `site` now?
    pub fn eligible(&self, site: &SiteId, host: &HostId) -> Result<(), Refusal> {
        let known = self.site_ok(site)?;
        let machine = self.hosts.get(host).ok_or_else(|| Refusal::NoHost(host.clone()))?;
        let fits = || (self.taken(host, site) + known.load()).fits(machine.spec.room());
        match self.unsuitable(site, host).or_else(|| (!fits()).then_some(Ineligible::Full)) {
            None => Ok(()),
            Some(why) => Err(Refusal::NotEligible { host: host.clone(), site: site.clone(), why }),
        }
    }

    /// Could `host` take over from whoever has authority over `site` now?
    fn eligible_anew(&self, site: &SiteId, host: &HostId) -> Result<(), Refusal> {
        if self.site_ok(site)?.holder() == host {
            let (host, site, why) = (host.clone(), site.clone(), Ineligible::Holder);
            return Err(Refusal::NotEligible { host, site, why });
        }
        self.eligible(site, host)
    }

    /// What speaks against `host` standing by for `site`, however much room it has.
    pub fn unsuitable(&self, site: &SiteId, host: &HostId) -> Option<Ineligible> {
        self.speaks_against((site, self.sites.get(site)?), (host, self.hosts.get(host)?))
    }

    pub(super) fn speaks_against(
        &self,
        (name, site): (&SiteId, &Site),
        (host, machine): (&HostId, &Host),
    ) -> Option<Ineligible> {
        let witness = |node| self.nodes.get(node).is_some_and(|node| !node.keeps_vaults());
        match &machine.spec.kind {
            _ if site.spec.tier == Tier::None => Some(Ineligible::TierNone),
            _ if *host == site.spec.home => Some(Ineligible::Home),
            _ if machine.revoked => Some(Ineligible::Revoked),
            HostKind::Site(owner) if owner != name && !site.neighbours.contains(host) => {
                Some(Ineligible::OtherSite)
            }
            HostKind::Node(node) if witness(node) => Some(Ineligible::Witness),
            // Where it stands already it stays, though the host is being emptied.
            _ if machine.spec.draining && !site.has_place_on(host) => Some(Ineligible::Draining),
            _ => None,
        }
    }

    /// The site, if it is known and not revoked.
    fn site_ok(&self, site: &SiteId) -> Result<&Site, Refusal> {
        match self.sites.get(site) {
            None => Err(Refusal::NoSite(site.clone())),
            Some(known) if known.revoked => Err(Refusal::SiteRevoked(site.clone())),
            Some(known) => Ok(known.as_ref()),
        }
    }

    /// A node whose word counts: known, and never removed.
    fn node_ok(&self, node: NodeId) -> Result<(), Refusal> {
        match self.nodes.get(&node) {
            None => Err(Refusal::NoNode(node)),
            Some(known) if known.removed => Err(Refusal::NodeRemoved(node)),
            Some(_) => Ok(()),
        }
    }

    fn site_mut(&mut self, site: &SiteId) -> Result<&mut Site, Refusal> {
        self.site_ok(site)?;
        self.sites.get_mut(site).map(Arc::make_mut).ok_or_else(|| Refusal::NoSite(site.clone()))
    }

    /// The epoch's compare-and-set.
    fn expect_epoch(&self, site: &Site, expected: Epoch) -> Result<(), Refusal> {
        if expected == site.epoch || self.rules.enabled(Mutant::EpochCheck) {
            return Ok(());
        }
        Err(Refusal::EpochMoved { expected, now: site.epoch })
    }
}

/// Moves a life along an edge, and says so.
fn go(name: &SiteId, site: &mut Site, to: Life) -> Result<Event, NoSuchEdge> {
    let to_stage = to.stage();
    let from = checked_transition(&mut site.life, to)?.stage();
    Ok(Event::Stage { site: name.clone(), from, to: to_stage })
}

/// Closes the open round, if there is one.
fn close(name: &SiteId, site: &mut Site, closed: Closed) -> Option<Event> {
    let round = site.round.take()?.round;
    Some(Event::RoundClosed { site: name.clone(), round, closed })
}
