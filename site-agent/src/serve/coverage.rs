//! `GET …/coverage`

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};
use wire::UnixMicros;

use super::App;
use super::answer::{Refusal, blocking};
use super::params::{Params, rfc3339, target};
use super::timeline::Timeline;
use crate::coverage::{GapCause, Span, Stretch, What, summary, totals};

/// Every span on its own: some 60,000 of them.
const SPANS_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Merged into stretches.
const SUMMARY_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

pub(super) async fn get(
    State(shared): App,
    Path((site, camera)): Path<(String, String)>,
    uri: Uri,
) -> Result<axum::Json<Value>, Refusal> {
    let params = Params::of(&uri);
    let merged = params.flag("summary")?;
    let range = params.range(wire::clock::wall(), if merged { SUMMARY_MAX } else { SPANS_MAX })?;
    blocking(&shared, move |shared| {
        let (site, stream) = target(shared, &site, &camera, &params)?;
        let timeline = shared.timeline(&site, &stream, range)?;
        Ok(axum::Json(describe(&timeline, range, merged)))
    })
    .await
}

/// The timeline as JSON.
pub(super) fn describe(timeline: &Timeline, (from, to): (UnixMicros, UnixMicros), merged: bool) -> Value {
    let totals = totals(&timeline.spans);
    let spans: Vec<Value> = if merged {
        summary(&timeline.spans).iter().map(stretch).collect()
    } else {
        timeline.spans.iter().map(span).collect()
    };
    json!({
        "from": rfc3339(from),
        "to": rfc3339(to),
        "spans": spans,
        "recorded_s": totals.recorded.as_secs_f64(),
        "arriving_s": totals.arriving.as_secs_f64(),
        "at_site_s": totals.at_site.as_secs_f64(),
        "gaps_s": totals.gaps.as_secs_f64(),
        "unexplained_s": totals.unexplained.as_secs_f64(),
        "pending_s": totals.pending.as_secs_f64(),
        "hidden_segments": timeline.hidden,
    })
}

/// A cause as the API writes it: `camera_down`.
pub fn cause_name(cause: GapCause) -> String {
    let name = cause.as_str_name();
    name.strip_prefix("GAP_CAUSE_").unwrap_or(name).to_ascii_lowercase()
}

fn times(start: UnixMicros, end: UnixMicros) -> Value {
    json!({ "from": rfc3339(start), "to": rfc3339(end), "from_us": start, "to_us": end })
}

fn span(span: &Span) -> Value {
    let mut value = times(span.start, span.end);
    value["state"] = span.what.state().name().into();
    match &span.what {
        What::Recorded { ledger, seq, segment, acked, .. } => {
            value["origin"] = json!(ledger.origin);
            value["seq"] = json!(seq);
            value["segment"] = json!(segment);
            value["acked"] = json!(acked);
        }
        What::Elsewhere { ledger, seq, .. } => {
            value["origin"] = json!(ledger.origin);
            value["seq"] = json!(seq);
        }
        What::AtSite { ledger, seq, replicate } => {
            value["origin"] = json!(ledger.origin);
            value["seq"] = json!(seq);
            value["replicate"] = replicate.word().into();
            put_reason(&mut value, span.what.reason());
        }
        What::Gap { .. } | What::Pending { .. } | What::Future => {
            put_reason(&mut value, span.what.reason());
        }
    }
    value
}

fn stretch(stretch: &Stretch) -> Value {
    let mut value = times(stretch.start, stretch.end);
    value["state"] = stretch.state.name().into();
    value["spans"] = stretch.spans.into();
    put_reason(&mut value, (stretch.cause, &stretch.detail));
    value
}

fn put_reason(value: &mut Value, (cause, detail): (Option<GapCause>, &str)) {
    if let Some(cause) = cause {
        value["cause"] = cause_name(cause).into();
    }
    if !detail.is_empty() {
        value["detail"] = detail.into();
    }
}
