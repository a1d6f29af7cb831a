//! What is recorded, over HTTP: timeline, live picture, playlist, export. At a site also while the WAN is
//! down and somebody stands in the shop; at the hub over all sites. `docs/api.md` is the reference.
//!
//! Everything under `/api/v1` and `/metrics` asks for the token; `/healthz` is open. Files are read on
//! threads of their own, in pieces, and at most [`READERS_MAX`] at a time: a slow client holds a few
//! pieces in memory, never a whole file. It never knows who records.

mod answer;
mod auth;
mod cameras;
mod coverage;
mod disks;
mod events;
pub mod export;
mod hls;
mod live;
mod params;
pub mod proof;
mod segments;
mod stream;
mod tails;
mod timeline;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::SiteId;

use crate::archive::Archive;
use crate::live::Live;
use crate::scrub;

pub use answer::Refusal;
pub use cameras::{CameraInfo, Cameras, StreamInfo};
pub use coverage::cause_name;
pub use export::{ExportError, ExportSummary, export_range};
pub use proof::{Report, verify_export};
pub use tails::{LiveTails, NoTails, TailFragment, TailSpan, Tails};
pub use timeline::{Present, Timeline, timeline};
pub use token::Token;

/// Exports and segment downloads at the same time; more are asked to come back.
pub const READERS_MAX: usize = 16;
/// Timelines and plans computed at the same time; more wait their turn.
const QUERIES_MAX: usize = 4;
/// After the word to stop, answers that are still being sent have this long.
const LINGER: Duration = Duration::from_secs(3);

/// Whose surface this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A site's own: only its cameras.
    Site(SiteId),
    /// The hub's: all sites.
    Hub,
}

/// What is served.
pub struct Served {
    /// What is committed.
    pub archive: Archive,
    /// What is being recorded right now.
    pub live: Arc<Live>,
    /// What is durable and not committed yet.
    pub tails: Arc<dyn Tails>,
    /// `/api/v1/status`.
    pub status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// `/metrics`, in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// How re-reading is, and where it is asked for.
    pub scrub: Arc<scrub::Status>,
    /// Which cameras there are, and how they are doing.
    pub cameras: Arc<dyn Cameras>,
    /// Whose surface this is.
    pub role: Role,
}

/// What the handlers share.
struct Shared {
    served: Served,
    readers: Arc<Semaphore>,
    queries: Semaphore,
}

type App = State<Arc<Shared>>;

/// All endpoints.
pub fn router(served: Served, token: Token) -> Router {
    router_with(served, token, Router::new())
}

/// All endpoints, and `more` of the caller's own below `/api/v1`, behind the same token.
pub fn router_with(served: Served, token: Token, more: Router) -> Router {
    let readers = Arc::new(Semaphore::new(READERS_MAX));
    let shared = Arc::new(Shared { served, readers, queries: Semaphore::new(QUERIES_MAX) });
    let camera = Router::new()
        .route("/coverage", get(coverage::get))
        .route("/events", get(events::get))
        .route("/hls.m3u8", get(hls::get))
        .route("/export.mp4", get(export::get))
        .route("/live.mp4", get(live::get))
        .route("/segments/{origin}/{number}/header.mp4", get(segments::header))
        .route("/segments/{origin}/{file}", get(segments::fragments));
    let api = Router::new()
        .route("/status", get(status))
        .route("/scrub", get(scrubbed).post(scrub_now))
        .route("/disks", get(disks::list))
        .route("/disks/lost", post(disks::lost))
        .route("/sites", get(cameras::sites))
        .route("/cameras", get(cameras::list))
        .nest("/sites/{site}/cameras/{camera}", camera)
        .with_state(shared.clone())
        .merge(more);
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(shared.clone());
    metrics
        .nest("/api/v1", api)
        .fallback(answer::no_such_path)
        .layer(axum::middleware::from_fn_with_state(token, auth::require))
        .merge(Router::new().route("/healthz", get(health)).with_state(shared))
}

/// Listens at `listen`; the listener knows the real port where 0 was asked for.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.with_context(|| format!("listen for HTTP at {listen}"))
}

/// Serves until cancelled.
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) -> anyhow::Result<()> {
    let stopping = cancel.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned());
    let too_long = async {
        cancel.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        served = server.into_future() => served.context("serve HTTP"),
        () = too_long => Ok(()), // somebody is still watching live
    }
}

/// [`bind`] and [`serve`].
pub async fn run(listen: SocketAddr, router: Router, cancel: CancellationToken) -> anyhow::Result<()> {
    serve(bind(listen).await?, router, cancel).await
}

async fn health(State(shared): App) -> Response {
    match shared.served.archive.poisoned() {
        None => "ok".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why.to_owned()).into_response(),
    }
}

async fn status(State(shared): App) -> Response {
    axum::Json((shared.served.status)()).into_response()
}

async fn scrubbed(State(shared): App) -> Response {
    axum::Json(shared.served.scrub.snapshot()).into_response()
}

/// Everything is re-read now, as fast as it may; `GET` tells how far that is. What the request says beside is read, though
/// it says nothing: a connection on which some of it is left is closed, and the client's next request fails.
async fn scrub_now(State(shared): App, _said: axum::body::Bytes) -> Response {
    tracing::info!("somebody asked for everything to be re-read now");
    shared.served.scrub.ask();
    scrubbed(State(shared)).await
}

async fn metrics(State(shared): App) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (shared.served.metrics)()).into_response()
}
