//! A whole segment file as the pictures and sounds in it: what recordings are compared by.

use bytes::Bytes;
use wire::entry::{part_count, part_span};
use wire::proto;

use super::{Header, ParsedFragment, ReadError, parse_fragment};
use crate::frame::VideoCodec;
use crate::nal::coded_slices;

/// The fragments of a segment, with their samples.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentFrames {
    /// What the pictures are coded in.
    pub codec: VideoCodec,
    /// In file order.
    pub fragments: Vec<ParsedFragment>,
}

/// Reads a whole file, given its entry.
pub fn segment_frames(segment: &proto::Segment, file: &Bytes) -> Result<SegmentFrames, ReadError> {
    let codec = Header::parse(file)?.video.codec;
    let fragment = |part| {
        let short = ReadError::Fragment("the file is shorter than its entry says");
        let (offset, length) = part_span(segment, part).ok_or(short)?;
        let span = usize::try_from(offset).ok().zip(usize::try_from(offset + length).ok());
        let span = span.filter(|(_, end)| *end <= file.len());
        let (from, to) = span.ok_or(ReadError::Fragment("the file is shorter than its entry says"))?;
        parse_fragment(&file.slice(from..to))
    };
    Ok(SegmentFrames { codec, fragments: (1..part_count(segment)).map(fragment).collect::<Result<_, _>>()? })
}

/// The hash of one picture: over its coded slices, which no copy changes.
pub fn picture_hash(codec: VideoCodec, sample: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for slice in coded_slices(codec, sample) {
        hasher.update(slice);
    }
    hasher.finalize()
}
