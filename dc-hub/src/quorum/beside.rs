//! Machines of sites that stand by for other sites of their place: what they say in their beats, as evidence. Pure.
//!
//! They hear of no entry of the control log and cast nothing: every voter hears their beats itself. Their cameras are
//! beside them, and what they say comes over the way on which the silent recorder would be heard. So what they see accuses
//! that recorder only for as long as their own beats have come on that way without a break.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use decide::beat::Arrival;
use decide::control::{BitsPerSecond, Site, State};
use decide::evidence::Answers;
use decide::standby::{Protection, ramp};
use decide::{Boot, CameraId, HostId, PathId, SiteId};

use crate::beats::Beside;

/// So long without a beat is a break of the way: two that are missing.
const BREAK_AFTER: Duration = Duration::from_millis(1_250);

/// What is remembered of them.
#[derive(Debug, Default)]
pub(super) struct Besides {
    /// Since when each machine's beats have come on a way without a break, and when the last did.
    ways: BTreeMap<(HostId, PathId), (Boot, Boot)>,
    /// When a drill last hid a site's cameras: the way to them has opened anew then.
    hidden: BTreeMap<SiteId, Boot>,
    protection: BTreeMap<SiteId, BTreeMap<CameraId, Protection>>,
}

impl Besides {
    /// A machine's beat came; over which way, and since when without a break.
    pub(super) fn heard(&mut self, now: Boot, host: &HostId, arrival: &Arrival) -> Option<(PathId, Boot)> {
        let Arrival::Direct(path) = arrival else { return None };
        let way = (host.clone(), path.clone());
        if !self.ways.contains_key(&way) {
            self.ways.retain(|_, (_, last)| now.since(*last) <= BREAK_AFTER);
        }
        let way = self.ways.entry(way).or_insert((now, now));
        if now.since(way.1) > BREAK_AFTER {
            way.0 = now;
        }
        way.1 = now;
        Some((path.clone(), way.0))
    }

    /// What it says of a site's cameras, if the place of that site's standby is there.
    pub(super) fn answers(
        &mut self,
        now: Boot,
        (name, site): (&SiteId, &Site),
        host: &HostId,
        (path, since): &(PathId, Boot),
        said: &Beside,
    ) -> Answers {
        if site.hides_cameras() {
            self.hidden.insert(name.clone(), now);
        }
        let hidden = self.hidden.get(name).copied();
        let since = hidden.map_or(*since, |hidden| hidden.max(*since));
        let sees = said.unbroken.filter(|_| hidden != Some(now));
        let answers = Answers {
            site: name.clone(),
            host: host.clone(),
            path: path.clone(),
            unbroken: sees.map(|unbroken| unbroken.min(now.since(since))),
            age: said.age,
            cameras: Arc::new(if sees.is_some() { said.answers.clone() } else { BTreeMap::new() }),
        };
        self.protection.insert(name.clone(), protection(site, &answers, said));
        answers
    }

    /// How well the cameras would be off of the sites whose standby is a machine beside theirs.
    pub(super) fn protection(&self) -> impl Iterator<Item = (&CameraId, Protection)> {
        self.protection.values().flatten().map(|(camera, protection)| (camera, *protection))
    }

    /// Forgets what is over.
    pub(super) fn applied(&mut self, state: &State) {
        let stands_by = |name: &SiteId| {
            let beside =
                |site: &Site| site.placement.as_ref().is_some_and(|host| site.neighbours.contains(host));
            state.site(name).is_some_and(beside)
        };
        self.protection.retain(|name, _| stands_by(name));
        self.hidden.retain(|name, _| stands_by(name));
        self.ways.retain(|(host, _), _| state.hosts().get(host).is_some_and(|host| !host.revoked));
    }
}

/// It records beside the cameras: the site's uplink limits nothing.
fn protection(site: &Site, answers: &Answers, said: &Beside) -> BTreeMap<CameraId, Protection> {
    let mut all = ramp::protection(&site.cameras, &answers.cameras, BitsPerSecond(u64::MAX));
    let recorded = said.beat.iter().flat_map(|beat| &beat.cameras).filter(|camera| camera.is_recorded());
    all.extend(recorded.map(|camera| (camera.camera.clone(), Protection::Recorded)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use decide::evidence::Answer;

    const S: Duration = Duration::from_secs(1);

    fn site() -> Site {
        use decide::control::{Command, FailbackPolicy, HostKind, HostSpec, Load, SiteSpec, Stamp, Tier};
        let (name, home) = (SiteId::new("shop-1").unwrap(), HostId::new("shop-1").unwrap());
        let kind = HostKind::Site(name.clone());
        let host = HostSpec { kind, capacity: Load::default(), domain: "a".to_owned(), draining: false };
        let spec = SiteSpec {
            home: home.clone(),
            priority: 1,
            tier: Tier::Warm,
            failback: FailbackPolicy::default(),
            uplink: BitsPerSecond(1),
            prefer: Vec::new(),
        };
        let mut state = State::default();
        let set =
            [Command::SetHost { host: home, spec: host }, Command::SetSite { site: name.clone(), spec }];
        for (index, command) in (1..).zip(set) {
            let at = Stamp { index, term: decide::Term(1), time: wire::UnixMicros(0) };
            state.apply(at, &command).unwrap();
        }
        state.site(&name).unwrap().clone()
    }

    fn said() -> Beside {
        let camera = CameraId::new("shop-1/till-1").unwrap();
        Beside {
            site: SiteId::new("shop-1").unwrap(),
            beat: None,
            answers: BTreeMap::from([(camera, Answer::Free)]),
            unbroken: Some(60 * S),
            age: Duration::ZERO,
        }
    }

    #[test]
    fn what_a_machine_sees_counts_for_as_long_as_it_was_heard_without_a_break() {
        let (host, name, site) = (HostId::new("shop-2").unwrap(), SiteId::new("shop-1").unwrap(), site());
        let way = Arrival::Direct(PathId::new("wan").unwrap());
        let (mut besides, began) = (Besides::default(), Boot(1_000_000_000));
        let mut unbroken = |ms: u64| {
            let now = began + Duration::from_millis(ms);
            let heard = besides.heard(now, &host, &way).unwrap();
            besides.answers(now, (&name, &site), &host, &heard, &said()).unbroken
        };
        assert_eq!(unbroken(0), Some(Duration::ZERO));
        assert_eq!((unbroken(1_000), unbroken(2_250)), (Some(S), Some(Duration::from_millis(2_250))));
        assert_eq!(unbroken(3_501), Some(Duration::ZERO), "the way was broken, whatever it saw meanwhile");
        assert_eq!(unbroken(4_501), Some(S));
    }

    #[test]
    fn a_drill_of_the_way_hides_what_it_sees_and_the_way_opens_anew() {
        let (host, name, home) = (HostId::new("shop-2").unwrap(), SiteId::new("shop-1").unwrap(), site());
        let drilled = {
            use decide::control::{Drill, DrillKind, DrillOrder};
            let order = DrillOrder {
                id: "x".into(),
                kind: DrillKind::Wan,
                shadow: true,
                length: 30 * S,
                by: "ada".into(),
            };
            Site {
                drill: Some(Box::new(Drill { index: 1, order, begun: None, over: false })),
                ..home.clone()
            }
        };
        let way = Arrival::Direct(PathId::new("wan").unwrap());
        let (mut besides, began) = (Besides::default(), Boot(1_000_000_000));
        let mut at = |s: u32, site: &Site| {
            let now = began + s * S;
            let heard = besides.heard(now, &host, &way).unwrap();
            besides.answers(now, (&name, site), &host, &heard, &said())
        };
        let (before, during, after) = (at(0, &home), at(1, &drilled), at(2, &home));
        assert_eq!((before.cameras.len(), during.cameras.len(), after.cameras.len()), (1, 0, 1));
        assert_eq!((during.unbroken, after.unbroken), (None, Some(S)));
    }
}
