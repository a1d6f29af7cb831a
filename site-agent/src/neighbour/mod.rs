//! Another site of this place: its cameras recorded here too, all the time or while the hub does not know its own
//! recorder to be well. It is an ordinary recorder with an origin of its own; two on one camera are harmless.
//!
//! Whether it stands by for that site, and then has authority, the hub says; it changes nothing of what is recorded. Where
//! that goes is the uplink's.
//!
//! | module | |
//! |---|---|
//! | `asking` | which of the cameras are there, for whoever decides |

mod asking;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wire::OriginId;
use wire::proto;

use crate::beats::{Beats, stream_beat};
use crate::config::check::Choice;
use crate::config::{Camera, Host, When};
use crate::uplink::UplinkStatus;
use crate::virtual_server::{Base, Statuses, VirtualServer};
use asking::Asking;

/// It goes on for so long once the site's own recorder is well again: that one may be about to connect to its cameras.
const OVERLAP: Duration = Duration::from_secs(10);

/// How that goes, for whoever shows it.
#[derive(Clone)]
pub struct Hosted {
    /// Which site, when and what.
    pub host: Host,
    /// How what was recorded reaches its vault.
    pub link: Arc<UplinkStatus>,
    recording: Arc<Mutex<Option<Run>>>,
    asking: Arc<Mutex<Asking>>,
}

/// The recorders, while there are any.
struct Run {
    origin: OriginId,
    statuses: Arc<Statuses>,
}

impl Hosted {
    /// Nothing is recorded yet.
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone(), link: Arc::default(), recording: Arc::default(), asking: Arc::default() }
    }

    /// As beats tell it, given what the hub told this machine to do.
    pub(crate) fn beat(&self, hosting: &[proto::Hosting]) -> proto::Beside {
        let told = hosting.iter().find(|told| told.site == self.host.site.as_str());
        let (asking, run) = (self.asking(), self.recording());
        let (unbroken_ms, age_ms) = asking.held(wire::clock::now()).unwrap_or_default();
        let camera = |camera: &Camera| proto::BesideCamera {
            id: camera.id.clone(),
            recorder: run.as_ref().and_then(|run| run.of(camera)),
            answer: asking.answer(&camera.id).into(),
        };
        proto::Beside {
            site: self.host.site.as_str().to_owned(),
            cameras: self.host.cameras.iter().map(camera).collect(),
            origin: run.as_ref().map(|run| Bytes::copy_from_slice(&run.origin.0)).unwrap_or_default(),
            epoch: told.and_then(|told| told.epoch),
            log: told.map_or(0, |told| told.log),
            unbroken_ms,
            age_ms,
        }
    }

    fn recording(&self) -> MutexGuard<'_, Option<Run>> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Run {
    fn of(&self, camera: &Camera) -> Option<proto::StreamBeat> {
        self.statuses.get(&camera.streams.first()?.id).map(stream_beat)
    }
}

/// Records, and asks the cameras, as it is to be, until `stop`; what was recorded is committed then.
pub async fn run(hosted: Hosted, base: Base, beats: Arc<Beats>, stop: CancellationToken) {
    let asking = stop.run_until_cancelled(asking::run(&hosted, &beats));
    let recording = record(&hosted, base, &beats, &stop);
    tokio::join!(asking, recording);
}

async fn record(hosted: &Hosted, base: Base, beats: &Beats, stop: &CancellationToken) {
    let host = &hosted.host;
    while stop.run_until_cancelled(until_wanted(host, beats)).await.is_some() {
        tracing::info!(site = %host.site, cameras = host.cameras.len(), "recording for another site");
        let mut server = VirtualServer::standby(base.clone());
        *hosted.recording() = Some(Run { origin: server.origin(), statuses: server.statuses() });
        for camera in &host.cameras {
            let Some(stream) = camera.streams.first() else { continue };
            if let Err(error) = server.begin(camera, stream, None).await {
                tracing::error!(site = %host.site, camera = camera.id, %error, "it can't be recorded here");
            }
        }
        stop.run_until_cancelled(until_unwanted(host, beats)).await;
        server.stop().await;
        *hosted.recording() = None;
        tracing::info!(site = %host.site, "no longer recording for it");
    }
}

async fn until_wanted(host: &Host, beats: &Beats) {
    if host.when == When::Lost {
        beats.until_hosting(&host.site, |told| told.record).await;
    }
}

/// Until it was not wanted for a while.
async fn until_unwanted(host: &Host, beats: &Beats) {
    loop {
        match host.when {
            When::Always => std::future::pending().await,
            When::Lost => beats.until_hosting(&host.site, |told| !told.record).await,
        }
        let again = tokio::time::timeout(OVERLAP, beats.until_hosting(&host.site, |told| told.record));
        if again.await.is_err() {
            return;
        }
    }
}
