//! How each site is, as its last beat and its connection tell.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use site_agent::config::defaults::HOSTS_MAX;
use site_agent::uplink::Restoring;
use wire::proto::{Beat, Hello, StreamBeat};
use wire::{OriginId, SiteId, UnixMicros, proto};

use super::twins::{Runs, Twin};

/// What a machine said of other sites so long ago says nothing of now.
const FRESH: Duration = Duration::from_secs(10);

/// One site.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SiteState {
    /// Is there a connection?
    pub connected: bool,
    /// Since when it is so.
    pub since_us: UnixMicros,
    /// From which address.
    pub address: String,
    /// Why there is none, as far as is known.
    pub detail: String,
    /// What it runs.
    pub software: String,
    /// Arrival of its last beat, by the hub's clock.
    pub last_beat_us: UnixMicros,
    /// What its agent says of its streams.
    pub cameras: Vec<CameraBeat>,
    /// Names of its cameras.
    pub names: BTreeMap<String, String>,
    /// Entries it has that are not acked.
    pub unacked: u64,
    /// Frame arrival to TailAck, as the agent measures it.
    pub live_lag_ms_p50: u32,
    /// Likewise, 99 of 100.
    pub live_lag_ms_p99: u32,
    /// Bytes of parts taken in since the hub started.
    pub bytes_in: u64,
    /// What it lacks of what is here, as it says itself.
    pub restoring: Option<Restoring>,
    /// Two agents that run as this site at once, if there are: a cloned disk, or a copied certificate.
    pub twins: Option<[Twin; 2]>,
    #[serde(skip)]
    connection: u64,
    #[serde(skip)]
    runs: Runs,
}

/// One stream, as the last beat had it.
#[derive(Clone, Debug, Serialize)]
pub struct CameraBeat {
    /// Which.
    pub stream: String,
    /// `recording`, `connecting`, `down`, `refused`.
    pub state: &'static str,
    /// Arrival of the last frame in the last durable fragment.
    pub last_durable_us: i64,
    /// Why, where there is something to say.
    pub detail: String,
}

/// All sites that have ever connected to this run.
#[derive(Debug, Default)]
pub struct Sites(Mutex<Inner>);

/// What a machine records for another site of its place, as its last beat had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedBeside {
    /// Cameras that it is configured to record.
    pub cameras: usize,
    /// Those that it records.
    pub recording: usize,
    /// Arrival of the last frame that is durable there of each of those.
    pub last_durable_us: UnixMicros,
    /// When it said so, by the hub's clock.
    pub heard_us: UnixMicros,
}

#[derive(Debug, Default)]
struct Inner {
    sites: BTreeMap<SiteId, SiteState>,
    /// What machines said of other sites; those that said nothing of any are not in it.
    besides: BTreeMap<SiteId, BTreeMap<String, RecordedBeside>>,
    connections: BTreeMap<SiteId, quinn::Connection>,
    next: u64,
}

/// A connection's place among the sites'; the newest of a site counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Sites {
    /// A copy of all.
    pub fn snapshot(&self) -> BTreeMap<SiteId, SiteState> {
        let (mut sites, now) = (self.lock().sites.clone(), wire::clock::wall());
        sites.values_mut().for_each(|state| state.twins = state.runs.twins(now).cloned());
        sites
    }

    /// How many others are connected.
    pub(super) fn connected_besides(&self, site: &SiteId) -> usize {
        self.lock().connections.keys().filter(|other| *other != site).count()
    }

    /// A connection begins; returns the one it replaces.
    pub(super) fn arrive(
        &self,
        site: &SiteId,
        connection: &quinn::Connection,
        hello: &Hello,
    ) -> (Ticket, Option<quinn::Connection>) {
        let mut inner = self.lock();
        inner.next += 1;
        let ticket = inner.next;
        let state = inner.sites.entry(site.clone()).or_default();
        state.connected = true;
        state.since_us = wire::clock::wall();
        state.address = connection.remote_address().to_string();
        state.detail.clear();
        state.software.clone_from(&hello.software);
        state.names = hello.cameras.iter().map(|camera| (camera.id.clone(), camera.name.clone())).collect();
        state.connection = ticket;
        if let Ok(origin) = OriginId::from_bytes(&hello.origin)
            && state.runs.came(origin, &state.address.clone(), state.since_us)
        {
            tracing::error!(%site, twins = ?state.runs.twins(state.since_us), "two agents run as this site: stop one of them");
        }
        (Ticket(ticket), inner.connections.insert(site.clone(), connection.clone()))
    }

    /// Why what a site recorded may be late, for people.
    pub(crate) fn late(&self, site: &SiteId) -> Option<String> {
        match self.lock().sites.get(site) {
            Some(state) if state.connected => None,
            Some(state) => Some(format!("the site is not connected: {}", state.detail)),
            None => Some("the site has not connected since the hub started".to_owned()),
        }
    }

    /// A connection has ended.
    pub(super) fn leave(&self, site: &SiteId, ticket: Ticket, why: &str) {
        let mut inner = self.lock();
        let Some(state) = inner.sites.get_mut(site).filter(|state| state.connection == ticket.0) else {
            return;
        };
        state.connected = false;
        state.since_us = wire::clock::wall();
        why.clone_into(&mut state.detail);
        inner.connections.remove(site);
    }

    /// A beat has come, of streams of these names.
    pub(crate) fn beat(&self, site: &SiteId, streams: &[String], beat: &Beat) {
        let (mut inner, now) = (self.lock(), wire::clock::wall());
        inner.note_beside(site, beat, now);
        let Some(state) = inner.sites.get_mut(site) else { return };
        state.last_beat_us = now;
        state.unacked = beat.unacked_segments;
        state.live_lag_ms_p50 = beat.live_lag_ms_p50;
        state.live_lag_ms_p99 = beat.live_lag_ms_p99;
        if !state.cameras.iter().map(|camera| &camera.stream).eq(streams) {
            state.cameras = streams.iter().map(|stream| CameraBeat::of(stream)).collect();
        }
        state.cameras.iter_mut().zip(&beat.streams).for_each(|(camera, said)| camera.take(said));
    }

    /// What one site's machine records for another site, if it said so lately.
    pub(crate) fn beside(&self, machine: &SiteId, site: &SiteId) -> Option<RecordedBeside> {
        let said = self.lock().besides.get(machine)?.get(site.as_str()).cloned()?;
        (wire::clock::wall().since(said.heard_us) < FRESH).then_some(said)
    }

    pub(super) fn restoring(&self, site: &SiteId, said: Restoring) {
        if let Some(state) = self.lock().sites.get_mut(site) {
            state.restoring = Some(said);
        }
    }

    pub(super) fn took(&self, site: &SiteId, bytes: u64) {
        if let Some(state) = self.lock().sites.get_mut(site) {
            state.bytes_in += bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordedBeside {
    fn of(said: &proto::Beside, now: UnixMicros) -> Self {
        let recorders = said.cameras.iter().filter_map(|camera| camera.recorder.as_ref());
        let recording = recorders.filter(|recorder| recorder.state() == proto::RecordingState::Recording);
        let durable: Vec<_> = recording.map(|recorder| recorder.last_durable_us).collect();
        Self {
            cameras: said.cameras.len(),
            recording: durable.len(),
            last_durable_us: UnixMicros(durable.into_iter().min().unwrap_or(0)),
            heard_us: now,
        }
    }
}

impl Inner {
    fn note_beside(&mut self, machine: &SiteId, beat: &Beat, now: UnixMicros) {
        if beat.beside.is_empty() {
            self.besides.remove(machine);
            return;
        }
        let all =
            beat.beside.iter().take(HOSTS_MAX).map(|said| (said.site.clone(), RecordedBeside::of(said, now)));
        self.besides.insert(machine.clone(), all.collect());
    }
}

impl CameraBeat {
    fn of(stream: &str) -> Self {
        Self { stream: stream.to_owned(), state: "unknown", last_durable_us: 0, detail: String::new() }
    }

    /// In place: beats come by the thousand.
    fn take(&mut self, said: &StreamBeat) {
        self.state = site_agent::virtual_server::state_name(said.state());
        self.last_durable_us = said.last_durable_us;
        self.detail.clone_from(&said.detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_records_for_others_is_known_as_it_said_last() {
        let (sites, machine) = (Sites::default(), SiteId::new("shop-2").unwrap());
        let site = |n: usize| SiteId::new(format!("other-{n}")).unwrap();
        let says = |count: usize| {
            let recorder = |state: proto::RecordingState, last_durable_us| proto::BesideCamera {
                recorder: Some(proto::StreamBeat {
                    state: state.into(),
                    last_durable_us,
                    ..Default::default()
                }),
                ..Default::default()
            };
            let cameras = [
                recorder(proto::RecordingState::Recording, 9),
                recorder(proto::RecordingState::Down, 3),
                recorder(proto::RecordingState::Recording, 11),
                proto::BesideCamera::default(),
            ];
            let beside = |n| proto::Beside {
                site: site(n).to_string(),
                cameras: cameras.to_vec(),
                ..Default::default()
            };
            let beat = Beat { beside: (0..count).map(beside).collect(), ..Beat::default() };
            sites.beat(&machine, &[], &beat);
        };
        assert_eq!(sites.beside(&machine, &site(0)), None);
        says(HOSTS_MAX + 1);
        let said = sites.beside(&machine, &site(0)).unwrap();
        assert_eq!((said.cameras, said.recording, said.last_durable_us), (4, 2, UnixMicros(9)));
        assert_eq!(sites.beside(&machine, &site(HOSTS_MAX)), None, "more than anybody may name");
        assert_eq!(sites.beside(&site(0), &machine), None);
        says(0);
        assert_eq!(sites.beside(&machine, &site(0)), None);
    }
}
