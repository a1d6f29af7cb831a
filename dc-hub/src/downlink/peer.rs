//! What the tasks of one connection share.

use std::collections::BTreeSet;

use site_agent::archive::Sender;
use tokio::sync::{Semaphore, mpsc, watch};
use wire::{LedgerId, OriginId, SegmentNumber, SiteId};

use super::Downlink;

/// A part is in the journal, and the session should know.
#[derive(Debug)]
pub(super) struct StoredPart {
    pub(super) ledger: LedgerId,
    pub(super) segment: SegmentNumber,
    pub(super) part: u32,
}

/// How much of one site may be on its way to the journal, in KiB: more than the largest part.
pub(super) const ROOM_KIB: u32 = 64 << 10;

/// What a connection's tasks share.
pub(super) struct Peer {
    pub(super) downlink: Downlink,
    pub(super) site: SiteId,
    /// Who brings its ledgers here: its own agent, or a host that stood by for it.
    pub(super) by: Sender,
    /// The run that speaks.
    pub(super) origin: OriginId,
    pub(super) connection: quinn::Connection,
    /// Ledgers the site has offered and may send parts of.
    pub(super) ledgers: watch::Sender<BTreeSet<LedgerId>>,
    pub(super) stored: mpsc::Sender<StoredPart>,
    /// Room for parts on their way to the journal, in KiB: one site must not fill the hub's memory.
    pub(super) room: Semaphore,
}
