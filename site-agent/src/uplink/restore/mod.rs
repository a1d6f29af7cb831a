//! What the hub has of this site and the site lacks comes back: entries first, so that the timeline shows at once what
//! there is, then the bytes, one segment after the other.
//!
//! Nothing here stops the connection, and nothing of it displaces or delays what is recorded here ([`plan`]).

pub(super) mod bytes;
mod entries;
pub(super) mod plan;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use wire::proto;

use super::shared::Shared;
use crate::config::Restore;

/// What failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(30);

/// What is to come back, and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restoring {
    /// Segments that the hub has and the site lacks.
    pub segments: u64,
    /// Their bytes, about: of many, as large as the first.
    pub bytes: u64,
    /// Segments that came back in this run.
    pub restored_segments: u64,
    /// Their bytes.
    pub restored_bytes: u64,
    /// What the rest waits for; empty if for nothing.
    pub waits_for: String,
}

impl From<Restoring> for proto::Restoring {
    fn from(Restoring { segments, bytes, restored_segments, restored_bytes, waits_for }: Restoring) -> Self {
        Self { segments, bytes, restored_segments, restored_bytes, waits_for }
    }
}

impl From<proto::Restoring> for Restoring {
    fn from(said: proto::Restoring) -> Self {
        let proto::Restoring { segments, bytes, restored_segments, restored_bytes, waits_for } = said;
        Self { segments, bytes, restored_segments, restored_bytes, waits_for }
    }
}

/// Brings back what is lacking for as long as the connection lasts.
pub(super) async fn run(shared: Arc<Shared>) -> anyhow::Result<()> {
    if shared.uplink.config.archive.restore == Restore::None && !shared.uplink.archive.is_index_lost() {
        return std::future::pending().await;
    }
    shared.beating.wait().await;
    let (news, told) = (Notify::new(), AtomicBool::new(false));
    let never = tokio::join!(keep_told(&shared, &news, &told), bytes::fetch_all(&shared, &news, &told));
    match never.0 {}
}

/// Hears what there is, and hears it again where that failed: an older hub doesn't answer.
async fn keep_told(shared: &Shared, news: &Notify, told: &AtomicBool) -> Infallible {
    loop {
        let Err(error) = entries::follow(shared, news, told).await;
        tracing::debug!(error = format!("{error:#}"), "hear what the hub has: tried again later");
        tokio::time::sleep(AGAIN).await;
    }
}
