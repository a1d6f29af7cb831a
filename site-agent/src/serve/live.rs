//! `GET …/live.mp4`: what is being recorded, as one MP4 without end.
//!
//! It begins with the header and the latest keyframe of the open segment. It ends where the parameters
//! change, or the recorder has fallen silent and another records: one header can't say more. A client that doesn't keep up misses pictures and
//! goes on at the next keyframe.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;
use wire::{LedgerId, SegmentNumber, SiteId, StreamId};

use super::answer::{Refusal, blocking};
use super::params::{Params, target};
use super::{App, Shared};
use crate::live::{LivePart, RecvError};

/// How long a client waits for a segment to begin before it is told that there is no picture.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn get(
    State(shared): App,
    Path((site, camera)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let params = Params::of(&uri);
    let (site, stream) = blocking(&shared, move |shared| target(shared, &site, &camera, &params)).await?;
    let waiting = tokio::time::timeout(PATIENCE, Viewer::join(&shared, site, stream));
    let Ok(Some((viewer, first))) = waiting.await else {
        let detail = "no segment is being recorded right now; the timeline says why";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not live", detail));
    };
    let first = futures::stream::iter(first.into_iter().map(Ok::<_, Infallible>));
    let rest = futures::stream::unfold(viewer, |mut viewer| async move {
        viewer.next().await.map(|data| (Ok(data), viewer))
    });
    let body = Body::from_stream(futures::StreamExt::chain(first, rest));
    let headers = [(header::CONTENT_TYPE, "video/mp4"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// After so long without a part of the recorder that is followed, another's are a reason to begin anew.
const SILENT_AFTER: Duration = Duration::from_secs(3);

struct Viewer {
    shared: Arc<Shared>,
    site: SiteId,
    stream: StreamId,
    parts: Receiver<Arc<LivePart>>,
    ledger: LedgerId,
    header: Bytes,
    /// The segment that the header is known to fit.
    segment: SegmentNumber,
    /// Since when nothing of it came while another recorder's parts did.
    other_since: Option<Instant>,
    /// Parts were missed: nothing can be decoded before a keyframe.
    wants_key: bool,
}

impl Viewer {
    /// Follows a stream; also gives what to begin with. Waits until a segment is open.
    async fn join(shared: &Arc<Shared>, site: SiteId, stream: StreamId) -> Option<(Self, Vec<Bytes>)> {
        let (mut open, mut parts) = shared.served.live.follow(&site, &stream);
        while open.first().is_none_or(|first| first.part != 0) {
            open = match parts.recv().await {
                Ok(part) => vec![part],
                Err(RecvError::Lagged(_)) => Vec::new(),
                Err(RecvError::Closed) => return None,
            };
        }
        let header = open.first()?;
        let from = open.iter().rposition(|part| part.key);
        let latest = from.and_then(|from| open.get(from..)).unwrap_or_default();
        let first = std::iter::once(header).chain(latest).map(|part| part.data.clone()).collect();
        let viewer = Self {
            shared: shared.clone(),
            ledger: header.ledger.clone(),
            header: header.data.clone(),
            segment: header.segment,
            other_since: None,
            wants_key: from.is_none(),
            site,
            stream,
            parts,
        };
        Some((viewer, first))
    }

    /// The next bytes; `None` where the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let received = match self.other_since {
                Some(since) => tokio::time::timeout_at(since + SILENT_AFTER, self.parts.recv()).await.ok()?,
                None => self.parts.recv().await,
            };
            match received {
                Ok(part) if part.ledger != self.ledger => {
                    self.other_since.get_or_insert_with(|| Instant::from_std(wire::clock::now()));
                }
                Ok(part) => {
                    self.other_since = None;
                    if !self.fits(&part) {
                        return None;
                    }
                    if part.part > 0 && (part.key || !self.wants_key) {
                        self.wants_key = false;
                        return Some(part.data.clone());
                    }
                }
                Err(RecvError::Lagged(_)) => self.wants_key = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Does the header that was sent go for this part too?
    fn fits(&mut self, part: &LivePart) -> bool {
        if part.segment == self.segment {
            return true;
        }
        let fits = if part.part == 0 {
            part.data == self.header
        } else {
            // Its header was missed.
            let open = self.shared.served.live.open(&self.site, &self.stream);
            open.iter().any(|first| {
                first.part == 0
                    && (&first.ledger, first.segment) == (&part.ledger, part.segment)
                    && first.data == self.header
            })
        };
        if fits {
            self.segment = part.segment;
        }
        fits
    }
}
