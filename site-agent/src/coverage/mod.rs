//! The timeline of one camera stream: where each instant is recorded, or why it is not.
//!
//! What several runs (origins) recorded is merged: what is held here beats what is only in a tail, and
//! that beats what is known but still on its way; among equals the ledger that is already running goes
//! on, so that the picture changes hands only where a recording ends. What nobody recorded is explained
//! by a gap entry, else by what is known of the runs. Where nothing explains an instant, that is said
//! too ([`GapCause::Unspecified`]) and counted: it is a defect.
//!
//! Guarantees: the spans of [`cover`] tile the range exactly, in order; an instant that is recorded and
//! held is never shown as anything else. Pure: it never knows of disks, networks or clocks.

mod explain;
mod summary;
mod sweep;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use wire::proto::GapCause;
use wire::{LedgerId, RangeSet, Replicate, SegmentNumber, Seq, UnixMicros};

pub use summary::{State, Stretch, Totals, summary, totals};
pub use sweep::cover;

/// How long after the fact a live recorder may still write down what happened: it enters a gap that goes
/// on once a minute, and a gap that has ended together with the segment after it.
pub const SETTLES_AFTER: Duration = Duration::from_secs(90);

/// A piece of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first instant.
    pub start: UnixMicros,
    /// The first instant after it.
    pub end: UnixMicros,
    /// What there is.
    pub what: What,
}

/// What there is in a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is recorded, and the bytes are here.
    Recorded {
        /// By whom.
        ledger: LedgerId,
        /// Its entry; a tail has none yet.
        seq: Option<Seq>,
        /// Its number in the ledger.
        segment: SegmentNumber,
        /// In which form it is here.
        place: Place,
        /// Has the vault acked it (at a site)?
        acked: bool,
    },
    /// It is recorded, and the bytes are on their way here.
    Elsewhere {
        /// By whom.
        ledger: LedgerId,
        /// Its entry.
        seq: Seq,
        /// Is this where it was recorded, or would have been? Then they come from the hub.
        restoring: bool,
    },
    /// It is recorded, and the bytes stay where it was: that is the stream's policy.
    AtSite {
        /// By whom.
        ledger: LedgerId,
        /// Its entry.
        seq: Seq,
        /// The policy.
        replicate: Replicate,
    },
    /// It is not recorded, or not any more.
    Gap {
        /// Why; `Unspecified` where nothing explains it.
        cause: GapCause,
        /// For people.
        detail: String,
    },
    /// Too early to tell.
    Pending {
        /// For people.
        detail: String,
    },
    /// It has not happened yet.
    Future,
}

/// In which form a recording is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A segment with its entry.
    Held,
    /// Parts of a segment that is not an entry yet.
    Tail,
}

/// A segment entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// In which ledger.
    pub ledger: LedgerId,
    /// At which place.
    pub seq: Seq,
    /// Its number.
    pub segment: SegmentNumber,
    /// Its first instant.
    pub start: UnixMicros,
    /// The first instant after it.
    pub end: UnixMicros,
    /// Are its bytes here?
    pub held: bool,
    /// Were they, and were found damaged?
    pub damaged: bool,
    /// Is the disk that they are on not there?
    pub away: bool,
    /// Has the vault acked it?
    pub acked: bool,
    /// Has the hub got its bytes, and are they to come here (at a site)?
    pub missing: bool,
    /// Won't its bytes come here any more?
    pub gone: bool,
}

/// What is here of a segment that is not an entry yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// In which ledger.
    pub ledger: LedgerId,
    /// Its number.
    pub segment: SegmentNumber,
    /// Its first instant.
    pub start: UnixMicros,
    /// The instant up to which it is here.
    pub end: UnixMicros,
}

/// A gap entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownGap {
    /// Its first instant.
    pub start: UnixMicros,
    /// The first instant after it.
    pub end: UnixMicros,
    /// Why.
    pub cause: GapCause,
    /// For people.
    pub detail: String,
}

/// A gone entry: bytes that were held once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Of which ledger.
    pub ledger: LedgerId,
    /// Which entries.
    pub seqs: RangeSet,
    /// Their first instant.
    pub start: UnixMicros,
    /// The first instant after them.
    pub end: UnixMicros,
    /// Why.
    pub cause: GapCause,
}

/// One run, as far as its ledger of this stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whose.
    pub ledger: LedgerId,
    /// When it began.
    pub opened: UnixMicros,
    /// Up to where its segments and gaps explain the time; never before `opened`.
    pub last: UnixMicros,
    /// It will never write again.
    pub ended: bool,
    /// It was told to stop, rather than dying.
    pub stopped_cleanly: bool,
}

/// From where the timeline is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Viewpoint {
    /// Where it is recorded: what a live run has not written down soon, it never will.
    #[default]
    Recorder,
    /// Where it is sent to: what a live run recorded may come at any time.
    Vault {
        /// Why things may be late, for people; for example that the site is not connected.
        late: Option<String>,
    },
}

/// Everything known of one stream around some range.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Segment entries.
    pub recordings: Vec<Recording>,
    /// Open segments.
    pub tails: Vec<Tail>,
    /// Gap entries.
    pub gaps: Vec<KnownGap>,
    /// Gone entries.
    pub gone: Vec<Gone>,
    /// All runs that reach into the range, and the last one before it.
    pub runs: Vec<Run>,
    /// Why nothing is being recorded right now, as the live recorder says.
    pub current: Option<(GapCause, String)>,
    /// From where this is looked at.
    pub viewpoint: Viewpoint,
    /// In a vault: whether the stream's bytes are to come.
    pub replicate: Replicate,
    /// The present.
    pub now: UnixMicros,
}
