//! QUIC with mutual TLS: how a site and the hub come to a connection on which each knows the other.
//!
//! One private certificate authority signs everybody. [`identity`] loads and checks what a party has,
//! [`names`] tells a site's certificate from a hub's, [`tls`] makes both sides' rustls configuration, `callers`
//! the hub's for sites and other hub nodes on one port,
//! [`settings`] holds every number with its reason, [`endpoint`] opens sockets and connections, [`egress`] says where they leave the machine, [`runtime`]
//! has the threads they run on, [`tcp`] is TLS without QUIC for where UDP isn't let through, `memory` lets a restarted hub tell its sites so, `silence` finds out
//! when a path is back, and [`refusal`] turns a failed handshake into advice.
//!
//! Guarantees: TLS 1.3 and `holdfast/1` (between hub nodes `holdfast-hub/1`, from hosts `holdfast-host/1`) or nothing; a
//! hub's connection always has exactly one site's name, or exactly one other node's;
//! a site talks to nobody but a hub of its own authority, whatever address it dialled.
//!
//! It never knows what is said on a connection, and never retries: when to dial again is the caller's.

mod buffers;
mod callers;
pub mod egress;
pub mod endpoint;
pub mod identity;
mod memory;
pub mod names;
pub mod refusal;
pub mod runtime;
pub mod settings;
mod silence;
mod smooth;
pub mod tcp;
pub mod tls;

#[cfg(test)]
mod tests;

pub use egress::Egress;
pub use endpoint::{
    ConnectError, EndpointError, calls_as_host, connect, connect_node, host_config, hub_endpoint,
    hub_node_config, site_endpoint,
};
pub use identity::{Holder, Identity, IdentityError};
pub use names::{
    HUB_NAME, NamesError, hub_dns_names, node_of, peer_holder, peer_node, peer_site, site_dns_name, site_of,
};
pub use refusal::explain;
pub use runtime::{QuicHandle, QuicThreads};
pub use settings::{Congestion, Settings};
pub use silence::probe_silence;
pub use tcp::{TcpDialer, TcpError, TcpHub, TcpIncoming};
pub use tls::{ALPN, HOST_ALPN, HUB_ALPN, TlsError};
