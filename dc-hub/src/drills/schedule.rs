//! What is to be rehearsed again and again, and what of it is due. Pure.
//!
//! When a site was last drilled stands in the control log, so whoever leads goes on where another left off.

use std::collections::BTreeSet;
use std::time::Duration;

use decide::SiteId;
use decide::control::{DrillKind, State};
use futures::future::join_all;
use wire::UnixMicros;

use super::{Asked, Drills};

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_secs(20);
/// A drill that is due at a time of the day begins within this, or the next day.
const WINDOW: Duration = Duration::from_secs(3600);
/// A site that refused is asked again after this.
const AGAIN: Duration = Duration::from_secs(600);
/// A drill is due so much earlier than its full time after the last: else each would be a little later in the day.
const EARLY: Duration = Duration::from_secs(300);
const DAY_S: u64 = 86_400;

/// A drill that is to be done again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which sites; none are all.
    pub sites: Vec<SiteId>,
    /// What fails.
    pub kind: DrillKind,
    /// Is it only made as if?
    pub shadow: bool,
    /// For how long.
    pub length: Duration,
    /// From one to the next.
    pub every: Duration,
    /// At which second of the day, UTC; none: at any.
    pub at_s: Option<u64>,
}

impl Planned {
    /// Sites whose drill is due.
    fn due(&self, state: &State, now: UnixMicros) -> BTreeSet<SiteId> {
        if !self.is_time(now) {
            return BTreeSet::new();
        }
        let wanted = |name: &SiteId| self.sites.is_empty() || self.sites.contains(name);
        let early = if self.at_s.is_some() { EARLY } else { Duration::ZERO };
        let old = |begun: UnixMicros| now.since(begun) + early >= self.every || begun > now;
        // What can't be drilled now is looked at again, within the window.
        let sites = state
            .sites()
            .iter()
            .filter(|(name, _)| wanted(name) && state.drillable(name, self.shadow).is_ok());
        sites
            .filter(|(_, site)| site.drilled.get(&self.kind).is_none_or(|last| old(last.begun)))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn is_time(&self, now: UnixMicros) -> bool {
        let Some(at) = self.at_s else { return true };
        let second = u64::try_from(now.0.div_euclid(1_000_000)).unwrap_or(0) % DAY_S;
        (second + DAY_S - at) % DAY_S < WINDOW.as_secs()
    }
}

impl Drills {
    /// Rehearses what is planned, whenever this node leads.
    pub(super) async fn keep(self, planned: Vec<Planned>) {
        let mut asked = vec![None; planned.len()];
        let mut looks = tokio::time::interval(LOOK);
        while !planned.is_empty() {
            looks.tick().await;
            if self.inner.log.leadership().borrow().mine.is_none() {
                continue;
            }
            let (now, state) = (wire::clock::now(), self.inner.log.state());
            let mut due = Vec::new();
            for (plan, asked) in planned.iter().zip(&mut asked) {
                let sites = plan.due(&state, wire::clock::wall());
                if !sites.is_empty() && asked.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN) {
                    *asked = Some(now);
                    due.push(self.begin(plan, sites));
                }
            }
            join_all(due).await;
        }
    }

    async fn begin(&self, plan: &Planned, sites: BTreeSet<SiteId>) {
        let asked = Asked {
            sites: sites.into_iter().collect(),
            kind: plan.kind,
            shadow: plan.shadow,
            length_s: plan.length.as_secs(),
            by: "schedule".to_owned(),
            accept_loss: false,
            dry_run: false,
        };
        match self.ask(asked).await {
            Ok(accepted) => {
                for (site, refused) in accepted.sites.iter().filter(|(_, site)| !site.ok) {
                    tracing::warn!(%site, why = refused.says, "a planned drill does not begin");
                }
            }
            Err(why) => tracing::error!(why, "a planned drill makes no sense"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use decide::control::{
        BitsPerSecond, Command, DrillOrder, FailbackPolicy, HostKind, HostSpec, Load, SiteSpec, Stamp, Tier,
    };
    use decide::{HostId, NodeId, Term};

    use super::*;

    pub(in crate::drills) fn site(n: u64) -> SiteId {
        SiteId::new(format!("shop-{n}")).unwrap()
    }

    /// Two sites, of which the first was drilled at `at`.
    pub(in crate::drills) fn drilled(at: UnixMicros) -> State {
        let mut state = State::default();
        let mut index = 0;
        let mut apply = |command: Command| {
            index += 1;
            state.apply(Stamp { index, term: Term(1), time: at }, &command).unwrap();
        };
        let host = |name: &str| HostId::new(name).unwrap();
        let room = Load { streams: 9, rate: BitsPerSecond(1 << 30) };
        let spec = |kind| HostSpec { kind, capacity: room, domain: "here".to_owned(), draining: false };
        apply(Command::SetHost { host: host("hub-1"), spec: spec(HostKind::Node(NodeId(1))) });
        for n in 1..=2 {
            let home = host(site(n).as_str());
            apply(Command::SetHost { host: home.clone(), spec: spec(HostKind::Site(site(n))) });
            let (failback, uplink) = (FailbackPolicy::default(), BitsPerSecond(1));
            let spec = SiteSpec { home, priority: 1, tier: Tier::Warm, failback, uplink, prefer: Vec::new() };
            apply(Command::SetSite { site: site(n), spec });
            apply(Command::Place { site: site(n), host: Some(host("hub-1")) });
        }
        let order = DrillOrder {
            id: "x".to_owned(),
            kind: DrillKind::Recorder,
            shadow: true,
            length: Duration::from_secs(30),
            by: "ada".to_owned(),
        };
        apply(Command::Drill { site: site(1), order });
        let drill = state.site(&site(1)).unwrap().drill.as_ref().unwrap().index;
        let mut apply = |command: Command| {
            index += 1;
            state.apply(Stamp { index, term: Term(1), time: at }, &command).unwrap();
        };
        apply(Command::DrillOver { site: site(1), drill, by: None });
        apply(Command::EndDrill { site: site(1), drill });
        state
    }

    fn planned(at_s: Option<u64>) -> Planned {
        Planned {
            sites: Vec::new(),
            kind: DrillKind::Recorder,
            shadow: true,
            length: Duration::from_secs(30),
            every: Duration::from_secs(DAY_S),
            at_s,
        }
    }

    #[test]
    fn what_was_never_drilled_is_due_and_what_was_is_a_day_later() {
        let begun = UnixMicros(1_750_000_000_000_000);
        let (state, plan) = (drilled(begun), planned(None));
        let soon = begun + Duration::from_secs(60);
        assert_eq!(plan.due(&state, soon), BTreeSet::from([site(2)]));
        let later = begun + Duration::from_secs(DAY_S);
        assert_eq!(plan.due(&state, later), BTreeSet::from([site(1), site(2)]));
        let other = Planned { kind: DrillKind::Wan, ..planned(None) };
        assert_eq!(other.due(&state, soon).len(), 2, "each kind counts for itself");
        let only = Planned { sites: vec![site(1)], ..planned(None) };
        assert!(only.due(&state, soon).is_empty());
        assert_eq!(
            plan.due(&state, begun - Duration::from_secs(60)).len(),
            2,
            "a clock that lied is not waited for"
        );
    }

    #[test]
    fn it_begins_at_its_time_of_the_day() {
        let begun = UnixMicros(1_750_000_000_000_000); // 15:06:40
        let state = drilled(begun);
        let plan = planned(Some(15 * 3600));
        assert!(plan.is_time(begun));
        assert!(!plan.is_time(begun - Duration::from_secs(600)));
        assert!(!plan.is_time(begun + Duration::from_secs(3600)));
        assert!(planned(Some(23 * 3600 + 1800)).is_time(UnixMicros(60_000_000)), "across midnight");
        // The next day it is due a little before a whole day has passed.
        assert_eq!(plan.due(&state, begun + Duration::from_secs(DAY_S - 200)).len(), 2);
    }
}
