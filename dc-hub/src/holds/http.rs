//! Holds over HTTP: asked for, lifted, shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use control_log::ProposeError;
use decide::control::{Command, HoldId, HoldOrder, Refusal as No, State as LogState};
use decide::{CameraId, SiteId};
use serde::Deserialize;
use serde_json::{Value, json};
use site_agent::archive::Archive;
use site_agent::coverage::{Viewpoint, What};
use site_agent::retention::{Found, found};
use site_agent::serve::{Present, Refusal, Tails, cause_name, timeline};
use tokio::sync::Semaphore;
use wire::{StreamId, UnixMicros};

use super::show;
use crate::quorum::Quorum;

/// Looks at what there is of a range, at the same time; more wait their turn.
const LOOKS_MAX: usize = 2;
/// Timelines are computed for ranges of up to so long; of longer ones only segments are told.
const TIMELINE_MAX: std::time::Duration = std::time::Duration::from_secs(31 * 24 * 3600);

/// What the surface works with.
pub struct Parts {
    /// What the nodes agree on.
    pub quorum: Quorum,
    /// The vault's archive.
    pub archive: Archive,
    /// What is not in it yet.
    pub tails: Arc<dyn Tails>,
}

struct Shared {
    parts: Parts,
    looks: Semaphore,
}

type App = State<Arc<Shared>>;

/// Below `/api/v1`.
pub fn routes(parts: Parts) -> Router {
    let shared = Shared { parts, looks: Semaphore::new(LOOKS_MAX) };
    Router::new()
        .route("/holds", get(all))
        .route("/sites/{site}/holds", get(of_site).post(place))
        .route("/sites/{site}/holds/{hold}/release", post(release))
        .with_state(Arc::new(shared))
}

async fn all(State(shared): App) -> Json<Value> {
    let state = shared.parts.quorum.log().state();
    Json(json!({ "holds": show::list(&state, None, wire::clock::wall()) }))
}

async fn of_site(State(shared): App, Path(site): Path<String>) -> Result<Json<Value>, Refusal> {
    let (site, state) = (named(&site)?, shared.parts.quorum.log().state());
    known(&state, &site)?;
    Ok(Json(json!({ "site": site, "holds": show::list(&state, Some(&site), wire::clock::wall()) })))
}

/// What is to be kept, and who asks.
#[derive(Deserialize)]
struct Asked {
    /// None: all of the site's.
    #[serde(default)]
    cameras: BTreeSet<String>,
    from_us: UnixMicros,
    to_us: UnixMicros,
    until_us: UnixMicros,
    reason: String,
    by: String,
    #[serde(default)]
    dry_run: bool,
}

async fn place(
    State(shared): App,
    Path(site): Path<String>,
    Json(asked): Json<Asked>,
) -> Result<Json<Value>, Refusal> {
    let (site, state) = (named(&site)?, shared.parts.quorum.log().state());
    known(&state, &site)?;
    let streams = streams(&shared.parts.archive, &state, &site, &asked.cameras)?;
    let order = order(&site, &asked)?;
    tracing::info!(%site, by = asked.by, reason = asked.reason, dry_run = asked.dry_run, "a person asks for a hold");
    let command = Command::PlaceHold { site: site.clone(), order };
    let index = if asked.dry_run {
        would(&state, &command).map_err(refused)?;
        None
    } else {
        let proposed =
            shared.parts.quorum.log().propose(command).await.map_err(|error| unproposed(&error))?;
        proposed.outcome.map_err(refused)?;
        Some(proposed.index)
    };
    let range = (asked.from_us, asked.to_us);
    let found = look(&shared, site.clone(), streams, range).await?;
    let says = says(&site, index, &asked);
    Ok(Json(json!({ "hold": index, "site": site, "says": says, "found": found })))
}

fn says(site: &SiteId, hold: Option<u64>, asked: &Asked) -> String {
    let what = match asked.cameras.len() {
        0 => format!("all cameras of {site}"),
        1 => format!("camera {}/{}", site, asked.cameras.iter().next().map_or("", String::as_str)),
        many => format!("{many} cameras of {site}"),
    };
    match hold {
        Some(hold) => format!(
            "hold {hold} is placed on {what}: the hub obeys it now; it is pending until {site} has confirmed it"
        ),
        None => format!("would: place a hold on {what}"),
    }
}

/// Who lifts it.
#[derive(Deserialize)]
struct AskedRelease {
    by: String,
    #[serde(default)]
    dry_run: bool,
}

async fn release(
    State(shared): App,
    Path((site, hold)): Path<(String, u64)>,
    Json(asked): Json<AskedRelease>,
) -> Result<Json<Value>, Refusal> {
    let (site, state) = (named(&site)?, shared.parts.quorum.log().state());
    known(&state, &site)?;
    tracing::info!(%site, hold, by = asked.by, dry_run = asked.dry_run, "a person lifts a hold");
    let command = Command::ReleaseHold { site: site.clone(), hold: HoldId(hold), by: asked.by };
    let says = format!(
        "hold {hold} of {site} is lifted: what it kept may be freed, at the site once it has heard of that"
    );
    if asked.dry_run {
        would(&state, &command).map_err(refused)?;
        return Ok(Json(
            json!({ "hold": hold, "site": site, "index": null, "says": format!("would: {says}") }),
        ));
    }
    let proposed = shared.parts.quorum.log().propose(command).await.map_err(|error| unproposed(&error))?;
    proposed.outcome.map_err(refused)?;
    Ok(Json(json!({ "hold": hold, "site": site, "index": proposed.index, "says": says })))
}

/// What is asked for, if that makes sense now.
fn order(site: &SiteId, asked: &Asked) -> Result<HoldOrder, Refusal> {
    let camera = |id: &String| {
        CameraId::new(format!("{site}/{id}")).map_err(|error| parameter(format!("camera: {error}")))
    };
    if asked.until_us <= wire::clock::wall() {
        return Err(parameter("until: it has passed already; a hold ends in the future".to_owned()));
    }
    let reason = asked.reason.trim().to_owned();
    if reason.chars().any(char::is_control) {
        return Err(parameter("reason: it has control characters in it".to_owned()));
    }
    Ok(HoldOrder {
        cameras: asked.cameras.iter().map(camera).collect::<Result<_, _>>()?,
        from: asked.from_us,
        to: asked.to_us,
        until: asked.until_us,
        reason,
        by: asked.by.clone(),
    })
}

/// The streams that it is of. A camera that nobody knows is a slip of the pen.
fn streams(
    archive: &Archive,
    state: &LogState,
    site: &SiteId,
    cameras: &BTreeSet<String>,
) -> Result<Vec<StreamId>, Refusal> {
    let recorded = archive.streams().into_iter().filter(|(of, _)| of == site).map(|(_, stream)| stream);
    let recorded: Vec<_> = recorded.collect();
    let configured = state.site(site).into_iter().flat_map(|known| known.cameras.keys());
    let mut known: BTreeSet<&str> = configured.map(CameraId::local).collect();
    known.extend(recorded.iter().map(StreamId::camera));
    if let Some(unknown) = cameras.iter().find(|camera| !known.contains(camera.as_str())) {
        let names: Vec<_> = known.into_iter().collect();
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "unknown camera",
            format!("{site}/{unknown} is not known here; known: {}", names.join(", ")),
        ));
    }
    let wanted = |stream: &StreamId| cameras.is_empty() || cameras.contains(stream.camera());
    Ok(recorded.into_iter().filter(wanted).collect())
}

/// What there is of it, stream by stream.
async fn look(
    shared: &Arc<Shared>,
    site: SiteId,
    streams: Vec<StreamId>,
    range: (UnixMicros, UnixMicros),
) -> Result<Value, Refusal> {
    let failed = |detail: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", detail);
    let _turn = shared.looks.acquire().await.map_err(|error| failed(error.to_string()))?;
    let parts = shared.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let shown = streams.iter().map(|stream| {
            let told = of_stream(&parts.parts, (&site, stream), range)?;
            Ok((stream.to_string(), told))
        });
        shown.collect::<site_agent::archive::Result<serde_json::Map<_, _>>>()
    });
    let looked = looked.await.map_err(|error| failed(error.to_string()))?;
    looked.map(Value::Object).map_err(|error| failed(error.to_string()))
}

fn of_stream(
    parts: &Parts,
    (site, stream): (&SiteId, &StreamId),
    (from, to): (UnixMicros, UnixMicros),
) -> site_agent::archive::Result<Value> {
    let Found { at_hub, at_site, gone } = found(&parts.archive, (site, stream), (from, to))?;
    let mut told = json!({ "at_hub": at_hub, "at_site": at_site, "gone": gone });
    if to.since(from) > TIMELINE_MAX {
        return Ok(told);
    }
    let present = Present {
        now: wire::clock::wall(),
        viewpoint: Viewpoint::Vault { late: None },
        ..Present::default()
    };
    let spans = timeline(&parts.archive, &*parts.tails, (site, stream), (from, to), present)?.spans;
    let mut seconds: serde_json::Map<String, Value> = serde_json::Map::new();
    for span in spans {
        let what = match &span.what {
            What::Gap { cause, .. } => cause_name(*cause),
            what => what.state().name().to_owned(),
        };
        let before = seconds.get(&what).and_then(Value::as_f64).unwrap_or(0.0);
        seconds.insert(what, json!(before + span.duration().as_secs_f64()));
    }
    told["seconds"] = Value::Object(seconds);
    Ok(told)
}

/// What `apply` would say of the state as it is now.
fn would(state: &LogState, command: &Command) -> Result<(), No> {
    let mut copy = state.clone();
    let Some(at) = copy.at() else { return Ok(()) };
    copy.apply(decide::control::Stamp { index: at.index + 1, ..at }, command).map(drop)
}

fn named(text: &str) -> Result<SiteId, Refusal> {
    SiteId::new(text).map_err(|error| parameter(format!("site: {error}")))
}

fn known(state: &LogState, site: &SiteId) -> Result<(), Refusal> {
    let unknown = || {
        let says =
            format!("site `{site}` is not known to the hub's control log: has its agent ever connected?");
        Refusal::new(StatusCode::NOT_FOUND, "no such site", says)
    };
    state.site(site).map(drop).ok_or_else(unknown)
}

fn parameter(detail: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad parameter", detail)
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` has it
fn refused(no: No) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, "refused", no.to_string())
}

fn unproposed(error: &ProposeError) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not decided", error.to_string())
}
