//! Holds for people and programs.

use std::fmt::Write;

use decide::SiteId;
use decide::control::{Hold, HoldId, HoldStage, Site, State};
use serde_json::{Value, json};
use wire::UnixMicros;

/// One of them, at this time.
pub(super) fn one(name: &SiteId, site: &Site, (id, hold): (HoldId, &Hold), now: UnixMicros) -> Value {
    let order = &hold.order;
    let cameras: Vec<_> = order.cameras.iter().map(|camera| camera.local()).collect();
    json!({
        "hold": id,
        "site": name,
        "cameras": cameras,
        "from_us": order.from,
        "to_us": order.to,
        "until_us": order.until,
        "reason": order.reason,
        "by": order.by,
        "placed_us": hold.placed,
        "state": hold.stage(),
        "confirmed_us": hold.confirmed,
        "released_us": hold.released.as_ref().map(|released| released.at),
        "released_by": hold.released.as_ref().map(|released| &released.by),
        "over": hold.is_in_force() && order.until <= now,
        "detail": detail(site, hold, now),
    })
}

/// What is to be known of it beside its state.
fn detail(site: &Site, hold: &Hold, now: UnixMicros) -> &'static str {
    match hold.stage() {
        _ if hold.is_in_force() && hold.order.until <= now => {
            "its end has passed: nothing is kept for it any more"
        }
        HoldStage::Pending if site.revoked => "the hub keeps it; the site is revoked and will not confirm",
        HoldStage::Pending => {
            "the hub keeps it; the site has not confirmed that it does too, and may free it till then"
        }
        HoldStage::Confirmed => "",
        HoldStage::Releasing => "lifted at the hub; the site has not confirmed that, and keeps it till then",
    }
}

/// Of one site, or of all, oldest first within a site.
pub(super) fn list(state: &State, of: Option<&SiteId>, now: UnixMicros) -> Vec<Value> {
    let sites = state.sites().iter().filter(|(name, _)| of.is_none_or(|of| of == *name));
    let holds = sites
        .flat_map(|(name, site)| site.holds.iter().map(move |(id, hold)| one(name, site, (*id, hold), now)));
    holds.collect()
}

/// How many there are in which state.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    in_force: u64,
    pending: u64,
    releasing: u64,
}

impl Counts {
    fn of(state: &State) -> Self {
        let mut counts = Self::default();
        for hold in state.sites().values().flat_map(|site| site.holds.values()) {
            match hold.stage() {
                HoldStage::Pending => counts.pending += 1,
                HoldStage::Releasing => counts.releasing += 1,
                HoldStage::Confirmed => {}
            }
            counts.in_force += u64::from(hold.is_in_force());
        }
        counts
    }
}

/// See [`State::deletion_suspended`].
fn suspended(state: &State) -> Option<&'static str> {
    state.deletion_suspended().then_some(super::SUSPENDED)
}

/// For `/status`.
pub fn status(state: &State) -> Value {
    let counts = Counts::of(state);
    let waits = state.sites().iter().filter(|(_, site)| site.awaits_holds()).map(|(name, _)| name);
    json!({
        "in_force": counts.in_force,
        "pending": counts.pending,
        "releasing": counts.releasing,
        "not_confirmed_by": waits.collect::<Vec<_>>(),
        "deletion_suspended": suspended(state),
    })
}

/// For `/metrics`.
pub fn metrics(state: &State) -> String {
    let counts = Counts::of(state);
    let mut text = String::new();
    for (name, help, value) in [
        ("holdfast_holds", "Holds in force.", counts.in_force),
        ("holdfast_holds_pending", "Of them, those that their site has not confirmed.", counts.pending),
        (
            "holdfast_deletion_suspended",
            "1 while vaults delete nothing, until a person confirms that holds are right.",
            u64::from(state.deletion_suspended()),
        ),
        ("holdfast_holds_releasing", "Holds that were lifted, and not yet at their site.", counts.releasing),
    ] {
        // Writing to a String can't fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    }
    text
}
