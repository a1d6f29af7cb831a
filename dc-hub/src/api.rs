//! The HTTP surface: mounts the site's `serve` over all sites.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::HubConfig;
use crate::downlink::Downlink;

/// Listens and serves until `stop`.
pub async fn start(
    _config: &HubConfig,
    _downlink: &Downlink,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    Ok(tokio::spawn(async move { stop.cancelled().await }))
}
