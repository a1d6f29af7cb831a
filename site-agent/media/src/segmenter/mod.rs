//! The state machine between a camera's frames and its segment files.
//!
//! It decides where fragments and segments begin and end, and places frames on the ledger's timeline.
//! Guarantees: every fragment has a video frame; every segment begins with a keyframe; every `Closed`
//! comes after all parts of its segment, and every header is followed by a fragment; what it holds
//! back is one open fragment, bounded in time and bytes.

mod open;

use std::time::Duration;

use bytes::Bytes;
use wire::proto::Segment;
use wire::{LedgerId, SegmentNumber, UnixMicros};

use crate::VIDEO_TIMESCALE;
use crate::frame::{Arrival, AudioFrame, AudioTrack, VideoFrame, VideoTrack};
use crate::header::nominal_duration;
use crate::sample::Sample;
use crate::timeline::{AudioClock, VideoClock, ticks};
use open::{Identity, OpenFragment, OpenSegment};

/// An open fragment that would exceed this is closed early.
pub const FRAGMENT_BYTES_MAX: usize = 32 << 20;
/// No frame is larger; one that is counts as a hole in the stream.
pub const FRAME_BYTES_MAX: usize = 64 << 20;
/// A segment with this many fragments is closed even without a keyframe to begin the next one with.
pub const FRAGMENTS_MAX: usize = 3600;

/// How long things are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmenterConfig {
    /// A segment ends at the first keyframe at least this long after its beginning; about 10 s.
    pub segment: Duration,
    /// A fragment ends at a keyframe or after this long; about 1 s.
    pub fragment: Duration,
    /// Takes the place of `segment` for the first one, so that cameras don't all commit at once.
    pub first_segment: Duration,
}

/// What there is to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The next bytes of a segment file.
    Part(Part),
    /// The file is complete; this is its entry.
    Closed(Box<Segment>),
}

/// The next bytes of a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which segment.
    pub segment: SegmentNumber,
    /// 0 is the header, n the fragment n.
    pub part: u32,
    /// The bytes.
    pub data: Bytes,
    /// BLAKE3 of the file up to the end of this part.
    pub running_hash: [u8; 32],
    /// When the oldest frame in it arrived; for a header, the frame that made it necessary.
    pub first_arrival: Arrival,
    /// When the newest video frame in it arrived.
    pub last_arrival: Arrival,
    /// How many video frames it holds; a header holds none.
    pub video_frames: u32,
    /// Does it begin with a keyframe? A header does not.
    pub key: bool,
}

/// Makes segment files of one camera stream's frames.
pub struct Segmenter {
    identity: Identity,
    config: SegmenterConfig,
    tracks: Option<(VideoTrack, Option<AudioTrack>)>,
    video_clock: VideoClock,
    audio_clock: AudioClock,
    next_number: SegmentNumber,
    open: Option<OpenSegment>,
    last_recorded: Option<Arrival>,
}

impl Segmenter {
    /// For a new ledger: numbers and media time begin at 0. `time_error_us` bounds how far the wall
    /// clock is off.
    pub fn new(ledger: LedgerId, config: SegmenterConfig, time_error_us: u32) -> Self {
        Self {
            identity: Identity { ledger: ledger.to_proto(), time_error_us },
            config,
            tracks: None,
            video_clock: VideoClock::default(),
            audio_clock: AudioClock::default(),
            next_number: SegmentNumber(0),
            open: None,
            last_recorded: None,
        }
    }

    /// The first segment gets this number: those below are taken by recovered files.
    #[must_use]
    pub fn starting_at(mut self, number: SegmentNumber) -> Self {
        self.next_number = number;
        self
    }

    /// A connection was made: its frames count from a new zero. Closes the open segment; the next
    /// keyframe begins another, placed on the timeline by its arrival.
    ///
    /// Also right when parameters change within a connection, though [`Self::parameters`] then keeps
    /// the camera's own time.
    pub fn connected(&mut self, video: VideoTrack, audio: Option<AudioTrack>) -> Vec<Output> {
        let outputs = self.cut();
        self.video_clock.forget();
        self.audio_clock.forget();
        self.set_tracks(video, audio);
        outputs
    }

    /// The parameters within a connection, before the keyframe they apply to. Closes the open segment
    /// if they differ; frames go on counting from the same zero.
    pub fn parameters(&mut self, video: VideoTrack, audio: Option<AudioTrack>) -> Vec<Output> {
        let outputs = match &self.tracks {
            Some((old_video, old_audio)) if *old_video == video && *old_audio == audio => return Vec::new(),
            _ => self.cut(),
        };
        self.set_tracks(video, audio);
        outputs
    }

    fn set_tracks(&mut self, video: VideoTrack, audio: Option<AudioTrack>) {
        // Without a clock rate audio has no time.
        let audio = audio.filter(|audio| audio.clock_rate > 0);
        if let Some(audio) = &audio {
            self.audio_clock.set_rate(audio.clock_rate);
        }
        self.tracks = Some((video, audio));
    }

    /// The next video frame, in decoding order. Dropped if no segment is open and it isn't a keyframe.
    pub fn video(&mut self, frame: VideoFrame) -> Vec<Output> {
        let mut outputs = Vec::new();
        if frame.data.is_empty() {
            return outputs;
        }
        if self.video_clock.jumps(frame.pts_90k) {
            outputs.extend(self.cut());
            self.video_clock.forget();
            self.audio_clock.forget();
        }
        if frame.data.len() > FRAME_BYTES_MAX {
            outputs.extend(self.cut());
            return outputs;
        }
        if self.tracks.is_none() || (self.open.is_none() && !frame.key) {
            return outputs;
        }
        let arrival = frame.arrival;
        let time = self.video_clock.place(frame.pts_90k, arrival);
        outputs.extend(self.make_room(&frame, time));
        if self.open.is_none() {
            if !frame.key {
                return outputs;
            }
            outputs.extend(self.begin_segment(time, arrival));
        }
        if let Some(segment) = &mut self.open {
            let start = self.video_clock.end();
            let fragment = segment.fragment.get_or_insert_with(|| OpenFragment::begin(start.max(time)));
            fragment.push_video(frame, time);
            self.last_recorded = Some(arrival);
        }
        outputs
    }

    /// The next audio frame. It goes into the open fragment; dropped if there is none.
    pub fn audio(&mut self, frame: AudioFrame) -> Vec<Output> {
        let Some((_, Some(track))) = &self.tracks else { return Vec::new() };
        let fragment = self.open.as_mut().and_then(|segment| segment.fragment.as_mut());
        let now = self.video_clock.at_arrival(frame.arrival);
        match (fragment, now) {
            (Some(fragment), Some(now))
                if !frame.data.is_empty() && fragment.bytes() + frame.data.len() <= FRAGMENT_BYTES_MAX =>
            {
                let dts = self.audio_clock.place(frame.pts, now);
                let duration = nominal_duration(track, frame.data.len());
                fragment.push_audio(Sample { data: frame.data, dts, cts_offset: 0, duration, key: true });
            }
            _ => self.audio_clock.look(frame.pts),
        }
        Vec::new()
    }

    /// A hole in the camera's stream, or the end of the connection or of recording: closes fragment and
    /// segment with what they have. Frames are dropped until the next keyframe.
    pub fn cut(&mut self) -> Vec<Output> {
        self.close_segment(None)
    }

    /// Is nothing recorded until a keyframe comes?
    pub fn wants_keyframe(&self) -> bool {
        self.open.is_none()
    }

    /// The segment being written.
    pub fn open_segment(&self) -> Option<SegmentNumber> {
        self.open.as_ref().map(|segment| segment.number)
    }

    /// When the last recorded video frame arrived.
    pub fn last_frame_at(&self) -> Option<Arrival> {
        self.last_recorded
    }

    /// Ends the fragment, and perhaps the segment, that `frame` must not go into.
    fn make_room(&mut self, frame: &VideoFrame, time: i64) -> Vec<Output> {
        let Some(segment) = &self.open else { return Vec::new() };
        let Some(fragment) = &segment.fragment else { return Vec::new() };
        let next = Some((time, frame.arrival.wall));
        let fragment_is_full = frame.key || self.fragment_is_full(fragment, frame, time);
        let segment_is_full = frame.key && lasts(segment.began, (time, frame.arrival), segment.target)
            || fragment_is_full && segment.fragments() + 1 >= FRAGMENTS_MAX;
        if segment_is_full {
            self.close_segment(next)
        } else if fragment_is_full {
            self.close_fragment(next)
        } else {
            Vec::new()
        }
    }

    fn fragment_is_full(&self, fragment: &OpenFragment, frame: &VideoFrame, time: i64) -> bool {
        fragment.began().is_some_and(|began| lasts(began, (time, frame.arrival), self.config.fragment))
            || fragment.bytes() + frame.data.len() > FRAGMENT_BYTES_MAX
    }

    fn begin_segment(&mut self, time: i64, arrival: Arrival) -> Option<Output> {
        let (video, audio) = self.tracks.as_ref()?;
        let number = self.next_number;
        self.next_number.0 += 1;
        let is_first = self.last_recorded.is_none();
        let target = if is_first { self.config.first_segment } else { self.config.segment };
        let (segment, header) = OpenSegment::begin(number, (video, audio.as_ref()), (time, arrival), target);
        self.open = Some(segment);
        Some(Output::Part(header))
    }

    fn close_fragment(&mut self, next: Option<(i64, UnixMicros)>) -> Vec<Output> {
        let Some(segment) = &mut self.open else { return Vec::new() };
        let Some(fragment) = segment.fragment.take() else { return Vec::new() };
        match segment.close_fragment(fragment, next, &self.identity) {
            Some((part, end)) => {
                self.video_clock.close(end);
                vec![Output::Part(part)]
            }
            None => Vec::new(),
        }
    }

    fn close_segment(&mut self, next: Option<(i64, UnixMicros)>) -> Vec<Output> {
        let mut outputs = self.close_fragment(next);
        if let Some(segment) = self.open.take() {
            outputs.push(Output::Closed(Box::new(segment.finish())));
        }
        outputs
    }
}

/// Has `duration` passed between two instants? Media time tells; where a camera's clock stands still,
/// arrival does, with allowance for delays on the way.
fn lasts((from, arrived): (i64, Arrival), (to, arrives): (i64, Arrival), duration: Duration) -> bool {
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    to - from >= ticks(us, VIDEO_TIMESCALE)
        || arrives.boot_us.saturating_sub(arrived.boot_us) >= us.saturating_mul(2)
}
