//! What goes wrong: said in words, so that a schedule can be read, written by hand and replayed.
//!
//! - [`plan`]: a seed's schedule.
//! - [`text`]: schedules as text.
//! - [`act`]: faults begin and end.

use std::time::Duration;

use crate::node::{NodeIx, SiteIx};
use crate::time::Time;

pub mod act;
pub mod plan;
pub mod text;

/// Which directions of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// Both.
    Both,
    /// From the first to the second only.
    There,
    /// From the second to the first only.
    Back,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing gets through between two nodes.
    Cut(NodeIx, NodeIx, Ways),
    /// Everything between them is late by so much.
    Clog(NodeIx, NodeIx, Duration),
    /// Datagrams between them are lost, of a thousand.
    Loss(NodeIx, NodeIx, u32),
    /// UDP does not get through between them; TCP does.
    UdpBlock(NodeIx, NodeIx),
    /// A process is killed; it starts again when this ends.
    Kill(NodeIx),
    /// A machine loses power; it boots when this ends.
    Power(NodeIx),
    /// A process is frozen.
    Pause(NodeIx),
    /// A camera is without power.
    Camera(SiteIx, usize),
    /// A wall clock jumps: seconds, forward or back.
    Wall(NodeIx, i64),
    /// A disk takes so much longer for a sync.
    Stall(NodeIx, Duration),
    /// Somebody copies a site's disk.
    Snapshot(SiteIx),
    /// Somebody brings the copy back.
    Restore(SiteIx),
    /// A site is without power: its machine, its cameras and its way to the hub.
    Dark(SiteIx),
    /// Another node is elected.
    Elect,
    /// A voter is replaced by a node that never voted, over a joint membership.
    Replace,
    /// A bit flips in the journal of a site's vault.
    Rot(SiteIx),
}

impl Fault {
    /// Does it last?
    pub fn lasts(&self) -> bool {
        !matches!(
            self,
            Self::Wall(..)
                | Self::Snapshot(_)
                | Self::Restore(_)
                | Self::Rot(_)
                | Self::Elect
                | Self::Replace
        )
    }
}

/// A fault of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins.
    pub at: Time,
    /// What goes wrong.
    pub fault: Fault,
    /// How long it lasts, if it does.
    pub lasts: Duration,
}
