//! A keyframe, asked for over ONVIF when a camera begins to be recorded.
//!
//! A recorder that connects to a camera in the middle of a group of pictures has nothing to keep until the next
//! keyframe: with "smart" codecs up to 20 s. `SetSynchronizationPoint` of the Media service makes the encoder emit one
//! now. It is asked for where the configuration names the camera's ONVIF service, once a session has begun to play.
//!
//! | file | holds |
//! |---|---|
//! | `soap` | what is asked and answered, as text (pure) |
//! | `ask` | the exchange: clock, Media service, profiles, keyframe |
//!
//! Guarantees: recording never waits for it, and nothing it meets ends a recording; an asking takes [`WITHIN`] at most
//! and a stream asks once in [`PACE`]; a camera is asked by one at a time; at most [`AT_ONCE`] are under way in the process, later ones wait within their
//! own time; the log-in goes to the configured host and nowhere else, never as plain text, whatever a camera answers.
//! What a camera told of itself is kept for as long as the configuration is, so that the next asking is one request.

mod ask;
mod soap;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use url::Url;
use wire::clock;

use super::CameraTask;
use crate::config::Credentials;

/// So long one asking may take, all its requests together.
const WITHIN: Duration = Duration::from_secs(3);
/// A stream that is begun again and again asks no more often.
const PACE: Duration = Duration::from_secs(10);
/// Each takes a thread.
const AT_ONCE: usize = 16;

static UNDER_WAY: Semaphore = Semaphore::const_new(AT_ONCE);

/// A camera's ONVIF service, and what it told of itself.
pub struct Onvif {
    service: Url,
    learnt: Mutex<Option<Learnt>>,
    /// One asking at a time: what one learns serves the next.
    asking: Mutex<()>,
}

/// What has to be known to ask for a keyframe.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Learnt {
    /// Where the Media service is: at the configured host.
    media: Url,
    /// A profile for each of the camera's encoders, as they stand in its answer.
    profiles: Vec<String>,
    /// By how much its clock is ahead of ours.
    ahead_s: i64,
}

impl Onvif {
    /// A device service, of which nothing is known yet.
    pub fn new(service: Url) -> Self {
        Self { service, learnt: Mutex::new(None), asking: Mutex::new(()) }
    }

    /// Where it is.
    pub fn service(&self) -> &Url {
        &self.service
    }

    fn learnt(&self) -> Option<Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, learnt: Option<Learnt>) {
        *self.learnt.lock().unwrap_or_else(PoisonError::into_inner) = learnt;
    }
}

impl fmt::Debug for Onvif {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Onvif").field(&self.service.as_str()).finish()
    }
}

/// What a stream's sessions ask for.
pub(super) struct Keyframes {
    last: Option<Instant>,
}

impl Keyframes {
    pub(super) fn new() -> Self {
        Self { last: None }
    }

    /// A session has begun to play: asks for a keyframe, in the background.
    pub(super) fn ask(&mut self, task: &CameraTask) {
        let now = clock::now();
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < PACE) {
            return;
        }
        if spawn(task, ask::keyframe, "a keyframe") {
            self.last = Some(now);
        }
    }
}

/// Asks a camera beforehand what has to be known, in the background.
pub(super) fn prepare(task: &CameraTask) {
    spawn(task, ask::prepare, "what it takes to ask for a keyframe");
}

type Asking = fn(&Onvif, Option<&Credentials>, Instant) -> Result<(), ask::Unanswered>;

/// `false` if there is nobody to ask.
fn spawn(task: &CameraTask, asking: Asking, what: &'static str) -> bool {
    let Some(onvif) = task.onvif.clone() else { return false };
    // The configuration sees to it; a log-in is worth a second look.
    if onvif.service.host_str() != task.stream.url.host_str() {
        tracing::error!(stream = %task.stream.id, "its onvif service is at another host than its pictures: not asked");
        return false;
    }
    let (stream, log_in) = (task.stream.id.clone(), task.stream.credentials.clone());
    let deadline = clock::now() + WITHIN;
    tokio::spawn(async move {
        let turn = tokio::time::timeout_at(deadline.into(), UNDER_WAY.acquire());
        let Ok(Ok(turn)) = turn.await else {
            tracing::warn!(%stream, "too many cameras are asked at once: not asked for {what}");
            return;
        };
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let _alone = onvif.asking.lock().unwrap_or_else(PoisonError::into_inner);
            asking(&onvif, log_in.as_ref(), deadline)
        });
        match asked.await {
            Ok(Ok(())) => tracing::debug!(%stream, "asked the camera for {what}"),
            Ok(Err(why)) => tracing::info!(%stream, %why, "the camera was asked for {what}, in vain"),
            Err(error) => tracing::error!(%stream, %error, "ask for {what}"),
        }
    });
    true
}
