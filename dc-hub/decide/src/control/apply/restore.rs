//! Histories: a log that was restored or recovered by force begins a new one, above every epoch anybody saw.

use std::sync::Arc;

use super::{Applied, Call, Closed, Event, Refusal, Site, State, close, go};
use crate::epoch::{Epoch, Generation};
use crate::ids::SiteId;
use crate::standby::Life;

/// A hello may show a generation this far above ours. More is nonsense, and a site that shows it would use up
/// the numbers.
const GENERATIONS_AHEAD_MAX: u64 = 1 << 20;

impl State {
    pub(super) fn recover(&mut self, seen: Generation, salt: u64) -> Vec<Event> {
        let highest = self.sites.values().map(|site| site.epoch.generation).max().unwrap_or_default();
        self.generation = self.generation.max(seen).max(highest).above(salt);
        self.deletion_suspended = true;
        self.frozen.clear();
        let mut events = Vec::new();
        for (name, site) in &mut self.sites {
            let site = Arc::make_mut(site);
            let epoch = Epoch { generation: self.generation, n: 0 };
            events.extend(close(name, site, Closed::Void));
            events.extend(raise(name, site, epoch));
        }
        events.push(Event::Deletion { suspended: true });
        events.push(Event::CallPerson(Call::Recovered));
        events
    }

    /// A site shows an epoch we never gave: somebody else did, from another history. Ours goes above it, for
    /// this site alone: no site's word touches another.
    pub(super) fn seen_epoch(&mut self, name: &SiteId, shown: Epoch, salt: u64) -> Applied {
        let ahead_max = self.generation.count.saturating_add(GENERATIONS_AHEAD_MAX);
        let site = self.site_mut(name)?;
        if shown <= site.epoch {
            return Err(Refusal::KnownEpoch(shown));
        }
        let mut events = vec![Event::CallPerson(Call::ForeignEpoch { site: name.clone(), shown })];
        if shown.generation.count > ahead_max {
            return Ok(events);
        }
        let generation = shown.generation.max(site.epoch.generation).above(salt);
        events.extend(close(name, site, Closed::Void));
        events.extend(raise(name, site, Epoch { generation, n: 0 }));
        Ok(events)
    }

    pub(super) fn confirm_deletion(&mut self) -> Applied {
        if !std::mem::take(&mut self.deletion_suspended) {
            return Err(Refusal::AlreadySo);
        }
        Ok(vec![Event::Deletion { suspended: false }])
    }
}

/// A new epoch for whoever has authority. What hung on a round falls back to home.
fn raise(name: &SiteId, site: &mut Site, epoch: Epoch) -> Vec<Event> {
    let mut events = Vec::new();
    site.epoch = epoch;
    if site.life == Life::Suspect || site.is_armed() {
        events.extend(go(name, site, Life::Home).ok());
    }
    match &mut site.life {
        Life::Home | Life::Suspect => {}
        Life::Standby { epoch: held, .. }
        | Life::Healing { epoch: held, .. }
        | Life::Failback { epoch: held, .. } => {
            *held = epoch;
        }
    }
    let host = site.holder().clone();
    events.push(Event::EpochRaised { site: name.clone(), epoch, host });
    events
}
