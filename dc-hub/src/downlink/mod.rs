//! Sites in: accepts their connections and carries out what the pure
//! [`wire::session::hub::HubSession`] decides.
//!
//! A connection's site is who its certificate says, and nobody else: everything it sends is checked to be
//! that site's. Whatever it does wrong ends its own connection and touches no other.

mod connection;
mod control;
mod fetch;
mod hosted;
mod parts;
mod peer;
mod recall;
mod sites;
mod turn;
mod twins;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use site_agent::live::Live;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wire::transport::{self, Identity, QuicHandle, Settings, TcpHub};

use crate::asked::Asked;
use crate::beats::Intake;
use crate::config::{HubConfig, Limits};
use crate::peers::HubPeers;
use crate::policies::SitePolicies;
use crate::scrubs::Scrubs;
use crate::vault::Vault;

pub(crate) use connection::{SOFTWARE, protocol_refusal};
pub use fetch::Fetches;
pub use hosted::Hosts;
pub use sites::{CameraBeat, RecordedBeside, SiteState, Sites};
pub use turn::Turns;

/// What connections work with.
#[derive(Clone)]
pub struct Downlink {
    /// Where what they send is kept.
    pub vault: Vault,
    /// Passes on what is synced to whoever watches.
    pub live: Arc<Live>,
    /// How each site is.
    pub sites: Arc<Sites>,
    /// Takes in beats.
    pub intake: Intake,
    /// This node's name, as in its certificate.
    pub node: String,
    /// What one site may use.
    pub limits: Limits,
    /// Lets one session of a site begin when the one before has come to rest.
    pub turns: Turns,
    /// How much of what is asked for is read at once.
    pub fetches: Fetches,
    /// Hosts that bring what they recorded for sites.
    pub hosts: Arc<Hosts>,
    /// Which streams' bytes come by themselves.
    pub policies: Arc<SitePolicies>,
    /// What people asked for.
    pub asked: Arc<Asked>,
    /// Scrubs of sites that people ask for.
    pub scrubs: Arc<Scrubs>,
    /// Where beats are heard: thousands of them come in a second.
    pub quic: QuicHandle,
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

    /// Listens for beats over TLS where [`Self::bind`] does for the rest.
    pub fn bind_tcp(config: &HubConfig, identity: &Identity) -> anyhow::Result<TcpHub> {
        let listen = config.hub.listen;
        TcpHub::bind(listen, identity).with_context(|| format!("listen for beats on {listen} (hub.listen)"))
    }

    /// Serves connections until `cancel`: sites' here, other hub nodes' there, if there are any.
    pub async fn run(
        self,
        endpoint: quinn::Endpoint,
        tcp: TcpHub,
        hubs: Option<HubPeers>,
        cancel: CancellationToken,
    ) {
        let mut connections = JoinSet::new();
        let beats = AbortOnDropHandle::new(tokio::spawn(self.intake.clone().listen(tcp)));
        loop {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => {
                        connections.spawn(connection::serve(self.clone(), hubs.clone(), incoming));
                    }
                    None => break,
                },
                Some(_) = connections.join_next() => {}
                () = cancel.cancelled() => break,
            }
        }
        drop(beats);
        endpoint.close(0u32.into(), b"the hub is stopping");
        connections.shutdown().await;
        endpoint.wait_idle().await;
    }
}
