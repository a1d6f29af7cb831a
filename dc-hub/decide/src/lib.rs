//! Who has authority over a virtual server, and why: everything that decides it, and nothing that acts.
//!
//! A shell feeds what happens (`handle_*`, with `now` on the machine's boot clock) and carries out what comes
//! out (`poll_output`, `poll_timeout`). No clock, no I/O, no async, no logging, no randomness but a seed: the
//! hub and the simulator run the same code. `docs/design/quorum.md` has goals, arithmetic and the holes that
//! were found.
//!
//! Start reading at [`control`], whose `apply` holds every guard; then [`quorum`], which proposes to it;
//! [`detector`], which says when silence means something; [`standby`], what is done about it.
//!
//! It never knows how a camera is parsed, how a command travels, or how the log is agreed on.

pub mod beat;
pub mod control;
pub mod detector;
pub mod enforcer;
pub mod epoch;
pub mod evidence;
pub mod ids;
pub mod mutant;
pub mod quorum;
pub mod standby;
pub mod time;

pub use epoch::{Epoch, Round, Term};
pub use ids::{CameraId, HostId, NodeId, PathId, SiteId};
pub use mutant::{Mutant, Rules};
pub use time::Boot;

#[cfg(test)]
mod fixtures;
