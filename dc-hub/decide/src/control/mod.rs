//! The control log's state machine: what the hub's nodes agree on.
//!
//! [`State::apply`] takes committed commands in order, on every replica alike, and holds every guard: what was
//! checked before a command was proposed may have changed by the time it is applied. Time comes in as the
//! leader's stamp and guards nothing.
//!
//! It guarantees: at most one host per epoch; epochs never go back; no activation without a recorded majority
//! of the configured voters, or a declared plan, or a person's word; no node id twice.
//!
//! It never knows how a command travelled, or what a voter heard.

/// Keyframes of overlap that a camera needs at its site before its standby may stop.
pub const OVERLAP_KEYFRAMES: u64 = 2;

/// Machines at its place that a site may name.
pub const NEIGHBOURS_MAX: usize = 8;

mod apply;
pub mod command;
pub mod drill;
pub mod event;
pub mod hold;
mod hosts;
pub mod membership;
pub mod refusal;
pub mod spec;
pub mod state;
pub mod why;

pub use command::{Command, Finding, Person, Plan, Return, TakeOverGround, Verdict};
pub use drill::{DRILL_MAX, DRILL_MIN, Drill, DrillKind, DrillOrder, DrillsAllowed, LastDrill};
pub use event::{Call, Closed, Event, HoldChange};
pub use hold::{BadHold, HOLD_MAX, HOLD_SPAN_MAX, Hold, HoldId, HoldOrder, HoldStage, Released};
pub use hosts::{Host, NotAHost};
pub use membership::{Membership, Role, Tally};
pub use refusal::{Ineligible, Refusal};
pub use spec::{BitsPerSecond, CameraSpec, FailbackPolicy, HostKind, HostSpec, Load, SiteSpec, Tier};
pub use state::{Exposed, GivingBack, Node, OpenRound, Site, Stamp, State};
pub use why::{Ground, Silence, Why};
