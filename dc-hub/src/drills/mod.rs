//! Drills: asked for, followed as they go, measured from what is really there, and told of.
//!
//! | module | |
//! |---|---|
//! | `ask` | what people, and the schedule, ask for |
//! | `course` | what happened when, as the control log said (pure) |
//! | `measure` | what the vault holds of it: who recorded when, frame by frame |
//! | `report` | whether all was as it should be (pure) |
//! | `svg` | the report as a picture (pure) |
//! | `store` | reports, kept beside the vault |
//! | `untold` | drills that ended and of which nobody has told |
//! | `schedule` | which drill is due (pure) |
//! | `http` | all of it over HTTP |
//!
//! The node that keeps a site's vault tells of its drills, whoever leads; the log says to every node which one that was. Nothing here decides anything: what becomes of a
//! rehearsed failure is the quorum's, as for a real one; and a drill ends by the control log, whether or not anybody
//! follows it.

mod ask;
mod course;
pub mod http;
mod measure;
mod report;
mod schedule;
mod store;
mod svg;
mod untold;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control_log::ControlLog;
use decide::control::{Command, Drill, DrillKind, Event, State};
use decide::{CameraId, NodeId, SiteId};
use site_agent::archive::Archive;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::UnixMicros;

pub use ask::{Accepted, Asked};
pub use course::{Course, Verdict};
pub use measure::{Compared, Recorded, Span};
pub use report::{CameraReport, Report};
pub use schedule::Planned;
pub use store::Store;

use report::Facts;

/// What changed while anything was rehearsed, as the quorum's loop saw it.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When it was applied here, by this node's wall clock.
    pub at: UnixMicros,
    /// The log's state after it.
    pub state: Arc<State>,
    /// What it changed.
    pub events: Arc<[Event]>,
    /// When this node last heard the recorders of the sites it is about.
    pub last_beats: BTreeMap<SiteId, UnixMicros>,
}

/// Marks that wait to be read.
pub const MARKS: usize = 4096;
/// What a site recorded until the drill's end is waited for so long: its segment has to close, and to come here.
const SETTLED: Duration = Duration::from_secs(90);
/// Between two looks whether it is there.
const LOOK: Duration = Duration::from_secs(1);
/// So often the log is told how a drill went, and so long is waited in between.
const TELL: u32 = 10;

/// What drills work with.
pub struct Parts {
    /// This node, as it is called.
    pub node: String,
    /// Its id.
    pub me: NodeId,
    /// What is agreed on.
    pub log: ControlLog,
    /// Where recordings are.
    pub archive: Archive,
    /// Where reports are kept.
    pub dir: PathBuf,
    /// What is to be rehearsed again and again.
    pub planned: Vec<Planned>,
}

/// Drills, as one node sees them.
#[derive(Clone)]
pub struct Drills {
    inner: Arc<Inner>,
}

struct Inner {
    node: String,
    me: NodeId,
    log: ControlLog,
    archive: Archive,
    store: Store,
    /// Drills that have ended, and are being measured.
    measured: Mutex<BTreeMap<SiteId, String>>,
}

/// A drill that is followed.
struct Running {
    drill: Drill,
    course: Course,
    cameras: Vec<CameraId>,
}

impl Drills {
    /// Follows what `marks` tell, and rehearses what is planned, until `stop`.
    pub fn start(parts: Parts, marks: mpsc::Receiver<Mark>, stop: CancellationToken) -> Self {
        let Parts { node, me, log, archive, dir, planned } = parts;
        let inner = Inner { node, me, log, archive, store: Store::new(dir), measured: Mutex::default() };
        let drills = Self { inner: Arc::new(inner) };
        let (follower, keeper, asker) = (drills.clone(), drills.clone(), drills.clone());
        let stops = [stop.clone(), stop.clone(), stop];
        let [stop_following, stop_keeping, stop_asking] = stops;
        tokio::spawn(async move { stop_following.run_until_cancelled(follower.follow(marks)).await });
        tokio::spawn(async move { stop_keeping.run_until_cancelled(keeper.keep(planned)).await });
        tokio::spawn(async move { stop_asking.run_until_cancelled(asker.miss()).await });
        drills
    }

    /// Reports.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// What is agreed on.
    pub fn log(&self) -> &ControlLog {
        &self.inner.log
    }

    async fn follow(self, mut marks: mpsc::Receiver<Mark>) {
        let mut running = BTreeMap::new();
        // What goes on since before this node came.
        let known = Mark {
            at: wire::clock::wall(),
            state: self.inner.log.state(),
            events: Arc::default(),
            last_beats: BTreeMap::new(),
        };
        self.mark(&mut running, &known);
        while let Some(mark) = marks.recv().await {
            self.mark(&mut running, &mark);
        }
    }

    fn mark(&self, running: &mut BTreeMap<SiteId, Running>, mark: &Mark) {
        let goes_on = |name: &SiteId, running: &Running| {
            let drill = mark.state.site(name).and_then(|site| site.drill.as_ref());
            drill.is_some_and(|drill| drill.index == running.drill.index)
        };
        let ended: Vec<_> = running.extract_if(.., |name, running| !goes_on(name, running)).collect();
        ended.into_iter().for_each(|ended| self.ended(ended, mark));
        // Whoever keeps the vault now tells of it.
        running.retain(|name, _| mark.state.site(name).is_some_and(|site| site.vault == Some(self.inner.me)));
        for (name, site) in mark.state.sites().iter().filter(|(_, site)| site.vault == Some(self.inner.me)) {
            let Some(drill) = site.drill.as_deref() else { continue };
            let about = |event: &&Event| event.site().is_none_or(|of| of == name);
            let known = running.entry(name.clone()).or_insert_with(|| {
                let begins = |event: &Event| matches!(event, Event::Drill { drill: Some(of), .. } if of.index == drill.index && !of.over);
                let begins = mark.events.iter().filter(about).any(begins);
                let cameras = site.cameras.keys().cloned().collect();
                Running { course: self.course(drill, begins.then_some(mark.at)), drill: drill.clone(), cameras }
            });
            let last_beat = mark.last_beats.get(name).copied();
            known.course.led_by_another(drill, &mark.state);
            mark.events.iter().filter(about).for_each(|event| known.course.take(mark.at, event, last_beat));
            // The events may have been missed.
            known.course.drill(mark.at, Some(drill));
        }
    }

    fn ended(&self, (site, mut running): (SiteId, Running), mark: &Mark) {
        let about = |event: &&Event| event.site() == Some(&site);
        mark.events.iter().filter(about).for_each(|event| running.course.take(mark.at, event, None));
        running.course.drill(mark.at, None);
        running.course.led_by_another(&running.drill, &mark.state);
        self.report_on(site, running);
    }

    /// Of a drill that began here just now; or, if it didn't, before this node followed it.
    fn course(&self, drill: &Drill, begun: Option<UnixMicros>) -> Course {
        let before = || drill.begun.map_or_else(wire::clock::wall, |at| at.time);
        let mut course = Course::new(begun.unwrap_or_else(before));
        if begun.is_none() {
            course.interrupted(format!("{} was not there all the time to follow it", self.inner.node));
        }
        course
    }

    /// Measures a drill that is over, and tells of it.
    fn report_on(&self, site: SiteId, running: Running) {
        self.measured().insert(site.clone(), running.drill.order.id.clone());
        let drills = self.clone();
        tokio::spawn(async move {
            if let Err(error) = drills.finish(&site, running).await {
                tracing::error!(%site, error = format!("{error:#}"), "there is no report of this drill");
            }
            drills.measured().remove(&site);
        });
    }

    /// Measures a drill that has ended, and tells of it.
    async fn finish(&self, site: &SiteId, running: Running) -> anyhow::Result<()> {
        let ended = running.course.ended_us.unwrap_or(running.course.begun_us + running.drill.order.length);
        let within = (running.course.begun_us - Duration::from_secs(5), ended + Duration::from_secs(3));
        self.until_settled(site, ended, within).await;
        let (inner, of) = (self.inner.clone(), site.clone());
        let (index, report) = tokio::task::spawn_blocking(move || {
            let index = running.drill.index;
            inner.report(&of, running, within).map(|report| (index, report))
        })
        .await??;
        tracing::info!(%site, id = report.id, ok = report.ok, problems = ?report.problems, "a drill was measured");
        self.tell(site, index, report.ok).await;
        Ok(())
    }

    /// Waits until what the site recorded up to `end` is here, if it recorded at all; not for ever.
    async fn until_settled(&self, site: &SiteId, end: UnixMicros, within: Span) {
        let here = || {
            let recorded = measure::recorded(&self.inner.archive, site, within).unwrap_or_default();
            let mut of_site = recorded.values().filter(|recorded| !recorded.site.is_empty()).peekable();
            let any = of_site.peek().is_some();
            any && of_site.all(|recorded| recorded.site.last().is_some_and(|span| span.1 >= end))
        };
        let settled = async {
            while !here() {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(SETTLED, settled).await.is_err() {
            tracing::warn!(%site, "not all that the site recorded in its drill is here; told of as it is");
        }
    }

    /// Tells the log; nobody may lead for a moment.
    async fn tell(&self, site: &SiteId, drill: u64, good: bool) {
        for _ in 0..TELL {
            let node = Some(self.inner.me);
            let command = Command::Drilled { site: site.clone(), drill, good, node };
            match self.inner.log.propose(command).await {
                Ok(_) => return,
                Err(error) => tracing::warn!(%site, %error, "the log does not know how this drill went"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sites whose drill is being measured here.
    fn under_way(&self) -> BTreeSet<SiteId> {
        self.measured().keys().cloned().collect()
    }

    fn measured(&self) -> MutexGuard<'_, BTreeMap<SiteId, String>> {
        self.inner.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Reads what there is, draws the report up and keeps it.
    fn report(&self, site: &SiteId, running: Running, within: Span) -> anyhow::Result<Report> {
        let Running { drill, course, cameras } = running;
        // A log that is applied anew after a restart may show a drill again that was told of.
        if let Some(kept) = self.store.report(&drill.order.id, site).filter(|_| course.interrupted.is_some())
        {
            return Ok(kept);
        }
        let recorded = measure::recorded(&self.archive, site, within)?;
        let mut compared = BTreeMap::new();
        if drill.order.kind == DrillKind::Recorder {
            for (stream, _) in recorded.iter().filter(|(_, recorded)| !recorded.standby.is_empty()) {
                compared.insert(stream.clone(), measure::compare(&self.archive, site, stream, within)?);
            }
        }
        let facts = Facts { site, node: &self.node, drill: &drill, course, cameras, recorded, compared };
        let report = Report::new(facts);
        self.store.keep(&report)?;
        Ok(report)
    }
}
