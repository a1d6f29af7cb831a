//! Drills over HTTP: asked for, ended early, told of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use decide::control::{self, DrillOrder, Site};
use decide::{NodeId, SiteId};
use serde::Serialize;
use serde_json::{Value, json};
use site_agent::serve::Refusal;
use wire::UnixMicros;

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
        let known = Known::all(&drills);
        let mut ids: BTreeSet<String> = drills.store().ids().into_iter().collect();
        ids.extend(known.orders().map(|order| order.id.clone()));
        let ids = ids.into_iter().rev().take(LISTED);
        let shown = |id: String| {
            let reports = drills.store().reports(&id);
            total(&id, &reports, &known.elsewhere(&id, &reports))
        };
        json!({ "drills": ids.map(shown).collect::<Vec<_>>() })
    });
    Ok(Json(listed.await?).into_response())
}

async fn one(State(drills): State<Drills>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let running: Vec<_> = ask::running(&drills.log().state(), &id).into_keys().collect();
    let measured: Vec<_> =
        drills.measured().iter().filter(|(_, of)| **of == id).map(|(site, _)| site.clone()).collect();
    let shown = blocking(move || {
        let reports = drills.store().reports(&id);
        let elsewhere = Known::all(&drills).elsewhere(&id, &reports);
        if reports.is_empty() && running.is_empty() && elsewhere.is_empty() {
            return None;
        }
        let mut shown = total(&id, &reports, &elsewhere);
        shown["running"] = json!(running);
        shown["measured"] = json!(measured);
        shown["reports"] = json!(reports);
        Some(shown)
    });
    shown.await?.map(|shown| Json(shown).into_response()).ok_or_else(|| {
        unknown("no such drill is known here: ask the node that keeps the site's vault for older ones")
    })
}

async fn picture(
    State(drills): State<Drills>,
    Path((id, picture)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let drawn = blocking(move || {
        let Some(site) = picture.strip_suffix(".svg") else { return Err(String::new()) };
        let drawn = drills.store().picture(&id, site);
        let node = || Known::all(&drills).elsewhere(&id, &[]).remove(site).and_then(|at| at.node);
        drawn.ok_or_else(|| node().map_or_else(String::new, |node| format!(": {node} keeps it")))
    });
    let drawn = drawn.await?.map_err(|at| unknown(&format!("there is no such picture here{at}")))?;
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
fn total(id: &str, reports: &[Report], elsewhere: &BTreeMap<String, Elsewhere>) -> Value {
    let all = |value: fn(&Report) -> Option<u64>| spread(reports.iter().filter_map(value).collect());
    let gaps = reports.iter().flat_map(|report| &report.cameras).filter_map(|camera| camera.gap_ms).collect();
    let (first, other) = (reports.first(), elsewhere.values().next());
    let begun_here = reports.iter().map(|report| report.course.begun_us);
    let sites = reports.iter().map(|report| (report.site.to_string(), json!(report.ok)));
    let sites = sites.chain(elsewhere.iter().map(|(site, at)| (site.clone(), json!(at.ok))));
    let any = !reports.is_empty() || !elsewhere.is_empty();
    json!({
        "id": id,
        "ok": any && reports.iter().all(|report| report.ok) && elsewhere.values().all(|at| at.ok == Some(true)),
        "kind": first.map(|report| report.kind).or(other.map(|at| at.order.kind)),
        "shadow": first.map(|report| report.shadow).or(other.map(|at| at.order.shadow)),
        "by": first.map(|report| &report.by).or(other.map(|at| &at.order.by)),
        "begun_us": begun_here.chain(elsewhere.values().map(|at| at.begun_us)).min(),
        "sites": sites.collect::<serde_json::Map<_, _>>(),
        "elsewhere": elsewhere,
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

/// A site's drill whose report is not here.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Elsewhere {
    /// The node that keeps the report, or will.
    node: Option<String>,
    /// Was it good, as far as anybody has told?
    ok: Option<bool>,
    /// Did the leader change while it went on?
    interrupted: bool,
    /// Has the node that was to tell of it told nothing?
    untold: bool,
    #[serde(skip)]
    begun_us: UnixMicros,
    #[serde(skip)]
    order: DrillOrder,
}

/// What every node knows of drills: the last of each kind and site.
struct Known {
    state: Arc<control::State>,
    nodes: BTreeMap<NodeId, String>,
}

impl Known {
    fn all(drills: &Drills) -> Self {
        let members = drills.log().members();
        let nodes = members.borrow().iter().map(|(id, member)| (*id, member.name.clone())).collect();
        Self { state: drills.log().state(), nodes }
    }

    /// Those of which it is known how they went, at a site at least.
    fn orders(&self) -> impl Iterator<Item = &DrillOrder> {
        self.state
            .sites()
            .values()
            .flat_map(|site| site.drilled.values())
            .filter(|last| last.good.is_some())
            .filter_map(|last| last.order.as_ref())
    }

    /// Sites of a drill of which there is no report among these.
    fn elsewhere(&self, id: &str, here: &[Report]) -> BTreeMap<String, Elsewhere> {
        let missing = |site: &SiteId| here.iter().all(|report| report.site != *site);
        let sites = self.state.sites().iter().filter(|(name, _)| missing(name));
        let last = sites.flat_map(|(name, site)| site.drilled.values().map(move |last| (name, site, last)));
        let told = last.filter_map(|(name, site, last)| {
            let order = last.order.clone().filter(|order| order.id == id)?;
            let node = last.told_by.or(site.vault).and_then(|node| self.nodes.get(&node).cloned());
            let untold = last.good.is_some() && last.told_by.is_none();
            let (ok, interrupted, begun_us) = (last.good, last.interrupted, last.begun);
            Some((name.to_string(), Elsewhere { node, ok, interrupted, untold, begun_us, order }))
        });
        told.collect()
    }
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

#[cfg(test)]
mod tests {
    use super::super::schedule::tests::{drilled, site};
    use super::*;

    #[test]
    fn a_node_without_the_report_knows_who_has_it_and_how_it_went() {
        let mut state = drilled(UnixMicros(7));
        let index = state.at().unwrap().index;
        let nodes = BTreeMap::from([(NodeId(1), "hub-1".to_owned())]);
        let known = |state: &control::State| Known { state: Arc::new(state.clone()), nodes: nodes.clone() };
        let told = known(&state).elsewhere("x", &[]);
        assert_eq!((told.len(), told["shop-1"].ok, told["shop-1"].untold), (1, None, false));
        assert_eq!(total("x", &[], &told)["ok"], false, "nobody knows yet");
        assert_eq!(known(&state).orders().count(), 0, "nor is it listed");
        let drill = state.site(&site(1)).unwrap().drilled.values().next().unwrap().index;
        let at = control::Stamp { index: index + 1, ..state.at().unwrap() };
        let good = control::Command::Drilled { site: site(1), drill, good: true, node: Some(NodeId(1)) };
        state.apply(at, &good).unwrap();
        let told = known(&state).elsewhere("x", &[]);
        assert_eq!((told["shop-1"].node.as_deref(), told["shop-1"].ok), (Some("hub-1"), Some(true)));
        let shown = total("x", &[], &told);
        assert_eq!(
            (&shown["ok"], &shown["by"], &shown["sites"]["shop-1"]),
            (&json!(true), &json!("ada"), &json!(true))
        );
        assert!(known(&state).elsewhere("y", &[]).is_empty());
        assert_eq!(known(&state).orders().count(), 1);
    }
}
