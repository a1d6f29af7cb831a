//! NAL units: which of them are the picture, and which the parameter sets.

use bytes::Bytes;

use crate::boxes::{Cursor, find};
use crate::frame::VideoCodec;

/// The NAL units of a sample with four-byte lengths. Ends at the first length that reaches beyond the
/// sample.
pub fn units(avcc_sample: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor::new(avcc_sample);
    std::iter::from_fn(move || {
        let length = usize::try_from(cursor.u32()?).ok()?;
        cursor.take(length)
    })
}

/// The coded slices of a sample: NAL units of types 1 to 5 (H.264) or 0 to 31 (H.265), header bytes
/// included. They survive export unchanged, so they are what evidence is compared by.
pub fn coded_slices(codec: VideoCodec, avcc_sample: &[u8]) -> impl Iterator<Item = &[u8]> {
    units(avcc_sample).filter(move |unit| unit.first().is_some_and(|first| is_coded_slice(codec, *first)))
}

fn is_coded_slice(codec: VideoCodec, first_byte: u8) -> bool {
    match codec {
        VideoCodec::H264 => (1..=5).contains(&(first_byte & 0x1f)),
        VideoCodec::H265 => (first_byte >> 1) & 0x3f <= 31,
    }
}

/// The parameter sets of a sample entry, each with a four-byte length, ready to stand in front of a
/// keyframe. `None` if the sample entry can't be read.
pub fn parameter_sets(codec: VideoCodec, sample_entry: &[u8]) -> Option<Bytes> {
    // A VisualSampleEntry has 78 bytes in front of its boxes.
    let inside = sample_entry.get(8 + 78..)?;
    let mut sets = Vec::new();
    match codec {
        VideoCodec::H264 => {
            let mut cursor = Cursor::new(find(inside, &[b"avcC"])?);
            cursor.take(5)?;
            for mask in [0x1f, 0xff] {
                let count = cursor.u8()? & mask;
                copy_sets(&mut cursor, count.into(), &mut sets)?;
            }
        }
        VideoCodec::H265 => {
            let mut cursor = Cursor::new(find(inside, &[b"hvcC"])?);
            cursor.take(22)?;
            for _ in 0..cursor.u8()? {
                cursor.u8()?;
                let count = cursor.u16()?;
                copy_sets(&mut cursor, count, &mut sets)?;
            }
        }
    }
    Some(sets.into())
}

fn copy_sets(cursor: &mut Cursor<'_>, count: u16, sets: &mut Vec<u8>) -> Option<()> {
    for _ in 0..count {
        let length = cursor.u16()?;
        let set = cursor.take(length.into())?;
        sets.extend_from_slice(&u32::from(length).to_be_bytes());
        sets.extend_from_slice(set);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_coded_slices_are_taken() {
        let sample = [0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x65, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0x41];
        let slices: Vec<_> = coded_slices(VideoCodec::H264, &sample).collect();
        assert_eq!(slices, [&[0x65, 7][..], &[0x41]]);
        let h265 = [0, 0, 0, 2, 32 << 1, 1, 0, 0, 0, 2, 19 << 1, 1];
        let slices: Vec<_> = coded_slices(VideoCodec::H265, &h265).collect();
        assert_eq!(slices, [&[19 << 1, 1][..]]);
    }

    #[test]
    fn lengths_beyond_the_sample_end_it() {
        let sample = [0, 0, 0, 1, 0x65, 0xff, 0xff, 0xff, 0xff, 0x65];
        assert_eq!(coded_slices(VideoCodec::H264, &sample).count(), 1);
        assert_eq!(coded_slices(VideoCodec::H264, &[0, 0]).count(), 0);
    }
}
