//! One site's task: cameras' answers and the control log in, recorders and reports out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use decide::control::{Site, State};
use decide::evidence::Answer;
use decide::standby::ramp::{budget, protection};
use decide::standby::{Act, Prober, Protection};
use decide::{Boot, CameraId, Epoch, SiteId, standby};
use site_agent::config::{Accepted, Camera, Tier};
use site_agent::probe::{self, Asked, Target};
use site_agent::virtual_server::Ending;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::recorders::Recorders;
use super::{Shared, boot, facts};

/// From one report, and one beat, to the next.
const TICK: Duration = Duration::from_millis(500);
/// A camera that could not be begun is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);
/// Answers that wait for the task.
const ASKED: usize = 256;

/// Serves one site for as long as this host is to watch it, or until `cancel`.
pub(super) async fn run(
    shared: Arc<Shared>,
    site: SiteId,
    mut states: watch::Receiver<Arc<State>>,
    mut home_beats: watch::Receiver<Option<Boot>>,
    cancel: CancellationToken,
) {
    let options = shared.options.clone();
    let mut configs = options.accepted.changes();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (asked, mut answers) = mpsc::channel(ASKED);
    let host = options.host.clone();
    let path = options.path.clone();
    let mut task = Task {
        runner: standby::Runner::new(site.clone(), host.clone(), options.runner.clone()),
        prober: Prober::new(site.clone(), host, path, probe::EVERY + probe::DEADLINE),
        recorders: Recorders::new(options, site.clone()),
        shared,
        site,
        accepted: None,
        told: Epoch::default(),
        failed: BTreeMap::new(),
        asked,
        probes: JoinSet::new(),
        targets: Vec::new(),
    };
    task.configured();
    let state = states.borrow_and_update().clone();
    task.applied(&state);
    loop {
        task.steps().await;
        let step = task.next_step();
        tokio::select! {
            changed = states.changed() => {
                if changed.is_err() {
                    break;
                }
                let state = states.borrow_and_update().clone();
                task.applied(&state);
                if !state.watches(&task.site, &task.shared.options.host) {
                    break;
                }
            }
            Some((camera, answer)) = answers.recv() => {
                task.prober.handle_answer(boot(), &camera, answer.map(evidence));
            }
            Ok(()) = home_beats.changed() => {
                if let Some(at) = *home_beats.borrow_and_update() {
                    task.runner.handle_home_beat(at);
                }
            }
            Ok(()) = configs.changed() => task.configured(),
            _ = ticks.tick() => {
                let state = states.borrow().clone();
                task.report(&state);
            }
            () = tokio::time::sleep(step) => {}
            () = cancel.cancelled() => break,
        }
    }
    task.probes.shutdown().await;
    task.recorders.close().await;
}

struct Task {
    shared: Arc<Shared>,
    site: SiteId,
    runner: standby::Runner,
    prober: Prober,
    recorders: Recorders,
    accepted: Option<Arc<Accepted>>,
    /// The highest epoch this host was told.
    told: Epoch,
    /// Cameras that could not be begun, and when to try again.
    failed: BTreeMap<CameraId, Boot>,
    asked: mpsc::Sender<Asked<CameraId>>,
    probes: JoinSet<()>,
    /// Whom they ask.
    targets: Vec<Arc<Target<CameraId>>>,
}

impl Task {
    /// Takes in what the control log says now.
    fn applied(&mut self, state: &State) {
        self.prober.hide(state.site(&self.site).is_some_and(Site::hides_cameras));
        for act in self.runner.handle_state(state) {
            match act {
                Act::Authority(epoch) => self.authority(epoch),
                Act::Stop { camera, hand_over } => {
                    tracing::info!(%camera, hand_over, "standby ends recording");
                    let ending = if hand_over { Ending::HandOver } else { Ending::Stopped };
                    self.recorders.end(&camera, ending);
                    self.failed.remove(&camera);
                }
                Act::Prepare(_) | Act::Record { .. } => {} // these come one by one, from `next`
            }
        }
        self.rest();
    }

    fn authority(&mut self, epoch: Option<Epoch>) {
        match epoch {
            Some(epoch) => {
                tracing::info!(site = %self.site, %epoch, "standby has authority");
                self.told = self.told.max(epoch);
            }
            None => tracing::info!(site = %self.site, "standby has given authority back"),
        }
    }

    /// Without authority and without a camera there is no run.
    fn rest(&mut self) {
        if self.runner.authority().is_none() && !self.recorders.any() {
            self.recorders.end_run();
        }
    }

    /// Takes in what the site sent of its cameras, and asks those.
    fn configured(&mut self) {
        self.accepted = self.shared.options.accepted.of(&self.site);
        let cameras = self.accepted.iter().flat_map(|accepted| &accepted.cameras);
        let targets: Vec<_> = cameras.filter_map(|camera| target(&self.site, camera)).map(Arc::new).collect();
        if targets == self.targets {
            return;
        }
        for gone in self.targets.iter().filter(|known| !targets.contains(known)) {
            self.prober.handle_answer(boot(), gone.id(), None);
        }
        self.probes = probe::ask_all(&targets, &self.asked);
        self.targets = targets;
    }

    /// Does what is to be done now.
    async fn steps(&mut self) {
        let now = boot();
        let again: Vec<_> = self.failed.extract_if(.., |_, at| *at <= now).collect();
        for (camera, _) in again {
            self.runner.handle_ended(&camera);
        }
        while let Some(act) = self.runner.next(boot(), self.prober.answering()) {
            match (act, self.accepted.clone()) {
                (Act::Prepare(camera), Some(accepted)) if accepted.tier != Tier::Cold => {
                    self.recorders.prepare(&accepted, &camera)
                }
                (Act::Record { camera, stream }, accepted) => self.record(accepted, camera, stream).await,
                _ => {}
            }
        }
    }

    async fn record(&mut self, accepted: Option<Arc<Accepted>>, camera: CameraId, stream: standby::Stream) {
        let begun = match &accepted {
            Some(accepted) => self.recorders.record(accepted, &camera, stream).await,
            None => Err(super::recorders::BeginError::Unknown),
        };
        match begun {
            Ok(()) => tracing::info!(%camera, ?stream, "standby records"),
            Err(error) => {
                tracing::error!(%camera, %error, "standby can't record");
                self.failed.insert(camera, boot() + AGAIN);
            }
        }
    }

    /// When there may be something to do, if nothing happens.
    fn next_step(&self) -> Duration {
        let now = boot();
        let paced = self.runner.poll_timeout().filter(|at| *at > now);
        let next = self.failed.values().copied().chain(paced).min();
        next.map_or(TICK, |at| at.since(now).min(TICK))
    }

    /// Says what is to be said every time.
    fn report(&mut self, state: &State) {
        // What the queue has no room for is dropped: newer comes.
        let _ = self.shared.answers.try_send(self.prober.report(boot()));
        if self.runner.authority().is_some()
            && let Some(accepted) = self.accepted.clone()
        {
            self.recorders.server(&accepted);
        }
        let Some(site) = state.site(&self.site) else { return };
        let mut protection = protection(&site.cameras, self.prober.answering(), budget(site.spec.uplink));
        if let Some(beat) = self.recorders.beat(self.told, self.runner.log()) {
            let recorded = beat.cameras.iter().filter(|camera| camera.is_recorded());
            protection.extend(recorded.map(|camera| (camera.camera.clone(), Protection::Recorded)));
            let _ = self.shared.beats.try_send((self.site.clone(), beat));
        }
        if let Some(desk) = self.shared.sites().get_mut(&self.site) {
            desk.protection = protection;
        }
    }
}

fn target(site: &SiteId, camera: &Camera) -> Option<Target<CameraId>> {
    Target::of(facts::camera_id(site, &camera.id)?, camera)
}

fn evidence(answer: probe::Answer) -> Answer {
    match answer {
        probe::Answer::Free => Answer::Free,
        probe::Answer::Busy => Answer::Busy,
    }
}
