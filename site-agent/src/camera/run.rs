//! The loop: connect, receive, wait, again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use retina::client::SessionGroup;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::proto::GapCause;

use super::backoff::Backoff;
use super::connect::{connect, play};
use super::failure::{Failure, Target};
use super::onvif::Keyframes;
use super::receive::{Ended, receive};
use super::{CameraEvent, CameraTask, Prepared};
use crate::config::quirks::UnassignedChannelData;

/// How long closing a session at the camera may hold up what comes next: a stop or a new attempt. retina
/// goes on closing it in the background.
const TEARDOWN_WITHIN: Duration = Duration::from_secs(1);

/// A camera that was prepared plays by then, or its connection is dead.
const PREPARED_WITHIN: Duration = Duration::from_secs(1);

/// Receives a stream until `cancel`, connecting again whenever it ends; returns within about a second of
/// `cancel`, or of the last receiver of `events` being gone.
///
/// What was `prepared` of the stream saves the first attempt its beginning.
pub async fn run(
    task: CameraTask,
    prepared: Option<Prepared>,
    events: mpsc::Sender<CameraEvent>,
    cancel: CancellationToken,
) {
    let known = prepared.as_ref().map(|prepared| prepared.group.clone());
    let group = known.unwrap_or_else(|| group(&task));
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        () = events.closed() => {}
        never = record(&task, prepared, &group, &events) => match never {},
    }
    // The session was dropped with the branch that had it: its TEARDOWN is on the way.
    close(&group).await;
}

/// The sessions of one stream.
pub(super) fn group(task: &CameraTask) -> Arc<SessionGroup> {
    Arc::new(SessionGroup::default().named(task.stream.id.to_string()))
}

async fn record(
    task: &CameraTask,
    prepared: Option<Prepared>,
    group: &Arc<SessionGroup>,
    events: &mpsc::Sender<CameraEvent>,
) -> Infallible {
    let target = Target::new(&task.stream.url, task.stream.credentials.is_some());
    let mut backoff = Backoff::new(task.seed);
    let mut told: Option<(GapCause, String)> = None;
    let mut keyframes = Keyframes::new();
    let mut first = match prepared.and_then(Prepared::fresh) {
        // A camera that has forgotten us meanwhile is simply connected to.
        Some(session) => tokio::time::timeout(PREPARED_WITHIN, play(task, &target, session))
            .await
            .ok()
            .and_then(Result::ok),
        None => None,
    };
    loop {
        let playing = match first.take() {
            Some(playing) => Ok(playing),
            None => connect(task, &target, group).await,
        };
        let ended = match playing {
            Ok(playing) => {
                keyframes.ask(task);
                receive(playing, &target, events).await
            }
            Err(failure) => Ended { failure, connected: false, well: Duration::ZERO },
        };
        let Failure { cause, pace, detail } = ended.failure;
        if ended.connected {
            told = None;
        }
        let wait = backoff.wait(pace, ended.well);
        tracing::debug!(stream = %task.stream.id, ?cause, %detail, ?wait, "camera");
        let why = Some((cause, detail.clone()));
        if told != why {
            told = why;
            tell(events, CameraEvent::Down { cause, detail }).await;
        }
        tokio::join!(tokio::time::sleep(wait), settle(task, group));
    }
}

/// Sends an event, waiting for room; for ever if nobody listens any more, since [`run`] ends then.
pub(super) async fn tell(events: &mpsc::Sender<CameraEvent>, event: CameraEvent) {
    if events.send(event).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Leaves the camera time to close the old session, so that it has one to give again.
async fn settle(task: &CameraTask, group: &SessionGroup) {
    close(group).await;
    if task.stream.quirks.unassigned_channel_data == UnassignedChannelData::AssumeStaleSession {
        // Ends by itself: retina lets sessions expire, after about a minute.
        group.await_stale_sessions(&group.stale_sessions()).await;
    }
}

async fn close(group: &SessionGroup) {
    // Whether the camera agreed to close makes no difference to what comes next.
    let _ = tokio::time::timeout(TEARDOWN_WITHIN, group.await_teardown()).await;
}
