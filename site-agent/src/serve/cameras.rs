//! Which cameras there are, and what there is of each.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use serde_json::{Value, json};
use wire::proto::GapCause;
use wire::{Replicate, SiteId, StreamId, UnixMicros};

use super::answer::{Refusal, blocking};
use super::params::rfc3339;
use super::{App, Shared};

/// A camera as its recorder knows it.
#[derive(Clone, Debug)]
pub struct CameraInfo {
    /// Where it is.
    pub site: SiteId,
    /// Its slug.
    pub camera: String,
    /// What people call it.
    pub name: String,
    /// Its streams.
    pub streams: Vec<StreamInfo>,
}

/// A stream as its recorder knows it.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Which.
    pub stream: StreamId,
    /// `connecting`, `recording`, `down`, `refused` or `unknown`.
    pub state: String,
    /// Why, for people.
    pub detail: String,
    /// Why nothing is being recorded right now, where that is so.
    pub not_recording: Option<(GapCause, String)>,
}

/// Who knows the cameras.
pub trait Cameras: Send + Sync {
    /// All of them.
    fn cameras(&self) -> Vec<CameraInfo>;

    /// At a hub: why what a site recorded may be late, for people; for example that it is not connected.
    fn late(&self, _site: &SiteId) -> Option<String> {
        None
    }

    /// Whether a stream's bytes go to the hub by themselves.
    fn replicate(&self, _site: &SiteId, _stream: &StreamId) -> Replicate {
        Replicate::Live
    }
}

impl Shared {
    /// Every stream that is configured or has ever been recorded, and may be shown here.
    pub(super) fn known(&self) -> BTreeSet<(SiteId, StreamId)> {
        let configured = self.served.cameras.cameras().into_iter().flat_map(|camera| {
            camera.streams.into_iter().map(move |stream| (camera.site.clone(), stream.stream))
        });
        let all = configured.chain(self.served.archive.streams());
        all.filter(|(site, _)| self.served.role.shows(site)).collect()
    }
}

/// What is held of one stream.
#[derive(Clone, Copy, Default)]
struct Holdings {
    first: Option<UnixMicros>,
    last: Option<UnixMicros>,
    bytes: u64,
}

impl Holdings {
    fn add(&mut self, other: &Self) {
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
        self.bytes += other.bytes;
    }

    fn put_into(&self, value: &mut Value) {
        value["first"] = json!(self.first.map(rfc3339));
        value["last"] = json!(self.last.map(rfc3339));
        value["bytes"] = json!(self.bytes);
    }
}

fn holdings(shared: &Shared) -> BTreeMap<(SiteId, StreamId), Holdings> {
    let mut all: BTreeMap<_, Holdings> =
        shared.known().into_iter().map(|key| (key, Holdings::default())).collect();
    for (ledger, record) in shared.served.archive.ledgers() {
        let Ok(site) = record.site() else { continue };
        let written = record.next > 0;
        if let Some(holdings) = all.get_mut(&(site, ledger.stream)) {
            holdings.add(&Holdings {
                first: written.then_some(UnixMicros(record.opened_us)),
                last: written.then_some(UnixMicros(record.last_us)),
                bytes: record.bytes,
            });
        }
    }
    all
}

/// `GET /api/v1/cameras`
pub(super) async fn list(State(shared): App) -> Result<axum::Json<Value>, Refusal> {
    blocking(&shared, |shared| Ok(axum::Json(Value::Array(cameras(shared))))).await
}

fn cameras(shared: &Shared) -> Vec<Value> {
    let told: BTreeMap<_, _> = shared
        .served
        .cameras
        .cameras()
        .into_iter()
        .map(|camera| ((camera.site.clone(), camera.camera.clone()), camera))
        .collect();
    let mut by_camera: BTreeMap<(SiteId, String), Vec<(StreamId, Holdings)>> = BTreeMap::new();
    for ((site, stream), holdings) in holdings(shared) {
        by_camera.entry((site, stream.camera().to_owned())).or_default().push((stream, holdings));
    }
    let camera = |(key, streams): ((SiteId, String), Vec<(StreamId, Holdings)>)| {
        let told = told.get(&key);
        let mut total = Holdings::default();
        let mut states = Vec::new();
        for (stream, holdings) in &streams {
            total.add(holdings);
            let info = told.and_then(|told| told.streams.iter().find(|info| info.stream == *stream));
            let mut value = json!({
                "stream": stream.stream(),
                "state": info.map_or("not configured", |info| info.state.as_str()),
                "detail": info.map_or("", |info| info.detail.as_str()),
                "replicate": shared.served.cameras.replicate(&key.0, stream).word(),
            });
            holdings.put_into(&mut value);
            states.push(value);
        }
        let (site, camera) = key;
        let mut value = json!({
            "site": site,
            "camera": camera,
            "name": told.map_or("", |told| told.name.as_str()),
            // A camera is as well as its first stream: `main`, where there is one.
            "state": states.first().map_or(Value::Null, |stream| stream["state"].clone()),
            "streams": states,
        });
        total.put_into(&mut value);
        value
    };
    by_camera.into_iter().map(camera).collect()
}

/// `GET /api/v1/sites`
pub(super) async fn sites(State(shared): App) -> Result<axum::Json<Value>, Refusal> {
    blocking(&shared, |shared| Ok(axum::Json(Value::Array(site_list(shared))))).await
}

fn site_list(shared: &Shared) -> Vec<Value> {
    let mut sites: BTreeMap<SiteId, (BTreeSet<String>, Holdings)> = BTreeMap::new();
    for ((site, stream), holdings) in holdings(shared) {
        let (cameras, total) = sites.entry(site).or_default();
        cameras.insert(stream.camera().to_owned());
        total.add(&holdings);
    }
    let site = |(site, (cameras, total)): (SiteId, (BTreeSet<String>, Holdings))| {
        let mut value = json!({ "site": site, "cameras": cameras.len() });
        value["late"] = json!(shared.served.cameras.late(&site));
        total.put_into(&mut value);
        value
    };
    sites.into_iter().map(site).collect()
}
