//! One site's virtual server in the vault, begun with the first camera and ended with the last.
//!
//! It is an ordinary recorder with an origin of its own: nothing it writes can be confused with what the
//! site's recorder writes, and both stand side by side in the timeline.

use std::collections::BTreeMap;

use decide::beat::{Beat, CameraBeat, CameraState, Durable};
use decide::standby::Stream as Which;
use decide::{CameraId, Epoch, SiteId};
use site_agent::archive::ArchiveError;
use site_agent::camera::{self, CameraTask, Prepared};
use site_agent::config::{Accepted, Camera, Stream};
use site_agent::virtual_server::{Base, Ending, StreamStatus, VirtualServer};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use wire::StreamId;
use wire::proto::RecordingState;

use super::{Options, facts};

/// Why a camera is not being recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginError {
    /// The control log knows of a camera that the site's configuration here doesn't.
    #[error("the configuration that the site sent here doesn't have it")]
    Unknown,
    /// The vault can't.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// The recorders of one site.
pub(super) struct Recorders {
    options: Options,
    site: SiteId,
    server: Option<VirtualServer>,
    /// Beats of the run.
    beats: u64,
    /// Cameras of the run, with what is recorded of each; those that were ended as well, so that beats say so.
    cameras: BTreeMap<CameraId, Recorded>,
    prepared: BTreeMap<CameraId, Preparing>,
    /// Runs that are closing what they had open.
    closing: JoinSet<()>,
}

struct Recorded {
    stream: StreamId,
    on: bool,
}

struct Preparing {
    stream: StreamId,
    task: AbortOnDropHandle<Option<Prepared>>,
}

impl Recorders {
    pub(super) fn new(options: Options, site: SiteId) -> Self {
        Self {
            options,
            site,
            server: None,
            beats: 0,
            cameras: BTreeMap::new(),
            prepared: BTreeMap::new(),
            closing: JoinSet::new(),
        }
    }

    /// Is anything being recorded?
    pub(super) fn any(&self) -> bool {
        self.cameras.values().any(|recorded| recorded.on)
    }

    /// Connects to a camera's main stream as far as that takes nothing from anybody.
    pub(super) fn prepare(&mut self, accepted: &Accepted, id: &CameraId) {
        let Some((camera, stream)) = find(accepted, id, Which::Main) else { return };
        let task = AbortOnDropHandle::new(tokio::spawn(camera::prepare(CameraTask::of(camera, stream))));
        self.prepared.insert(id.clone(), Preparing { stream: stream.id.clone(), task });
    }

    /// Begins to record.
    pub(super) async fn record(
        &mut self,
        accepted: &Accepted,
        id: &CameraId,
        which: Which,
    ) -> Result<(), BeginError> {
        let (camera, stream) = find(accepted, id, which).ok_or(BeginError::Unknown)?;
        let prepared = match self.prepared.remove(id) {
            // One that is still connecting is no faster than a new attempt.
            Some(preparing) if preparing.stream == stream.id && preparing.task.is_finished() => {
                preparing.task.await.ok().flatten()
            }
            _ => None,
        };
        let server = self.server(accepted);
        server.begin(camera, stream, prepared).await?;
        self.cameras.insert(id.clone(), Recorded { stream: stream.id.clone(), on: true });
        Ok(())
    }

    /// Ends recording, or lets go of what was prepared.
    pub(super) fn end(&mut self, id: &CameraId, ending: Ending) {
        self.prepared.remove(id);
        if let (Some(recorded), Some(server)) = (self.cameras.get_mut(id), &self.server) {
            recorded.on = false;
            server.end(&recorded.stream, ending);
        }
    }

    /// The run, begun if there is none.
    pub(super) fn server(&mut self, accepted: &Accepted) -> &mut VirtualServer {
        let base = || Base {
            site: self.site.clone(),
            archive: self.options.archive.clone(),
            live: self.options.live.clone(),
            segment: accepted.segment,
            fragment: accepted.fragment,
        };
        self.server.get_or_insert_with(|| VirtualServer::standby(base()))
    }

    /// Ends the run, in the background: the next one has another origin.
    pub(super) fn end_run(&mut self) {
        self.cameras.clear();
        self.beats = 0;
        if let Some(server) = self.server.take() {
            self.closing.spawn(server.stop());
        }
        while self.closing.try_join_next().is_some() {}
    }

    /// Ends everything; it is committed when this returns.
    pub(super) async fn close(mut self) {
        self.prepared.clear();
        self.end_run();
        while self.closing.join_next().await.is_some() {}
    }

    /// What the run says of itself; nothing without one.
    pub(super) fn beat(&mut self, epoch: Epoch, log: u64) -> Option<Beat> {
        let server = self.server.as_ref()?;
        self.beats += 1;
        let statuses = server.statuses().snapshot();
        let camera = |(id, recorded): (&CameraId, &Recorded)| {
            camera_beat(id, recorded, statuses.get(&recorded.stream))
        };
        Some(Beat {
            origin: server.origin(),
            number: self.beats,
            epoch,
            log,
            cameras: self.cameras.iter().map(camera).collect(),
        })
    }
}

fn camera_beat(id: &CameraId, recorded: &Recorded, status: Option<&StreamStatus>) -> CameraBeat {
    let state = match status.map(|status| status.state) {
        _ if !recorded.on => CameraState::Idle,
        Some(RecordingState::Down | RecordingState::Refused) | None => CameraState::Down,
        Some(_) => CameraState::Recording,
    };
    let durable = status.and_then(|status| status.durable);
    CameraBeat {
        camera: id.clone(),
        state,
        durable: durable.map(|(segment, fragment)| Durable { segment, fragment }),
        keyframes: status.map_or(0, |status| status.keyframes),
    }
}

fn find<'a>(accepted: &'a Accepted, id: &CameraId, which: Which) -> Option<(&'a Camera, &'a Stream)> {
    let camera = accepted.camera(id.local())?;
    Some((camera, facts::stream(camera, which)?))
}
