//! How the link to the hub is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use wire::UnixMicros;

use super::lag::{Lag, LagSummary};
use super::line::Line;
use super::restore::Restoring;

/// The link as it was last seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LinkState {
    /// Is there a connection, and has the hub told what it has?
    pub connected: bool,
    /// Since when it is so.
    pub since_us: UnixMicros,
    /// The hub's address, while connected.
    pub hub: String,
    /// The path it is reached over, by its name.
    pub path: String,
    /// Why it is down, in words.
    pub detail: String,
    /// Connections that came about in this run.
    pub connects: u64,
    /// Entries that the vault has not acked, segments among them.
    pub unacked: u64,
    /// Parts sent live, and their bytes.
    pub live_parts: u64,
    /// Bytes sent live.
    pub live_bytes: u64,
    /// Parts sent as backlog.
    pub backlog_parts: u64,
    /// Bytes sent as backlog.
    pub backlog_bytes: u64,
    /// Frame arrival to TailAck since the start of this run, of fragments recorded while the link was up.
    pub live_lag_ms: LagSummary,
    /// The line, while connected.
    pub line: Option<Line>,
    /// The line as it was last measured, also once the connection is gone.
    #[serde(skip)]
    pub last_line: Option<Line>,
    /// What is to come back from the hub, and did.
    pub restore: Restoring,
    /// Ledgers whose past the hub has otherwise: for a person to look at.
    pub quarantined: Vec<String>,
}

/// Shared between the uplink and whoever shows it.
#[derive(Debug, Default)]
pub struct UplinkStatus {
    state: Mutex<LinkState>,
    lag: Mutex<Lag>,
    changed: Notify,
}

impl UplinkStatus {
    /// A copy.
    pub fn snapshot(&self) -> LinkState {
        self.lock().clone()
    }

    /// Entries that are not acked, and the lag, without a copy of the rest.
    pub(crate) fn unacked_and_lag(&self) -> (u64, LagSummary) {
        let state = self.lock();
        (state.unacked, state.live_lag_ms)
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut LinkState)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    /// Waits for the next change from now on, also if it comes before this is awaited.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// The link is down; whether that, or the reason, is news.
    pub fn is_down(&self, why: &str) -> bool {
        self.down(why)
    }

    /// The link is down, or still down; `true` if that, or the reason, is news.
    pub(super) fn down(&self, why: &str) -> bool {
        let mut news = false;
        self.update(|state| {
            news = state.connected || state.detail != why;
            if state.connected {
                state.since_us = wire::clock::wall();
            }
            state.connected = false;
            state.line = None;
            why.clone_into(&mut state.detail);
        });
        news
    }

    /// Lag over the whole run, whatever became of its connections.
    pub(super) fn lag(&self) -> MutexGuard<'_, Lag> {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
