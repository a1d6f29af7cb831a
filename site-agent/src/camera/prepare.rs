//! Connecting beforehand: as far as a camera gives nothing away for it.
//!
//! A camera that was described has an open connection, the log-in done and its streams known; SETUP and PLAY
//! are left. No session is taken: one that is set up and not played expires at the camera after about a minute,
//! since retina keeps only playing sessions alive, and cameras have few to give.

use std::sync::Arc;
use std::time::{Duration, Instant};

use retina::client::{Described, Session, SessionGroup};

use super::CameraTask;
use super::connect::describe;
use super::failure::Target;

/// Cameras hang up on a connection that says nothing for about a minute, some sooner.
const KEEPS: Duration = Duration::from_secs(20);

/// A camera that was described and waits to be played.
pub struct Prepared {
    pub(super) group: Arc<SessionGroup>,
    session: Session<Described>,
    since: Instant,
}

impl Prepared {
    /// The session, if the camera can be expected to know it still.
    pub(super) fn fresh(self) -> Option<Session<Described>> {
        (wire::clock::now().saturating_duration_since(self.since) < KEEPS).then_some(self.session)
    }
}

/// Describes a stream. A camera that refuses or doesn't answer is not tried again: `None`.
pub async fn prepare(task: CameraTask) -> Option<Prepared> {
    let group = super::run::group(&task);
    super::onvif::prepare(&task);
    let target = Target::new(&task.stream.url, task.stream.credentials.is_some());
    match describe(&task, &target, &group).await {
        Ok(session) => Some(Prepared { group, session, since: wire::clock::now() }),
        Err(failure) => {
            tracing::info!(stream = %task.stream.id, why = failure.detail, "could not be prepared");
            None
        }
    }
}
