//! Another site of this place: its cameras recorded here too, all the time or while the hub does not know its own
//! recorder to be well. It is an ordinary recorder with an origin of its own; two on one camera are harmless.
//!
//! It has no authority over the site, and asks for none. Where what it records goes is the uplink's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wire::proto::{self, RecordingState};

use crate::beats::Beats;
use crate::config::check::Choice;
use crate::config::{Host, When};
use crate::uplink::UplinkStatus;
use crate::virtual_server::{Base, Statuses, VirtualServer};

/// It goes on for so long once the site's own recorder is well again: that one may be about to connect to its cameras.
const OVERLAP: Duration = Duration::from_secs(10);

/// How that goes, for whoever shows it.
#[derive(Clone)]
pub struct Hosted {
    /// Which site, when and what.
    pub host: Host,
    /// How what was recorded reaches its vault.
    pub link: Arc<UplinkStatus>,
    /// Of the recorders, while there are any.
    recording: Arc<Mutex<Option<Arc<Statuses>>>>,
}

impl Hosted {
    /// Nothing is recorded yet.
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone(), link: Arc::default(), recording: Arc::default() }
    }

    /// As beats tell it.
    pub(crate) fn beat(&self) -> proto::Beside {
        let all = self.recording().as_ref().map(|statuses| statuses.snapshot()).unwrap_or_default();
        let now: Vec<_> = all.values().filter(|status| status.state == RecordingState::Recording).collect();
        let durable = now.iter().map(|status| status.last_durable_us.map_or(0, |at| at.0)).min();
        proto::Beside {
            site: self.host.site.as_str().to_owned(),
            cameras: u32::try_from(self.host.cameras.len()).unwrap_or(u32::MAX),
            recording: u32::try_from(now.len()).unwrap_or(u32::MAX),
            last_durable_us: durable.unwrap_or(0),
        }
    }

    fn recording(&self) -> MutexGuard<'_, Option<Arc<Statuses>>> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For people.
    pub fn shown(&self) -> Value {
        let link = self.link.snapshot();
        json!({
            "site": self.host.site, "when": self.host.when.word(), "recording": self.recording().is_some(),
            "connected": link.connected, "unacked": link.unacked, "detail": link.detail,
        })
    }
}

/// Records as it is to be, until `stop`; what was recorded is committed then.
pub async fn run(hosted: Hosted, base: Base, beats: Arc<Beats>, stop: CancellationToken) {
    let host = &hosted.host;
    while stop.run_until_cancelled(until_wanted(host, &beats)).await.is_some() {
        tracing::info!(site = %host.site, cameras = host.cameras.len(), "recording for another site");
        let mut server = VirtualServer::standby(base.clone());
        *hosted.recording() = Some(server.statuses());
        for camera in &host.cameras {
            let Some(stream) = camera.streams.first() else { continue };
            if let Err(error) = server.begin(camera, stream, None).await {
                tracing::error!(site = %host.site, camera = camera.id, %error, "it can't be recorded here");
            }
        }
        stop.run_until_cancelled(until_unwanted(host, &beats)).await;
        server.stop().await;
        *hosted.recording() = None;
        tracing::info!(site = %host.site, "no longer recording for it");
    }
}

async fn until_wanted(host: &Host, beats: &Beats) {
    if host.when == When::Lost {
        beats.until_hosting(&host.site, true).await;
    }
}

/// Until it was not wanted for a while.
async fn until_unwanted(host: &Host, beats: &Beats) {
    loop {
        match host.when {
            When::Always => std::future::pending().await,
            When::Lost => beats.until_hosting(&host.site, false).await,
        }
        let again = tokio::time::timeout(OVERLAP, beats.until_hosting(&host.site, true));
        if again.await.is_err() {
            return;
        }
    }
}
