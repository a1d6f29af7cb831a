//! One ordinary MP4 of many segments: fragmented, so that it can be streamed while it is made.
//!
//! The file begins at 0 and gaps are closed up; sound moves with the picture. Every keyframe is
//! preceded by its parameter sets, so that the picture may change its size anywhere and playing can
//! begin anywhere. Coded slices and sound stay as they are, bit for bit.

mod proof;
mod verify;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use wire::UnixMicros;
use wire::proto::Ledger;

use crate::VIDEO_TIMESCALE;
use crate::boxes::Writer;
use crate::fragment::movie_fragment;
use crate::frame::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};
use crate::header::{VIDEO_TRACK, export_header};
use crate::nal::parameter_sets;
use crate::read::{Header, ReadError, aac_config, parse_fragment};
use crate::sample::{Sample, samples_hash};
use crate::timeline::rescale;

pub use proof::{Proof, find_proof, proof_box};
pub use verify::{ExportedFragment, ExportedFragments, exported_fragments};

/// Why a fragment can't go into the file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Its video codec is another than the file's: begin a new file here.
    #[error("the video codec changes at {at}")]
    CodecChanged {
        /// When the first frame of the other codec arrived.
        at: UnixMicros,
    },
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The bytes to append; none if it was skipped.
    pub data: Bytes,
    /// When it begins in the exported file, in 1/90,000 s.
    pub start_90k: i64,
    /// [`samples_hash`] of what was exported: the original's `frames_hash` unless sound was left out.
    pub frames_hash: [u8; 32],
    /// Sound was left out, since its parameters differ from the file's.
    pub audio_dropped: bool,
    /// It was left out as a whole: after a gap nothing can be decoded before a keyframe.
    pub skipped: bool,
}

/// Writes one file.
pub struct Exporter {
    codec: VideoCodec,
    audio: Option<AudioTrack>,
    parameters: Option<(VideoTrack, Bytes)>,
    sequence: u32,
    written: u64,
    run: Option<Run>,
    /// The end of the video track so far.
    end: i64,
    /// Audio must not begin before this.
    audio_next: i64,
    /// Time and place of the fragments that begin with a keyframe.
    keys: Vec<(u64, u64)>,
}

/// Fragments that follow each other without a gap.
struct Run {
    ledger: Option<Ledger>,
    /// Decode time of the next one.
    next: i64,
    /// What to add to decode times.
    shift: i64,
}

impl Exporter {
    /// Begins a file, and gives its first bytes. Sound is kept where it is like `audio`: normally the
    /// first header's that has any. `total` is the length if known; players show it.
    pub fn begin(first: &Header, audio: Option<&AudioTrack>, total: Option<Duration>) -> (Self, Bytes) {
        let data = export_header(&first.video, audio, total);
        let exporter = Self {
            codec: first.video.codec,
            audio: audio.cloned(),
            parameters: None,
            sequence: 0,
            written: length(&data),
            run: None,
            end: 0,
            audio_next: 0,
            keys: Vec::new(),
        };
        (exporter, data)
    }

    /// Adds the next fragment, of a file with this header.
    pub fn fragment(&mut self, header: &Header, fragment: &Bytes) -> Result<Exported, ExportError> {
        let parsed = parse_fragment(fragment)?;
        if header.video.codec != self.codec {
            return Err(ExportError::CodecChanged { at: UnixMicros(parsed.info.first_arrival_us) });
        }
        let start = parsed.info.decode_time_90k;
        let follows = self.run.as_ref().filter(|run| run.ledger == parsed.info.ledger && run.next == start);
        let shift = match follows {
            Some(run) => run.shift,
            None if parsed.info.key => self.end.saturating_sub(start),
            None => {
                self.run = None;
                return Ok(Exported::skipped(self.end));
            }
        };
        let video = self.video(header, parsed.video, shift);
        let audio_dropped = !parsed.audio.is_empty() && !self.sounds_alike(header);
        let audio = if audio_dropped { Vec::new() } else { self.audio(parsed.audio, shift) };
        let start_90k = start.saturating_add(shift);
        let frames_hash = samples_hash(self.codec, &video, &audio);

        self.sequence = self.sequence.wrapping_add(1);
        let mut w = Writer::with_capacity(fragment.len() + 1024);
        movie_fragment(&mut w, self.sequence, &video, &audio);
        let data = w.into_bytes();
        if parsed.info.key {
            self.keys.push((u64::try_from(start_90k).unwrap_or(0), self.written));
        }
        self.written += length(&data);
        let lasts = i64::from(parsed.info.duration_90k);
        self.end = self.end.max(start_90k.saturating_add(lasts));
        self.run = Some(Run { ledger: parsed.info.ledger, next: start.saturating_add(lasts), shift });
        Ok(Exported { data, start_90k, frames_hash, audio_dropped, skipped: false })
    }

    /// How long the file is so far, in time.
    pub fn duration(&self) -> Duration {
        let ticks = u64::try_from(self.end).unwrap_or(0);
        Duration::from_micros(ticks.saturating_mul(100) / 9)
    }

    /// The last bytes: where the keyframes are, for players that seek.
    ///
    /// To be found by players this must be the end of the file, so a [`proof_box`] goes before it;
    /// [`find_proof`] finds it either way.
    pub fn finish(self) -> Bytes {
        let mut w = Writer::default();
        w.boxed(b"mfra", |w| {
            w.full(b"tfra", 1, 0, |w| {
                w.u32(VIDEO_TRACK);
                w.u32(0); // the three numbers of an entry have a byte each
                w.u32(u32::try_from(self.keys.len()).unwrap_or(u32::MAX));
                for (time, offset) in &self.keys {
                    w.u64(*time);
                    w.u64(*offset);
                    w.raw(&[1, 1, 1]);
                }
            });
            let size = u32::try_from(w.len() + 16).unwrap_or(u32::MAX);
            w.full(b"mfro", 0, 0, |w| w.u32(size));
        });
        w.into_bytes()
    }

    fn video(&mut self, header: &Header, mut samples: Vec<Sample>, shift: i64) -> Vec<Sample> {
        for sample in &mut samples {
            sample.dts = sample.dts.saturating_add(shift);
            if sample.key {
                let sets = self.parameter_sets(&header.video);
                let mut data = BytesMut::with_capacity(sets.len() + sample.data.len());
                data.extend_from_slice(&sets);
                data.extend_from_slice(&sample.data);
                sample.data = data.freeze();
            }
        }
        samples
    }

    /// Can sound of a file with this header be decoded by what ours says?
    fn sounds_alike(&self, header: &Header) -> bool {
        let (Some(ours), Some(theirs)) = (&self.audio, &header.audio) else { return false };
        let codecs_are_alike = match (&ours.codec, &theirs.codec) {
            (
                AudioCodec::Aac { sample_entry: ours, frame_length: our_length },
                AudioCodec::Aac { sample_entry: theirs, frame_length: their_length },
            ) => our_length == their_length && aac_config(ours) == aac_config(theirs),
            (ours, theirs) => ours == theirs,
        };
        codecs_are_alike && ours.clock_rate == theirs.clock_rate && ours.channels == theirs.channels
    }

    fn parameter_sets(&mut self, video: &VideoTrack) -> Bytes {
        match &self.parameters {
            Some((of, sets)) if of == video => sets.clone(),
            _ => {
                let sets = parameter_sets(video.codec, &video.sample_entry).unwrap_or_default();
                self.parameters = Some((video.clone(), sets.clone()));
                sets
            }
        }
    }

    /// Moves sound along with the picture. What would go back in time, for example where a gap was
    /// closed up, is squeezed together: no sample is lost, and the next ones are in time again.
    fn audio(&mut self, mut samples: Vec<Sample>, shift: i64) -> Vec<Sample> {
        let rate = self.audio.as_ref().map_or(VIDEO_TIMESCALE, |audio| audio.clock_rate);
        let shift = rescale(shift, VIDEO_TIMESCALE, rate);
        for sample in &mut samples {
            sample.dts = sample.dts.saturating_add(shift).max(self.audio_next);
            self.audio_next = sample.dts.saturating_add(1);
        }
        let starts: Vec<i64> = samples.iter().skip(1).map(|sample| sample.dts).collect();
        for (sample, next) in samples.iter_mut().zip(starts) {
            sample.duration = u32::try_from(next - sample.dts).unwrap_or(u32::MAX);
        }
        samples
    }
}

impl Exported {
    fn skipped(start_90k: i64) -> Self {
        Self { data: Bytes::new(), start_90k, frames_hash: [0; 32], audio_dropped: false, skipped: true }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
