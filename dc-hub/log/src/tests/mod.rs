//! The log on real disks, its nodes in one process. Over real QUIC: `dc-hub/src/peers/tests.rs`.

mod alone;
mod broken;
mod cluster;
mod figures;
mod members;
mod restore;
mod suite;
mod together;
