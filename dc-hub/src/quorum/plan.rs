//! Admission over HTTP: does every site have a place, and would it still if nodes were lost?

use std::collections::{BTreeMap, BTreeSet};

use decide::HostId;
use decide::control::{Load, State};
use decide::standby::admission::{admit, losses, shared_hosts, sum};
use serde_json::{Value, json};

/// More hosts lost at once than this are too many ways to look at.
pub(super) const LOSE_MAX: usize = 3;

/// What becomes of all sites in every way to lose `lose` of the hub's nodes.
pub(super) fn plan(state: &State, lose: usize) -> Value {
    let hosts = shared_hosts(state);
    let reserved = sum(state, |site| site.candidate());
    let at_work = sum(state, |site| site.life.authority());
    let shown: BTreeMap<&HostId, Value> = hosts
        .iter()
        .filter_map(|id| {
            let spec = &state.hosts().get(id)?.spec;
            let of = |loads: &BTreeMap<&HostId, Load>| load(loads.get(id).copied().unwrap_or_default());
            let (reserved, at_work) = (of(&reserved), of(&at_work));
            let shown = json!({
                "capacity": load(spec.capacity), "reserved": reserved, "at_work": at_work,
                "domain": spec.domain, "draining": spec.draining,
            });
            Some((id, shown))
        })
        .collect();
    let cases: Vec<Value> = losses(&hosts, lose).iter().map(|lost| case(state, lost)).collect();
    let ok = !cases.is_empty()
        && cases.iter().all(|case| case["unplaced"].as_object().is_some_and(|none| none.is_empty()));
    json!({ "ok": ok, "lose": lose, "hosts": shown, "cases": cases })
}

fn case(state: &State, lost: &BTreeSet<HostId>) -> Value {
    let placement = admit(state, lost);
    let unplaced: BTreeMap<_, _> = placement
        .unplaced
        .iter()
        .map(|(site, why)| {
            let reasons: BTreeMap<_, _> = why
                .reasons
                .iter()
                .filter(|(host, _)| !is_a_sites(state, host))
                .map(|(host, why)| (host, why.to_string()))
                .collect();
            (site, reasons)
        })
        .collect();
    json!({ "lost": lost, "placed": placement.placed, "unplaced": unplaced })
}

/// Of hundreds of sites' own machines there is nothing to say.
fn is_a_sites(state: &State, host: &HostId) -> bool {
    state.hosts().get(host).is_some_and(|host| matches!(host.spec.kind, decide::control::HostKind::Site(_)))
}

fn load(load: Load) -> Value {
    json!({ "streams": load.streams, "rate_bps": load.rate.0 })
}
