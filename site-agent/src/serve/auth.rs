//! Lets in who shows the token: in the `Authorization` header, or as `?token=` where a player can't send
//! headers.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Token;
use super::answer::Refusal;
use super::params::Params;

pub(super) async fn require(State(token): State<Token>, request: Request, next: Next) -> Response {
    let bearer = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, shown)| shown.trim().to_owned());
    let shown = bearer.or_else(|| Params::of(request.uri()).token().map(str::to_owned));
    if shown.is_some_and(|shown| token.is(&shown)) {
        return next.run(request).await;
    }
    let detail = "send `Authorization: Bearer TOKEN` or `?token=TOKEN`; the token is in the file `http-token` of \
                  the data folder";
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
    ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response()
}
