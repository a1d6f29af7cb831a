//! Where standbys have their places: a pure function over needs and room.
//!
//! Places are reserved before anything happens, the highest priority first; each site gets the host it prefers
//! most among those that can fail apart from its home and have room. Nobody is left out silently: every site
//! that gets none is told of, with a reason for each host.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::control::{Ineligible, Load};
use crate::ids::{HostId, SiteId};

/// A site that wants a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteNeed {
    /// Which.
    pub site: SiteId,
    /// Who goes first: the higher.
    pub priority: u8,
    /// What it costs.
    pub load: Load,
    /// Hosts to be tried first, best first.
    pub prefer: Vec<HostId>,
    /// Where its place is now: it stays there if nothing speaks against it.
    pub now: Option<HostId>,
    /// What fails together with the recorder it stands by for.
    pub apart_from: Option<String>,
    /// Hosts that can't, and why.
    pub never: BTreeMap<HostId, Ineligible>,
    /// Machines at its own place: they are lost with it, so they come last, unless they are preferred.
    pub beside: BTreeSet<HostId>,
}

/// A host with room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoom {
    /// What is left on it beside every place that can't move.
    pub room: Load,
    /// What fails together.
    pub domain: String,
}

/// Who gets which place, and who gets none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The places.
    pub placed: BTreeMap<SiteId, HostId>,
    /// Sites without one.
    pub unplaced: BTreeMap<SiteId, Unplaced>,
}

/// Why a site has no place: one reason per host; none if there is no host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    /// What spoke against each host.
    pub reasons: BTreeMap<HostId, Ineligible>,
}

/// Gives out places.
pub fn place(needs: &[SiteNeed], hosts: &BTreeMap<HostId, HostRoom>) -> Placement {
    let mut room: BTreeMap<&HostId, Load> = hosts.iter().map(|(host, spec)| (host, spec.room)).collect();
    let mut order: Vec<&SiteNeed> = needs.iter().collect();
    order.sort_by_key(|need| (Reverse(need.priority), &need.site));
    let mut placement = Placement::default();
    for need in order {
        match choose(need, hosts, &room) {
            Ok(host) => {
                if let Some(left) = room.get_mut(host) {
                    *left = left.less(need.load);
                }
                placement.placed.insert(need.site.clone(), host.clone());
            }
            Err(unplaced) => {
                placement.unplaced.insert(need.site.clone(), unplaced);
            }
        }
    }
    placement
}

/// The best host for one site, or what speaks against each.
fn choose<'a>(
    need: &SiteNeed,
    hosts: &'a BTreeMap<HostId, HostRoom>,
    room: &BTreeMap<&HostId, Load>,
) -> Result<&'a HostId, Unplaced> {
    let mut reasons = BTreeMap::new();
    let mut best = None;
    for (host, spec) in hosts {
        let left = room.get(host).copied().unwrap_or_default();
        let against = need.never.get(host).copied().or((!need.load.fits(left)).then_some(Ineligible::Full));
        if let Some(why) = against {
            reasons.insert(host.clone(), why);
            continue;
        }
        let rank = (
            need.apart_from.as_ref() == Some(&spec.domain),
            need.prefer.iter().position(|preferred| preferred == host).unwrap_or(need.prefer.len()),
            need.beside.contains(host),
            need.now.as_ref() != Some(host),
            Reverse(left.rate),
            host,
        );
        if best.as_ref().is_none_or(|(other, _)| rank < *other) {
            best = Some((rank, host));
        }
    }
    best.map(|(_, host)| host).ok_or(Unplaced { reasons })
}
