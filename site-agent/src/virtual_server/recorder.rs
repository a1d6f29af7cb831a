//! One stream's recorder: frames to parts to files to entries, and an explanation for every instant
//! without frames.
//!
//! It keeps one instant, `covered`: everything before it is in an entry, as a segment or as a gap. When a
//! segment begins later than that, the time in between is entered as a gap first, with the cause the
//! camera gave last.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use media::{Output, Part, Segmenter, SegmenterConfig};
use tokio::sync::mpsc;
use wire::entry::part_lengths;
use wire::proto::entry::Kind;
use wire::proto::{GapCause, RecordingState};
use wire::{LedgerId, SegmentNumber, SiteId, UnixMicros, proto};

use super::status::{StreamStatus, lock};
use crate::archive::{Archive, ArchiveError, Change, OpenSegment};
use crate::camera::CameraEvent;
use crate::live::{Live, LivePart};

/// A gap that goes on is entered in pieces, so that the ledger never lags far behind the truth.
const GAP_PIECE: Duration = Duration::from_secs(60);
/// Between two segments of one connection whose parameters changed no frame is missing.
const SEAMLESS: Duration = Duration::from_secs(2);
/// How long a recorder waits for room on a full disk, and how often it asks for one thing. Frames wait meanwhile.
const ROOM_AWAITED: Duration = Duration::from_secs(2);
const ROOM_ASKED_MAX: u32 = 3;
/// How far the wall clock may be off where nothing better is known; told with every segment.
const TIME_ERROR_US: u32 = 100_000;

/// What a recorder is told.
#[derive(Debug)]
pub(super) enum Input {
    /// Something came from the camera.
    Camera(CameraEvent),
    /// Time goes by.
    Tick(UnixMicros),
}

/// Where a recorder records to.
pub(super) struct Place {
    pub(super) site: SiteId,
    pub(super) ledger: LedgerId,
    pub(super) archive: Archive,
    pub(super) live: Arc<Live>,
    pub(super) status: Arc<Mutex<StreamStatus>>,
}

/// Why a recorder ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// It was told to.
    #[default]
    Stopped,
    /// Another recorder is to have the camera.
    HandOver,
    /// A drill makes as if the recorder were dead.
    Drill,
}

impl Ending {
    /// What is written down of the time after the last frame.
    fn gap(self) -> (GapCause, String) {
        let (cause, detail) = match self {
            Self::Stopped => (GapCause::Stopped, "the recorder was stopped"),
            Self::Drill => (GapCause::Stopped, "a drill: the recorder made as if it were dead"),
            Self::HandOver => (GapCause::HandOver, "the camera was handed over to another recorder"),
        };
        (cause, detail.to_owned())
    }
}

/// Where a stream's recorder begins within the run.
#[derive(Clone, Debug)]
pub(super) struct Begin {
    /// The first free segment number.
    pub(super) number: SegmentNumber,
    /// Everything before is explained.
    pub(super) covered: UnixMicros,
    /// Why nothing was recorded between then and now, if this is not the first time.
    pub(super) absent: Option<Ending>,
}

/// The file of the segment that is open, and how far it is written.
struct Writing {
    file: OpenSegment,
    /// Whole parts in it.
    parts: u32,
    /// The hash of these.
    running_hash: [u8; 32],
    /// Arrival of the last frame in it.
    end: UnixMicros,
    /// There was no room for a later part: it ends here.
    cut_short: bool,
}

pub(super) struct Recorder {
    place: Place,
    segmenter: Segmenter,
    open: Option<Writing>,
    /// Closed because parameters changed; ends when the next frame comes.
    closing: Option<proto::Segment>,
    covered: UnixMicros,
    cause: (GapCause, String),
    absent: Option<Ending>,
    next_segment: SegmentNumber,
    /// What the disk said when it last refused something.
    disk_trouble: (GapCause, String),
}

impl Recorder {
    pub(super) fn new(place: Place, config: SegmenterConfig, begin: Begin) -> Self {
        let segmenter = Segmenter::new(place.ledger.clone(), config, TIME_ERROR_US).starting_at(begin.number);
        Self {
            place,
            segmenter,
            open: None,
            closing: None,
            covered: begin.covered,
            cause: (GapCause::CameraDown, "connecting".to_owned()),
            absent: begin.absent,
            next_segment: begin.number,
            disk_trouble: (GapCause::DiskFailed, "the segment could not be written".to_owned()),
        }
    }

    /// Records until the inputs end; then closes what is open. Tells where a later recorder of the same
    /// run would begin; `ending` is asked at the end only.
    pub(super) fn run(mut self, mut inputs: mpsc::Receiver<Input>, ending: impl FnOnce() -> Ending) -> Begin {
        self.enter_absence();
        while let Some(input) = inputs.blocking_recv() {
            match input {
                Input::Camera(event) => self.camera(event),
                Input::Tick(now) => self.tick(now),
            }
        }
        let covered = self.covered;
        self.cut();
        let now = wire::clock::wall();
        // A camera that was down or refused us to the last is not explained away by the stop.
        let ending = ending();
        if self.covered != covered {
            self.cause = ending.gap();
        }
        self.enter_gap(now);
        self.note("recorder.stopped", "text/plain", bytes::Bytes::new(), now);
        Begin { number: self.next_segment, covered: self.covered, absent: Some(ending) }
    }

    /// Explains the time since this run recorded the stream last, if it did.
    fn enter_absence(&mut self) {
        let Some(absent) = self.absent.take() else { return };
        let connecting = std::mem::replace(&mut self.cause, absent.gap());
        self.enter_gap(wire::clock::wall());
        self.cause = connecting;
    }

    fn camera(&mut self, event: CameraEvent) {
        match event {
            CameraEvent::Connected { video, audio, new_session } => {
                let codecs = video.rfc6381.clone();
                let outputs = if new_session {
                    self.segmenter.connected(video, audio)
                } else {
                    self.segmenter.parameters(video, audio)
                };
                let seamless = !new_session;
                self.carry_out(outputs, seamless);
                let mut status = lock(&self.place.status);
                status.connects += u64::from(new_session);
                status.codecs.clone_from(&codecs);
                drop(status);
                let kind = if new_session { "camera.connected" } else { "camera.parameters" };
                self.note(kind, "text/plain", codecs.into(), wire::clock::wall());
            }
            CameraEvent::Video(frame) => {
                self.finish_closing(Some(frame.arrival.wall));
                let outputs = self.segmenter.video(frame);
                self.carry_out(outputs, false);
            }
            CameraEvent::Audio(frame) => {
                let outputs = self.segmenter.audio(frame);
                self.carry_out(outputs, false);
            }
            CameraEvent::Metadata { arrival, content_type, body } => {
                self.note("onvif.metadata", content_type, body, arrival.wall);
            }
            CameraEvent::Hole { detail } => {
                self.cut();
                lock(&self.place.status).holes += 1;
                self.cause = (GapCause::LostPackets, detail);
            }
            CameraEvent::Down { cause, detail } => {
                self.cut();
                let refused = matches!(cause, GapCause::CameraRefused | GapCause::Unsupported);
                let state = if refused { RecordingState::Refused } else { RecordingState::Down };
                self.state(state, &detail);
                self.cause = (cause, detail);
            }
        }
    }

    fn tick(&mut self, now: UnixMicros) {
        let recording = self.segmenter.open_segment().is_some() || self.closing.is_some();
        if !recording && now.since(self.covered) >= GAP_PIECE {
            self.enter_gap(now);
        }
    }

    fn cut(&mut self) {
        self.finish_closing(None);
        let outputs = self.segmenter.cut();
        self.carry_out(outputs, false);
    }

    /// Writes parts and enters closed segments; a `seamless` close waits for the frame that ends it.
    fn carry_out(&mut self, outputs: Vec<Output>, seamless: bool) {
        for output in outputs {
            match output {
                Output::Part(part) => self.part(part),
                Output::Closed(segment) if seamless => self.closing = Some(*segment),
                Output::Closed(segment) => self.enter_segment(*segment),
            }
        }
    }

    fn part(&mut self, part: Part) {
        if part.part == 0 {
            self.next_segment = SegmentNumber(part.segment.0 + 1);
            self.open = self.create(part.segment);
        }
        let durable = self.write(&part);
        let mut status = lock(&self.place.status);
        status.state = RecordingState::Recording;
        if durable {
            status.detail.clear();
        }
        status.frames += u64::from(part.video_frames);
        status.bytes += part.data.len() as u64;
        if durable && part.part > 0 {
            status.last_durable_us = Some(part.last_arrival.wall);
            status.durable = Some((part.segment, part.part));
            status.keyframes += u64::from(part.key);
        }
        drop(status);
        self.publish(part);
    }

    fn create(&mut self, number: SegmentNumber) -> Option<Writing> {
        let file = self.attempt(|place| place.archive.create_segment(&place.ledger, number).map(Some))?;
        Some(Writing { file, parts: 0, running_hash: [0; 32], end: UnixMicros::MIN, cut_short: false })
    }

    /// Makes a part durable, if that can be. A part that is missing ends the file; what is in it is entered when
    /// the segment ends, or if the disk failed, recovered at the next start.
    fn write(&mut self, part: &Part) -> bool {
        let Some(mut open) = self.open.take() else { return false };
        if open.cut_short {
            self.open = Some(open);
            return false;
        }
        let written = self.attempt(|place| {
            room_for(place, &open.file, part.data.len() as u64)?;
            open.file.append(&part.data).map(Some)
        });
        if written.is_some() {
            (open.parts, open.running_hash) = (part.part + 1, part.running_hash);
            open.end = part.last_arrival.wall;
        } else if open.parts < 2 {
            open.file.discard(); // not one fragment is in it
            return false;
        } else if open.file.is_sound() {
            open.cut_short = true;
        } else {
            return false;
        }
        self.open = Some(open);
        written.is_some()
    }

    /// Even what the disk refuses goes to whoever follows: the hub may be able to keep it.
    fn publish(&self, part: Part) {
        let now = wire::clock::now();
        let age = wire::clock::wall().since(part.first_arrival.wall);
        self.place.live.publish(LivePart {
            site: self.place.site.clone(),
            ledger: self.place.ledger.clone(),
            segment: part.segment,
            part: part.part,
            key: part.key,
            data: part.data,
            running_hash: part.running_hash,
            start: part.first_arrival.wall,
            end: part.last_arrival.wall,
            since: now.checked_sub(age).unwrap_or(now),
        });
    }

    fn finish_closing(&mut self, next_frame: Option<UnixMicros>) {
        let Some(mut segment) = self.closing.take() else { return };
        if let Some(next) = next_frame
            && next.since(UnixMicros(segment.end_us)) < SEAMLESS
        {
            segment.end_us = segment.end_us.max(next.0);
        }
        self.enter_segment(segment);
    }

    fn enter_segment(&mut self, segment: proto::Segment) {
        let number = SegmentNumber(segment.number);
        self.enter_gap(UnixMicros(segment.start_us));
        self.cause = (GapCause::CameraDown, "no frames".to_owned());
        let Some(open) = self.open.take() else {
            self.cause = self.disk_trouble.clone();
            return;
        };
        let segment = if open.cut_short {
            self.cause = self.disk_trouble.clone();
            cut_short(segment, &open)
        } else {
            segment
        };
        let end = UnixMicros(segment.end_us);
        let file = open.file.close();
        let entered = self.attempt(|place| {
            let change = Change::Append {
                ledger: place.ledger.clone(),
                at: wire::clock::wall(),
                kind: Kind::Segment(segment.clone()),
                file: Some(file.clone()),
            };
            place.archive.submit_blocking(change).map(Some)
        });
        if entered.is_some() {
            // A clock that was set back must not make everything recorded since a gap.
            self.covered = end;
            lock(&self.place.status).segments += 1;
        } else {
            self.cause = self.disk_trouble.clone();
        }
        self.place.live.closed(&self.place.site, &self.place.ledger, number);
    }

    /// Explains the time from `covered` to `until`, if there is any.
    fn enter_gap(&mut self, until: UnixMicros) {
        if until <= self.covered {
            return;
        }
        let gap = proto::Gap {
            start_us: self.covered.0,
            end_us: until.0,
            cause: self.cause.0.into(),
            detail: self.cause.1.clone(),
        };
        let entered = self.attempt(|place| {
            let change = Change::Append {
                ledger: place.ledger.clone(),
                at: wire::clock::wall(),
                kind: Kind::Gap(gap.clone()),
                file: None,
            };
            place.archive.submit_blocking(change).map(Some)
        });
        if entered.is_some() {
            self.covered = until;
        }
    }

    fn note(&mut self, kind: &str, content_type: &str, body: bytes::Bytes, at: UnixMicros) {
        let event =
            proto::Event { at_us: at.0, kind: kind.to_owned(), content_type: content_type.to_owned(), body };
        self.attempt(|place| {
            let change = Change::Append {
                ledger: place.ledger.clone(),
                at: wire::clock::wall(),
                kind: Kind::Event(event.clone()),
                file: None,
            };
            place.archive.submit_blocking(change).map(Some)
        });
    }

    fn state(&self, state: RecordingState, detail: &str) {
        let mut status = lock(&self.place.status);
        status.state = state;
        detail.clone_into(&mut status.detail);
    }

    /// Does something with the disk; a failure is counted and said, and recording goes on. Where room is
    /// missing it is asked for, and it is tried again.
    fn attempt<T>(&mut self, mut act: impl FnMut(&Place) -> Result<Option<T>, ArchiveError>) -> Option<T> {
        let mut done = act(&self.place);
        for _ in 0..ROOM_ASKED_MAX {
            match &done {
                Err(error) if error.is_out_of_space() && self.place.archive.room().ask(ROOM_AWAITED) => {}
                _ => break,
            }
            done = act(&self.place);
        }
        match done {
            Ok(done) => done,
            Err(error) => {
                let full = error.is_out_of_space();
                let full_of = full.then(|| self.place.archive.room().full_of()).flatten();
                let why = full_of.map_or_else(|| error.to_string(), |full_of| format!("{error}; {full_of}"));
                tracing::error!(stream = %self.place.ledger.stream, error = why, "record");
                let mut status = lock(&self.place.status);
                status.write_errors += 1;
                status.detail.clone_from(&why);
                drop(status);
                let cause = if full { GapCause::DiskFull } else { GapCause::DiskFailed };
                self.disk_trouble = (cause, why);
                None
            }
        }
    }
}

/// Is there room for so many bytes of a recording? What is left then is the index's.
fn room_for(place: &Place, file: &OpenSegment, bytes: u64) -> Result<(), ArchiveError> {
    if file.admits(bytes) { Ok(()) } else { Err(ArchiveError::Full(place.archive.dir().to_owned())) }
}

/// The segment as far as it is in its file.
fn cut_short(mut segment: proto::Segment, written: &Writing) -> proto::Segment {
    segment.fragments.truncate(written.parts.saturating_sub(1) as usize);
    segment.bytes = part_lengths(&segment).sum();
    segment.hash = bytes::Bytes::copy_from_slice(&written.running_hash);
    segment.end_us = written.end.0;
    segment
}
