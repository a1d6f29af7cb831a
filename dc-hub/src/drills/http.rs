//! Drills over HTTP: asked for, ended early, told of.

use std::fmt::Write;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use decide::control::Site;
use serde_json::{Value, json};
use site_agent::serve::Refusal;

use super::{Asked, Drills, Report, ask};

/// Reports that are listed at once.
const LISTED: usize = 100;

/// Below `/api/v1`.
pub fn routes(drills: Drills) -> Router {
    Router::new()
        .route("/drills", get(list).post(begin))
        .route("/drills/{id}", get(one))
        .route("/drills/{id}/stop", post(stop))
        .route("/drills/{id}/{picture}", get(picture))
        .with_state(drills)
}

async fn begin(State(drills): State<Drills>, Json(asked): Json<Asked>) -> Result<Response, Refusal> {
    match drills.ask(asked).await {
        Ok(accepted) => Ok(Json(accepted).into_response()),
        Err(why) => Err(Refusal::new(StatusCode::CONFLICT, "refused", why)),
    }
}

/// Who ends it early.
#[derive(serde::Deserialize)]
struct By {
    by: String,
}

async fn stop(
    State(drills): State<Drills>,
    Path(id): Path<String>,
    Json(By { by }): Json<By>,
) -> Result<Response, Refusal> {
    let stopped = drills.stop(&id, &by).await;
    match stopped.is_empty() {
        true => Err(unknown("no such drill goes on")),
        false => Ok(Json(json!({ "id": id, "sites": stopped })).into_response()),
    }
}

async fn list(State(drills): State<Drills>) -> Result<Response, Refusal> {
    let listed = blocking(move || {
        let ids = drills.store().ids().into_iter().take(LISTED);
        let kept: Vec<Value> = ids.map(|id| total(&id, &drills.store().reports(&id))).collect();
        json!({ "drills": kept })
    });
    Ok(Json(listed.await?).into_response())
}

async fn one(State(drills): State<Drills>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let running: Vec<_> = ask::running(&drills.log().state(), &id).into_keys().collect();
    let measured: Vec<_> =
        drills.measured().iter().filter(|(_, of)| **of == id).map(|(site, _)| site.clone()).collect();
    let shown = blocking(move || {
        let reports = drills.store().reports(&id);
        if reports.is_empty() && running.is_empty() && measured.is_empty() {
            return None;
        }
        let mut shown = total(&id, &reports);
        shown["running"] = json!(running);
        shown["measured"] = json!(measured);
        shown["reports"] = json!(reports);
        Some(shown)
    });
    shown
        .await?
        .map(|shown| Json(shown).into_response())
        .ok_or_else(|| unknown("no such drill is known here"))
}

async fn picture(
    State(drills): State<Drills>,
    Path((id, picture)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let drawn = blocking(move || drills.store().picture(&id, picture.strip_suffix(".svg")?));
    let drawn = drawn.await?.ok_or_else(|| unknown("there is no such picture here"))?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], drawn).into_response())
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let failed =
        |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "reading reports failed".to_owned());
    tokio::task::spawn_blocking(read).await.map_err(failed)
}

fn unknown(why: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no such drill", why.to_owned())
}

/// All sites of a drill together.
fn total(id: &str, reports: &[Report]) -> Value {
    let all = |value: fn(&Report) -> Option<u64>| spread(reports.iter().filter_map(value).collect());
    let gaps = reports.iter().flat_map(|report| &report.cameras).filter_map(|camera| camera.gap_ms).collect();
    let first = reports.first();
    json!({
        "id": id,
        "ok": !reports.is_empty() && reports.iter().all(|report| report.ok),
        "kind": first.map(|report| report.kind),
        "shadow": first.map(|report| report.shadow),
        "by": first.map(|report| &report.by),
        "begun_us": reports.iter().map(|report| report.course.begun_us).min(),
        "sites": reports.iter().map(|report| (report.site.to_string(), json!(report.ok))).collect::<serde_json::Map<_, _>>(),
        "cameras": reports.iter().map(|report| report.cameras.len()).sum::<usize>(),
        "detect_ms": all(|report| report.detect_ms),
        "decide_ms": all(|report| report.decide_ms),
        "record_ms": all(|report| report.record_ms),
        "failback_ms": all(|report| report.failback_ms),
        "gap_ms": spread(gaps),
        "frames_compared": reports.iter().map(|report| report.frames_compared).sum::<u64>(),
        "frames_lost": reports.iter().map(|report| report.frames_lost).sum::<u64>(),
    })
}

/// The middle and the worst; nothing of nothing.
fn spread(mut values: Vec<u64>) -> Value {
    values.sort_unstable();
    let at = |share: f64| values.get(((values.len() as f64 * share).ceil() as usize).saturating_sub(1));
    match values.last() {
        Some(max) => json!({ "p50": at(0.5), "p99": at(0.99), "max": max }),
        None => Value::Null,
    }
}

impl Drills {
    /// For Prometheus: how old each site's last good drill is, and how the last one of each kind went.
    pub fn metrics(&self) -> String {
        let (state, now) = (self.log().state(), wire::clock::wall());
        let mut text = String::new();
        let mut put = |name: &str, help: &str, rows: Vec<(String, u64)>| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (labels, value) in rows {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let sites = || state.sites().iter().filter(|(_, site)| !site.revoked);
        let age = |site: &Arc<Site>| site.last_good_drill.map(|at| now.since(at).as_secs());
        let ages = sites().filter_map(|(name, site)| Some((format!("{{site=\"{name}\"}}"), age(site)?)));
        put(
            "holdfast_drill_last_good_age_seconds",
            "Since the site's last good drill began; none yet: no value.",
            ages.collect(),
        );
        let lasts =
            sites().flat_map(|(name, site)| site.drilled.iter().map(move |(kind, last)| (name, kind, last)));
        let lasts = lasts.filter_map(|(name, kind, last)| {
            Some((format!("{{site=\"{name}\",kind=\"{}\"}}", kind.word()), u64::from(last.good?)))
        });
        put("holdfast_drill_last_ok", "1 if the site's last drill of this kind was good.", lasts.collect());
        text
    }
}
