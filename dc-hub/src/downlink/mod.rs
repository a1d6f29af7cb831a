//! Sites in: accepts their connections and carries out what the pure
//! [`wire::session::hub::HubSession`] decides.
//!
//! A connection's site is who its certificate says, and nobody else: everything it sends is checked to be
//! that site's. Whatever it does wrong ends its own connection and touches no other.

mod connection;
mod control;
mod parts;
mod peer;
mod sites;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use site_agent::live::Live;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::transport::{self, Identity, QuicHandle, Settings};

use crate::config::{HubConfig, Limits};
use crate::standby::AcceptedConfigs;
use crate::vault::Vault;

pub use sites::{CameraBeat, SiteState, Sites};

/// What connections work with.
#[derive(Clone)]
pub struct Downlink {
    /// Where what they send is kept.
    pub vault: Vault,
    /// Passes on what is synced to whoever watches.
    pub live: Arc<Live>,
    /// How each site is.
    pub sites: Arc<Sites>,
    /// Where what they tell of their cameras is kept, if this node may stand by.
    pub accepted: Option<Arc<AcceptedConfigs>>,
    /// What one site may use.
    pub limits: Limits,
}

impl Downlink {
    /// Opens the socket.
    pub fn bind(
        config: &HubConfig,
        identity: &Identity,
        quic: &QuicHandle,
    ) -> anyhow::Result<quinn::Endpoint> {
        let listen: SocketAddr = config.hub.listen;
        let settings = Settings { congestion: config.hub.congestion, ..Settings::default() };
        transport::hub_endpoint(listen, identity, &settings, quic)
            .with_context(|| format!("listen for sites on {listen} (hub.listen)"))
    }

    /// Serves connections until `cancel`.
    pub async fn run(self, endpoint: quinn::Endpoint, cancel: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => drop(connections.spawn(connection::serve(self.clone(), incoming))),
                    None => break,
                },
                Some(_) = connections.join_next() => {}
                () = cancel.cancelled() => break,
            }
        }
        endpoint.close(0u32.into(), b"the hub is stopping");
        connections.shutdown().await;
        endpoint.wait_idle().await;
    }
}
