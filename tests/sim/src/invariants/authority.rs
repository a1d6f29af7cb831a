//! 1: At most one authority per virtual server and epoch; enforcers never go back.
//!
//! Authority is what must happen once: two hosts that both answer an alarm, delete by retention or turn a
//! camera undo each other. Checked on every move of authority that any node applies: an epoch is given to one
//! host, and each is higher than the one before. Every node that applies an entry gets the same out of it
//! ([`crate::watched`]). What an enforcer let through is checked in [`crate::control::effects`].

use decide::{Epoch, HostId, SiteId};

use crate::invariants::Invariant;
use crate::stage::Stage;
use crate::watched::Watched;

/// `host` is given authority over `site` under `epoch`.
pub fn check(stage: &mut Stage, watched: &mut Watched, (site, epoch, host): (&SiteId, Epoch, &HostId)) {
    let before = watched.given.insert((site.clone(), epoch), host.clone());
    if let Some(before) = before.filter(|before| before != host) {
        let what = format!("{site}: epoch {epoch} was given to {before} and to {host}");
        return stage.violate(Invariant::Authority, what);
    }
    let highest = watched.highest.entry(site.clone()).or_default();
    if epoch <= *highest {
        let what = format!("{site}: {host} was given epoch {epoch}, and {highest} was given before");
        return stage.violate(Invariant::Authority, what);
    }
    *highest = epoch;
}
