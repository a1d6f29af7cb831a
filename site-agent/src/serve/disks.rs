//! The archive's disks over HTTP: how they are, and that one does not come back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Refusal, Shared};
use crate::archive::{GivenUp, NotGivenUp};

/// Which disk does not come back.
#[derive(serde::Deserialize)]
pub(super) struct Wish {
    /// Its folder, or its number.
    disk: String,
    /// Only tell what that would mean.
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Refusal> {
    let archive = shared.served.archive.clone();
    let disks = tokio::task::spawn_blocking(move || archive.disks_shown()).await;
    let disks = disks.map_err(|error| failed(&error))?;
    Ok(Json(json!({ "disks": disks })))
}

pub(super) async fn lost(
    State(shared): State<Arc<Shared>>,
    Json(wish): Json<Wish>,
) -> Result<Json<GivenUp>, Refusal> {
    let archive = shared.served.archive.clone();
    let done = tokio::task::spawn_blocking(move || archive.give_up_disk(&wish.disk, wish.dry_run)).await;
    done.map_err(|error| failed(&error))?.map(Json).map_err(|refused| {
        let (status, what) = match refused {
            NotGivenUp::Unknown(..) => (StatusCode::NOT_FOUND, "unknown disk"),
            NotGivenUp::First(_) | NotGivenUp::InUse(_) | NotGivenUp::Already(_) => {
                (StatusCode::CONFLICT, "refused")
            }
            NotGivenUp::Archive(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        };
        Refusal::new(status, what, refused.to_string())
    })
}

fn failed(error: &tokio::task::JoinError) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", error.to_string())
}
