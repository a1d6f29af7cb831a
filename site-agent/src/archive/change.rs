//! What can be asked of the writer.

use std::path::PathBuf;

use wire::chain::Head;
use wire::entry::Entry;
use wire::proto::GapCause;
use wire::{LedgerId, RangeSet, SegmentNumber, Seq, SiteId, UnixMicros, proto};

use super::disks::DiskNumber;
use super::records::Sender;
use super::room::Use;

/// One change; it becomes durable whole or not at all.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a few a second, and each moved once")]
pub enum Change {
    /// A ledger begins: an own one at a site, an offered one in a vault.
    Open {
        /// Which.
        ledger: LedgerId,
        /// Whose.
        site: SiteId,
        /// When its origin began.
        opened: UnixMicros,
    },
    /// A vault begins a ledger of its own, for what it salvages of a site's tails.
    OpenSalvage {
        /// Which.
        ledger: LedgerId,
        /// Of whose recordings.
        site: SiteId,
        /// When.
        opened: UnixMicros,
    },
    /// A host brings a ledger that it wrote elsewhere, as the site's standby.
    OpenHosted {
        /// Which.
        ledger: LedgerId,
        /// Who brings it, for which site.
        by: Sender,
        /// When its origin began.
        opened: UnixMicros,
    },
    /// A standby that runs beside a vault begins a ledger.
    OpenStandby {
        /// Which.
        ledger: LedgerId,
        /// Of whose cameras.
        site: SiteId,
        /// When its origin began.
        opened: UnixMicros,
    },
    /// The ledger's origin will never write again.
    End {
        /// Which.
        ledger: LedgerId,
    },
    /// The writer of a ledger adds an entry; its seq is given now.
    Append {
        /// To which ledger.
        ledger: LedgerId,
        /// When, by the writer's wall clock.
        at: UnixMicros,
        /// What.
        kind: proto::entry::Kind,
        /// The closed file that a segment is about; it is moved into place.
        file: Option<PathBuf>,
    },
    /// A vault takes in entries as they were first encoded.
    Entries {
        /// From which site.
        site: SiteId,
        /// Of which ledger.
        ledger: LedgerId,
        /// Where they begin.
        first: Seq,
        /// In order.
        entries: Vec<Entry>,
    },
    /// A vault takes in the bytes of a known segment; the file was checked against the entry.
    Bytes {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which entry.
        seq: Seq,
        /// The file; it is moved into place.
        file: PathBuf,
    },
    /// A site takes in entries of a ledger that nobody continues here: that its hub wrote, or an earlier run, on a disk
    /// that is gone or was in another machine.
    Returned {
        /// Of which ledger. It is begun if it isn't known.
        ledger: LedgerId,
        /// What it is, if it isn't known.
        about: Returned,
        /// Where the entries begin.
        first: Seq,
        /// In order.
        entries: Vec<Entry>,
        /// What the hub has of the ledger, as far as is known.
        acked: RangeSet,
    },
    /// Bytes that are not here won't be fetched: others of the same time are held, or they are too old.
    Unwanted {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which entries.
        seqs: RangeSet,
    },
    /// The bytes of entries are not to be held any more: that is said in an own ledger, of the same stream, and
    /// then their files are deleted ([`super::Archive::delete_freed`]).
    Free {
        /// The own ledger.
        ledger: LedgerId,
        /// When, by the wall clock.
        at: UnixMicros,
        /// Of which ledger the entries are.
        of: LedgerId,
        /// Which; those without bytes have nothing to lose. They span [`super::GONE_SPAN_MAX`] at most.
        seqs: RangeSet,
        /// Why.
        cause: GapCause,
    },
    /// The bytes of a held segment are damaged or missing: they are held no more, and wanted again.
    Damaged {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which entry.
        seq: Seq,
    },
    /// The disk with these bytes is not there: they are held no more, and wanted from the other side.
    Away {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which entries; they are segments.
        seqs: RangeSet,
    },
    /// The disk is there again.
    Back {
        /// Of which ledger.
        ledger: LedgerId,
        /// These are held again.
        whole: RangeSet,
        /// These are not as they should be, and damaged like any.
        not: RangeSet,
    },
    /// How far whoever re-reads the archive has come.
    Scrubbed {
        /// As it is to be read again.
        note: Vec<u8>,
    },
    /// Freed files are deleted, durably.
    Deleted {
        /// Which.
        files: Vec<(LedgerId, SegmentNumber)>,
        /// Those that another disk has better ones of.
        outdated: Vec<(DiskNumber, LedgerId, SegmentNumber)>,
    },
    /// The vault has acked these.
    Acked {
        /// Of which ledger.
        ledger: LedgerId,
        /// Which.
        seqs: RangeSet,
        /// They replace what was known, rather than adding to it.
        all: bool,
    },
}

/// What a ledger is that comes back from the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Whose cameras.
    pub site: SiteId,
    /// When its origin began.
    pub opened: UnixMicros,
    /// Who wrote it.
    pub by: proto::RecalledKind,
}

impl Change {
    /// What it needs room for.
    pub(super) fn purpose(&self) -> Use {
        match self {
            Self::Free { .. }
            | Self::Acked { .. }
            | Self::Deleted { .. }
            | Self::Away { .. }
            | Self::Back { .. }
            | Self::Open { .. }
            | Self::OpenSalvage { .. }
            | Self::OpenHosted { .. }
            | Self::OpenStandby { .. }
            | Self::End { .. } => Use::Freeing,
            _ => Use::Index,
        }
    }
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// An entry was appended.
    Appended {
        /// Its place.
        seq: Seq,
        /// The chain's head after it.
        head: Head,
    },
    /// It is durable.
    Stored,
}
