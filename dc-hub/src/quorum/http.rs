//! The quorum over HTTP: how it stands, why, and what people ask for.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use control_log::ChangeError;
use decide::control::Site;
use serde_json::{Value, json};
use site_agent::serve::Refusal;
use wire::SiteId;

use super::Quorum;
use super::nodes::{AskedOfNode, NodeNo};
use super::people::{Asked, Came, Confirmed, No};

/// Below `/api/v1`.
pub fn routes(quorum: Quorum) -> Router {
    Router::new()
        .route("/control", get(control))
        .route("/control/export", get(export))
        .route("/nodes", post(node_wish))
        .route("/confirm-deletion", post(confirm_deletion))
        .route("/plan", get(plan))
        .route("/sites/{site}/why", get(why))
        .route("/sites/{site}/wishes", post(wish))
        .with_state(Arc::new(quorum))
}

type App = State<Arc<Quorum>>;

async fn control(State(quorum): App) -> Response {
    Json(quorum.show()).into_response()
}

/// All that was agreed on, to be restored from; no password and no key is in it.
async fn export(State(quorum): App) -> Response {
    Json(quorum.log().export()).into_response()
}

async fn why(State(quorum): App, Path(site): Path<String>) -> Result<Response, Refusal> {
    let site = named(&site)?;
    let state = quorum.log().state();
    let known = state.site(&site).ok_or_else(|| unknown(&site))?;
    let verdict = quorum.told().verdict(&site);
    Ok(Json(json!({
        "site": site,
        "known": known,
        "frozen": state.frozen().contains(&site),
        "verdict": verdict.map(|(since_us, telling)| json!({ "since_us": since_us, "telling": telling })),
        "beside": quorum.beside(&site, known),
        "protection": quorum.protection(&site),
        "decided": quorum.told().decided(Some(&site)),
        "quorum": quorum.in_words(),
    }))
    .into_response())
}

async fn confirm_deletion(State(quorum): App, Json(asked): Json<Confirmed>) -> Result<Response, Refusal> {
    answered(quorum.confirm_deletion(asked).await)
}

async fn wish(
    State(quorum): App,
    Path(site): Path<String>,
    Json(asked): Json<Asked>,
) -> Result<Response, Refusal> {
    answered(quorum.ask(&named(&site)?, asked).await)
}

fn answered(came: Result<Came, No>) -> Result<Response, Refusal> {
    match came {
        Ok(came) => Ok(Json(came).into_response()),
        Err(error @ No::UnknownSite(_)) => {
            Err(Refusal::new(StatusCode::NOT_FOUND, "no such site", error.to_string()))
        }
        Err(error @ No::Unproposed(_)) => {
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not decided", error.to_string()))
        }
        Err(error) => Err(Refusal::new(StatusCode::CONFLICT, "refused", error.to_string())),
    }
}

/// How many nodes are lost.
#[derive(serde::Deserialize)]
struct Lost {
    lose: Option<usize>,
}

async fn plan(State(quorum): App, Query(lost): Query<Lost>) -> Result<Response, Refusal> {
    let lose = lost.lose.unwrap_or(1);
    if lose > super::plan::LOSE_MAX {
        let most = format!("lose: {lose} is more than {} nodes at once", super::plan::LOSE_MAX);
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad parameter", most));
    }
    Ok(Json(super::plan::plan(&quorum.log().state(), lose)).into_response())
}

async fn node_wish(State(quorum): App, Json(asked): Json<AskedOfNode>) -> Result<Response, Refusal> {
    match quorum.ask_of_node(asked).await {
        Ok(done) => Ok(Json(done).into_response()),
        Err(NodeNo::Change(
            error @ (ChangeError::NotDone(_) | ChangeError::Unknown(_) | ChangeError::Busy),
        )) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not decided", error.to_string())),
        Err(error) => Err(Refusal::new(StatusCode::CONFLICT, "refused", error.to_string())),
    }
}

/// Which revoked nodes may have a site's camera passwords: those need to be changed.
fn new_passwords(site: &Site) -> Option<Value> {
    let exposed = site.exposed.as_ref().filter(|_| !site.revoked)?;
    Some(json!({ "nodes": exposed.hosts, "later_than_revision": exposed.revision }))
}

/// The sites whose cameras need new passwords, with the nodes for whose sake.
pub fn exposed(state: &decide::control::State) -> serde_json::Map<String, Value> {
    let sites = state.sites().iter();
    sites.filter_map(|(name, site)| Some((name.to_string(), new_passwords(site)?))).collect()
}

/// For Prometheus: the same.
pub fn exposed_metrics(state: &decide::control::State) -> String {
    let name = "holdfast_site_needs_new_passwords";
    let mut text = format!(
        "# HELP {name} 1 while a revoked node may know the passwords of cameras.\n# TYPE {name} gauge\n"
    );
    for (site, known) in state.sites().iter().filter(|(_, site)| !site.revoked) {
        text += &format!("{name}{{site=\"{site}\"}} {}\n", u64::from(known.exposed.is_some()));
    }
    text
}

fn named(text: &str) -> Result<SiteId, Refusal> {
    SiteId::new(text)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "bad parameter", format!("site: {error}")))
}

fn unknown(site: &SiteId) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no such site", No::UnknownSite(site.clone()).to_string())
}

impl Quorum {
    /// How the control log stands, and every site in it.
    pub fn show(&self) -> Value {
        let state = self.log().state();
        let sites: serde_json::Map<String, Value> = state
            .sites()
            .iter()
            .map(|(name, site)| {
                let verdict = self.told().verdict(name).map(|(_, telling)| telling.line);
                let shown = json!({
                    "life": site.life, "stage": site.life.stage(), "epoch": site.epoch.to_string(),
                    "holder": site.holder(), "placement": site.placement, "verdict": verdict,
                    "tier": site.spec.tier, "plan": site.plan, "drill": site.drill, "pinned": site.pinned, "vault": site.vault,
                    "protection": self.protection(name), "new_passwords": new_passwords(site),
                });
                (name.to_string(), shown)
            })
            .collect();
        json!({
            "quorum": self.in_words(),
            "log": self.log().status(),
            "hosts": state.hosts(),
            "sites": sites,
            "frozen": state.frozen(),
            "deletion_suspended": state.deletion_suspended(),
        })
    }

    /// How many decide: for every surface.
    pub fn in_words(&self) -> String {
        let state = self.log().state();
        match state.membership().voters().len() {
            0 => "no quorum yet: the control log has not been founded".to_owned(),
            1 => "one node: it decides alone".to_owned(),
            voters => format!("{voters} voters: {} must agree", voters / 2 + 1),
        }
    }
}
