//! `GET …/export.mp4`

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use wire::{SiteId, StreamId, UnixMicros};

use super::{Export, ExportError, Plan};
use crate::serve::answer::{Refusal, blocking};
use crate::serve::params::{Params, rfc3339, target};
use crate::serve::{App, Shared, coverage, stream};

const RANGE_MAX: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn get(
    State(shared): App,
    Path((site, camera)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let params = Params::of(&uri);
    let range = params.range(wire::clock::wall(), RANGE_MAX)?;
    let with_tails = params.flag("tail")?;
    let room = stream::room(&shared)?;
    let plan = blocking(&shared, move |shared| {
        let (site, stream) = target(shared, &site, &camera, &params)?;
        plan(shared, &site, &stream, range, with_tails)
    })
    .await?;
    let mut response = headers(&plan).into_response();
    let export = Export::begin(&shared.served.archive, shared.served.tails.clone(), plan);
    *response.body_mut() = stream::body(room, export);
    Ok(response)
}

fn plan(
    shared: &Shared,
    site: &SiteId,
    stream: &StreamId,
    range: (UnixMicros, UnixMicros),
    with_tails: bool,
) -> Result<Plan, Refusal> {
    let timeline = shared.timeline(site, stream, range)?;
    let (archive, tails) = (&shared.served.archive, &*shared.served.tails);
    match Plan::make(archive, tails, (site, stream), range, &timeline.spans, with_tails) {
        Ok(plan) => Ok(plan),
        Err(ExportError::Nothing) => {
            let detail = "nothing of the range can be exported; `coverage` says what there is";
            let coverage = coverage::describe(&timeline, range, true);
            Err(Refusal::not_found("nothing recorded", detail).with("coverage", coverage))
        }
        Err(error) => Err(Refusal::internal(error)),
    }
}

fn headers(plan: &Plan) -> impl IntoResponse + use<> {
    let began = rfc3339(plan.from).replace([':', '.'], "-");
    let name = format!("{}_{}_{began}.mp4", plan.site, plan.stream.as_str().replace('/', "_"));
    let headers = [
        (header::CONTENT_TYPE.as_str(), "video/mp4".to_owned()),
        (header::CACHE_CONTROL.as_str(), "no-store".to_owned()),
        (header::CONTENT_DISPOSITION.as_str(), format!("attachment; filename=\"{name}\"")),
        ("x-holdfast-from", rfc3339(plan.from)),
        ("x-holdfast-to", rfc3339(plan.to)),
        ("x-holdfast-gaps", plan.gaps().to_string()),
    ];
    let mut response = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
    if let Some(stop) = &plan.stop {
        response.push(("x-holdfast-stopped-at".to_owned(), rfc3339(stop.at)));
        response.push(("x-holdfast-stopped-why".to_owned(), stop.why.to_owned()));
    }
    axum::response::AppendHeaders(response)
}
