//! What one host does for one site: which cameras it prepares, records and lets go.
//!
//! It follows the control log as far as its host has applied it, and the cameras as its prober sees them. It
//! begins cameras one after the other by priority, within the site's uplink; begins none while the site's own
//! recorder beats; and stops what the log no longer asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::life::{Life, Mode};
use super::ramp::{Stream, budget, ramp, rate};
use crate::control::{BitsPerSecond, CameraSpec, Site, State, Tier};
use crate::epoch::Epoch;
use crate::evidence::Answer;
use crate::ids::{CameraId, HostId, SiteId};
use crate::time::Boot;

/// How a runner goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Between the beginnings of two cameras.
    pub step: Duration,
    /// A beat of the site's recorder no older than this is a fresh one.
    pub fresh: Duration,
}

impl Default for RunnerSettings {
    fn default() -> Self {
        Self { step: Duration::from_millis(50), fresh: Duration::from_millis(1_500) }
    }
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Open RTSP as far as possible without playing.
    Prepare(CameraId),
    /// Record this stream.
    Record {
        /// Of which camera.
        camera: CameraId,
        /// Which.
        stream: Stream,
    },
    /// Stop recording, or let go of what was prepared.
    Stop {
        /// Which camera.
        camera: CameraId,
        /// For the gap: a camera with one session is let go so that its site can have it.
        hand_over: bool,
    },
    /// Act with authority under this epoch, or (`None`) no more.
    Authority(Option<Epoch>),
}

/// One host's part in the life of one virtual server.
#[derive(Clone, Debug)]
pub struct Runner {
    site: SiteId,
    host: HostId,
    settings: RunnerSettings,
    wish: Wish,
    revision: u64,
    cameras: BTreeMap<CameraId, CameraSpec>,
    uplink: BitsPerSecond,
    authority: Option<Epoch>,
    home_beat: Option<Boot>,
    doing: BTreeMap<CameraId, Doing>,
    begun: Option<Boot>,
    log: u64,
}

/// What the log asks of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Wish {
    /// Nothing.
    #[default]
    Nothing,
    /// Open what answers.
    Prepare,
    /// These beside the site's recorder.
    Beside(BTreeSet<CameraId>),
    /// Everything that fits, beside the site's recorder.
    All,
    /// Everything that fits; gives way to a fresh beat.
    Record,
    /// What is recorded now, less what its site can only have alone.
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Prepared,
    Recorded(Stream),
}

impl Runner {
    /// Does nothing yet.
    pub fn new(site: SiteId, host: HostId, settings: RunnerSettings) -> Self {
        Self {
            site,
            host,
            settings,
            wish: Wish::Nothing,
            revision: 0,
            cameras: BTreeMap::new(),
            uplink: BitsPerSecond(0),
            authority: None,
            home_beat: None,
            doing: BTreeMap::new(),
            begun: None,
            log: 0,
        }
    }

    /// The control log, as far as this host has applied it.
    pub fn handle_state(&mut self, state: &State) -> Vec<Act> {
        self.log = state.at().map_or(0, |at| at.index);
        let site = state.site(&self.site).filter(|site| !site.revoked);
        self.wish = site.map_or(Wish::Nothing, |site| wish(site, &self.host));
        if let Some(site) = site {
            if self.revision != site.revision {
                self.revision = site.revision;
                self.cameras.clone_from(&site.cameras);
            }
            self.uplink = site.spec.uplink;
        }
        let authority = site.filter(|site| site.life.authority() == Some(&self.host)).map(|site| site.epoch);
        let mut acts = Vec::new();
        if self.authority != authority {
            self.authority = authority;
            acts.push(Act::Authority(authority));
        }
        acts.extend(self.stop_unwanted());
        acts
    }

    /// A beat of the site's own recorder reached this host.
    pub fn handle_home_beat(&mut self, now: Boot) {
        self.home_beat = Some(now);
    }

    /// Recording this camera failed, or its shell gave up: it may be begun again.
    pub fn handle_ended(&mut self, camera: &CameraId) {
        self.doing.remove(camera);
    }

    /// The next step, given what answers: at most one camera is begun per `step`. Call again at
    /// [`Runner::poll_timeout`] and when an answer changed.
    pub fn next(&mut self, now: Boot, answering: &BTreeMap<CameraId, Answer>) -> Option<Act> {
        if self.begun.is_some_and(|begun| now < begun + self.settings.step) {
            return None;
        }
        let act = self.choose(now, answering)?;
        let (camera, doing) = match &act {
            Act::Prepare(camera) => (camera.clone(), Doing::Prepared),
            Act::Record { camera, stream } => (camera.clone(), Doing::Recorded(*stream)),
            _ => return None,
        };
        self.doing.insert(camera, doing);
        self.begun = Some(now);
        Some(act)
    }

    /// When [`Runner::next`] may do something again, if it is only the pace that holds it.
    pub fn poll_timeout(&self) -> Option<Boot> {
        self.begun.map(|begun| begun + self.settings.step)
    }

    /// What is recorded now.
    pub fn recording(&self) -> impl Iterator<Item = (&CameraId, Stream)> {
        self.doing.iter().filter_map(|(camera, doing)| match doing {
            Doing::Recorded(stream) => Some((camera, *stream)),
            Doing::Prepared => None,
        })
    }

    /// The last entry of the log that was taken into account: goes into this host's beats.
    pub fn log(&self) -> u64 {
        self.log
    }

    /// The epoch under which this host acts.
    pub fn authority(&self) -> Option<Epoch> {
        self.authority
    }

    fn choose(&self, now: Boot, answering: &BTreeMap<CameraId, Answer>) -> Option<Act> {
        match &self.wish {
            Wish::Nothing | Wish::Keep => None,
            Wish::Prepare => {
                let idle = answering
                    .keys()
                    .find(|camera| !self.doing.contains_key(*camera) && self.cameras.contains_key(*camera))?;
                Some(Act::Prepare(idle.clone()))
            }
            Wish::Beside(cameras) => self.choose_among(answering, Some(cameras)),
            Wish::All => self.choose_among(answering, None),
            Wish::Record if self.home_is_fresh(now) => None,
            Wish::Record => self.choose_among(answering, None),
        }
    }

    /// The first camera of the ramp that isn't recorded yet and fits beside what is.
    fn choose_among(
        &self,
        answering: &BTreeMap<CameraId, Answer>,
        only: Option<&BTreeSet<CameraId>>,
    ) -> Option<Act> {
        let recorded: BTreeMap<&CameraId, Stream> = self.recording().collect();
        let specs = self.cameras.iter().filter(|(camera, _)| !recorded.contains_key(camera));
        let wanted = specs.filter(|(camera, _)| only.is_none_or(|only| only.contains(*camera)));
        let wanted = wanted.map(|(camera, spec)| (camera.clone(), *spec)).collect();
        let spent: u64 = recorded
            .iter()
            .filter_map(|(camera, stream)| Some(rate(self.cameras.get(*camera)?, *stream)))
            .sum();
        let left = BitsPerSecond(budget(self.uplink).0.saturating_sub(spent));
        let (camera, stream) = ramp(&wanted, answering, left).chosen.into_iter().next()?;
        Some(Act::Record { camera, stream })
    }

    fn home_is_fresh(&self, now: Boot) -> bool {
        self.home_beat.is_some_and(|at| now.since(at) <= self.settings.fresh)
    }

    fn stop_unwanted(&mut self) -> Vec<Act> {
        let (wish, cameras) = (&self.wish, &self.cameras);
        let mut stopped = Vec::new();
        self.doing.retain(|camera, doing| {
            let keep = keeps(wish, cameras.get(camera), camera, *doing);
            if !keep {
                let hand_over = *wish == Wish::Keep;
                stopped.push(Act::Stop { camera: camera.clone(), hand_over });
            }
            keep
        });
        stopped
    }
}

/// What the log asks of `host` for this site.
fn wish(site: &Site, host: &HostId) -> Wish {
    let here = site.life.standby() == Some(host);
    match &site.life {
        // It was planned, or a person wants it: the site may record on, and is not to be waited for.
        Life::Standby { mode: Mode::Recording, .. } | Life::Healing { .. }
            if here && (site.plan.is_some() || site.pinned) =>
        {
            Wish::All
        }
        Life::Standby { mode: Mode::Recording, .. } | Life::Healing { .. } if here => Wish::Record,
        Life::Failback { .. } if here => Wish::Keep,
        _ if site.placement.as_ref() != Some(host) || site.is_away() => Wish::Nothing,
        _ if site.spec.tier == Tier::Hot => Wish::All,
        _ if !site.assisted.is_empty() => Wish::Beside(site.assisted.clone()),
        Life::Suspect | Life::Standby { mode: Mode::Armed, .. } => Wish::Prepare,
        _ => Wish::Nothing,
    }
}

fn keeps(wish: &Wish, spec: Option<&CameraSpec>, camera: &CameraId, doing: Doing) -> bool {
    let Some(spec) = spec else { return false };
    let recorded = matches!(doing, Doing::Recorded(_));
    match wish {
        Wish::Nothing => false,
        Wish::Prepare => !recorded,
        Wish::Beside(cameras) => cameras.contains(camera),
        Wish::All | Wish::Record => true,
        Wish::Keep => recorded && !spec.single_session,
    }
}
