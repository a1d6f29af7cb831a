//! Everything that can happen, as the scheduler holds it.
//!
//! An event for a process names the `life` it was meant for: what was under way for a process that died is
//! dropped.

use std::sync::Arc;

use bytes::Bytes;
use decide::Epoch;
use decide::control::Command;
use decide::evidence::Answers;
use wire::{LedgerId, SegmentNumber, proto};

use crate::conn::{ConnIx, End};
use crate::control::HubIx;
use crate::control::beats::BeatMessage;
use crate::model::disk::Sync;
use crate::node::{NodeIx, SiteIx};
use crate::place::PlaceIx;
use crate::time::Time;
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
    Connect { place: PlaceIx, life: u32, stream: u16 },
    /// A fragment is complete.
    Fragment { place: PlaceIx, life: u32, stream: u16, session: u32 },
    /// What was written of a stream's open file is durable.
    Synced { place: PlaceIx, life: u32, stream: u16, sync: Box<(SegmentNumber, Sync)> },
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
    /// A place tells every voter how it is.
    Beat { place: PlaceIx, life: u32 },
    /// A voter hears it.
    BeatArrives { hub: HubIx, message: Arc<BeatMessage> },
    /// A place is told the epoch in force.
    EpochTold { place: PlaceIx, life: u32, told: Box<(Epoch, bool)> },
    /// A candidate host has asked a site's cameras: the answers are in, or none came in time.
    ProbeDone { hub: HubIx, life: u32, site: SiteIx, reached: bool },
    /// A voter hears what a candidate host sees.
    AnswersArrive { hub: HubIx, answers: Arc<Answers> },
    /// A runner may take its next step.
    Step { hub: HubIx, life: u32, site: SiteIx },
    /// A hub node's core wants to be woken.
    Wake { hub: HubIx, life: u32 },
    /// A hint for the leader arrives.
    Hint { to: HubIx, from: HubIx, hint: Box<decide::quorum::Hint> },
    /// A proposal arrives at the leader.
    Proposed { proposal: Box<(HubIx, Command)> },
    /// A proposal turns up once more.
    ProposedAgain { command: Box<Command> },
    /// Somebody does not wait for the outcome of a round.
    Hasty { site: SiteIx },
    /// A majority has the leader's oldest proposal.
    Commitment { term: u64 },
    /// Committed entries arrive at a node.
    Apply { hub: HubIx, life: u32, end: usize },
    /// An election; a forced one happens although there is a leader.
    Elect { forced: bool },
    /// A node learns that another leads.
    Depose { hub: HubIx, term: u64 },
    /// A leader may notice that it reaches no majority.
    QuorumLost { hub: HubIx },
    /// Both sets of voters have agreed: the new one holds alone.
    LeaveJoint,
    /// A host acts with authority.
    Effect { node: NodeIx, life: u32, site: SiteIx },
    /// What it did comes to the gate.
    EffectArrives { node: NodeIx, site: SiteIx, epoch: Box<Epoch> },
    /// Cameras end the sessions of a frozen recorder.
    CamerasGiveUp { node: NodeIx, life: u32 },
    /// A dead recorder has to be taken over by now.
    TakeoverDue { site: SiteIx, died: Time },
}

// The queue moves events about all the time.
const _: () = assert!(size_of::<Event>() <= 32);
