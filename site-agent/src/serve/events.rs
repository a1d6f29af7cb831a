//! `GET …/events`: what was noticed of a stream, by its camera or by a recorder.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::proto::Event;
use wire::proto::entry::Kind;

use super::App;
use super::answer::{Refusal, blocking};
use super::params::{Params, rfc3339, target};
use crate::archive::Located;

/// A range is no longer than this.
const RANGE_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// So many at once; for more, `from` the time of the last.
const EVENTS_MAX: usize = 1000;

pub(super) async fn get(
    State(shared): App,
    Path((site, camera)): Path<(String, String)>,
    uri: Uri,
) -> Result<axum::Json<Value>, Refusal> {
    let params = Params::of(&uri);
    let range = params.range(wire::clock::wall(), RANGE_MAX)?;
    let kind = params.get("kind").unwrap_or_default().to_owned();
    blocking(&shared, move |shared| {
        let (site, stream) = target(shared, &site, &camera, &params)?;
        let mut found = Vec::new();
        shared.served.archive.query_in_pieces((&site, &stream), range, |piece| {
            let events = piece.iter().filter_map(|located| event(located, &kind));
            let room = (EVENTS_MAX + 1).saturating_sub(found.len());
            found.extend(events.take(room));
        })?;
        let more = found.len() > EVENTS_MAX;
        found.truncate(EVENTS_MAX);
        Ok(axum::Json(json!({
            "from": rfc3339(range.0), "to": rfc3339(range.1), "events": found, "more": more,
        })))
    })
    .await
}

/// As JSON, if it is an event whose kind begins like that.
fn event(located: &Located, kind: &str) -> Option<Value> {
    let entry = located.entry.kind()?;
    let Kind::Event(event) = entry else { return None };
    event.kind.starts_with(kind).then(|| {
        let mut value = json!({
            "at": rfc3339(located.start),
            "at_us": located.start,
            "kind": event.kind,
            "content_type": event.content_type,
            "origin": located.ledger.origin,
            "seq": located.seq,
        });
        let (key, body) = body(event);
        value[key] = body;
        value
    })
}

/// What it says: as JSON or text if it is that, else as base64.
fn body(event: &Event) -> (&'static str, Value) {
    if event.content_type == "application/json"
        && let Ok(value) = serde_json::from_slice(&event.body)
    {
        return ("json", value);
    }
    match std::str::from_utf8(&event.body) {
        Ok(text) => ("text", text.into()),
        Err(_) => ("base64", STANDARD.encode(&event.body).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_told_as_what_it_is() {
        let told = |content_type: &str, bytes: &'static [u8]| {
            let (content_type, bytes) = (content_type.to_owned(), bytes.into());
            body(&Event { at_us: 1, kind: "a.b".to_owned(), content_type, body: bytes })
        };
        assert_eq!(told("application/json", b"{\"a\":1}"), ("json", json!({ "a": 1 })));
        assert_eq!(told("application/json", b"{\"a\":"), ("text", json!("{\"a\":")), "it only says so");
        assert_eq!(told("application/xml", b"<a/>"), ("text", json!("<a/>")));
        assert_eq!(told("application/xml", b"\xff\xfe"), ("base64", json!("//4=")));
    }
}
