//! Writes the front of a file: `ftyp` and `moov` with the tracks' parameters.
//!
//! Nothing here depends on when or by whom it is recorded: equal parameters make equal headers.

use std::time::Duration;

use bytes::Bytes;

use crate::VIDEO_TIMESCALE;
use crate::boxes::Writer;
use crate::frame::{AudioCodec, AudioTrack, VideoTrack};

/// The video track's id in every file.
pub(crate) const VIDEO_TRACK: u32 = 1;
/// The audio track's id in every file.
pub(crate) const AUDIO_TRACK: u32 = 2;
/// Sample flags: depends on nothing.
pub(crate) const SYNC: u32 = 0x0200_0000;
/// Sample flags: depends on others, is not a sync sample.
pub(crate) const NON_SYNC: u32 = 0x0101_0000;

const UNDETERMINED_LANGUAGE: u16 = 0x55c4;
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// The header of a segment file: `ftyp`, a `free` box with the CRC-32C of the other two, `moov`.
pub(crate) fn segment_header(video: &VideoTrack, audio: Option<&AudioTrack>) -> Bytes {
    let mut ftyp = Writer::default();
    file_type(&mut ftyp);
    let mut moov = Writer::default();
    movie(&mut moov, video, audio, None);
    let crc = crc32c::crc32c_append(crc32c::crc32c(ftyp.as_slice()), moov.as_slice());
    let mut header = ftyp;
    header.boxed(b"free", |w| w.u32(crc));
    header.raw(moov.as_slice());
    header.into_bytes()
}

/// The front of an exported file.
pub(crate) fn export_header(
    video: &VideoTrack,
    audio: Option<&AudioTrack>,
    total: Option<Duration>,
) -> Bytes {
    let mut w = Writer::default();
    file_type(&mut w);
    movie(&mut w, video, audio, total);
    w.into_bytes()
}

/// The `codecs` parameter for both tracks.
pub(crate) fn codecs(video: &VideoTrack, audio: Option<&AudioTrack>) -> String {
    match audio.filter(|audio| !audio.rfc6381.is_empty()) {
        Some(audio) => format!("{},{}", video.rfc6381, audio.rfc6381),
        None => video.rfc6381.clone(),
    }
}

fn file_type(w: &mut Writer) {
    w.boxed(b"ftyp", |w| {
        w.raw(b"iso6");
        w.u32(0);
        [b"iso6", b"isom", b"cmfc", b"mp41"].iter().for_each(|brand| w.raw(*brand));
    });
}

fn movie(w: &mut Writer, video: &VideoTrack, audio: Option<&AudioTrack>, total: Option<Duration>) {
    let duration = total.map(|total| {
        u64::try_from(total.as_micros() * u128::from(VIDEO_TIMESCALE) / 1_000_000).unwrap_or(u64::MAX)
    });
    w.boxed(b"moov", |w| {
        w.full(b"mvhd", 1, 0, |w| {
            w.zeros(16);
            w.u32(VIDEO_TIMESCALE);
            w.u64(duration.unwrap_or(0));
            w.u32(0x1_0000);
            w.u16(0x100);
            w.zeros(10);
            MATRIX.iter().for_each(|value| w.u32(*value));
            w.zeros(24);
            w.u32(AUDIO_TRACK + 1);
        });
        video_track(w, video, duration.unwrap_or(0));
        if let Some(audio) = audio {
            audio_track(w, audio, duration.unwrap_or(0));
        }
        w.boxed(b"mvex", |w| {
            if let Some(duration) = duration {
                w.full(b"mehd", 1, 0, |w| w.u64(duration));
            }
            track_extends(w, VIDEO_TRACK, 0, NON_SYNC);
            if let Some(audio) = audio {
                // Where the reader finds the length of an AAC frame.
                track_extends(w, AUDIO_TRACK, nominal_duration(audio, 1), SYNC);
            }
        });
    });
}

fn video_track(w: &mut Writer, video: &VideoTrack, duration: u64) {
    w.boxed(b"trak", |w| {
        track_header(w, VIDEO_TRACK, 0, (video.width, video.height));
        media(w, (VIDEO_TIMESCALE, duration), b"vide", &video.rfc6381, |w| {
            w.full(b"vmhd", 0, 1, |w| w.zeros(8));
            sample_tables(w, |w| w.raw(&video.sample_entry));
        });
    });
}

fn audio_track(w: &mut Writer, audio: &AudioTrack, duration_90k: u64) {
    let duration = duration_90k.saturating_mul(audio.clock_rate.into()) / u64::from(VIDEO_TIMESCALE);
    w.boxed(b"trak", |w| {
        track_header(w, AUDIO_TRACK, 0x100, (0, 0));
        media(w, (audio.clock_rate, duration), b"soun", &audio.rfc6381, |w| {
            w.full(b"smhd", 0, 0, |w| w.zeros(4));
            sample_tables(w, |w| audio_sample_entry(w, audio));
        });
    });
}

fn audio_sample_entry(w: &mut Writer, audio: &AudioTrack) {
    let kind = match &audio.codec {
        AudioCodec::Aac { sample_entry, .. } => return w.raw(sample_entry),
        AudioCodec::Alaw => b"alaw",
        AudioCodec::Ulaw => b"ulaw",
    };
    w.boxed(kind, |w| {
        w.zeros(6);
        w.u16(1);
        w.zeros(8);
        w.u16(audio.channels);
        w.u16(16); // bits when decoded
        w.zeros(4);
        w.u32(audio.clock_rate.min(0xffff) << 16);
    });
}

/// How long an audio sample of `bytes` bytes lasts, in the track's clock rate.
pub(crate) fn nominal_duration(audio: &AudioTrack, bytes: usize) -> u32 {
    match audio.codec {
        AudioCodec::Aac { frame_length, .. } => frame_length.max(1),
        AudioCodec::Alaw | AudioCodec::Ulaw => {
            u32::try_from(bytes / usize::from(audio.channels.max(1))).unwrap_or(u32::MAX).max(1)
        }
    }
}

fn track_header(w: &mut Writer, id: u32, volume: u16, (width, height): (u16, u16)) {
    w.full(b"tkhd", 0, 3, |w| {
        w.zeros(8);
        w.u32(id);
        w.zeros(16);
        w.u16(0); // layer
        w.u16(0); // an alternative to no other track
        w.u16(volume);
        w.zeros(2);
        MATRIX.iter().for_each(|value| w.u32(*value));
        w.u32(u32::from(width) << 16);
        w.u32(u32::from(height) << 16);
    });
}

/// The duration is 0 where it is not known: players that can't seek to the end show what stands here.
/// The handler's name is the codec as RFC 6381 writes it, so that a header tells it without parsing.
fn media(
    w: &mut Writer,
    (timescale, duration): (u32, u64),
    handler: &[u8; 4],
    name: &str,
    information: impl FnOnce(&mut Writer),
) {
    w.boxed(b"mdia", |w| {
        w.full(b"mdhd", 1, 0, |w| {
            w.zeros(16);
            w.u32(timescale);
            w.u64(duration);
            w.u16(UNDETERMINED_LANGUAGE);
            w.u16(0);
        });
        w.full(b"hdlr", 0, 0, |w| {
            w.u32(0);
            w.raw(handler);
            w.zeros(12);
            w.raw(name.as_bytes());
            w.u8(0);
        });
        w.boxed(b"minf", information);
    });
}

fn sample_tables(w: &mut Writer, sample_entry: impl FnOnce(&mut Writer)) {
    w.boxed(b"dinf", |w| {
        w.full(b"dref", 0, 0, |w| {
            w.u32(1);
            w.full(b"url ", 0, 1, |_| {});
        });
    });
    w.boxed(b"stbl", |w| {
        w.full(b"stsd", 0, 0, |w| {
            w.u32(1);
            sample_entry(w);
        });
        w.full(b"stts", 0, 0, |w| w.u32(0));
        w.full(b"stsc", 0, 0, |w| w.u32(0));
        w.full(b"stsz", 0, 0, |w| w.zeros(8));
        w.full(b"stco", 0, 0, |w| w.u32(0));
    });
}

fn track_extends(w: &mut Writer, id: u32, duration: u32, flags: u32) {
    w.full(b"trex", 0, 0, |w| {
        w.u32(id);
        w.u32(1);
        w.u32(duration);
        w.u32(0);
        w.u32(flags);
    });
}
