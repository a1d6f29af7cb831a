//! One MP4 of a range, with the proof of where it comes from.
//!
//! First a *plan* is made from the timeline and the entries: which fragments of which segments, and
//! where the file has to end early. Then the file is *written* fragment by fragment; what turns out to
//! be damaged is left out and named in the proof. The bytes are held one fragment at a time.
//!
//! Ranges are widened to whole fragments, and backwards to a keyframe where a recording begins. The file
//! stops before a change of the video codec or of the sound's parameters, which one file can't hold.

mod http;
mod plan;
mod write;

use std::io;

use wire::{SiteId, StreamId, UnixMicros};

use super::Tails;
use super::timeline::{Present, timeline};
use crate::archive::{Archive, ArchiveError};

pub(super) use http::get;
pub use plan::{NotExported, Plan, Stop};
pub use write::{Export, ExportSummary};

/// Why there is no export, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The archive can't say what there is.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nothing that could be exported is in the range.
    #[error("nothing of the range is recorded here")]
    Nothing,
    /// A fragment is not what its entry says, though its checksum matches.
    #[error("segment {segment} of {ledger}: fragment {fragment} is not what the ledger says")]
    Altered {
        /// Of which ledger.
        ledger: wire::LedgerId,
        /// Which segment.
        segment: wire::SegmentNumber,
        /// Which fragment.
        fragment: u32,
    },
    /// The export could not be written.
    #[error("write export: {0}")]
    Write(#[from] io::Error),
}

/// Writes the export of `from..to` to `into`; `with_tails` adds what is not in the ledger yet and so can't
/// be proven.
pub fn export_range(
    archive: &Archive,
    tails: &dyn Tails,
    (site, stream): (&SiteId, &StreamId),
    (from, to): (UnixMicros, UnixMicros),
    with_tails: bool,
    into: &mut impl io::Write,
) -> Result<ExportSummary, ExportError> {
    let present = Present { now: wire::clock::wall(), ..Present::default() };
    let timeline = timeline(archive, tails, (site, stream), (from, to), present)?;
    let plan = Plan::make(archive, tails, (site, stream), (from, to), &timeline.spans, with_tails)?;
    let mut export = Export::begin(archive, tails, plan);
    for piece in &mut export {
        into.write_all(&piece?)?;
    }
    Ok(export.summary())
}
