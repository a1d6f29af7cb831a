//! Which ledgers of each site are settled, as one digest, kept up to date with every change.
//!
//! So a connection's answer costs the same whatever the archive holds. What settled means is
//! [`wire::session::settled`]'s. Ledgers that a vault writes itself are none of a site's; those that a host brings are
//! the host's.

use std::collections::{BTreeMap, BTreeSet};

use wire::session::settled::{Digest, Settled, is_settled};
use wire::{LedgerId, SiteId, StreamId};

use super::records::{LedgerRecord, Sender};
use super::{Archive, Inner};

/// By who brings them.
#[derive(Default)]
pub(super) struct Sites(BTreeMap<Sender, OfSite>);

#[derive(Default)]
struct OfSite {
    settled: Settled,
    running: BTreeSet<LedgerId>,
    /// Streams whose bytes are not to come: that they lack is nothing to wait for.
    withheld: BTreeSet<StreamId>,
}

impl Sites {
    /// A ledger is as this record says.
    pub(super) fn note(&mut self, ledger: &LedgerId, record: &LedgerRecord) {
        if record.is_written_here() {
            return;
        }
        // A record that can't be read is nobody's.
        let Ok(by) = record.sender() else { return };
        let site = self.0.entry(by).or_default();
        let withheld = site.withheld.contains(&ledger.stream);
        if withheld || is_settled(record.next(), &record.held().union(&record.gone())) {
            site.settled.insert(ledger, &record.head());
        } else {
            site.settled.remove(ledger);
        }
        if record.ended {
            site.running.remove(ledger);
        } else {
            site.running.insert(ledger.clone());
        }
    }
}

impl<'a> FromIterator<(&'a LedgerId, &'a LedgerRecord)> for Sites {
    fn from_iter<I: IntoIterator<Item = (&'a LedgerId, &'a LedgerRecord)>>(ledgers: I) -> Self {
        let mut sites = Self::default();
        ledgers.into_iter().for_each(|(ledger, record)| sites.note(ledger, record));
        sites
    }
}

impl Archive {
    /// Ledgers that somebody brings of which nothing is wanted here, but for some.
    pub fn settled_digest(&self, by: &Sender, except: &BTreeSet<LedgerId>) -> Digest {
        let sites = self.inner.sites();
        sites.0.get(by).map(|site| site.settled.digest_without(except)).unwrap_or_default()
    }

    /// The same, to be told in parts.
    pub fn settled(&self, by: &Sender, except: &BTreeSet<LedgerId>) -> Settled {
        let sites = self.inner.sites();
        let mut settled = sites.0.get(by).map(|site| site.settled.clone()).unwrap_or_default();
        drop(sites);
        except.iter().for_each(|ledger| settled.remove(ledger));
        settled
    }

    /// Bytes of these streams of a site are not to come here by themselves, and those of all its others are.
    pub fn withhold(&self, site: &SiteId, streams: BTreeSet<StreamId>) {
        // In this order, as where changes are entered.
        let ledgers = self.inner.read_ledgers();
        let mut sites = self.inner.sites();
        let of_site = sites.0.entry(Sender::agent(site)).or_default();
        let before = std::mem::replace(&mut of_site.withheld, streams);
        let changed: BTreeSet<_> = before.symmetric_difference(&of_site.withheld).cloned().collect();
        let theirs = |(ledger, record): &(&LedgerId, &LedgerRecord)| {
            record.site == site.as_str() && record.host.is_empty() && changed.contains(&ledger.stream)
        };
        ledgers.iter().filter(theirs).for_each(|(ledger, record)| sites.note(ledger, record));
    }

    /// Ledgers that somebody brings and that have not ended, as far as is known here.
    pub fn running(&self, by: &Sender) -> Vec<LedgerId> {
        let sites = self.inner.sites();
        sites.0.get(by).map(|site| site.running.iter().cloned().collect()).unwrap_or_default()
    }
}

impl Inner {
    pub(super) fn sites(&self) -> std::sync::MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
