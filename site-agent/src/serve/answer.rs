//! Answers that say no: a status, a short error and a sentence for people, as JSON.

use std::sync::Arc;

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::Shared;
use crate::archive::ArchiveError;

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    body: Map<String, Value>,
}

impl Refusal {
    /// With a short word for programs and a sentence for people.
    pub fn new(status: StatusCode, error: &str, detail: impl Into<String>) -> Self {
        let mut body = Map::new();
        body.insert("error".to_owned(), error.into());
        body.insert("detail".to_owned(), detail.into().into());
        Self { status, body }
    }

    /// A parameter makes no sense.
    pub(super) fn parameter(name: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad parameter", format!("{name}: {detail}"))
            .with("parameter", name)
    }

    pub(super) fn not_found(error: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, detail)
    }

    pub(super) fn internal(detail: impl std::fmt::Display) -> Self {
        let detail = detail.to_string();
        tracing::error!(%detail, "answer a request");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", detail)
    }

    /// Too much at once.
    pub(super) fn busy() -> Self {
        let detail = format!("{} files are being sent already; try again in a moment", super::READERS_MAX);
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
    }

    #[must_use]
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.body.insert(key.to_owned(), value.into());
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(Value::Object(self.body))).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
        }
        response
    }
}

impl From<ArchiveError> for Refusal {
    fn from(error: ArchiveError) -> Self {
        Self::internal(error)
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Refusal {
    Refusal::not_found("no such path", format!("{} is not part of the API; see docs/api.md", uri.path()))
}

/// Runs what reads disks on a thread where that is allowed, when its turn comes.
pub(super) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let _turn = shared.queries.acquire().await.map_err(Refusal::internal)?;
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || work(&shared)).await.map_err(Refusal::internal)?
}
