//! `GET …/hls.m3u8`: a media playlist over the segments as they are.
//!
//! A range that has passed gives a finished playlist. With a `to` in the future the playlist grows at
//! its end, as players that follow expect. Gaps, changes of origin and of parameters are marked.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use wire::{LedgerId, SegmentNumber, SiteId, StreamId, UnixMicros};

use super::answer::{Refusal, blocking};
use super::params::{Params, rfc3339, target};
use super::{App, Shared};
use crate::coverage::{Place, What};

const RANGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Media time that continues this closely is one piece to a player: 10 ms.
const SEAM_90K: i64 = 900;
/// A playlist that grows must not change its target later, so it starts with room for long GOPs.
const GROWING_TARGET_S: u64 = 15;

pub(super) async fn get(
    State(shared): App,
    Path((site, camera)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let params = Params::of(&uri);
    let now = wire::clock::wall();
    let range = params.range(now, RANGE_MAX)?;
    let playlist = blocking(&shared, move |shared| {
        let (site, stream) = target(shared, &site, &camera, &params)?;
        let items = items(shared, &site, &stream, range)?;
        if items.is_empty() && range.1 <= now {
            let detail = format!("nothing of {site}/{stream} is recorded in this range");
            return Err(Refusal::not_found("nothing recorded", detail));
        }
        Ok(playlist(&items, &stream, params.token(), range.1 <= now))
    })
    .await?;
    let headers =
        [(header::CONTENT_TYPE, "application/vnd.apple.mpegurl"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, playlist).into_response())
}

/// One segment in a playlist.
struct Item {
    ledger: LedgerId,
    number: SegmentNumber,
    start: UnixMicros,
    header_hash: Bytes,
    /// Media time, in 1/90,000 s.
    begins: i64,
    lasts: i64,
}

impl Item {
    fn continues(&self, before: &Self) -> bool {
        self.ledger == before.ledger
            && self.header_hash == before.header_hash
            && (self.begins - before.begins - before.lasts).abs() <= SEAM_90K
    }

    fn seconds(&self) -> f64 {
        self.lasts as f64 / 90_000.0
    }
}

fn items(
    shared: &Shared,
    site: &SiteId,
    stream: &StreamId,
    range: (UnixMicros, UnixMicros),
) -> Result<Vec<Item>, Refusal> {
    let mut items: Vec<Item> = Vec::new();
    for span in shared.timeline(site, stream, range)?.spans {
        let What::Recorded { ledger, seq: Some(seq), segment: number, place: Place::Held, .. } = span.what
        else {
            continue;
        };
        if items.iter().rev().take(2).any(|item| item.ledger == ledger && item.number == number) {
            continue; // shown in two pieces
        }
        let Some(entry) = shared.served.archive.entry(&ledger, seq)? else { continue };
        let Some(segment) = entry.segment() else { continue };
        items.push(Item {
            number,
            start: UnixMicros(segment.start_us),
            header_hash: segment.header_hash.clone(),
            begins: segment.decode_time_90k,
            lasts: segment.fragments.iter().map(|fragment| i64::from(fragment.duration_90k)).sum(),
            ledger,
        });
    }
    Ok(items)
}

fn playlist(items: &[Item], stream: &StreamId, token: Option<&str>, finished: bool) -> String {
    let longest = items.iter().map(|item| item.seconds().ceil()).fold(1.0, f64::max) as u64;
    let target = if finished { longest } else { longest.max(GROWING_TARGET_S) };
    let kind = if finished { "VOD" } else { "EVENT" };
    let mut query = format!("?stream={}", stream.stream());
    if let Some(token) = token {
        query
            .extend(["&token=", &url::form_urlencoded::byte_serialize(token.as_bytes()).collect::<String>()]);
    }
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-PLAYLIST-TYPE:{kind}\n\
         #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n"
    );
    let mut before: Option<&Item> = None;
    for item in items {
        let (origin, number) = (item.ledger.origin, item.number);
        if before.is_some_and(|before| !item.continues(before)) {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if before.is_none_or(|before| before.header_hash != item.header_hash) {
            text += &format!("#EXT-X-MAP:URI=\"segments/{origin}/{number}/header.mp4{query}\"\n");
        }
        text += &format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", rfc3339(item.start));
        text += &format!("#EXTINF:{:.6},\nsegments/{origin}/{number}.m4s{query}\n", item.seconds());
        before = Some(item);
    }
    if finished {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}
