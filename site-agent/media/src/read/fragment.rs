//! Reads one fragment: checks it against its checksum, and finds its samples.

use bytes::Bytes;
use prost::Message;
use wire::proto::FragmentBox;

use super::ReadError;
use crate::boxes::{Boxes, Cursor, find};
use crate::fragment::{CRC_BYTES, CRC_KEY, FRAGMENT_BOX};
use crate::frame::VideoCodec;
use crate::header::{AUDIO_TRACK, NON_SYNC, VIDEO_TRACK};
use crate::sample::{Sample, samples_hash};

/// A fragment with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedFragment {
    /// The index in front of it.
    pub info: FragmentBox,
    /// Pictures in decoding order.
    pub video: Vec<Sample>,
    /// Audio in decoding order.
    pub audio: Vec<Sample>,
}

/// Reads the fragment that `bytes` begins with; its checksum must match, and its index must agree with
/// its samples (only `frames_hash` is left to the caller). What follows it is ignored.
pub fn parse_fragment(bytes: &Bytes) -> Result<ParsedFragment, ReadError> {
    let verified = verify(bytes)?;
    let (_, video, audio) = movie_fragment(&bytes.slice(verified.moof_at..verified.bytes))?;
    let parsed = ParsedFragment { info: verified.info, video, audio };
    match agrees(&parsed) {
        true => Ok(parsed),
        false => Err(ReadError::Fragment("its index contradicts its samples")),
    }
}

/// Reads the index of the fragment that `bytes` begins with, and nothing behind it: no checksum is
/// checked, no sample looked at. For whoever only wants to know when it was recorded.
pub fn fragment_info(bytes: &[u8]) -> Result<FragmentBox, ReadError> {
    let mut boxes = Boxes::new(bytes);
    boxes.expect(b"prft").ok_or(ReadError::Fragment("`prft` is missing"))?;
    let uuid = boxes.expect(b"uuid").ok_or(ReadError::Fragment("its index is missing"))?;
    let payload = uuid.body.strip_prefix(&FRAGMENT_BOX).ok_or(ReadError::Fragment("its index is foreign"))?;
    Ok(FragmentBox::decode(payload)?)
}

fn agrees(ParsedFragment { info, video, audio }: &ParsedFragment) -> bool {
    let counts = |count: u32, samples: &[Sample]| usize::try_from(count) == Ok(samples.len());
    let lasts: u64 = video.iter().map(|sample| u64::from(sample.duration)).sum();
    video.first().is_some_and(|first| first.dts == info.decode_time_90k && first.key == info.key)
        && counts(info.video_frames, video)
        && counts(info.audio_frames, audio)
        && lasts == u64::from(info.duration_90k)
}

/// What [`FragmentBox::frames_hash`] must be, computed from the samples.
pub fn frames_hash(codec: VideoCodec, parsed: &ParsedFragment) -> [u8; 32] {
    samples_hash(codec, &parsed.video, &parsed.audio)
}

/// A fragment whose checksum matches.
pub(super) struct Verified {
    pub(super) info: FragmentBox,
    pub(super) bytes: usize,
    moof_at: usize,
}

/// Checks the fragment that `bytes` begins with.
pub(super) fn verify(bytes: &[u8]) -> Result<Verified, ReadError> {
    let mut boxes = Boxes::new(bytes);
    boxes.expect(b"prft").ok_or(ReadError::Fragment("`prft` is missing"))?;
    let uuid = boxes.expect(b"uuid").ok_or(ReadError::Fragment("its index is missing"))?;
    let moof_at = boxes.position();
    boxes.expect(b"moof").ok_or(ReadError::Fragment("`moof` is missing"))?;
    boxes.expect(b"mdat").ok_or(ReadError::Fragment("`mdat` is not complete"))?;
    let end = boxes.position();
    let payload = uuid.body.strip_prefix(&FRAGMENT_BOX).ok_or(ReadError::Fragment("its index is foreign"))?;
    let (_, checksum) =
        payload.split_last_chunk::<CRC_BYTES>().ok_or(ReadError::Fragment("its index is short"))?;
    let [CRC_KEY, stored @ ..] = *checksum else {
        return Err(ReadError::Fragment("its index has no checksum"));
    };
    let crc = bytes.get(..moof_at - CRC_BYTES).map_or(0, crc32c::crc32c);
    let crc = crc32c::crc32c_append(crc, bytes.get(moof_at..end).unwrap_or_default());
    if u32::from_le_bytes(stored) != crc {
        return Err(ReadError::Checksum("fragment"));
    }
    Ok(Verified { info: FragmentBox::decode(payload)?, bytes: end, moof_at })
}

type MovieFragment = (u32, Vec<Sample>, Vec<Sample>);

/// Reads `moof` and the `mdat` behind it: sequence number, video and audio samples.
pub(crate) fn movie_fragment(bytes: &Bytes) -> Result<MovieFragment, ReadError> {
    let senseless = ReadError::Fragment("`moof` makes no sense");
    let mut boxes = Boxes::new(bytes);
    let Some(moof) = boxes.expect(b"moof") else { return Err(senseless) };
    let data_from = boxes.position() + 8;
    if boxes.expect(b"mdat").is_none() {
        return Err(ReadError::Fragment("`mdat` is not complete"));
    }
    let data = data_from..boxes.position();
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    let sequence = find(moof.body, &[b"mfhd"]).and_then(|mfhd| Cursor::new(mfhd.get(4..)?).u32());
    for traf in Boxes::new(moof.body).filter(|found| &found.kind == b"traf") {
        let (track, samples) = match track_fragment(traf.body, bytes, &data) {
            Some(read) => read,
            None => return Err(senseless),
        };
        match track {
            VIDEO_TRACK => video.extend(samples),
            AUDIO_TRACK => audio.extend(samples),
            _ => return Err(ReadError::Fragment("it has an unknown track")),
        }
    }
    Ok((sequence.ok_or(senseless)?, video, audio))
}

fn track_fragment(traf: &[u8], bytes: &Bytes, data: &std::ops::Range<usize>) -> Option<(u32, Vec<Sample>)> {
    const PER_SAMPLE: u32 = 0xf00;
    const DATA_OFFSET_DURATION_SIZE: u32 = 0x301;
    const FLAGS: u32 = 0x400;
    const COMPOSITION: u32 = 0x800;

    let track = Cursor::new(find(traf, &[b"tfhd"])?.get(4..)?).u32()?;
    let tfdt = find(traf, &[b"tfdt"])?;
    let mut dts = match tfdt.first()? {
        1 => i64::try_from(Cursor::new(tfdt.get(4..)?).u64()?).ok()?,
        _ => return None,
    };
    let mut trun = Cursor::new(find(traf, &[b"trun"])?);
    let flags = trun.u32()? & 0xff_ffff;
    let count = usize::try_from(trun.u32()?).ok()?;
    let mut at = usize::try_from(trun.i32()?).ok()?;
    // We write data offset, durations and sizes always, and nothing else once per run.
    if flags & DATA_OFFSET_DURATION_SIZE != DATA_OFFSET_DURATION_SIZE
        || flags & !(DATA_OFFSET_DURATION_SIZE | PER_SAMPLE) != 0
        || at < data.start
    {
        return None;
    }
    let width = 4 * usize::try_from((flags & PER_SAMPLE).count_ones()).ok()?;
    let table = trun.take(count.checked_mul(width)?)?;
    if !trun.rest().is_empty() {
        return None;
    }
    let mut samples = Vec::with_capacity(count);
    for row in table.chunks_exact(width) {
        let mut row = Cursor::new(row);
        let (duration, size) = (row.u32()?, usize::try_from(row.u32()?).ok()?);
        let key = flags & FLAGS == 0 || row.u32()? & NON_SYNC & 0x1_0000 == 0;
        let cts_offset = if flags & COMPOSITION == 0 { 0 } else { row.i32()? };
        let end = at.checked_add(size).filter(|end| *end <= data.end)?;
        samples.push(Sample { data: bytes.slice(at..end), dts, cts_offset, duration, key });
        at = end;
        dts = dts.checked_add(duration.into())?;
    }
    Some((track, samples))
}
