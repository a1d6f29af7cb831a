//! The control log on real disks: one node's replica of what the hub nodes agree on.
//!
//! [`ControlLog`] runs Raft (openraft) over a RocksDB of its own, feeds what is committed to
//! [`decide::control::State`], and tells everybody who follows. What it needs of the network is [`Peers`].
//!
//! It guarantees: a vote, an append, a truncation and a purge are on disk before anybody is told; every node
//! applies the same commands at the same index; voters change as [`Command::Membership`] facts at the index at
//! which Raft changes them; a proposal that may have been committed is never called not committed; after a
//! failed write this node neither leads nor votes.
//!
//! It never knows what a command means, whom a beat reached, or how bytes travel. Nothing outside this crate
//! names openraft: replacing it is a migration through [`Export`].
//!
//! `docs/design/control-log.md` says why. Start reading at [`ControlLog`], then `machine`, then `store`.
//!
//! [`Command::Membership`]: decide::control::Command::Membership

mod disk;
mod error;
mod export;
mod feed;
mod handle;
mod handover;
mod leadership;
mod link;
mod log;
mod machine;
mod member;
mod members;
mod message;
mod options;
mod pace;
mod peers;
mod propose;
mod raft;
mod status;
mod store;
mod stores;

#[cfg(test)]
mod tests;

pub use error::{ChangeError, OpenError, ProposeError};
pub use export::{Export, ExportError, restore};
pub use feed::{Applied, Follow};
pub use leadership::Leadership;
pub use log::ControlLog;
pub use member::{Member, TwoVoters};
pub use options::{Options, Timing};
pub use peers::{Answered, PeerError, Peers};
pub use propose::Proposed;
pub use status::{MemberStatus, Status};
