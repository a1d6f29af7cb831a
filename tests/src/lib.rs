//! End-to-end tests on real processes: what they stand on.
//!
//! [`scene`] is an installation that runs, [`cluster`] one with several hub nodes, [`account`] what an installation left
//! on disk once it has stopped,
//! [`play`] what players make of an export, [`disk`] a disk that hangs, [`rot`] bits that flip. None of it looks into the daemons: it starts and kills them,
//! asks over HTTP, and reads archives once nobody writes them.

pub mod account;
pub mod cluster;
pub mod disk;
pub mod play;
pub mod rot;
pub mod scene;
mod web;
