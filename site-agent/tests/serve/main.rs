//! The HTTP surface over a real archive with real video.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod clip;
mod export;
mod live;
mod scene;
mod timeline;
