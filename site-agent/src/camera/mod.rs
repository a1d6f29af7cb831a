//! The camera's side of recording: RTSP by retina; frames in, or the reason why there are none.
//!
//! [`run`] keeps one stream of one camera connected and turns what comes into [`CameraEvent`]s.
//!
//! | file | holds |
//! |---|---|
//! | `run` | the loop: connect, receive, wait, again |
//! | `prepare` | DESCRIBE beforehand: connected, and no session taken |
//! | `connect` | DESCRIBE, SETUP, PLAY; which of the camera's streams are taken |
//! | `receive` | items of a playing session → events |
//! | `track` | codec parameters → tracks |
//! | `onvif` | a keyframe asked for as a session begins |
//! | `failure` | why there are no frames, for people and for the archive |
//! | `backoff` | when to try again (pure) |
//!
//! Guarantees: frames come only between [`CameraEvent::Connected`] and [`CameraEvent::Down`], in the
//! order in which the camera sent them; a wrong password is never tried faster than a camera's lock-out
//! allows; no event and no log line holds credentials. It never knows of archives, nor of any network
//! beyond the camera's.
//!
//! **The bound.** Whoever is slow to receive events makes this task wait, and while it waits it reads
//! nothing from the camera. Held here are then one frame and what retina has read ahead; the rest is in
//! the kernel's receive buffer, and after that TCP tells the camera to stop. What a camera does then is its
//! own choice: most drop frames, which show as a [`CameraEvent::Hole`], or close the session after about a
//! minute without keep-alives, which shows as [`CameraEvent::Down`]. Waiting never counts as a silent camera.

mod backoff;
mod connect;
mod failure;
mod onvif;
mod prepare;
mod receive;
mod run;
mod track;

use std::sync::Arc;

use bytes::Bytes;
use media::{Arrival, AudioFrame, AudioTrack, VideoFrame, VideoTrack};
use wire::proto::GapCause;

use crate::config::{Camera, Stream};

pub use onvif::Onvif;
pub use prepare::{Prepared, prepare};
pub use run::run;

/// What happens at a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraEvent {
    /// Frames follow, with these parameters. Sent before the first frame of a session, and in mid-stream
    /// before the first frame whose video parameters differ.
    Connected {
        /// The pictures.
        video: VideoTrack,
        /// The sound, if it was asked for and is there.
        audio: Option<AudioTrack>,
        /// Is this a session that has just begun? Times then have a new zero.
        new_session: bool,
    },
    /// One coded picture.
    Video(VideoFrame),
    /// Some sound.
    Audio(AudioFrame),
    /// One message of the camera's ONVIF metadata. The first, which tell the initial state, can come
    /// before [`CameraEvent::Connected`].
    Metadata {
        /// When it arrived.
        arrival: Arrival,
        /// `application/xml`, unless the camera compresses.
        content_type: &'static str,
        /// The message as sent.
        body: Bytes,
    },
    /// Video packets were lost within the session: what follows up to the next keyframe can't be decoded.
    Hole {
        /// For people.
        detail: String,
    },
    /// There are no more frames until `Connected` comes again. Sent again while there are none only when
    /// the reason changes.
    Down {
        /// `CameraDown`, `CameraRefused` or `Unsupported`.
        cause: GapCause,
        /// For people: what happened, at which URL, and what to do. Never holds credentials.
        detail: String,
    },
}

/// What is to be received.
#[derive(Clone, Debug)]
pub struct CameraTask {
    /// The stream, and how its camera must be treated.
    pub stream: Stream,
    /// Is sound wanted?
    pub audio: bool,
    /// Is ONVIF metadata wanted?
    pub metadata: bool,
    /// Who is asked for a keyframe when a session begins.
    pub onvif: Option<Arc<Onvif>>,
    /// What the waits between attempts are drawn from.
    pub seed: u64,
}

impl CameraTask {
    /// A stream as it is configured.
    pub fn of(camera: &Camera, stream: &Stream) -> Self {
        Self {
            stream: stream.clone(),
            audio: camera.audio,
            metadata: camera.metadata,
            onvif: camera.onvif.clone(),
            seed: wire::clock::seed(),
        }
    }
}
