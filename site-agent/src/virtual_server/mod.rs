//! A recording server as one thing: cameras in, archive out, under one origin a run.
//!
//! Recording needs no permission: this module knows no hub, no lease and no network but the cameras'. A
//! site's run ([`VirtualServer::start`]) draws a new origin, ends what earlier runs left open, takes in their
//! files, and records every stream until it is told to stop. A standby's ([`VirtualServer::standby`]) runs
//! inside a vault, beside others: cameras are begun and ended one at a time, and its ledgers end with it.
//!
//! Each stream is recorded on a thread of its own. Nothing is appended to a ledger of an ended run.

mod recorder;
mod recording;
mod recover;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use media::SegmenterConfig;
use wire::{LedgerId, OriginId, SegmentNumber, SiteId, StreamId};

use crate::archive::{self, Archive, ArchiveError, Change};
use crate::camera::{CameraTask, Prepared};
use crate::config::{Camera, SiteConfig, Stream};
use crate::live::Live;

pub use recorder::Ending;
pub use recover::{recover, recover_standbys};
pub use status::{Statuses, StreamStatus, state_name};

use recorder::{Begin, Recorder};
use recording::Recording;
use recover::begin_run;

/// A standby doesn't know how many cameras it will have: rotation is spread over so many places.
const STAGGER: usize = 8;

/// What a virtual server works with.
#[derive(Clone)]
pub struct Base {
    /// Whose cameras.
    pub site: SiteId,
    /// Where they are recorded.
    pub archive: Archive,
    /// Who wants to see them at once.
    pub live: Arc<Live>,
    /// How long a segment is, about.
    pub segment: Duration,
    /// How long a fragment is at most.
    pub fragment: Duration,
}

/// A running virtual server.
pub struct VirtualServer {
    base: Base,
    origin: OriginId,
    statuses: Arc<Statuses>,
    recordings: BTreeMap<StreamId, Recording>,
    /// How many recorders were started in this run.
    begun: usize,
}

impl VirtualServer {
    /// Starts a site's run: recovers what the last one left, then records every configured stream.
    pub async fn start(config: &SiteConfig, archive: Archive, live: Arc<Live>) -> Result<Self, ArchiveError> {
        let base = Base {
            site: config.site.id.clone(),
            archive,
            live,
            segment: config.archive.segment,
            fragment: config.archive.fragment,
        };
        let mut server = Self::new(base);
        let (origin, opened) = (server.origin, wire::clock::wall());
        let numbers = {
            let (archive, site) = (server.base.archive.clone(), server.base.site.clone());
            let streams: Vec<_> = streams(config).map(|(_, stream)| stream.id.clone()).collect();
            let begin = move || begin_run(&archive, &site, origin, opened, &streams);
            tokio::task::spawn_blocking(begin).await.map_err(|_| ArchiveError::Closed)??
        };
        let count = streams(config).count().max(1);
        for (camera, stream) in streams(config) {
            let number = numbers.get(&stream.id).copied().unwrap_or_default();
            let begin = Begin { number, covered: opened, absent: None };
            server.record(camera, stream, None, begin, count)?;
        }
        Ok(server)
    }

    /// A standby's run in a vault, without cameras yet. What earlier runs left was taken in before
    /// ([`recover_standbys`]).
    pub fn standby(base: Base) -> Self {
        Self::new(base)
    }

    fn new(base: Base) -> Self {
        let (origin, statuses) = (archive::new_origin(), Arc::default());
        Self { base, origin, statuses, recordings: BTreeMap::new(), begun: 0 }
    }

    /// The id of this run.
    pub fn origin(&self) -> OriginId {
        self.origin
    }

    /// How each stream is doing.
    pub fn statuses(&self) -> Arc<Statuses> {
        self.statuses.clone()
    }

    /// Begins to record a stream in a standby's run, with what was prepared of it, if anything was. One that
    /// was ended in this run goes on in its ledger, once its last recorder has closed everything.
    pub async fn begin(
        &mut self,
        camera: &Camera,
        stream: &Stream,
        prepared: Option<Prepared>,
    ) -> Result<(), ArchiveError> {
        let ledger = LedgerId { origin: self.origin, stream: stream.id.clone() };
        if self.recordings.get(&stream.id).is_some_and(|recording| !recording.is_ending()) {
            return Ok(());
        }
        let begin = match self.recordings.remove(&stream.id) {
            Some(recording) => recording.ended().await.ok_or(ArchiveError::Ended(ledger))?,
            None => {
                let (site, opened) = (self.base.site.clone(), wire::clock::wall());
                self.base.archive.submit(Change::OpenStandby { ledger, site, opened }).await?;
                Begin { number: SegmentNumber(0), covered: opened, absent: None }
            }
        };
        self.record(camera, stream, prepared, begin, STAGGER)
    }

    /// Tells a stream's recorder to end; what is open is closed and committed without anybody waiting.
    pub fn end(&self, stream: &StreamId, ending: Ending) {
        if let Some(recording) = self.recordings.get(stream) {
            recording.end(ending);
        }
    }

    /// Makes as if this recorder were dead, for a drill: every session ends, and what is open is closed.
    pub fn pause(&self) {
        self.recordings.values().for_each(|recording| recording.end(Ending::Drill));
    }

    /// Records again what was recorded before [`VirtualServer::pause`].
    pub async fn resume(&mut self, config: &SiteConfig) {
        for (camera, stream) in streams(config) {
            if let Err(error) = self.begin(camera, stream, None).await {
                tracing::error!(stream = %stream.id, %error, "it can't be recorded again after the drill");
            }
        }
    }

    /// Closes what is open and ends the run; everything recorded is committed when this returns.
    pub async fn stop(self) {
        for recording in self.recordings.values() {
            recording.end(Ending::Stopped);
        }
        for (stream, recording) in self.recordings {
            let closed = recording.ended().await.is_some();
            let ledger = LedgerId { origin: self.origin, stream };
            let standby = self.base.archive.ledger(&ledger).is_some_and(|record| record.standby);
            // A site's ledgers are ended by its next run, which takes in what a recorder that died left.
            if closed
                && standby
                && let Err(error) = self.base.archive.submit(Change::End { ledger }).await
            {
                tracing::error!(site = %self.base.site, %error, "end a standby's ledger");
            }
        }
    }

    fn record(
        &mut self,
        camera: &Camera,
        stream: &Stream,
        prepared: Option<Prepared>,
        begin: Begin,
        places: usize,
    ) -> Result<(), ArchiveError> {
        let segmenter = SegmenterConfig {
            segment: self.base.segment,
            fragment: self.base.fragment,
            first_segment: stagger(self.base.segment, self.begun % places, places),
        };
        let place = recorder::Place {
            site: self.base.site.clone(),
            ledger: LedgerId { origin: self.origin, stream: stream.id.clone() },
            archive: self.base.archive.clone(),
            live: self.base.live.clone(),
            status: self.statuses.add(&stream.id),
        };
        let recorder = Recorder::new(place, segmenter, begin);
        let recording = Recording::start(CameraTask::of(camera, stream), prepared, recorder)?;
        self.begun += 1;
        self.recordings.insert(stream.id.clone(), recording);
        Ok(())
    }
}

fn streams(config: &SiteConfig) -> impl Iterator<Item = (&Camera, &Stream)> {
    config.cameras.iter().flat_map(|camera| camera.streams.iter().map(move |stream| (camera, stream)))
}

/// Spreads the rotation of segments, so that cameras don't all sync at once.
fn stagger(segment: Duration, index: usize, count: usize) -> Duration {
    let share = (index + 1) as f64 / count as f64;
    segment.mul_f64(0.5 + 0.5 * share)
}
