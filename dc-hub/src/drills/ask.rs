//! What people, and the schedule, ask for: one failure, rehearsed at one site or at many at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use control_log::{ProposeError, Proposed};
use decide::SiteId;
use decide::control::{Command, DrillKind, DrillOrder, State};
use futures::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wire::UnixMicros;

use super::Drills;

/// What is in the log is known here within this, or this node lags behind.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Asked {
    /// Which sites; none are all that the hub knows.
    #[serde(default)]
    pub sites: Vec<SiteId>,
    /// What fails.
    pub kind: DrillKind,
    /// Is it only made as if?
    #[serde(default)]
    pub shadow: bool,
    /// For how long.
    pub length_s: u64,
    /// Who wants it.
    pub by: String,
    /// A whole site that is lost for real is recorded by nobody meanwhile: is that accepted?
    #[serde(default)]
    pub accept_loss: bool,
    /// Say only what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    /// Names the drill; reports are found by it.
    pub id: String,
    /// Did it begin (or would it) at every site?
    pub ok: bool,
    /// Site by site.
    pub sites: BTreeMap<SiteId, AtSite>,
}

/// What came of it at one site.
#[derive(Clone, Debug, Serialize)]
pub struct AtSite {
    /// Did it begin?
    pub ok: bool,
    /// What happens, or why it doesn't begin.
    pub says: String,
    /// The node whose vault the report is told of.
    pub vault: Option<String>,
    /// Is that the one that was asked?
    pub here: bool,
}

impl Drills {
    /// Begins a drill wherever it can be begun; a site that refuses keeps none of the others from it.
    pub async fn ask(&self, asked: Asked) -> Result<Accepted, String> {
        if asked.kind == DrillKind::Site && !asked.shadow && !asked.accept_loss {
            return Err(
                "a site that is lost whole, for real, is recorded by nobody for as long as the drill lasts: \
                        rehearse it over a shadow, or accept that loss"
                    .to_owned(),
            );
        }
        let state = self.inner.log.state();
        let sites: BTreeSet<SiteId> = match asked.sites.is_empty() {
            true => {
                state.sites().iter().filter(|(_, site)| !site.revoked).map(|(name, _)| name.clone()).collect()
            }
            false => asked.sites.iter().cloned().collect(),
        };
        if sites.is_empty() {
            return Err("the hub knows no site".to_owned());
        }
        let id = new_id(wire::clock::wall(), wire::clock::seed());
        let order = DrillOrder {
            id: id.clone(),
            kind: asked.kind,
            shadow: asked.shadow,
            length: Duration::from_secs(asked.length_s),
            by: asked.by.clone(),
        };
        tracing::info!(id, by = asked.by, kind = ?asked.kind, shadow = asked.shadow, ?sites, "a drill is asked for");
        let each = sites.iter().map(|site| self.ask_one(&state, site, order.clone(), asked.dry_run));
        let sites: BTreeMap<_, _> = sites.iter().cloned().zip(join_all(each).await).collect();
        Ok(Accepted { id, ok: sites.values().all(|site| site.ok), sites })
    }

    /// Ends a drill before its time, where the site can hear of that.
    pub async fn stop(&self, id: &str, by: &str) -> BTreeMap<SiteId, String> {
        let state = self.inner.log.state();
        let running = running(&state, id);
        let stop = |(site, drill): (&SiteId, &u64)| {
            let command = Command::DrillOver { site: site.clone(), drill: *drill, by: Some(by.to_owned()) };
            let site = site.clone();
            async move {
                let says = match self.inner.log.propose(command).await {
                    Ok(Proposed { outcome: Ok(_), .. }) => "its time is over".to_owned(),
                    Ok(Proposed { outcome: Err(refusal), .. }) => refusal.to_string(),
                    Err(error) => error.to_string(),
                };
                (site, says)
            }
        };
        join_all(running.iter().map(stop)).await.into_iter().collect()
    }

    /// Proposes, wherever the leader is, and waits until what came of it is known here as well: whoever asked this node
    /// goes on asking it.
    async fn propose(&self, command: Command) -> Result<Proposed, ProposeError> {
        let mut follow = self.inner.log.follow();
        let proposed = self.inner.log.propose(command).await?;
        let known = async {
            while self.inner.log.state().at().is_none_or(|at| at.index < proposed.index) {
                if follow.next().await.is_none() {
                    return;
                }
            }
        };
        if tokio::time::timeout(KNOWN_WITHIN, known).await.is_err() {
            tracing::warn!("this node lags behind in the control log");
        }
        Ok(proposed)
    }

    async fn ask_one(&self, state: &State, site: &SiteId, order: DrillOrder, dry_run: bool) -> AtSite {
        let vault = state.site(site).and_then(|known| known.vault);
        let here = vault == Some(self.inner.me);
        let members = self.inner.log.members();
        let vault = vault.and_then(|node| members.borrow().get(&node).map(|member| member.name.clone()));
        let says = says(site, &order);
        let came = match dry_run {
            true => would(state, site, order).map(|()| format!("would: {says}")),
            false => match self.propose(Command::Drill { site: site.clone(), order }).await {
                Ok(Proposed { outcome: Ok(_), .. }) => Ok(says),
                Ok(Proposed { outcome: Err(refusal), .. }) => Err(refusal.to_string()),
                Err(error) => Err(error.to_string()),
            },
        };
        let ok = came.is_ok();
        AtSite { ok, says: came.unwrap_or_else(|why| why), vault, here }
    }
}

/// What `apply` would say of the state as it is now.
fn would(state: &State, site: &SiteId, order: DrillOrder) -> Result<(), String> {
    let mut copy = state.clone();
    let at = copy.at().ok_or("the control log is empty")?;
    let stamp = decide::control::Stamp { index: at.index + 1, ..at };
    let command = Command::Drill { site: site.clone(), order };
    copy.apply(stamp, &command).map(drop).map_err(|refusal| refusal.to_string())
}

fn says(site: &SiteId, order: &DrillOrder) -> String {
    let what = match (order.kind, order.shadow) {
        (DrillKind::Recorder, true) => "beats are as if unsaid; its recorder records on",
        (DrillKind::Recorder, false) => "its recorder stops, as if it were dead",
        (DrillKind::Wan, true) => "the way to it is as if cut; nothing is cut",
        (DrillKind::Wan, false) => "it leaves the network; its recorder records on",
        (DrillKind::Site, true) => "all of it is as if lost; nothing is touched",
        (DrillKind::Site, false) => "it leaves the network and records nothing",
    };
    format!("{site}: for {} s {what}", order.length.as_secs())
}

/// Sites at which this drill goes on, with its entry.
pub(super) fn running(state: &State, id: &str) -> BTreeMap<SiteId, u64> {
    let of = |(name, site): (&SiteId, &std::sync::Arc<decide::control::Site>)| {
        site.drill.as_ref().filter(|drill| drill.order.id == id).map(|drill| (name.clone(), drill.index))
    };
    state.sites().iter().filter_map(of).collect()
}

/// A slug that sorts by time.
fn new_id(at: UnixMicros, seed: u64) -> String {
    let time = Timestamp::from_microsecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{}-{:04x}", time.strftime("%Y%m%d-%H%M%S"), seed & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_is_named_by_its_time() {
        assert_eq!(new_id(UnixMicros(1_750_000_000_000_000), 0x1_0abc), "20250615-150640-0abc");
        assert!(wire::id::check_slug(&new_id(UnixMicros(i64::MAX), 7)).is_ok());
    }
}
