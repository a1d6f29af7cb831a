//! Takes segment files apart again: headers, fragments, and what a crash left of an open file.
//!
//! The bytes may be anything. Nothing here panics on them, nor allocates more than they justify.

mod fragment;
mod frames;
mod header;
mod scan;

use wire::id::NameError;

pub use crate::sample::Sample;
pub(crate) use fragment::movie_fragment;
pub use fragment::{ParsedFragment, fragment_info, frames_hash, parse_fragment};
pub use frames::{SegmentFrames, picture_hash, segment_frames};
pub use header::Header;
pub(crate) use header::aac_config;
pub use scan::{Rebuilt, Scan, ScannedFragment, rebuild, scan};

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They don't begin with a header.
    #[error("not the header of a segment file: {0}")]
    Header(&'static str),
    /// They don't begin with a complete fragment.
    #[error("not a fragment: {0}")]
    Fragment(&'static str),
    /// The checksum says that they changed.
    #[error("the checksum of the {0} does not match")]
    Checksum(&'static str),
    /// The box with the index does not decode.
    #[error("the fragment's box does not decode: {0}")]
    Info(#[from] prost::DecodeError),
    /// There is no complete fragment to rebuild an entry from.
    #[error("the file holds no complete fragment")]
    Empty,
    /// The file belongs to no ledger.
    #[error("the file's ledger makes no sense: {0}")]
    Ledger(#[from] NameError),
}
