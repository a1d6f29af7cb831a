//! Fetches over HTTP: asked for, followed, forgotten.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use site_agent::serve::Refusal;
use wire::{SiteId, StreamId, UnixMicros};

use super::{Asked, Fetch, RANGE_MAX};
use crate::downlink::Sites;

/// What requests are answered from.
#[derive(Clone)]
struct Shared {
    asked: Arc<Asked>,
    sites: Arc<Sites>,
}

/// Below `/api/v1`.
pub fn routes(asked: Arc<Asked>, sites: Arc<Sites>) -> Router {
    Router::new()
        .route("/sites/{site}/cameras/{camera}/fetch", post(begin))
        .route("/fetches", get(list))
        .route("/fetches/{id}", get(one).delete(forget))
        .with_state(Shared { asked, sites })
}

/// Which range.
#[derive(serde::Deserialize)]
struct Wish {
    #[serde(default = "main")]
    stream: String,
    from_us: i64,
    to_us: i64,
}

fn main() -> String {
    "main".to_owned()
}

async fn begin(
    State(shared): State<Shared>,
    Path((site, camera)): Path<(String, String)>,
    Json(wish): Json<Wish>,
) -> Result<Json<Value>, Refusal> {
    blocking(move || {
        let bad = |detail: String| Refusal::new(StatusCode::BAD_REQUEST, "bad parameter", detail);
        let site = SiteId::new(site).map_err(|error| bad(error.to_string()))?;
        let stream = StreamId::new(&camera, &wish.stream).map_err(|error| bad(error.to_string()))?;
        let (from, to) = (UnixMicros(wish.from_us), UnixMicros(wish.to_us).min(wire::clock::wall()));
        if from >= to {
            return Err(bad("from_us: it must be earlier than to_us, and than now".to_owned()));
        }
        if to.since(from) > RANGE_MAX {
            return Err(bad(format!("to_us: at most {} hours after from_us", RANGE_MAX.as_secs() / 3600)));
        }
        if !shared.knows(&site, &stream) {
            let detail = format!("{site}/{stream} is not known here");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "unknown camera", detail));
        }
        let fetch = shared.asked.ask(&site, &stream, (from, to)).map_err(|refused| {
            let status = match refused {
                super::Refused::Never { .. } => StatusCode::CONFLICT,
                super::Refused::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            };
            Refusal::new(status, "refused", refused.to_string())
        })?;
        shared.told(&fetch)
    })
    .await
}

async fn one(State(shared): State<Shared>, Path(id): Path<u64>) -> Result<Json<Value>, Refusal> {
    blocking(move || shared.told(&shared.asked.get(id).ok_or_else(unknown)?)).await
}

async fn forget(State(shared): State<Shared>, Path(id): Path<u64>) -> Result<Json<Value>, Refusal> {
    blocking(move || shared.told(&shared.asked.forget(id).ok_or_else(unknown)?)).await
}

async fn list(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "fetches": shared.asked.all().iter().map(named).collect::<Vec<_>>() }))
}

fn unknown() -> Refusal {
    let detail = "no such fetch is known at this hub node: one that is over is forgotten in time";
    Refusal::new(StatusCode::NOT_FOUND, "no such fetch", detail)
}

async fn blocking(
    work: impl FnOnce() -> Result<Json<Value>, Refusal> + Send + 'static,
) -> Result<Json<Value>, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(error.to_string())))
}

fn failed(detail: String) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", detail)
}

fn named(fetch: &Fetch) -> Value {
    json!({
        "id": fetch.id,
        "site": fetch.site,
        "camera": fetch.stream.camera(),
        "stream": fetch.stream.stream(),
        "from_us": fetch.from,
        "to_us": fetch.to,
        "asked_us": fetch.at,
        "done": fetch.done,
    })
}

impl Shared {
    fn knows(&self, site: &SiteId, stream: &StreamId) -> bool {
        let told = |names: &std::collections::BTreeMap<String, String>| names.contains_key(stream.camera());
        self.sites.snapshot().get(site).is_some_and(|state| told(&state.names))
            || self.asked.archive.streams().contains(&(site.clone(), stream.clone()))
    }

    fn told(&self, fetch: &Fetch) -> Result<Json<Value>, Refusal> {
        let late = self.sites.late(&fetch.site);
        let look = self.asked.look(fetch, late.clone()).map_err(|error| failed(error.to_string()))?;
        let mut told = named(fetch);
        told["connected"] = late.is_none().into();
        told["late"] = json!(late);
        told["done"] = look.is_over().into();
        told["pending"] = look.pending.into();
        told["held"] = json!({ "segments": look.held.segments, "bytes": look.held.bytes });
        told["left"] = json!({ "segments": look.left.segments, "bytes": look.left.bytes });
        told["recorded_s"] = look.totals.recorded.as_secs_f64().into();
        told["gaps_s"] = look.totals.gaps.as_secs_f64().into();
        Ok(Json(told))
    }
}
