//! A site's recording server as one thing: cameras in, archive out, under one origin.
//!
//! Recording needs no permission: this module knows no hub, no lease and no network but the cameras'. A
//! start draws a new origin, ends what earlier runs left open, takes in their files, and records every
//! stream on a thread of its own until it is told to stop.

mod recorder;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use media::SegmenterConfig;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::proto::entry::Kind;
use wire::{LedgerId, OriginId, SegmentNumber, SiteId, StreamId, UnixMicros, proto};

use crate::archive::{self, Archive, ArchiveError, Change, Recovered};
use crate::camera::{self, CameraEvent, CameraTask};
use crate::config::{Camera, SiteConfig, Stream};
use crate::live::Live;

pub use status::{Statuses, StreamStatus, state_name};

use recorder::{Input, Recorder};

/// Frames between a camera's connection and its recorder: about 20 s of video. When the disk stalls for
/// longer the connection is no longer read, and the camera decides what it drops.
const QUEUE_FRAMES: usize = 512;
/// How often a recorder looks at the clock when no frames come.
const TICK: Duration = Duration::from_secs(1);

/// A running virtual server.
pub struct VirtualServer {
    origin: OriginId,
    statuses: Arc<Statuses>,
    cancel: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    recorders: Vec<std::thread::JoinHandle<()>>,
}

impl VirtualServer {
    /// Starts a run: recovers what the last one left, then records every configured stream.
    pub async fn start(config: &SiteConfig, archive: Archive, live: Arc<Live>) -> Result<Self, ArchiveError> {
        let origin = archive::new_origin();
        let site = config.site.id.clone();
        let opened = wire::clock::wall();
        let numbers = {
            let (archive, site) = (archive.clone(), site.clone());
            let streams: Vec<_> = streams(config).map(|(_, stream)| stream.id.clone()).collect();
            let begin = move || begin_run(&archive, &site, origin, opened, &streams);
            tokio::task::spawn_blocking(begin).await.map_err(|_| ArchiveError::Closed)??
        };
        let mut server = Self {
            origin,
            statuses: Arc::default(),
            cancel: CancellationToken::new(),
            tasks: Vec::new(),
            recorders: Vec::new(),
        };
        let count = streams(config).count().max(1);
        for (index, (camera, stream)) in streams(config).enumerate() {
            let first = numbers.get(&stream.id).copied().unwrap_or_default();
            let segmenter = SegmenterConfig {
                segment: config.archive.segment,
                fragment: config.archive.fragment,
                first_segment: stagger(config.archive.segment, index, count),
            };
            let recorder = Recorder::new(
                recorder::Place {
                    site: site.clone(),
                    ledger: LedgerId { origin, stream: stream.id.clone() },
                    archive: archive.clone(),
                    live: live.clone(),
                    status: server.statuses.add(&stream.id),
                },
                segmenter,
                first,
                opened,
            );
            server.record(camera, stream, recorder)?;
        }
        Ok(server)
    }

    /// The id of this run.
    pub fn origin(&self) -> OriginId {
        self.origin
    }

    /// How each stream is doing.
    pub fn statuses(&self) -> Arc<Statuses> {
        self.statuses.clone()
    }

    /// Closes what is open and ends the run; everything recorded is committed when this returns.
    pub async fn stop(self) {
        self.cancel.cancel();
        for task in self.tasks {
            let _ = task.await; // a camera task that panicked has nothing left to close
        }
        let join = move || self.recorders.into_iter().for_each(|recorder| drop(recorder.join()));
        let _ = tokio::task::spawn_blocking(join).await;
    }

    fn record(&mut self, camera: &Camera, stream: &Stream, recorder: Recorder) -> Result<(), ArchiveError> {
        let (inputs, queue) = mpsc::channel(QUEUE_FRAMES);
        let thread = std::thread::Builder::new()
            .name(format!("rec-{}", stream.id.camera()))
            .spawn(move || recorder.run(queue))
            .map_err(|source| ArchiveError::Io {
                what: "start recorder",
                path: stream.id.as_str().into(),
                source,
            })?;
        self.recorders.push(thread);
        let task = CameraTask {
            stream: stream.clone(),
            audio: camera.audio,
            metadata: camera.metadata,
            seed: wire::clock::seed(),
        };
        let (events, received) = mpsc::channel(16);
        self.tasks.push(tokio::spawn(camera::run(task, events, self.cancel.clone())));
        self.tasks.push(tokio::spawn(forward(received, inputs)));
        Ok(())
    }
}

/// Passes a camera's events on, with the time in between; ends when the camera's task has ended.
async fn forward(mut events: mpsc::Receiver<CameraEvent>, inputs: mpsc::Sender<Input>) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        let input = tokio::select! {
            event = events.recv() => match event {
                Some(event) => Input::Camera(event),
                None => return,
            },
            _ = ticks.tick() => Input::Tick(wire::clock::wall()),
        };
        match input {
            Input::Camera(_) => {
                if inputs.send(input).await.is_err() {
                    return;
                }
            }
            // A full queue says that frames are coming; the time is of interest only when none do.
            Input::Tick(_) => drop(inputs.try_send(input)),
        }
    }
}

/// Takes in what earlier runs left, as a run that records nothing. Returns how many files that were.
pub fn recover(archive: &Archive, site: &SiteId) -> Result<u64, ArchiveError> {
    let origin = archive::new_origin();
    let numbers = begin_run(archive, site, origin, wire::clock::wall(), &[])?;
    for ledger in archive.open_ledgers() {
        archive.submit_blocking(Change::End { ledger })?;
    }
    Ok(numbers.values().map(|number| number.0).sum())
}

/// Ends earlier runs, opens this one's ledgers, takes recovered files in. Returns the first free segment
/// number of each stream.
fn begin_run(
    archive: &Archive,
    site: &SiteId,
    origin: OriginId,
    opened: UnixMicros,
    streams: &[StreamId],
) -> Result<BTreeMap<StreamId, SegmentNumber>, ArchiveError> {
    let remains = archive::recover(archive)?;
    let mut numbers: BTreeMap<_, _> =
        streams.iter().map(|stream| (stream.clone(), SegmentNumber(0))).collect();
    for found in &remains.files {
        numbers.entry(found.ledger.stream.clone()).or_default();
    }
    for stream in numbers.keys() {
        let ledger = LedgerId { origin, stream: stream.clone() };
        archive.submit_blocking(Change::Open { ledger, site: site.clone(), opened })?;
    }
    for found in remains.files {
        let number = numbers.entry(found.ledger.stream.clone()).or_default();
        enter(archive, origin, *number, opened, found)?;
        number.0 += 1;
    }
    for ledger in remains.ledgers {
        archive.submit_blocking(Change::End { ledger })?;
    }
    Ok(numbers)
}

/// Enters a recovered file into the new run's ledger.
fn enter(
    archive: &Archive,
    origin: OriginId,
    number: SegmentNumber,
    at: UnixMicros,
    found: Recovered,
) -> Result<(), ArchiveError> {
    tracing::info!(ledger = %found.ledger, segment = %found.number, "recovered an open segment");
    let segment = proto::Segment {
        number: number.0,
        recovered_from: Some(proto::SegmentName {
            origin: bytes::Bytes::copy_from_slice(&found.ledger.origin.0),
            stream: found.ledger.stream.as_str().to_owned(),
            number: found.number.0,
        }),
        ..found.segment
    };
    let ledger = LedgerId { origin, stream: found.ledger.stream };
    let change = Change::Append { ledger, at, kind: Kind::Segment(segment), file: Some(found.file) };
    archive.submit_blocking(change).map(drop)
}

fn streams(config: &SiteConfig) -> impl Iterator<Item = (&Camera, &Stream)> {
    config.cameras.iter().flat_map(|camera| camera.streams.iter().map(move |stream| (camera, stream)))
}

/// Spreads the rotation of segments, so that cameras don't all sync at once.
fn stagger(segment: Duration, index: usize, count: usize) -> Duration {
    let share = (index + 1) as f64 / count as f64;
    segment.mul_f64(0.5 + 0.5 * share)
}
