//! The end of a run: all faults over, authority at rest, recorders stopped, everything looked at.

use std::time::Duration;

use wire::proto::GapCause;

use crate::event::Event;
use crate::invariants::recording::Slack;
use crate::invariants::{Invariant, acked, coverage, equal, recording};
use crate::place::PlaceIx;
use crate::time::{Time, ms};
use crate::world::World;

impl World {
    /// All faults end.
    pub fn quiet(&mut self) {
        self.stage.turn(|| "-- quiet".to_owned());
        self.thaw();
        for index in self.active.clone() {
            self.fault_ends(index);
        }
    }

    /// A person looks at what is frozen, until nothing is.
    fn thaw(&mut self) {
        let sites = self.newest_state().frozen().clone();
        if !sites.is_empty() {
            let by = Some("operator".to_owned());
            self.propose_by_hand(decide::control::Command::Thaw { sites, by });
        }
    }

    /// Every recorder stops, so that nothing is under way when everything is looked at. Authority has come to
    /// rest before.
    pub fn still(&mut self) {
        if let Some(what) = self.unsettled() {
            if self.stage.now < Time::ZERO + self.stage.params.length() + self.stage.params.patience {
                self.thaw();
                return self.stage.after(self.stage.params.still, Event::Still);
            }
            self.stage.violate(Invariant::Settled, what);
        }
        self.stage.after(self.stage.params.still, Event::Finish);
        self.stage.tell(|| "-- recorders stop".to_owned());
        self.stopped_at = self.stage.now;
        for index in 0..self.places.len() {
            let streams = self.places[index].run.as_ref().map_or(0, |run| run.streams.len());
            let now = self.stage.now;
            for stream in 0..streams {
                let ix = PlaceIx(u16::try_from(index).unwrap_or(u16::MAX));
                self.stream_ends(ix, stream, now, GapCause::Stopped);
            }
        }
    }

    /// Looks at everything a last time. Backlog may take a while; not for ever.
    pub fn finish(&mut self) {
        let different = self.difference();
        let patience = self.stopped_at + self.stage.params.patience;
        if different.is_some() && self.stage.now < patience {
            return self.stage.after(self.stage.params.still, Event::Finish);
        }
        self.done = true;
        if let Some(what) = different {
            self.stage.violate(Invariant::Equal, what);
        }
        for index in 0..self.vaults.len() {
            acked::check(&mut self.stage, &self.vaults[index]);
        }
        for index in 0..self.places.len() {
            if self.places[index].node == self.places[index].site.node() {
                self.look_at_recording(index);
            }
            coverage::check(&mut self.stage, &self.places[index]);
        }
    }

    /// How a place and its vault differ, if any do.
    fn difference(&self) -> Option<String> {
        let policies = self.stage.params.policies();
        self.places.iter().find_map(|place| {
            let vault = &self.vaults[self.vault_of(place.site).index()];
            let name = &self.stage.node(place.node).name;
            equal::equal(place, vault, &policies).err().map(|what| format!("{name}: {what}"))
        })
    }

    fn look_at_recording(&mut self, index: usize) {
        let place = &self.places[index];
        let (site, params) = (place.site, self.stage.params.clone());
        let stalls: Duration = self
            .plan
            .iter()
            .map(|planned| match planned.fault {
                crate::fault::Fault::Stall(_, by) => by,
                _ => Duration::ZERO,
            })
            .sum();
        let disk = params.sync_max * 4 + stalls * 4;
        let slack =
            Slack { beginning: ms(2_500) + params.fragment + disk * 2, end: params.fragment * 2 + disk };
        let ran = self.stage.node(place.node).ran.clone();
        for camera in 0..params.cameras {
            let have = recording::recorded(&self.stage, place, camera);
            let could = both(&ran, &self.sites[site.index()].cameras[camera].filmed, self.stopped_at);
            let could = without(could, &self.sites[site.index()].refused[camera]);
            recording::check(&mut self.stage, site, camera, &have, &could, slack);
        }
    }
}

/// Instants in both; `now` ends what has no end.
fn both(a: &[(Time, Time)], b: &[(Time, Time)], now: Time) -> Vec<(Time, Time)> {
    let mut both = Vec::new();
    for (start, end) in a {
        for (from, to) in b {
            let (start, end) = (*start.max(from), (*end).min(*to).min(now));
            if start < end {
                both.push((start, end));
            }
        }
    }
    both
}

/// Instants that are not in `taken`.
fn without(spans: Vec<(Time, Time)>, taken: &[(Time, Time)]) -> Vec<(Time, Time)> {
    taken.iter().fold(spans, |spans, (from, to)| {
        let cut = |(start, end): (Time, Time)| [(start, end.min(*from)), (start.max(*to), end)];
        spans.into_iter().flat_map(cut).filter(|(start, end)| start < end).collect()
    })
}
