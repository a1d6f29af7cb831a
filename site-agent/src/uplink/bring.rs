//! What this machine recorded as the host of other sites of its place goes to the hub node that keeps their vault.
//!
//! Which one that is a site is told of itself only: all are asked, one after the other, and who keeps it takes it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use wire::transport::{self, Settings, connect, host_config};

use super::dial::{ATTEMPT_MAX, AddressBook};
use super::redial::Redial;
use super::source::Source;
use super::{Uplink, hosted};

/// This program, as the hub is told.
const SOFTWARE: &str = concat!("holdfast site-agent ", env!("CARGO_PKG_VERSION"));

impl Uplink {
    /// Brings it whenever there is something, for as long as it is polled.
    pub(super) async fn bring(&self, book: &AddressBook, settings: &Settings) -> Infallible {
        let each = self.hosted.iter().map(|source| self.bring_one(source, book, settings));
        futures::future::join_all(each).await;
        std::future::pending().await // there is none
    }

    async fn bring_one(&self, source: &Source, book: &AddressBook, settings: &Settings) -> Infallible {
        let mut redial = Redial::new(wire::clock::now());
        loop {
            source.until_left().await;
            self.beats.until_link(true).await;
            let mut why = "no address of the hub is known".to_owned();
            for address in self.beats.node_addresses(book).await {
                let connected = source.status.snapshot().connects;
                let served = tokio::select! {
                    served = self.bring_to(source, address, settings) => served,
                    () = self.beats.until_link(false) => Err(anyhow::anyhow!("a drill: as if there were no way")),
                };
                let Err(error) = served else { break };
                why = format!("{error:#}");
                if source.status.snapshot().connects > connected {
                    redial = Redial::new(wire::clock::now());
                }
            }
            redial.refused();
            if source.any_left() && source.status.is_down(&why) {
                tracing::warn!(site = %source.site, why, "what was recorded here for it does not reach its vault");
            }
            // A number from 0 to 1.
            let draw = (wire::clock::seed() % 1000) as f64 / 1000.0;
            tokio::time::sleep(redial.pause(wire::clock::now(), draw).max(Duration::from_millis(250))).await;
        }
    }

    /// One connection; `Ok` once nothing is left.
    async fn bring_to(
        &self,
        source: &Source,
        address: SocketAddr,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        let (_, path) = self.beats.paths().next().context("there is no path")?;
        let mut endpoint = transport::site_endpoint(&path.egress, &self.identity, settings, &self.quic)?;
        endpoint.set_default_client_config(host_config(&self.identity, settings)?);
        let connection = connect(&endpoint, address, ATTEMPT_MAX).await?;
        let rest = CancellationToken::new();
        let who = (self.writer.origin(), SOFTWARE);
        tokio::select! {
            served = hosted::serve(source, &connection, who, &rest) => served,
            never = source.until_rest(&rest) => match never {},
        }
    }
}
