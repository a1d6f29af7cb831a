//! What a beat tells of the virtual server. Recorders are looked at, never waited for.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use wire::holds::Digest;
use wire::proto::RecordingState;
use wire::{OriginId, StreamId, proto};

use crate::config::SiteConfig;
use crate::neighbour::Hosted;
use crate::uplink::UplinkStatus;
use crate::virtual_server::{Statuses, StreamStatus};

/// Where a beat's contents come from.
pub struct Facts {
    origin: OriginId,
    cameras: Vec<proto::Camera>,
    /// Main streams of the cameras that somebody else can record at the same time.
    shared: Vec<StreamId>,
    /// In the order of `cameras` and their streams.
    streams: Vec<StreamId>,
    statuses: Arc<Statuses>,
    uplink: Arc<UplinkStatus>,
    hosted: Vec<Hosted>,
}

/// What a beat says of what the hub told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The highest epoch.
    pub(super) epoch: Option<proto::Epoch>,
    /// A drill: it is said to nobody who decides.
    pub(super) drilled: bool,
    /// The holds that are kept.
    pub(super) holds: Option<Digest>,
    /// What is to be done for other sites.
    pub(super) hosting: Vec<proto::Hosting>,
}

impl Facts {
    /// Of the run `origin` that records what `config` says.
    pub fn new(
        config: &SiteConfig,
        origin: OriginId,
        statuses: Arc<Statuses>,
        uplink: Arc<UplinkStatus>,
    ) -> Self {
        let cameras = config.cameras.iter().map(|camera| proto::Camera {
            id: camera.id.clone(),
            name: camera.name.clone(),
            streams: camera.streams.iter().map(|stream| stream.id.stream().to_owned()).collect(),
        });
        let shared = config.cameras.iter().filter(|camera| !camera.single_session);
        let shared = shared.filter_map(|camera| camera.streams.first()).map(|stream| stream.id.clone());
        let streams = config.cameras.iter().flat_map(|camera| &camera.streams);
        Self {
            origin,
            cameras: cameras.collect(),
            shared: shared.collect(),
            streams: streams.map(|stream| stream.id.clone()).collect(),
            statuses,
            uplink,
            hosted: Vec::new(),
        }
    }

    /// Of a machine that records these for other sites besides.
    #[must_use]
    pub fn with_hosted(self, hosted: Vec<Hosted>) -> Self {
        Self { hosted, ..self }
    }

    /// The first message of a connection.
    pub(crate) fn hello(&self, purpose: proto::Purpose, path: &str) -> proto::Hello {
        proto::Hello {
            protocol_min: wire::PROTOCOL,
            protocol_max: wire::PROTOCOL,
            software: concat!("holdfast site-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
            origin: self.origin(),
            cameras: self.cameras.clone(),
            purpose: purpose.into(),
            path: path.to_owned(),
            policies: Vec::new(), // the session says them
            hosted: String::new(),
        }
    }

    pub(super) fn beat(&self, number: u64, told: &Told) -> proto::Beat {
        let stream = |id| self.statuses.get(id).map(stream_beat).unwrap_or_default();
        let (unacked, lag) = self.uplink.unacked_and_lag();
        proto::Beat {
            number,
            sent_us: wire::clock::wall().0,
            streams: self.streams.iter().map(stream).collect(),
            unacked_segments: unacked,
            unacked_bytes: 0,
            live_lag_ms_p50: u32::try_from(lag.p50).unwrap_or(u32::MAX),
            live_lag_ms_p99: u32::try_from(lag.p99).unwrap_or(u32::MAX),
            origin: self.origin(),
            epoch: told.epoch,
            log: 0,
            drilled: told.drilled,
            holds: told.holds.map(Digest::to_bytes).unwrap_or_default(),
            beside: self.hosted.iter().map(|hosted| hosted.beat(&told.hosting)).collect(),
        }
    }

    /// The cameras that are recorded now and that somebody else can record at the same time.
    pub(super) fn shared_cameras(&self) -> BTreeSet<String> {
        let recorded = |stream: &&StreamId| {
            self.statuses.get(stream).is_some_and(|status| status.state == RecordingState::Recording)
        };
        self.shared.iter().filter(recorded).map(|stream| stream.camera().to_owned()).collect()
    }

    fn origin(&self) -> Bytes {
        Bytes::copy_from_slice(&self.origin.0)
    }
}

pub(crate) fn stream_beat(status: StreamStatus) -> proto::StreamBeat {
    let (segment, fragment) = status.durable.unwrap_or_default();
    proto::StreamBeat {
        state: status.state.into(),
        last_durable_us: status.last_durable_us.map_or(0, |at| at.0),
        detail: status.detail,
        segment: segment.0,
        fragment,
        keyframes: status.keyframes,
    }
}
