//! Writes fragments: `prft`, the `uuid` box with the index, `moof`, `mdat`.

use bytes::Bytes;
use prost::Message;
use wire::proto::FragmentBox;

use crate::boxes::Writer;
use crate::header::{AUDIO_TRACK, NON_SYNC, SYNC, VIDEO_TRACK};
use crate::sample::Sample;

/// The type of the `uuid` box in front of every `moof`.
pub(crate) const FRAGMENT_BOX: [u8; 16] = *b"holdfast\x8a\x1e\x4f\x3b\xb0\xf1\x00\x01";
/// Protobuf's key of `FragmentBox.crc32c`: field 4, four bytes. It is written last, so that all other
/// bytes of the fragment can be covered by it.
pub(crate) const CRC_KEY: u8 = 4 << 3 | 5;
/// The key and the checksum.
pub(crate) const CRC_BYTES: usize = 5;

/// Seconds from 1900 to 1970.
const NTP_EPOCH: i128 = 2_208_988_800;
/// `prft` flags: some instant, but the same one for every fragment (here: arrival).
const CONSISTENT_OFFSET: u32 = 8;

/// One complete fragment. `info.crc32c` is computed here; whatever it holds is ignored.
pub(crate) fn write(info: &FragmentBox, video: &[Sample], audio: &[Sample]) -> Bytes {
    let payload: usize = video.iter().chain(audio).map(|sample| sample.data.len()).sum();
    let mut w = Writer::with_capacity(payload + 16 * (video.len() + audio.len()) + 1024);
    w.full(b"prft", 1, CONSISTENT_OFFSET, |w| {
        w.u32(VIDEO_TRACK);
        w.u64(ntp(info.first_arrival_us));
        w.u64(u64::try_from(info.decode_time_90k).unwrap_or(0));
    });
    w.boxed(b"uuid", |w| {
        w.raw(&FRAGMENT_BOX);
        w.raw(&FragmentBox { crc32c: 0, ..info.clone() }.encode_to_vec());
        w.u8(CRC_KEY);
        w.u32(0);
    });
    let covered = w.len();
    movie_fragment(&mut w, info.fragment, video, audio);
    let crc = crc32c::crc32c(&w.as_slice()[..covered - CRC_BYTES]);
    let crc = crc32c::crc32c_append(crc, &w.as_slice()[covered..]);
    w.patch(covered - 4, crc.swap_bytes()); // protobuf is little-endian
    w.into_bytes()
}

/// `moof` and `mdat`.
pub(crate) fn movie_fragment(w: &mut Writer, sequence: u32, video: &[Sample], audio: &[Sample]) {
    let start = w.len();
    let mut offsets = Vec::new();
    w.boxed(b"moof", |w| {
        w.full(b"mfhd", 0, 0, |w| w.u32(sequence));
        for (track, samples) in [(VIDEO_TRACK, video), (AUDIO_TRACK, audio)] {
            if let Some(first) = samples.first() {
                track_fragment(w, track, first.dts, samples, &mut offsets);
            }
        }
    });
    let mut offset = w.len() - start + 8;
    for (place, samples) in offsets {
        w.patch(place, u32::try_from(offset).unwrap_or(u32::MAX));
        offset += samples;
    }
    w.boxed(b"mdat", |w| video.iter().chain(audio).for_each(|sample| w.raw(&sample.data)));
}

fn track_fragment(
    w: &mut Writer,
    track: u32,
    decode_time: i64,
    samples: &[Sample],
    offsets: &mut Vec<(usize, usize)>,
) {
    const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
    const DEFAULT_FLAGS: u32 = 0x20;
    const DATA_OFFSET: u32 = 0x001;
    const DURATION_AND_SIZE: u32 = 0x300;
    const FLAGS_AND_COMPOSITION: u32 = 0xc00;
    let is_video = track == VIDEO_TRACK;
    w.boxed(b"traf", |w| {
        w.full(b"tfhd", 0, DEFAULT_BASE_IS_MOOF | DEFAULT_FLAGS, |w| {
            w.u32(track);
            w.u32(if is_video { NON_SYNC } else { SYNC });
        });
        w.full(b"tfdt", 1, 0, |w| w.u64(u64::try_from(decode_time).unwrap_or(0)));
        let per_sample = if is_video { FLAGS_AND_COMPOSITION } else { 0 };
        w.full(b"trun", 1, DATA_OFFSET | DURATION_AND_SIZE | per_sample, |w| {
            w.u32(u32::try_from(samples.len()).unwrap_or(u32::MAX));
            offsets.push((w.len(), samples.iter().map(|sample| sample.data.len()).sum()));
            w.u32(0);
            for sample in samples {
                w.u32(sample.duration);
                w.u32(u32::try_from(sample.data.len()).unwrap_or(u32::MAX));
                if is_video {
                    w.u32(if sample.key { SYNC } else { NON_SYNC });
                    w.raw(&sample.cts_offset.to_be_bytes());
                }
            }
        });
    });
}

/// NTP time, 32.32 fixed point, of a Unix time in microseconds.
fn ntp(unix_us: i64) -> u64 {
    let us = i128::from(unix_us) + NTP_EPOCH * 1_000_000;
    let fixed = (us << 32).div_euclid(1_000_000);
    u64::try_from(fixed.rem_euclid(1 << 64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_counts_from_1900() {
        assert_eq!(ntp(0), 2_208_988_800 << 32);
        assert_eq!(ntp(500_000), (2_208_988_800 << 32) | (1 << 31));
        assert_eq!(ntp(-2_208_988_800_000_000), 0);
    }

    #[test]
    fn the_checksum_is_the_last_field_of_an_ordinary_message() {
        let info = FragmentBox { fragment: 7, codecs: "avc1".into(), ..Default::default() };
        let sample = Sample { data: Bytes::from_static(b"x"), dts: 0, cts_offset: 0, duration: 1, key: true };
        let bytes = write(&info, &[sample], &[]);
        let uuid = crate::boxes::find(&bytes, &[b"uuid"]).unwrap();
        let read = FragmentBox::decode(&uuid[16..]).unwrap();
        assert_ne!(read.crc32c, 0);
        assert_eq!(FragmentBox { crc32c: 0, ..read }, info);
    }
}
