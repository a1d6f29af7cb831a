//! What a session sends: the ledgers that one machine writes of one site, as its own recorder or as its standby.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wire::session::site::LedgerFacts;
use wire::{LedgerId, SiteId};

use super::UplinkStatus;
use crate::archive::{Archive, Event, LedgerRecord};
use crate::live::{Live, LivePart};
use crate::replication::Replication;

/// A session with nothing left to send ends after this.
const REST: Duration = Duration::from_secs(30);
/// How often it is looked whether anything is left.
const LOOK: Duration = Duration::from_secs(5);

/// Whose recordings of a site these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorder {
    /// The site's own.
    Own,
    /// A standby's, on this machine.
    Standby,
}

/// What a session sends, and where it is shown how that goes.
#[derive(Clone)]
pub struct Source {
    /// Whose cameras.
    pub site: SiteId,
    /// Who recorded them.
    pub recorder: Recorder,
    /// Where that is.
    pub archive: Archive,
    /// What is being recorded.
    pub live: Arc<Live>,
    /// What of it crosses, when and how fast.
    pub replication: Arc<Replication>,
    /// How that goes.
    pub status: Arc<UplinkStatus>,
}

impl Source {
    /// Is a ledger with this record sent? What another site's recorder wrote never is, nor what came back from the hub.
    pub fn sends(&self, record: &LedgerRecord) -> bool {
        let by = match self.recorder {
            Recorder::Own => record.is_by_site(),
            Recorder::Standby => record.is_standby_here(),
        };
        by && record.site == self.site.as_str()
    }

    /// All of them.
    pub fn facts(&self) -> Vec<LedgerFacts> {
        let ledgers = self.archive.ledgers().into_iter();
        ledgers
            .filter(|(_, record)| self.sends(record))
            .map(|(ledger, record)| record.facts(ledger))
            .collect()
    }

    /// Is something of them not acked, or to come?
    pub fn any_left(&self) -> bool {
        self.archive.any_ledger(|record| self.sends(record) && record.is_left())
    }

    /// Waits until something is.
    pub(super) async fn until_left(&self) {
        let mut events = self.archive.events();
        while !self.any_left() {
            // A ledger begins with the first word of a run; what is missed is looked at again.
            while matches!(events.recv().await, Ok(event) if !matches!(event, Event::Opened(_))) {}
        }
    }

    /// Ends a session once nothing was left for a while.
    pub async fn until_rest(&self, session: &CancellationToken) -> Infallible {
        let mut since = wire::clock::now();
        loop {
            tokio::time::sleep(LOOK).await;
            if !self.status.snapshot().connected || self.any_left() {
                since = wire::clock::now();
            } else if since.elapsed() >= REST {
                session.cancel();
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn fact(&self, ledger: &LedgerId) -> Option<LedgerFacts> {
        let record = self.archive.ledger(ledger).filter(|record| self.sends(record))?;
        Some(record.facts(ledger.clone()))
    }

    pub(super) fn sends_part(&self, part: &LivePart) -> bool {
        part.site == self.site && self.archive.ledger(&part.ledger).is_some_and(|record| self.sends(&record))
    }
}
