//! `GET …/segments/{origin}/{number}/header.mp4` and `…/segments/{origin}/{number}.m4s`: the files as
//! they are, cut behind the header, for playlists.

use axum::extract::{Path, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use wire::{LedgerId, SegmentNumber};

use super::answer::{Refusal, blocking};
use super::params::{Params, target};
use super::{App, Shared, stream};
use crate::archive::{Archive, ArchiveError};

/// What is read at once.
const PIECE: u64 = 1 << 20;
/// A segment never changes.
const CACHE: &str = "private, max-age=31536000, immutable";

/// A segment that is held here.
struct Held {
    ledger: LedgerId,
    number: SegmentNumber,
    header_bytes: u64,
    bytes: u64,
}

/// The front of the file.
pub(super) async fn header(
    State(shared): App,
    Path((site, camera, origin, number)): Path<(String, String, String, String)>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let header = blocking(&shared, move |shared| {
        let held = find(shared, (&site, &camera), (&origin, &number), &uri)?;
        Ok(shared.served.archive.read(&held.ledger, held.number, 0, held.header_bytes)?)
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "video/mp4"), (header::CACHE_CONTROL, CACHE)], header).into_response())
}

/// The fragments.
pub(super) async fn fragments(
    State(shared): App,
    Path((site, camera, origin, file)): Path<(String, String, String, String)>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let number = file
        .strip_suffix(".m4s")
        .ok_or_else(|| Refusal::not_found("no such file", "segments are called {number}.m4s"))?
        .to_owned();
    let room = stream::room(&shared)?;
    let archive = shared.served.archive.clone();
    let held =
        blocking(&shared, move |shared| find(shared, (&site, &camera), (&origin, &number), &uri)).await?;
    let headers = [
        (header::CONTENT_TYPE, "video/iso.segment".to_owned()),
        (header::CACHE_CONTROL, CACHE.to_owned()),
        (header::CONTENT_LENGTH, (held.bytes - held.header_bytes).to_string()),
    ];
    Ok((headers, stream::body(room, pieces(archive, held))).into_response())
}

fn pieces(archive: Archive, held: Held) -> impl Iterator<Item = Result<Bytes, ArchiveError>> {
    let step = usize::try_from(PIECE).unwrap_or(usize::MAX);
    (held.header_bytes..held.bytes).step_by(step).map(move |offset| {
        let length = PIECE.min(held.bytes - offset);
        archive.read(&held.ledger, held.number, offset, length).map(Bytes::from)
    })
}

fn find(
    shared: &Shared,
    (site, camera): (&str, &str),
    (origin, number): (&str, &str),
    uri: &Uri,
) -> Result<Held, Refusal> {
    let (site, stream) = target(shared, site, camera, &Params::of(uri))?;
    let origin = origin.parse().map_err(|error| Refusal::parameter("origin", error))?;
    let number = number.parse().map_err(|error| Refusal::parameter("number", error))?;
    let (ledger, number) = (LedgerId { origin, stream }, SegmentNumber(number));
    let archive = &shared.served.archive;
    let missing =
        |what: &str| Refusal::not_found("no such segment", format!("{ledger} segment {number}: {what}"));
    let mine = archive.ledger(&ledger).is_some_and(|record| record.site == site.as_str());
    let seq = if mine { archive.seq_of(&ledger, number)? } else { None };
    let seq = seq.ok_or_else(|| missing("it is not known here"))?;
    if !archive.holds(&ledger, seq) {
        return Err(missing("its bytes are not here"));
    }
    let entry = archive.entry(&ledger, seq)?;
    let segment =
        entry.as_ref().and_then(|entry| entry.segment()).ok_or_else(|| missing("it has no entry"))?;
    let (header_bytes, bytes) = (u64::from(segment.header_bytes), segment.bytes);
    Ok(Held { ledger, number, header_bytes, bytes })
}
