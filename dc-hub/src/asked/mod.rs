//! What people asked for of what sites have and the hub has not: `holdfast fetch`.
//!
//! A fetch is a range of one stream. It is remembered, also over a restart, until all of the range that its site holds is
//! here, or so many others came after it; a site that connects is asked for what is left. What is asked for, segment by
//! segment, follows from the index: entries always come. It knows nothing of connections.

pub mod http;
mod kept;
mod look;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use site_agent::archive::{Archive, Result};
use site_agent::serve::Tails;
use tokio::sync::watch;
use wire::{LedgerId, RangeSet, Replicate, Seq, SiteId, StreamId, UnixMicros, proto};

use crate::policies::SitePolicies;
use kept::{Keep, Known};
use look::Look;

/// Fetches that are remembered; of those that are over the oldest is forgotten for a new one.
const FETCHES_MAX: usize = 64;
/// What one fetch may ask for: 8,640 segments of ten seconds.
pub const RANGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Damaged segments that a connection asks for at its beginning.
const DAMAGED_MAX: usize = 1000;

/// A range that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Its number at this hub node.
    pub id: u64,
    /// At which site.
    pub site: SiteId,
    /// Of which stream.
    pub stream: StreamId,
    /// From this instant.
    pub from: UnixMicros,
    /// To before this one; never later than when it was asked for.
    pub to: UnixMicros,
    /// When that was.
    pub at: UnixMicros,
    /// All of it that its site holds is here.
    pub done: bool,
}

/// Why nothing is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The stream's policy is `never`.
    #[error(
        "{site} keeps {stream} for itself (replicate = \"never\"): no footage of it leaves the site. Whoever needs it exports \
         it at the site; to change that, change the site's configuration"
    )]
    Never {
        /// Which site.
        site: SiteId,
        /// Which stream.
        stream: StreamId,
    },
    /// Too many go on.
    #[error("{FETCHES_MAX} fetches go on already; wait until one is over")]
    TooMany,
}

/// All fetches.
pub struct Asked {
    archive: Archive,
    tails: Arc<dyn Tails>,
    policies: Arc<SitePolicies>,
    keep: Keep,
    known: Mutex<Known>,
    changed: watch::Sender<u64>,
}

/// Bytes that are to be asked for.
pub type Wanted = BTreeMap<LedgerId, RangeSet>;

impl Asked {
    /// Of what is in this vault; what was asked for and is not over is kept in `dir`.
    pub fn open(archive: Archive, tails: Arc<dyn Tails>, policies: Arc<SitePolicies>, dir: PathBuf) -> Self {
        let keep = Keep::new(dir);
        let known = Mutex::new(keep.read());
        Self { archive, tails, policies, keep, known, changed: watch::Sender::default() }
    }

    /// Somebody asks for a range. What was asked for in the same words and is not over yet is not asked for twice. It is
    /// on disk when this returns.
    pub fn ask(
        &self,
        site: &SiteId,
        stream: &StreamId,
        (from, to): (UnixMicros, UnixMicros),
    ) -> std::result::Result<Fetch, Refused> {
        if self.policies.replicate(site, stream) == Replicate::Never {
            return Err(Refused::Never { site: site.clone(), stream: stream.clone() });
        }
        let at = wire::clock::wall();
        let mut known = self.lock();
        let same = |other: &&Fetch| {
            !other.done
                && other.site == *site
                && other.stream == *stream
                && (other.from, other.to) == (from, to)
        };
        if let Some(same) = known.fetches.values().find(same) {
            return Ok(same.clone());
        }
        if known.fetches.len() >= FETCHES_MAX {
            let over = known.fetches.values().find(|fetch| fetch.done).map(|fetch| fetch.id);
            known.fetches.remove(&over.ok_or(Refused::TooMany)?);
        }
        known.last += 1;
        let (id, site, stream) = (known.last, site.clone(), stream.clone());
        let fetch = Fetch { id, site, stream, from, to, at, done: false };
        known.fetches.insert(id, fetch.clone());
        self.keep.write(&known);
        drop(known);
        self.changed.send_modify(|changes| *changes += 1);
        Ok(fetch)
    }

    /// One of them.
    pub fn get(&self, id: u64) -> Option<Fetch> {
        self.lock().fetches.get(&id).cloned()
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Fetch> {
        self.lock().fetches.values().cloned().collect()
    }

    /// Nobody wants it any more. What a connection has asked for already may still come.
    pub fn forget(&self, id: u64) -> Option<Fetch> {
        let mut known = self.lock();
        let forgotten = known.fetches.remove(&id)?;
        self.keep.write(&known);
        Some(forgotten)
    }

    /// To be told of new ones.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What a site is to be asked for at the beginning of a connection, or once somebody has asked for more. Reads the
    /// index.
    pub fn wanted(&self, site: &SiteId) -> Result<Wanted> {
        let mut wanted = self.damaged(site)?;
        for fetch in self.going_on(site) {
            for (ledger, seq) in self.look(&fetch, None)?.missing {
                wanted.entry(ledger).or_default().insert_one(seq.0);
            }
        }
        Ok(wanted)
    }

    /// Of entries that have just come, those whose bytes were asked for.
    pub fn among(
        &self,
        site: &SiteId,
        ledger: &LedgerId,
        first: Seq,
        entries: &[wire::entry::Entry],
    ) -> RangeSet {
        let fetches: Vec<_> =
            self.going_on(site).into_iter().filter(|fetch| fetch.stream == ledger.stream).collect();
        let asked = |segment: &proto::Segment| {
            let (start, end) = (UnixMicros(segment.start_us), UnixMicros(segment.end_us));
            fetches.iter().any(|fetch| start < fetch.to && end > fetch.from)
        };
        let seqs = (first.0..).zip(entries);
        let wanted = seqs.filter(|(_, entry)| !fetches.is_empty() && entry.segment().is_some_and(asked));
        wanted.map(|(seq, _)| seq..seq + 1).collect()
    }

    /// How far a fetch is; `late` is why its site can't send, if so. Reads the index.
    pub fn look(&self, fetch: &Fetch, late: Option<String>) -> Result<Look> {
        let replicate = self.policies.replicate(&fetch.site, &fetch.stream);
        let look = look::look(&self.archive, &*self.tails, fetch, (replicate, late))?;
        if look.is_over() {
            self.is_over(fetch.id);
        }
        Ok(look)
    }

    fn is_over(&self, id: u64) {
        let mut known = self.lock();
        let news = known.fetches.get_mut(&id).is_some_and(|fetch| !std::mem::replace(&mut fetch.done, true));
        if news {
            self.keep.write(&known);
        }
    }

    /// What the hub held of streams that come on demand, and has found damaged: the site may have it still.
    fn damaged(&self, site: &SiteId) -> Result<Wanted> {
        let mut wanted = Wanted::new();
        for placed in self.archive.damaged(None, DAMAGED_MAX)? {
            let theirs = |record: &site_agent::archive::LedgerRecord| {
                record.site == site.as_str() && record.is_by_site()
            };
            let on_demand = self.policies.replicate(site, &placed.ledger.stream) == Replicate::OnDemand;
            if on_demand && self.archive.ledger(&placed.ledger).is_some_and(|record| theirs(&record)) {
                wanted.entry(placed.ledger).or_default().insert_one(placed.seq.0);
            }
        }
        Ok(wanted)
    }

    fn going_on(&self, site: &SiteId) -> Vec<Fetch> {
        self.lock().fetches.values().filter(|fetch| !fetch.done && fetch.site == *site).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
