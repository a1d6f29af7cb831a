//! Holds: what people asked to be kept. The control log says which there are; here the vault's retention is made to obey
//! them, and people ask for them and are shown them.
//!
//! Guarantees: a node frees nothing before it has read what the log had committed when it started; from then on it obeys
//! a hold as soon as it has applied it, and lets go as soon as it has applied that. While the log says that deletion is
//! suspended, it frees nothing at all.
//!
//! It never knows how a site is told, or when it confirms.

pub mod http;
mod show;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use control_log::ControlLog;
use decide::control::{Command, HoldOrder, State};
use site_agent::retention::{self, plan};

pub use show::{metrics, status};

/// For people.
pub const SUSPENDED: &str = "the control log was restored, and may not know of what was held since: look at `holdfast holds`, place what is \
     missing, then `holdfast confirm-deletion`";

/// The log is asked again after this, if nobody leads.
const AGAIN: Duration = Duration::from_secs(1);

/// Has the vault's retention obey the log's holds, for as long as it is polled.
pub async fn obey(log: ControlLog, obeyed: Arc<retention::Holds>) {
    let from = committed(&log).await;
    let mut follow = log.follow();
    let mut before = None;
    while let Some(applied) = follow.next().await {
        // What was committed before this node came back may take away as well as add: half of it is not obeyed.
        if applied.index < from {
            continue;
        }
        let now = (in_force(&applied.state), applied.state.deletion_suspended());
        if before.as_ref() == Some(&now) {
            continue;
        }
        tell(before.as_ref().is_some_and(|(_, suspended)| *suspended), now.1);
        before = Some(now.clone());
        let obeyed = obeyed.clone();
        let (holds, suspended) = now;
        let set = move || match suspended {
            true => obeyed.set_suspended(holds, SUSPENDED.to_owned()),
            false => obeyed.set(holds),
        };
        if tokio::task::spawn_blocking(set).await.is_err() {
            return; // the hub is stopping
        }
    }
}

fn tell(before: bool, now: bool) {
    match (before, now) {
        (false, true) => tracing::error!("deletion is suspended: {SUSPENDED}"),
        (true, false) => tracing::info!("a person confirmed deletion: the vault's retention goes on"),
        _ => {}
    }
}

/// An entry of the log that everything committed until now stands before: one that changes nothing.
async fn committed(log: &ControlLog) -> u64 {
    loop {
        let nothing = Command::Thaw { sites: Default::default(), by: None };
        match log.propose(nothing).await {
            Ok(proposed) => return proposed.index,
            Err(error) => tracing::debug!(%error, "nothing is freed yet: what is held is not known"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What the log says to be held, as retention takes it.
fn in_force(state: &State) -> Vec<plan::Hold> {
    let of = |site, order: &HoldOrder| plan::Hold {
        site,
        cameras: order.cameras.iter().map(|camera| camera.local().to_owned()).collect(),
        from: order.from,
        to: order.to,
        until: order.until,
        reason: order.reason.clone(),
    };
    let sites = state.sites().iter();
    let holds = sites.flat_map(|(name, site)| site.holds.values().map(move |hold| (name, hold)));
    let in_force = holds.filter(|(_, hold)| hold.is_in_force());
    in_force.map(|(name, hold)| of(name.clone(), &hold.order)).collect()
}
