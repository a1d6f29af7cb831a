//! Everything that can happen, as the scheduler holds it.
//!
//! An event for a process names the `life` it was meant for: what was under way for a process that died is
//! dropped.

use bytes::Bytes;
use wire::{LedgerId, SegmentNumber, proto};

use crate::conn::{ConnIx, End};
use crate::model::disk::Sync;
use crate::node::NodeIx;
use crate::place::PlaceIx;
use crate::vault::{Assembly, VaultIx};

/// A part on its way to a vault.
#[derive(Clone, Debug)]
pub struct PartMessage {
    /// Of which ledger.
    pub ledger: LedgerId,
    /// Of which segment.
    pub number: SegmentNumber,
    /// Which part.
    pub part: u32,
    /// What is in it.
    pub data: Bytes,
}

/// What a site sends.
#[derive(Clone, Debug)]
pub enum Up {
    /// On the control stream.
    Control(proto::SiteMessage),
    /// On a data stream.
    Part(PartMessage),
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A fault of the schedule begins.
    Fault(usize),
    /// It ends.
    Heal(usize),
    /// All faults end: from here on everything has to become right.
    Quiet,
    /// Recorders stop: what is under way may arrive.
    Still,
    /// The run ends.
    Finish,
    /// A process starts, unless something keeps it down.
    Start(NodeIx),
    /// A recorder asks its camera for a stream.
    Connect { place: PlaceIx, life: u32, stream: usize },
    /// A fragment is complete.
    Fragment { place: PlaceIx, life: u32, stream: usize, session: u32 },
    /// What was written of a stream's open file is durable.
    Synced { place: PlaceIx, life: u32, stream: usize, number: SegmentNumber, sync: Sync },
    /// The archive's writer does its next step.
    Commit { place: PlaceIx, life: u32 },
    /// An uplink dials.
    Dial { place: PlaceIx, life: u32 },
    /// The handshake is done.
    Connected { place: PlaceIx, life: u32, hub_life: u32 },
    /// Something arrives at a vault.
    ToHub { conn: ConnIx, lane: u8 },
    /// Something arrives at a site.
    ToSite { conn: ConnIx },
    /// Has this end heard nothing for too long?
    Idle { conn: ConnIx, end: End },
    /// The vault's tail journal has synced.
    Journal { vault: VaultIx, life: u32 },
    /// The vault's index has synced.
    Index { vault: VaultIx, life: u32 },
    /// A segment put together is durable as a file.
    Assembled { vault: VaultIx, life: u32, assembly: Box<Assembly> },
}
