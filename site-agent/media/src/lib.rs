//! Frames to fragmented MP4 (CMAF-like segment files) and back: pure, without I/O or clock.
//!
//! [`Segmenter`] turns the frames of one camera stream into the parts of segment files;
//! [`read`] takes such files apart again; [`export`] makes one MP4 of many of them. What the bytes
//! mean and why they lie as they do is told in `docs/design/segment-file.md`.

mod boxes;
pub mod export;
mod fragment;
pub mod frame;
mod header;
mod index;
pub mod nal;
pub mod read;
mod sample;
mod segmenter;
mod timeline;

pub use frame::{
    Arrival, AudioCodec, AudioFrame, AudioTrack, SenderReport, VideoCodec, VideoFrame, VideoTrack,
};
pub use sample::{Sample, samples_hash};
pub use segmenter::{
    FRAGMENT_BYTES_MAX, FRAGMENTS_MAX, FRAME_BYTES_MAX, Output, Part, Segmenter, SegmenterConfig,
};

/// Ticks per second of every video track and of the ledger's media timeline.
pub const VIDEO_TIMESCALE: u32 = 90_000;
