//! How each stream is doing, for beats, status pages and metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use wire::proto::RecordingState;
use wire::{SegmentNumber, StreamId, UnixMicros};

/// One stream, as its recorder last saw it.
#[derive(Clone, Debug, Serialize)]
pub struct StreamStatus {
    /// What the recorder is doing.
    #[serde(serialize_with = "serialize_state")]
    pub state: RecordingState,
    /// Why, where there is something to say.
    pub detail: String,
    /// Arrival of the last frame in the last durable fragment.
    pub last_durable_us: Option<UnixMicros>,
    /// The last fragment that is on disk and synced: its segment, and which of the segment's it is.
    #[serde(skip)]
    pub durable: Option<(SegmentNumber, u32)>,
    /// Durable fragments of this run that begin with a keyframe.
    pub keyframes: u64,
    /// RFC 6381.
    pub codecs: String,
    /// Video frames recorded in this run.
    pub frames: u64,
    /// Bytes recorded in this run.
    pub bytes: u64,
    /// Segments committed in this run.
    pub segments: u64,
    /// Times the camera connected in this run.
    pub connects: u64,
    /// Holes in the camera's own stream.
    pub holes: u64,
    /// Writes that failed.
    pub write_errors: u64,
}

impl StreamStatus {
    /// The state in a word.
    pub fn state_name(&self) -> &'static str {
        state_name(self.state)
    }
}

impl Default for StreamStatus {
    fn default() -> Self {
        Self {
            state: RecordingState::Connecting,
            detail: String::new(),
            last_durable_us: None,
            durable: None,
            keyframes: 0,
            codecs: String::new(),
            frames: 0,
            bytes: 0,
            segments: 0,
            connects: 0,
            holes: 0,
            write_errors: 0,
        }
    }
}

/// All streams of a virtual server.
#[derive(Debug, Default)]
pub struct Statuses(Mutex<BTreeMap<StreamId, Arc<Mutex<StreamStatus>>>>);

impl Statuses {
    pub(super) fn add(&self, stream: &StreamId) -> Arc<Mutex<StreamStatus>> {
        // One that is begun again goes on counting.
        lock(&self.0).entry(stream.clone()).or_default().clone()
    }

    /// One of them.
    pub fn get(&self, stream: &StreamId) -> Option<StreamStatus> {
        lock(&self.0).get(stream).map(|status| lock(status).clone())
    }

    /// A copy of all.
    pub fn snapshot(&self) -> BTreeMap<StreamId, StreamStatus> {
        lock(&self.0).iter().map(|(stream, status)| (stream.clone(), lock(status).clone())).collect()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a recorder is doing, in a word.
pub fn state_name(state: RecordingState) -> &'static str {
    match state {
        RecordingState::Unspecified => "unknown",
        RecordingState::Connecting => "connecting",
        RecordingState::Recording => "recording",
        RecordingState::Down => "down",
        RecordingState::Refused => "refused",
    }
}

fn serialize_state<S: serde::Serializer>(state: &RecordingState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state_name(*state))
}
