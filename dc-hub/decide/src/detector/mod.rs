//! Is this recorder silent, and for how long must it be before that means something?
//!
//! One [`Detector`] per voter, site and host whose beats are expected. It knows this voter's boot clock and
//! nothing else of time. Silence is accused by evidence: cameras that answer over the very path on which the
//! recorder fell silent, without a break since its last beat, make seconds enough; after a path reopened, the
//! longest redial is waited for; silence alone waits longest.
//!
//! It never knows of rounds, epochs or other voters.

pub mod correlated;
pub mod fitness;
pub mod gaps;
mod path;
mod progress;
mod silence;
pub mod timers;

pub use fitness::{Fitness, Unfit, Vitals};
pub use silence::{Basis, Quiet};
pub use timers::Timers;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use wire::OriginId;

use crate::beat::{Arrival, Beat};
use crate::evidence::Answers;
use crate::ids::{CameraId, PathId};
use crate::time::Boot;
use gaps::Gaps;
use path::PathView;
use progress::Progress;

/// Ended runs that are remembered, so that their late beats are not taken for life.
const RUNS_REMEMBERED: usize = 8;

/// One recorder, as one voter sees it.
#[derive(Clone, Debug)]
pub struct Detector {
    /// Silence counts from here if no beat came since: when watching began, or this voter was itself again.
    since: Boot,
    last: Option<Last>,
    /// Runs that were heard before the one that beats, with the last beat of each.
    ended: VecDeque<(OriginId, u64)>,
    gaps: Gaps,
    /// A long gap, until it is known whether the path held through it.
    pending: Option<(Boot, Boot)>,
    path: Option<PathView>,
    cameras: Vec<Progress>,
}

/// The last beat.
#[derive(Clone, Debug)]
struct Last {
    at: Boot,
    origin: OriginId,
    number: u64,
    log: u64,
    arrival: Arrival,
    /// Other ways on which the same beat came.
    also: Vec<Arrival>,
}

impl Last {
    /// What goes on several ways comes several times; the path on which a recorder fell silent may be any of them.
    fn came_also(&mut self, arrival: &Arrival, number: u64) {
        let known = self.arrival == *arrival || self.also.contains(arrival);
        if number == self.number && !known && self.also.len() < wire::PATHS_MAX {
            self.also.push(arrival.clone());
        }
    }
}

/// What a beat was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// It is older than one that was heard: it says nothing.
    Old,
    /// It is news.
    Fresh {
        /// The first of its run.
        first: bool,
    },
}

impl Detector {
    /// Begins to watch.
    pub fn new(now: Boot) -> Self {
        Self {
            since: now,
            last: None,
            ended: VecDeque::new(),
            gaps: Gaps::default(),
            pending: None,
            path: None,
            cameras: Vec::new(),
        }
    }

    /// A beat came.
    pub fn handle_beat(&mut self, now: Boot, arrival: &Arrival, beat: &Beat, timers: &Timers) -> Novelty {
        let first = match &mut self.last {
            Some(last) if last.origin == beat.origin && beat.number <= last.number => {
                last.came_also(arrival, beat.number);
                return Novelty::Old;
            }
            Some(last) => last.origin != beat.origin,
            None => true,
        };
        if first && !self.may_begin(now, beat, timers) {
            return Novelty::Old;
        }
        self.measure(now, first, timers);
        if first {
            self.begin_run(beat.origin);
        }
        self.note(now, arrival, beat);
        progress::update(&mut self.cameras, now, beat);
        Novelty::Fresh { first }
    }

    /// A host told what it sees of the cameras.
    pub fn handle_answers(&mut self, now: Boot, answers: &Answers) {
        let view = PathView::of(now, answers);
        if let Some((from, to)) = self.pending
            && view.ends() >= to
        {
            if view.held(from, to) {
                self.gaps.add(to.since(from));
            }
            self.pending = None;
        }
        self.path = Some(view);
    }

    /// This voter was not itself until now: what it didn't hear before says nothing.
    pub fn forgive(&mut self, now: Boot) {
        self.since = now;
        self.pending = None;
    }

    /// Silent for so long, as far as this voter can say.
    pub fn silent_for(&self, now: Boot) -> Duration {
        now.since(self.quiet_since())
    }

    /// When the last beat came, if any did.
    pub fn last_beat(&self) -> Option<Boot> {
        self.last.as_ref().map(|last| last.at)
    }

    /// On which way the last beat came.
    pub fn arrival(&self) -> Option<&Arrival> {
        self.last.as_ref().map(|last| &last.arrival)
    }

    /// Did the last beat come straight over this path, too?
    pub fn came_over(&self, path: &PathId) -> bool {
        let is_it = |arrival: &Arrival| matches!(arrival, Arrival::Direct(direct) if direct == path);
        self.last.as_ref().is_some_and(|last| is_it(&last.arrival) || last.also.iter().any(is_it))
    }

    /// The run that beats.
    pub fn origin(&self) -> Option<OriginId> {
        self.last.as_ref().map(|last| last.origin)
    }

    /// How far its host had applied the control log.
    pub fn log(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.log)
    }

    /// Did a beat come recently enough to say that the recorder lives?
    pub fn is_fresh(&self, now: Boot, timers: &Timers) -> bool {
        self.last_beat().is_some_and(|at| now.since(at) <= timers.fresh)
    }

    /// Silent for as long as the evidence asks for: the voter's own quiet time has passed.
    pub fn quiet(&self, now: Boot, timers: &Timers) -> Option<Quiet> {
        let quiet = silence::judge(self, now, timers);
        (quiet.silent_for >= quiet.needed).then_some(quiet)
    }

    /// When [`Detector::quiet`] might first say something new, if nothing comes before.
    pub fn next_look(&self, now: Boot, timers: &Timers) -> Boot {
        let peers = self.quiet_since() + timers.ask_peers;
        let first = self.quiet_since() + timers.short(self.gaps.p999());
        let last = self.quiet_since() + timers.long;
        match now {
            _ if now < peers => peers,
            _ if now < first => first,
            _ if now < last => last.min(now + timers.look),
            _ => now + 10 * timers.look,
        }
    }

    /// What the candidate host saw last, if it is recent.
    pub fn answers(&self, now: Boot, timers: &Timers) -> Option<&Answers> {
        let view = self.path.as_ref()?;
        (now.since(view.arrived) <= timers.answers_fresh && view.answers.any()).then_some(&view.answers)
    }

    /// Cameras that should progress and don't, though the candidate host sees them answer. Who hears no beats
    /// knows nothing of progress.
    pub fn stalled(&self, now: Boot, timers: &Timers) -> BTreeSet<CameraId> {
        let Some(answers) = self.answers(now, timers).filter(|_| self.is_fresh(now, timers)) else {
            return BTreeSet::new();
        };
        let stalled = |camera: &&Progress| camera.is_stalled(now, timers);
        let answering = |camera: &&Progress| answers.cameras.contains_key(&camera.camera);
        self.cameras.iter().filter(stalled).filter(answering).map(|camera| camera.camera.clone()).collect()
    }

    /// Cameras that are being recorded, with the keyframes committed of each.
    pub fn recording(&self) -> impl Iterator<Item = (&CameraId, u64)> {
        self.cameras
            .iter()
            .filter(|camera| camera.is_recording())
            .map(|camera| (&camera.camera, camera.keyframes))
    }

    /// The 99.9th percentile of the gaps between beats while the path held.
    pub fn gap_p999(&self) -> Duration {
        self.gaps.p999()
    }

    fn quiet_since(&self) -> Boot {
        self.last_beat().map_or(self.since, |at| at.max(self.since))
    }

    /// Stores the gap that ends now. A long one counts only if the path held through it, which the next
    /// report tells: what a cut did to the beats says nothing of the recorder.
    fn measure(&mut self, now: Boot, first: bool, timers: &Timers) {
        let Some(last) = self.last_beat().filter(|at| !first && *at >= self.since) else { return };
        let gap = now.since(last);
        if gap <= timers.gap_plain {
            self.gaps.add(gap);
        } else if gap < timers.long {
            self.pending = Some((last, now));
        }
    }

    /// Runs have no order: a late beat of an earlier run that was never heard looks like a restart. So a run that
    /// was taken for ended and beats on is believed again, once the one it was taken to be ended by is silent.
    fn may_begin(&self, now: Boot, beat: &Beat, timers: &Timers) -> bool {
        match self.ended.iter().find(|(origin, _)| *origin == beat.origin) {
            None => true,
            Some((_, number)) => beat.number > *number && !self.is_fresh(now, timers),
        }
    }

    fn begin_run(&mut self, origin: OriginId) {
        self.ended.retain(|(ended, _)| *ended != origin);
        if let Some(last) = &self.last {
            self.ended.push_back((last.origin, last.number));
            if self.ended.len() > RUNS_REMEMBERED {
                self.ended.pop_front();
            }
        }
        self.cameras.clear();
    }

    fn note(&mut self, now: Boot, arrival: &Arrival, beat: &Beat) {
        match &mut self.last {
            Some(last) if last.arrival == *arrival => {
                (last.at, last.origin, last.number, last.log) = (now, beat.origin, beat.number, beat.log);
                last.also.clear();
            }
            last => {
                *last = Some(Last {
                    at: now,
                    origin: beat.origin,
                    number: beat.number,
                    log: beat.log,
                    arrival: arrival.clone(),
                    also: Vec::new(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
