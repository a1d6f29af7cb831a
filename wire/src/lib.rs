//! What a site and a hub must agree on.
//!
//! The bottom of the tower: ids and time, ledger entries and their hash chain, range algebra, the
//! messages and their framing, the replication session as a pure state machine, and QUIC set-up with
//! mutual TLS. It never knows of disks, cameras or databases.
//!
//! Start at [`proto`] for what is said, [`session`] for when it is said, [`chain`] for what is hashed.

pub mod chain;
pub mod clock;
pub mod congestion;
pub mod discover;
pub mod entry;
pub mod frame;
pub mod holds;
pub mod id;
pub mod policy;
pub mod range;
pub mod seal;
pub mod session;
pub mod time;
pub mod transport;

/// The protobuf messages, as compiled from `proto/holdfast.proto`, where each is documented.
#[allow(missing_docs, clippy::large_enum_variant)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/holdfast.v1.rs"));

    impl std::fmt::Debug for LogIn {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("LogIn(…)")
        }
    }
}

pub use id::{LedgerId, NameError, OriginId, SegmentNumber, Seq, SiteId, StreamId, VaultId};
pub use policy::{Policies, Policy, Replicate};
pub use range::RangeSet;
pub use time::UnixMicros;

/// The protocol version this build speaks; see `docs/protocol.md`, "Versions".
pub const PROTOCOL: u32 = 3;
/// Paths between a site and the hub at most.
pub const PATHS_MAX: usize = 4;
