//! What a standby on this machine recorded for a site → the node that keeps that site's vault: an ordinary session over
//! a connection that somebody else has made, on which nothing but recordings goes.
//!
//! It never knows who decided that this machine records, or how the node is found.

use tokio_util::sync::CancellationToken;
use wire::{OriginId, proto};

use super::carry::Carried;
use super::control::check_welcome;
use super::shared::Side;
use super::source::Source;
use crate::beats::PathPlace;

/// The host's side.
struct Host {
    source: Source,
}

impl Side for Host {
    fn welcomed(&self, _: &quinn::Connection, welcome: &proto::Welcome) -> anyhow::Result<()> {
        check_welcome(&self.source.site, welcome)
    }

    fn path_name(&self, _: PathPlace) -> String {
        String::new()
    }
}

/// Sends all that there is and comes, until the connection breaks or, with a goodbye, until `cancel`. `origin` is that
/// of the machine's run, `software` what it runs.
pub async fn serve(
    source: &Source,
    connection: &quinn::Connection,
    (origin, software): (OriginId, &str),
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let hello = proto::Hello {
        protocol_min: wire::PROTOCOL,
        protocol_max: wire::PROTOCOL,
        software: software.to_owned(),
        origin: bytes::Bytes::copy_from_slice(&origin.0),
        purpose: proto::Purpose::Host.into(),
        hosted: source.site.as_str().to_owned(),
        ..Default::default()
    };
    let whose = (Host { source: source.clone() }, source.clone());
    let way = (PathPlace::default(), connection.clone());
    let mut carried = Carried::begin(whose, way, hello, cancel).await?;
    let ended = carried.ended().await;
    carried.close(ended).await.map_err(|(error, _)| error)
}
