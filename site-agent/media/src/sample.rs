//! A sample as it lies in a file, and the hash by which samples are recognised in a copy.

use bytes::Bytes;

use crate::frame::VideoCodec;
use crate::nal::coded_slices;

/// One coded picture or one piece of audio, with its times in its track's time scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Video: NAL units with four-byte lengths. Audio: the payload.
    pub data: Bytes,
    /// Decode time.
    pub dts: i64,
    /// Presentation time less decode time.
    pub cts_offset: i32,
    /// Until the next sample's decode time.
    pub duration: u32,
    /// Can decoding begin here? Always true for audio.
    pub key: bool,
}

/// BLAKE3 over the samples' contents: per sample, video first, a tag (`v` or `a`), the length of what
/// is digested as four bytes, and that: the coded slices without their lengths, or the audio payload.
///
/// Times, parameter sets and other NAL units are left out: an exported copy has the same hash.
pub fn samples_hash(codec: VideoCodec, video: &[Sample], audio: &[Sample]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for sample in video {
        let length: usize = coded_slices(codec, &sample.data).map(<[u8]>::len).sum();
        begin(&mut hasher, b'v', length);
        coded_slices(codec, &sample.data).for_each(|slice| {
            hasher.update(slice);
        });
    }
    for sample in audio {
        begin(&mut hasher, b'a', sample.data.len());
        hasher.update(&sample.data);
    }
    hasher.finalize().into()
}

fn begin(hasher: &mut blake3::Hasher, tag: u8, length: usize) {
    hasher.update(&[tag]);
    hasher.update(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}
