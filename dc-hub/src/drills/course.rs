//! How one drill went, instant by instant: what the control log said, by this node's wall clock. Pure.

use decide::HostId;
use decide::control::{Call, Closed, Drill, Event, State};
use decide::standby::Stage;
use serde::{Deserialize, Serialize};
use wire::UnixMicros;

/// What was decided about the silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The recorder is lost: a standby took over.
    RecorderLost,
    /// Nobody is there: a standby waits, and records nothing.
    Dark,
    /// Too many sites are silent at once: a person is called, nobody waits.
    Frozen,
}

/// The instants of a drill. What did not happen has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// The drill stands in the log.
    pub begun_us: UnixMicros,
    /// The last beat that this node heard before anybody was asked.
    pub last_beat_us: Option<UnixMicros>,
    /// Every voter was asked.
    pub suspect_us: Option<UnixMicros>,
    /// It was decided what that means.
    pub verdict_us: Option<UnixMicros>,
    /// What was decided.
    pub verdict: Option<Verdict>,
    /// Which host took over, or waits.
    pub host: Option<HostId>,
    /// The drill's time was over.
    pub over_us: Option<UnixMicros>,
    /// The site's recorder was heard again.
    pub heard_us: Option<UnixMicros>,
    /// The site began to get its authority back.
    pub failback_us: Option<UnixMicros>,
    /// The site was at home again.
    pub home_us: Option<UnixMicros>,
    /// The drill ended.
    pub ended_us: Option<UnixMicros>,
    /// How often authority moved to a standby.
    pub moves: u32,
    /// Why this is not only what the drill did: a leader that changed, a node that was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
}

impl Course {
    /// Of a drill that began just now.
    pub fn new(at: UnixMicros) -> Self {
        Self { begun_us: at, ..Self::default() }
    }

    /// Something came between. The first thing that did is told.
    pub fn interrupted(&mut self, why: String) {
        self.interrupted.get_or_insert(why);
    }

    /// Notes it if another node leads, as of `state`, than when the drill began.
    pub fn led_by_another(&mut self, drill: &Drill, state: &State) {
        if state.at().is_some_and(|at| drill.is_interrupted_at(at)) {
            self.interrupted("another leader was elected while it went on, and ended it".to_owned());
        }
    }

    /// Takes in what changed at `at`; the site's recorder was heard at `last_beat` here.
    pub fn take(&mut self, at: UnixMicros, event: &Event, last_beat: Option<UnixMicros>) {
        match event {
            Event::RoundOpened { .. } if self.suspect_us.is_none() => {
                (self.suspect_us, self.last_beat_us) = (Some(at), last_beat);
            }
            Event::RoundClosed { closed: Closed::Heard { .. }, .. } => self.heard_again(at),
            Event::Stage { to: Stage::Recording, from, .. } if *from != Stage::Healing => {
                self.moves += 1;
                self.decided(at, Verdict::RecorderLost);
            }
            Event::Stage { to: Stage::Healing, .. } => self.heard_again(at),
            Event::Stage { to: Stage::Failback, .. } => self.failback_us = Some(at),
            Event::Stage { to: Stage::Home, .. } => self.home_us = Some(at),
            Event::Authority { host, .. } if self.host.is_none() => self.host = Some(host.clone()),
            Event::Armed { host, .. } => {
                self.decided(at, Verdict::Dark);
                self.host = self.host.take().or_else(|| host.clone());
            }
            Event::CallPerson(Call::ManyDark { .. }) => self.decided(at, Verdict::Frozen),
            Event::Drill { drill, .. } => self.drill(at, drill.as_deref()),
            _ => {}
        }
    }

    /// The log told of the drill.
    pub fn drill(&mut self, at: UnixMicros, drill: Option<&Drill>) {
        match drill {
            Some(drill) if drill.over && self.over_us.is_none() => self.over_us = Some(at),
            None if self.ended_us.is_none() => self.ended_us = Some(at),
            _ => {}
        }
    }

    fn decided(&mut self, at: UnixMicros, verdict: Verdict) {
        if self.verdict.is_none() {
            (self.verdict_us, self.verdict) = (Some(at), Some(verdict));
        }
    }

    fn heard_again(&mut self, at: UnixMicros) {
        if self.verdict.is_some() {
            self.heard_us.get_or_insert(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use decide::control::{DrillKind, DrillOrder, Stamp};
    use decide::{SiteId, Term};

    use super::*;

    fn stage(from: Stage, to: Stage) -> Event {
        Event::Stage { site: site(), from, to }
    }

    fn site() -> SiteId {
        SiteId::new("shop-1").unwrap()
    }

    fn opened() -> Event {
        let (round, holder) = (decide::Round(9), HostId::new("shop-1").unwrap());
        Event::RoundOpened { site: site(), round, holder, answers: None }
    }

    #[test]
    fn instants_are_those_of_the_first_time_and_a_relapse_is_no_second_move() {
        let mut course = Course::new(UnixMicros(1));
        course.take(UnixMicros(2), &opened(), Some(UnixMicros(0)));
        course.take(UnixMicros(3), &stage(Stage::Suspect, Stage::Recording), Some(UnixMicros(0)));
        course.take(UnixMicros(4), &opened(), None);
        course.take(UnixMicros(5), &stage(Stage::Recording, Stage::Healing), None);
        course.take(UnixMicros(6), &stage(Stage::Healing, Stage::Recording), None);
        course.take(UnixMicros(7), &stage(Stage::Recording, Stage::Healing), None);
        course.take(UnixMicros(8), &stage(Stage::Healing, Stage::Failback), None);
        course.take(UnixMicros(9), &stage(Stage::Failback, Stage::Home), None);
        course.drill(UnixMicros(10), None);
        course.drill(UnixMicros(11), None);
        let expected = Course {
            begun_us: UnixMicros(1),
            last_beat_us: Some(UnixMicros(0)),
            suspect_us: Some(UnixMicros(2)),
            verdict_us: Some(UnixMicros(3)),
            verdict: Some(Verdict::RecorderLost),
            heard_us: Some(UnixMicros(5)),
            failback_us: Some(UnixMicros(8)),
            home_us: Some(UnixMicros(9)),
            ended_us: Some(UnixMicros(10)),
            moves: 1,
            ..Course::default()
        };
        assert_eq!(course, expected);
    }

    #[test]
    fn another_leader_interrupts_a_drill() {
        let order = DrillOrder {
            id: "x".into(),
            kind: DrillKind::Recorder,
            shadow: true,
            length: Duration::from_secs(30),
            by: "ada".into(),
        };
        let at = |term| Stamp { index: 7 + term, term: Term(term), time: UnixMicros(0) };
        let drill = Drill { index: 7, order, begun: Some(at(1)), over: false };
        let mut state = State::default();
        let mut course = Course::new(UnixMicros(1));
        for (term, interrupted) in [(1, false), (2, true)] {
            let membership = decide::control::Membership::of([decide::NodeId(1)]);
            state.apply(at(term), &decide::control::Command::Membership(membership)).unwrap();
            course.led_by_another(&drill, &state);
            assert_eq!(course.interrupted.is_some(), interrupted);
        }
    }

    #[test]
    fn who_is_heard_before_anything_was_decided_did_not_come_back() {
        let mut course = Course::new(UnixMicros(1));
        let heard = Event::CallPerson(Call::ManyDark { sites: [site()].into(), of: 3 });
        course.take(UnixMicros(2), &stage(Stage::Home, Stage::Healing), None);
        assert_eq!(course.heard_us, None);
        course.take(UnixMicros(3), &heard, None);
        assert_eq!((course.verdict, course.verdict_us), (Some(Verdict::Frozen), Some(UnixMicros(3))));
    }
}
