//! What will not have crossed in time, foretold now and then: acted on, shown and said.
//!
//! [`crate::reconcile::plan`] foretells. From it the backlog has its order ([`Replication::give_turns`]), metrics have their
//! figures, and a camera that is going to lose something has it said in its own ledger, as an event, when that is first
//! foreseen and when it is over; the hub has it from there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use wire::proto::entry::Kind;
use wire::{LedgerId, OriginId, SiteId, StreamId, UnixMicros, proto};

use crate::archive::{Archive, Change};
use crate::reconcile::View;
use crate::reconcile::plan::{Lost, Plan};
use crate::replication::Replication;

/// Between two looks: reading the index is not for every request for metrics.
const LOOK: Duration = Duration::from_secs(15);
/// Nothing foreseen for so long, and it is over: what a line carries goes up and down.
const CALM: Duration = Duration::from_secs(600);
/// The kind of the event.
pub const EVENT: &str = "replication.forecast";
/// Pieces that an event lists.
const PIECES_MAX: usize = 100;

/// What it looks at and whom it tells.
pub struct Forecast {
    /// What is to cross.
    pub view: Arc<View>,
    /// Of which site.
    pub site: SiteId,
    /// Whose turn it is.
    pub replication: Arc<Replication>,
    /// Where events go.
    pub archive: Archive,
    /// The present run, whose ledgers take them.
    pub origin: OriginId,
}

/// The plan as last looked at.
#[derive(Default)]
pub struct Foreseen(Mutex<Option<Plan>>);

impl Forecast {
    /// Looks for ever.
    pub async fn run(self, foreseen: Arc<Foreseen>) {
        let mut said = Said::default();
        loop {
            let (view, site) = (self.view.clone(), self.site.clone());
            let planned = tokio::task::spawn_blocking(move || view.plan(&site, UnixMicros::MAX)).await;
            match planned {
                Ok(Ok(Some((plan, _)))) => {
                    self.replication.give_turns(plan.turns.clone());
                    for (stream, lost) in said.news(wire::clock::wall(), &plan.lost) {
                        self.say(&stream, &lost).await;
                    }
                    *foreseen.lock() = Some(plan);
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "foretell what will cross in time"),
                Err(error) => tracing::error!(%error, "foretell what will cross in time"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn say(&self, stream: &StreamId, lost: &[Lost]) {
        match lost.first() {
            Some(first) => tracing::warn!(
                %stream,
                bytes = lost.iter().map(|lost| lost.piece.bytes).sum::<u64>(),
                from = %first.piece.from,
                at = %first.at,
                "some of this camera's footage will be freed before the hub has it, unless the line gets better"
            ),
            None => tracing::info!(%stream, "nothing of this camera's footage is about to be lost any more"),
        }
        let now = wire::clock::wall();
        let body = json!({ "lost": &lost[..lost.len().min(PIECES_MAX)], "pieces": lost.len() });
        let event = proto::Event {
            at_us: now.0,
            kind: EVENT.to_owned(),
            content_type: "application/json".to_owned(),
            body: body.to_string().into(),
        };
        let ledger = LedgerId { origin: self.origin, stream: stream.clone() };
        if self.archive.ledger(&ledger).is_none_or(|record| record.ended) {
            return; // a camera that is not recorded any more: the log has it
        }
        let change = Change::Append { ledger, at: now, kind: Kind::Event(event), file: None };
        if let Err(error) = self.archive.submit(change).await {
            tracing::warn!(%stream, %error, "enter a forecast");
        }
    }
}

impl Foreseen {
    fn lock(&self) -> MutexGuard<'_, Option<Plan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What will be lost, for people; null before the first look.
    pub fn shown(&self) -> Value {
        let plan = self.lock();
        json!(plan.as_ref().map(|plan| &plan.lost[..plan.lost.len().min(PIECES_MAX)]))
    }

    /// For `/metrics`.
    pub fn metrics(&self) -> String {
        let plan = self.lock();
        let Some(plan) = plan.as_ref() else { return String::new() };
        let rows = [
            (
                "lag_seconds",
                "How long the oldest segment that the hub lacks has been waiting.",
                plan.lag.as_secs_f64(),
            ),
            ("lag_bytes", "Bytes of segments that the hub lacks.", plan.bytes as f64),
            (
                "forecast_lost_bytes",
                "Bytes that will be freed before the hub has them, if nothing changes.",
                plan.lost.iter().map(|lost| lost.piece.bytes).sum::<u64>() as f64,
            ),
        ];
        let text = |(name, help, value): (&str, &str, f64)| {
            format!("# HELP holdfast_{name} {help}\n# TYPE holdfast_{name} gauge\nholdfast_{name} {value}\n")
        };
        rows.map(text).concat()
    }
}

/// What was said of which camera. Pure.
#[derive(Debug, Default)]
struct Said(BTreeMap<StreamId, UnixMicros>);

impl Said {
    /// Streams of which something is to be said: what they lose, or nothing if that is over.
    fn news(&mut self, now: UnixMicros, lost: &[Lost]) -> Vec<(StreamId, Vec<Lost>)> {
        let mut losing: BTreeMap<StreamId, Vec<Lost>> = BTreeMap::new();
        for lost in lost {
            losing.entry(lost.piece.stream.clone()).or_default().push(lost.clone());
        }
        let calm = |stream: &StreamId, last: &UnixMicros| {
            !losing.contains_key(stream) && *last < now && now.since(*last) >= CALM
        };
        let over: Vec<_> = self
            .0
            .iter()
            .filter(|(stream, last)| calm(stream, last))
            .map(|(stream, _)| stream.clone())
            .collect();
        for stream in &over {
            self.0.remove(stream);
        }
        let mut news: Vec<_> = over.into_iter().map(|stream| (stream, Vec::new())).collect();
        for (stream, lost) in losing {
            if self.0.insert(stream.clone(), now).is_none() {
                news.push((stream, lost));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::plan::{Piece, Why};

    const NOW: UnixMicros = UnixMicros(1_750_000_000_000_000);

    fn lost(stream: &str) -> Lost {
        let piece =
            Piece { stream: stream.parse().unwrap(), from: NOW, to: NOW + LOOK, segments: 1, bytes: 1_000 };
        Lost { piece, at: NOW + CALM, why: Why::Age }
    }

    /// The streams of which something is said, and whether they lose something.
    fn said(said: &mut Said, after_s: u64, lost: &[Lost]) -> Vec<(String, bool)> {
        let news = said.news(NOW + Duration::from_secs(after_s), lost);
        news.into_iter().map(|(stream, lost)| (stream.camera().to_owned(), !lost.is_empty())).collect()
    }

    #[test]
    fn it_is_said_once_and_when_it_is_over() {
        let mut state = Said::default();
        let both = [lost("till-1/main"), lost("till-1/main"), lost("till-2/main")];
        assert_eq!(said(&mut state, 0, &both), [("till-1".to_owned(), true), ("till-2".to_owned(), true)]);
        assert_eq!(said(&mut state, 15, &both), []);
        assert_eq!(said(&mut state, 600, &both[..1]), []);
        assert_eq!(said(&mut state, 615, &both[..1]), [("till-2".to_owned(), false)]);
        assert_eq!(said(&mut state, 700, &[]), [], "not at the first calm look");
        assert_eq!(said(&mut state, 1199, &both[..1]), [], "it goes up and down");
        assert_eq!(said(&mut state, 1799, &[]), [("till-1".to_owned(), false)]);
        assert_eq!(said(&mut state, 1800, &both[..1]), [("till-1".to_owned(), true)]);
    }
}
