//! Scrubs of sites, asked for at the hub: `holdfast scrub SITE`.
//!
//! The hub asks and passes on what the site answers; it remembers nothing. Who wants to know how far it is asks again. It
//! knows nothing of connections but that the session of a site takes questions as long as it lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use site_agent::archive::Archive;
use site_agent::serve::Refusal;
use tokio::sync::{mpsc, oneshot};
use wire::{SiteId, proto};

use crate::downlink::Sites;

/// Questions that wait for one site's session; more are refused.
const WAITING_MAX: usize = 16;
/// A site that has not answered by then is of an earlier version, or its line is gone.
const ANSWER: Duration = Duration::from_secs(10);

/// What a site is asked.
#[derive(Debug)]
pub(crate) struct Question {
    /// Is everything to be re-read now?
    pub(crate) begin: bool,
    /// Where the answer goes.
    pub(crate) reply: oneshot::Sender<proto::Scrubbed>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silent {
    NotConnected,
    Busy,
    NoAnswer,
}

/// The sessions that take questions, by site.
#[derive(Debug, Default)]
pub struct Scrubs(Mutex<BTreeMap<SiteId, mpsc::Sender<Question>>>);

impl Scrubs {
    /// A session of this site takes questions, instead of the one before.
    pub(crate) fn listen(&self, site: &SiteId) -> mpsc::Receiver<Question> {
        let (questions, heard) = mpsc::channel(WAITING_MAX);
        self.lock().insert(site.clone(), questions);
        heard
    }

    async fn ask(&self, site: &SiteId, begin: bool) -> Result<proto::Scrubbed, Silent> {
        let questions = self.lock().get(site).cloned().ok_or(Silent::NotConnected)?;
        let (reply, answer) = oneshot::channel();
        questions.try_send(Question { begin, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Silent::Busy,
            mpsc::error::TrySendError::Closed(_) => Silent::NotConnected,
        })?;
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(scrubbed)) => Ok(scrubbed),
            Ok(Err(_)) => Err(Silent::NotConnected),
            Err(_) => Err(Silent::NoAnswer),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SiteId, mpsc::Sender<Question>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Questions that a site was asked and has not answered, at its session.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<proto::Scrubbed>>,
}

impl Unanswered {
    /// What the site is told.
    pub(crate) fn put(&mut self, question: Question) -> proto::ScrubWish {
        self.waiting.retain(|_, reply| !reply.is_closed());
        self.last += 1;
        self.waiting.insert(self.last, question.reply);
        proto::ScrubWish { number: self.last, begin: question.begin }
    }

    /// The site has answered; what nobody asked is dropped.
    pub(crate) fn answered(&mut self, scrubbed: proto::Scrubbed) {
        if let Some(reply) = self.waiting.remove(&scrubbed.number) {
            let _ = reply.send(scrubbed); // whoever asked may be gone
        }
    }
}

/// What requests are answered from.
#[derive(Clone)]
struct Shared {
    scrubs: Arc<Scrubs>,
    sites: Arc<Sites>,
    archive: Archive,
}

/// Below `/api/v1`.
pub fn routes(scrubs: Arc<Scrubs>, sites: Arc<Sites>, archive: Archive) -> Router {
    let shared = Shared { scrubs, sites, archive };
    Router::new().route("/sites/{site}/scrub", get(look).post(begin)).with_state(shared)
}

async fn look(State(shared): State<Shared>, Path(site): Path<String>) -> Result<Json<Value>, Refusal> {
    shared.ask(site, false).await
}

/// What the request says beside is read, though it says nothing: a connection on which some of it is left is closed.
async fn begin(
    State(shared): State<Shared>,
    Path(site): Path<String>,
    _said: axum::body::Bytes,
) -> Result<Json<Value>, Refusal> {
    shared.ask(site, true).await
}

impl Shared {
    async fn ask(&self, site: String, begin: bool) -> Result<Json<Value>, Refusal> {
        let site = SiteId::new(site)
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "bad parameter", error.to_string()))?;
        if !self.knows(&site) {
            let detail = format!("no site `{site}` ever connected to this hub node, or has footage here");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "unknown site", detail));
        }
        match self.scrubs.ask(&site, begin).await {
            Ok(scrubbed) => Ok(Json(shown(&site, &scrubbed))),
            Err(silent) => Err(self.refusal(&site, silent)),
        }
    }

    fn knows(&self, site: &SiteId) -> bool {
        self.sites.snapshot().contains_key(site)
            || self.archive.streams().iter().any(|(other, _)| other == site)
    }

    fn refusal(&self, site: &SiteId, silent: Silent) -> Refusal {
        let (status, detail) = match silent {
            Silent::NotConnected => {
                let why = self.sites.late(site).unwrap_or_else(|| "its connection has just ended".to_owned());
                let ask = "ask the node that keeps its vault, or the site itself";
                (StatusCode::SERVICE_UNAVAILABLE, format!("{site}: {why}; {ask}"))
            }
            Silent::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("{site}: {WAITING_MAX} questions wait already"))
            }
            Silent::NoAnswer => {
                let after = ANSWER.as_secs();
                let why = "its agent is older than this hub, or its line is gone";
                (StatusCode::GATEWAY_TIMEOUT, format!("{site} did not answer within {after} s: {why}"))
            }
        };
        Refusal::new(status, "the site can't be asked", detail)
    }
}

fn shown(site: &SiteId, scrubbed: &proto::Scrubbed) -> Value {
    json!({
        "site": site,
        "read_segments": scrubbed.read_segments,
        "read_bytes": scrubbed.read_bytes,
        "bad": scrubbed.bad,
        "missing": scrubbed.missing,
        "failing": scrubbed.failing,
        "repaired": scrubbed.repaired,
        "given_up": scrubbed.given_up,
        "wanted": scrubbed.wanted,
        "asked": scrubbed.asked,
        "pass_segments": scrubbed.pass_segments,
        "pass_bytes": scrubbed.pass_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> SiteId {
        SiteId::new("shop-1").unwrap()
    }

    #[tokio::test]
    async fn an_answer_comes_to_whoever_asked() {
        let (scrubs, mut unanswered) = (Scrubs::default(), Unanswered::default());
        let mut heard = scrubs.listen(&site());
        let answering = async {
            let wish = unanswered.put(heard.recv().await.unwrap());
            unanswered.answered(proto::Scrubbed { number: wish.number + 1, ..Default::default() });
            unanswered.answered(proto::Scrubbed { number: wish.number, bad: 3, ..Default::default() });
            wish.begin
        };
        let (site, asking) = (site(), &scrubs);
        let (answer, begin) = tokio::join!(asking.ask(&site, true), answering);
        assert!(begin && answer.unwrap().bad == 3);
    }

    #[tokio::test]
    async fn who_is_not_connected_is_told_from_who_is_asked_too_much() {
        let scrubs = Scrubs::default();
        assert_eq!(scrubs.ask(&site(), true).await.unwrap_err(), Silent::NotConnected);
        let heard = scrubs.listen(&site());
        let questions = scrubs.lock().get(&site()).cloned().unwrap();
        for _ in 0..WAITING_MAX {
            let (reply, _) = oneshot::channel();
            questions.try_send(Question { begin: false, reply }).unwrap();
        }
        assert_eq!(scrubs.ask(&site(), true).await.unwrap_err(), Silent::Busy);
        drop(heard);
        assert_eq!(scrubs.ask(&site(), true).await.unwrap_err(), Silent::NotConnected);
    }
}
