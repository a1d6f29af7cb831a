//! The Segment entry that goes with a file, made from its fragments' boxes: by the segmenter while it
//! writes them, by recovery when it finds them. So both come to the same entry.

use bytes::Bytes;
use wire::SegmentNumber;
use wire::proto::{Fragment, FragmentBox, Segment};

/// A Segment entry in the making.
pub(crate) struct SegmentIndex {
    segment: Segment,
}

impl SegmentIndex {
    /// Begins with the file's header.
    pub(crate) fn begin(number: SegmentNumber, header: &[u8]) -> Self {
        Self {
            segment: Segment {
                number: number.0,
                bytes: length(header.len()),
                header_bytes: u32::try_from(header.len()).unwrap_or(u32::MAX),
                header_hash: Bytes::copy_from_slice(blake3::hash(header).as_bytes()),
                ..Default::default()
            },
        }
    }

    /// Adds the next fragment, `bytes` long.
    pub(crate) fn push(&mut self, info: &FragmentBox, bytes: usize) {
        let segment = &mut self.segment;
        if segment.fragments.is_empty() {
            segment.start_us = info.first_arrival_us;
            segment.end_us = info.first_arrival_us;
            segment.codecs = info.codecs.clone();
            segment.video_width = info.video_width;
            segment.video_height = info.video_height;
            segment.decode_time_90k = info.decode_time_90k;
        }
        segment.bytes += length(bytes);
        // A wall clock that was set back must not make the entry senseless.
        segment.end_us = info.end_us.max(segment.start_us);
        segment.time_error_us = segment.time_error_us.max(info.time_error_us);
        segment.fragments.push(Fragment {
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            key: info.key,
            start_us: info.first_arrival_us,
            video_frames: info.video_frames,
            audio_frames: info.audio_frames,
            frames_hash: info.frames_hash.clone(),
            duration_90k: info.duration_90k,
        });
    }

    /// How many fragments there are.
    pub(crate) fn fragments(&self) -> usize {
        self.segment.fragments.len()
    }

    /// The entry, for a file with this hash.
    pub(crate) fn finish(mut self, file_hash: blake3::Hash) -> Segment {
        self.segment.hash = Bytes::copy_from_slice(file_hash.as_bytes());
        self.segment
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
