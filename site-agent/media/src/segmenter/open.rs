//! The segment and the fragment that are being written: decode times are given when a fragment closes.

use std::time::Duration;

use bytes::Bytes;
use wire::proto::{FragmentBox, Ledger, Segment};
use wire::{SegmentNumber, UnixMicros};

use super::Part;
use crate::fragment;
use crate::frame::{Arrival, AudioTrack, VideoCodec, VideoFrame, VideoTrack};
use crate::header::{codecs, segment_header};
use crate::index::SegmentIndex;
use crate::sample::{Sample, samples_hash};
use crate::timeline::LAST_RESORT_90K;

/// Whose fragments these are, and how well their times are known.
pub(super) struct Identity {
    pub(super) ledger: Ledger,
    pub(super) time_error_us: u32,
}

/// A segment that is being written.
pub(super) struct OpenSegment {
    pub(super) number: SegmentNumber,
    /// Media time and arrival of the first frame.
    pub(super) began: (i64, Arrival),
    /// How long it is to be.
    pub(super) target: Duration,
    /// The fragment that is being collected.
    pub(super) fragment: Option<OpenFragment>,
    codec: VideoCodec,
    codecs: String,
    size: (u16, u16),
    index: SegmentIndex,
    hasher: blake3::Hasher,
    last_duration: i64,
}

impl OpenSegment {
    /// Begins a segment; also gives its header.
    pub(super) fn begin(
        number: SegmentNumber,
        (video, audio): (&VideoTrack, Option<&AudioTrack>),
        began: (i64, Arrival),
        target: Duration,
    ) -> (Self, Part) {
        let header = segment_header(video, audio);
        let mut segment = Self {
            number,
            began,
            target,
            fragment: None,
            codec: video.codec,
            codecs: codecs(video, audio),
            size: (video.width, video.height),
            index: SegmentIndex::begin(number, &header),
            hasher: blake3::Hasher::new(),
            last_duration: LAST_RESORT_90K,
        };
        let part = segment.part(header, (began.1, began.1), 0, false);
        (segment, part)
    }

    /// How many fragments are closed.
    pub(super) fn fragments(&self) -> usize {
        self.index.fragments()
    }

    /// Closes a fragment. `next` is the media time and the arrival of the frame that ended it. Also
    /// gives the decode time at which it ends. `None` if it has no frames.
    pub(super) fn close_fragment(
        &mut self,
        fragment: OpenFragment,
        next: Option<(i64, UnixMicros)>,
        identity: &Identity,
    ) -> Option<(Part, i64)> {
        let (first, last) = (fragment.video.first()?.clone(), fragment.video.last()?.0.arrival);
        let first = first.0;
        let (video, end) = fragment.decode_times(next.map(|(time, _)| time), self.last_duration);
        let audio = contiguous(fragment.audio);
        self.last_duration = video.last().map_or(self.last_duration, |sample| sample.duration.into());
        let begins = video.first()?.dts;
        let is_first = self.fragments() == 0;
        let report = first.sender_report.unwrap_or_default();
        let info = FragmentBox {
            ledger: Some(identity.ledger.clone()),
            segment: self.number.0,
            fragment: u32::try_from(self.fragments() + 1).unwrap_or(u32::MAX),
            crc32c: 0,
            first_arrival_us: first.arrival.wall.0,
            last_arrival_us: last.wall.0,
            first_arrival_boot_us: first.arrival.boot_us,
            time_error_us: identity.time_error_us,
            end_us: next.map_or(last.wall, |(_, arrival)| arrival).0,
            first_rtp: first.rtp,
            sender_report_ntp: report.ntp,
            sender_report_rtp: report.rtp,
            video_frames: count(&video),
            audio_frames: count(&audio),
            frames_hash: Bytes::copy_from_slice(&samples_hash(self.codec, &video, &audio)),
            key: first.key,
            decode_time_90k: begins,
            duration_90k: u32::try_from(end - begins).unwrap_or(u32::MAX),
            codecs: if is_first { self.codecs.clone() } else { String::new() },
            video_width: if is_first { self.size.0.into() } else { 0 },
            video_height: if is_first { self.size.1.into() } else { 0 },
        };
        let data = fragment::write(&info, &video, &audio);
        self.index.push(&info, data.len());
        Some((self.part(data, (first.arrival, last), info.video_frames, info.key), end))
    }

    fn part(&mut self, data: Bytes, (first, last): (Arrival, Arrival), video_frames: u32, key: bool) -> Part {
        self.hasher.update(&data);
        Part {
            segment: self.number,
            part: u32::try_from(self.fragments()).unwrap_or(u32::MAX),
            data,
            running_hash: self.hasher.finalize().into(),
            first_arrival: first,
            last_arrival: last,
            video_frames,
            key,
        }
    }

    /// The entry.
    pub(super) fn finish(self) -> Segment {
        self.index.finish(self.hasher.finalize())
    }
}

/// A fragment that is being collected.
pub(super) struct OpenFragment {
    /// The decode time of its first sample; every later one is derived.
    decode_start: i64,
    /// Frames and their media times, in decoding order.
    video: Vec<(VideoFrame, i64)>,
    audio: Vec<Sample>,
    bytes: usize,
}

impl OpenFragment {
    /// Begins a fragment at this decode time.
    pub(super) fn begin(decode_start: i64) -> Self {
        Self { decode_start, video: Vec::new(), audio: Vec::new(), bytes: 0 }
    }

    /// Media time and arrival of the first frame.
    pub(super) fn began(&self) -> Option<(i64, Arrival)> {
        self.video.first().map(|(frame, time)| (*time, frame.arrival))
    }

    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a picture with its media time.
    pub(super) fn push_video(&mut self, frame: VideoFrame, time: i64) {
        self.bytes += frame.data.len();
        self.video.push((frame, time));
    }

    /// Adds a piece of audio.
    pub(super) fn push_audio(&mut self, sample: Sample) {
        self.bytes += sample.data.len();
        self.audio.push(sample);
    }

    /// The video samples, and where they end. Decode times are the presentation times in ascending
    /// order, each later than the one before; without B-frames both are the same.
    fn decode_times(&self, next: Option<i64>, last_duration: i64) -> (Vec<Sample>, i64) {
        let mut times: Vec<i64> = self.video.iter().map(|(_, time)| *time).collect();
        times.sort_unstable();
        let mut earliest = self.decode_start;
        for (index, time) in times.iter_mut().enumerate() {
            *time = if index == 0 { self.decode_start } else { (*time).max(earliest) };
            earliest = *time + 1;
        }
        let last = times.last().copied().unwrap_or(self.decode_start);
        let end = match (next, times.as_slice()) {
            (Some(next), _) => next.max(earliest),
            (None, [.., before, last]) => last + (last - before),
            (None, _) => last + last_duration,
        };
        let ends = times.iter().skip(1).copied().chain([end]);
        let samples =
            self.video.iter().zip(times.iter().zip(ends)).map(|((frame, time), (dts, end))| Sample {
                data: frame.data.clone(),
                dts: *dts,
                // Within 10 s, or the frame would have counted as a jump.
                cts_offset: i32::try_from(time - dts).unwrap_or(0),
                duration: u32::try_from(end - dts).unwrap_or(u32::MAX),
                key: frame.key,
            });
        (samples.collect(), end)
    }
}

/// Gives audio samples the durations that lead from each to the next; the last one keeps its own.
fn contiguous(mut samples: Vec<Sample>) -> Vec<Sample> {
    let starts: Vec<i64> = samples.iter().skip(1).map(|sample| sample.dts).collect();
    for (sample, next) in samples.iter_mut().zip(starts) {
        sample.duration = u32::try_from(next - sample.dts).unwrap_or(u32::MAX);
    }
    samples
}

fn count(samples: &[Sample]) -> u32 {
    u32::try_from(samples.len()).unwrap_or(u32::MAX)
}
