//! Drills that have ended and of which the log does not know how they went: whoever was to tell of them was not there.
//!
//! The node that keeps the site's vault tells of those it missed, as soon as it is back. If it doesn't come back, whoever
//! leads says after a while that nobody told: a drill is never left open.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use decide::SiteId;
use decide::control::{Command, Drill, LastDrill, State};

use super::{Drills, Running};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// Longer than the node that follows a drill takes to measure it once it has ended: it waits 90 s for what the site recorded.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(150);
/// So often a node tries to tell of a drill that it missed.
const TRIES: u32 = 3;

/// A drill that nobody told of, as this node sees it.
struct Untold {
    since: Instant,
    tries: u32,
}

impl Drills {
    /// Looks again and again for drills that nobody told of.
    pub(super) async fn miss(self) {
        let mut known: BTreeMap<u64, Untold> = BTreeMap::new();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let (now, state) = (wire::clock::now(), self.inner.log.state());
            let untold = untold(&state);
            known.retain(|index, _| untold.iter().any(|(_, last)| last.index == *index));
            let leads = self.inner.log.leadership().borrow().mine.is_some();
            for (site, last) in untold {
                let known = known.entry(last.index).or_insert(Untold { since: now, tries: 0 });
                let waited = now.saturating_duration_since(known.since);
                let here = state.site(site).is_some_and(|site| site.vault == Some(self.inner.me));
                // A look later: what ended just now is in its follower's hands.
                if here && !waited.is_zero() && known.tries < TRIES && !self.under_way().contains(site) {
                    known.tries += 1;
                    self.make_up_for(&state, site, last).await;
                } else if leads && waited >= GIVEN_UP_AFTER && last.good.is_none() {
                    self.give_up(site, last).await;
                }
            }
        }
    }

    /// Tells of a drill that this node should have told of.
    async fn make_up_for(&self, state: &State, site: &SiteId, last: &LastDrill) {
        let Some(order) = last.order.clone() else { return };
        if let Some(report) = self.store().report(&order.id, site) {
            return self.tell(site, last.index, report.ok).await;
        }
        tracing::warn!(%site, id = order.id, "a drill ended while this node was not there: told of as far as it goes");
        let drill = Drill { index: last.index, order, begun: None, over: true };
        let mut course = self.course(&drill, None);
        course.begun_us = last.begun;
        let cameras = state.site(site).into_iter().flat_map(|site| site.cameras.keys().cloned()).collect();
        self.report_on(site.clone(), Running { drill, course, cameras });
    }

    async fn give_up(&self, site: &SiteId, last: &LastDrill) {
        tracing::error!(%site, "the node that keeps its vault told nothing of its drill: it is taken for not good");
        let command = Command::Drilled { site: site.clone(), drill: last.index, good: false, node: None };
        if let Err(error) = self.inner.log.propose(command).await {
            tracing::warn!(%site, %error, "the log does not know that nobody told of a drill");
        }
    }
}

/// Drills that have ended, and of which nobody has told how they went; the node that keeps the vault has not.
fn untold(state: &State) -> Vec<(&SiteId, &LastDrill)> {
    let sites = state.sites().iter().filter(|(_, site)| !site.revoked);
    let ended = sites.flat_map(|(name, site)| {
        let running = site.drill.as_ref().map(|drill| drill.index);
        let ended = site.drilled.values().filter(move |last| Some(last.index) != running);
        ended.map(move |last| (name, last))
    });
    ended
        .filter(|(_, last)| last.told_by.is_none() && (last.good.is_none() || last.order.is_some()))
        .collect()
}

#[cfg(test)]
mod tests {
    use decide::control::{DrillKind, DrillOrder};
    use wire::UnixMicros;

    use super::super::schedule::tests::{drilled, site};
    use super::*;

    #[test]
    fn a_drill_is_untold_until_the_node_that_measured_it_has_told() {
        let begun = UnixMicros(1_750_000_000_000_000);
        let mut state = drilled(begun);
        let (name, mut index) = (site(1), state.at().unwrap().index);
        let drill = untold(&state)[0].1.index;
        assert_eq!(untold(&state).iter().map(|(site, _)| *site).collect::<Vec<_>>(), [&name]);
        let mut apply = |state: &mut State, command: &Command| {
            index += 1;
            let at = decide::control::Stamp { index, ..state.at().unwrap() };
            state.apply(at, command).unwrap();
        };
        let told = |good, node| Command::Drilled { site: name.clone(), drill, good, node };
        apply(&mut state, &told(false, None));
        assert_eq!(untold(&state).len(), 1, "whoever keeps the vault may come back and tell");
        apply(&mut state, &told(true, Some(decide::NodeId(1))));
        assert!(untold(&state).is_empty());
        let order = DrillOrder {
            id: "y".to_owned(),
            kind: DrillKind::Recorder,
            shadow: true,
            length: Duration::from_secs(30),
            by: "ada".to_owned(),
        };
        apply(&mut state, &Command::Drill { site: name.clone(), order });
        assert!(untold(&state).is_empty(), "it goes on");
    }
}
