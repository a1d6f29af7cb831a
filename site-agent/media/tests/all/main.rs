//! The crate as its users see it: made-up frames, hostile bytes, and real codecs.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod export;
mod ffmpeg;
mod frames;
mod hostile;
mod playable;
mod segmenter;
