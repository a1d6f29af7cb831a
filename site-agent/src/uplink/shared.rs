//! What the tasks of one connection share.
//!
//! The session is behind a mutex that is never held across an await.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::bail;
use bytes::Bytes;
use tokio::sync::{Notify, SetOnce};
use wire::proto::site_message;
use wire::session::site::SiteSession;
use wire::transport::peer_node;
use wire::{LedgerId, proto};

use super::Uplink;
use super::control::check_welcome;
use super::gate::Gate;
use super::lag::Lag;
use super::queue::Queue;
use super::source::Source;
use crate::beats::PathPlace;
use crate::live::LivePart;

/// Priorities of streams, strict: beats before control before live before backlog.
pub(crate) mod priority {
    pub(crate) const BEATS: i32 = 30;
    pub(crate) const CONTROL: i32 = 20;
    pub(crate) const LIVE: i32 = 10;
    pub(crate) const BACKLOG: i32 = 0;
    pub(crate) const FETCH: i32 = -10;
}

/// Answers that wait to be said; beyond that the oldest is not.
const ANSWERS_MAX: usize = 16;

/// Whose connection it is.
pub(super) trait Side: Send + Sync + 'static {
    /// The hub takes us in, as who the welcome says. An error if that is nothing to us.
    fn welcomed(&self, connection: &quinn::Connection, welcome: &proto::Welcome) -> anyhow::Result<()>;

    /// What a path is called.
    fn path_name(&self, path: PathPlace) -> String;

    /// What the hub's people wish of re-reading is answered with; a host has nothing to say to that.
    fn scrubbed(&self, _wish: &proto::ScrubWish) -> Option<proto::Scrubbed> {
        None
    }
}

impl Side for Uplink {
    fn welcomed(&self, connection: &quinn::Connection, welcome: &proto::Welcome) -> anyhow::Result<()> {
        check_welcome(&self.config.site.id, welcome)?;
        if let Some(standing) = welcome.standing.clone() {
            let (node, owner) = (peer_node(connection)?, standing.owner.clone());
            self.beats.stands(standing, true);
            if !owner.is_empty() && owner != node {
                bail!("{node} says that this site's vault is kept at {owner}: going there");
            }
        }
        Ok(())
    }

    fn path_name(&self, path: PathPlace) -> String {
        self.beats.path(path).name.clone()
    }

    fn scrubbed(&self, wish: &proto::ScrubWish) -> Option<proto::Scrubbed> {
        Some(self.scrub.answer(wish))
    }
}

/// What the tasks of a connection share; `U` is whose connection it is, which most of them don't ask.
pub(super) struct Shared<U = Uplink> {
    pub(super) uplink: U,
    /// What is sent.
    pub(super) source: Source,
    pub(super) connection: quinn::Connection,
    /// Over which path it goes.
    pub(super) path: PathPlace,
    /// Where parts go through.
    pub(super) gate: Gate,
    session: Mutex<SiteSession>,
    /// What the hub asked for beside the session, to be said.
    answers: Mutex<VecDeque<site_message::Kind>>,
    /// Something may be there to carry out.
    pub(super) wake: Notify,
    /// Live parts in line, by ledger; and a bell for each ledger's sender.
    queues: Mutex<BTreeMap<LedgerId, Arc<Queue>>>,
    /// The hub node at the other end has taken us in. If it may stand by, what it is to be told is sealed to this.
    pub(super) welcomed: SetOnce<Bytes>,
    /// The stream of beats is open: streams that are opened now come behind it.
    pub(super) beating: SetOnce<()>,
    /// Since when the hub has told all it has: what was recorded before is catching up, not live.
    pub(super) running_since: OnceLock<Instant>,
}

impl<U> Shared<U> {
    pub(super) fn new(
        (uplink, source): (U, Source),
        (path, connection): (PathPlace, quinn::Connection),
        session: SiteSession,
    ) -> Self {
        Self {
            gate: Gate::new(connection.clone(), source.replication.clone()),
            uplink,
            source,
            connection,
            path,
            session: Mutex::new(session),
            answers: Mutex::default(),
            wake: Notify::new(),
            queues: Mutex::default(),
            welcomed: SetOnce::new(),
            beating: SetOnce::new(),
            running_since: OnceLock::new(),
        }
    }

    pub(super) fn session(&self) -> MutexGuard<'_, SiteSession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answer(&self, answer: site_message::Kind) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX {
            answers.pop_front();
        }
        answers.push_back(answer);
    }

    pub(super) fn next_answer(&self) -> Option<site_message::Kind> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(super) fn lag(&self) -> MutexGuard<'_, Lag> {
        self.source.status.lag()
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, BTreeMap<LedgerId, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part as it is sent.
pub(super) fn part_message(part: &LivePart, live: bool) -> proto::Part {
    proto::Part {
        ledger: Some(part.ledger.to_proto()),
        segment: part.segment.0,
        part: part.part,
        running_hash: bytes::Bytes::copy_from_slice(&part.running_hash),
        data: part.data.clone(),
        live,
    }
}
