//! Reads the header of a segment file or of an export.

use bytes::Bytes;

use super::ReadError;
use crate::boxes::{BoxRef, Boxes, Cursor, find};
use crate::frame::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};
use crate::header::{AUDIO_TRACK, VIDEO_TRACK};

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The video track.
    pub video: VideoTrack,
    /// The audio track, if there is one.
    pub audio: Option<AudioTrack>,
    /// How long the header is.
    pub bytes: usize,
    /// BLAKE3 of it: equal headers mean equal parameters.
    pub hash: [u8; 32],
}

impl Header {
    /// Reads the header at the beginning of `file` and checks its checksum.
    pub fn parse(file: &[u8]) -> Result<Self, ReadError> {
        let mut boxes = Boxes::new(file);
        let ftyp = boxes.expect(b"ftyp").ok_or(ReadError::Header("it doesn't begin with `ftyp`"))?;
        let free = boxes.expect(b"free").ok_or(ReadError::Header("its checksum is missing"))?;
        let moov = boxes.expect(b"moov").ok_or(ReadError::Header("`moov` is missing"))?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(ftyp.whole), moov.whole);
        if free.body != crc.to_be_bytes() {
            return Err(ReadError::Checksum("header"));
        }
        Self::of(file, boxes.position(), moov)
    }

    /// Reads the header of an exported file, which has no checksum.
    pub(crate) fn parse_export(file: &[u8]) -> Result<Self, ReadError> {
        let mut boxes = Boxes::new(file);
        boxes.expect(b"ftyp").ok_or(ReadError::Header("it doesn't begin with `ftyp`"))?;
        let moov = boxes.expect(b"moov").ok_or(ReadError::Header("`moov` is missing"))?;
        Self::of(file, boxes.position(), moov)
    }

    fn of(file: &[u8], bytes: usize, moov: BoxRef<'_>) -> Result<Self, ReadError> {
        let video = video_track(moov.body).ok_or(ReadError::Header("its video track makes no sense"))?;
        let audio = match trak(moov.body, AUDIO_TRACK) {
            None => None,
            Some(trak) => Some(
                audio_track(moov.body, trak).ok_or(ReadError::Header("its audio track makes no sense"))?,
            ),
        };
        let hash = blake3::hash(file.get(..bytes).unwrap_or_default()).into();
        Ok(Self { video, audio, bytes, hash })
    }

    /// The `codecs` parameter of RFC 6381 for both tracks.
    pub fn codecs(&self) -> String {
        crate::header::codecs(&self.video, self.audio.as_ref())
    }
}

fn trak(moov: &[u8], id: u32) -> Option<&[u8]> {
    Boxes::new(moov)
        .filter(|found| &found.kind == b"trak")
        .map(|found| found.body)
        .find(|trak| find(trak, &[b"tkhd"]).and_then(|tkhd| cursor(tkhd, 12)?.u32()) == Some(id))
}

fn video_track(moov: &[u8]) -> Option<VideoTrack> {
    let trak = trak(moov, VIDEO_TRACK)?;
    let mut size = cursor(find(trak, &[b"tkhd"])?, 76)?;
    let (width, height) = (size.u16()?, {
        size.u16()?;
        size.u16()?
    });
    let entry = sample_entry(trak)?;
    let codec = match &entry.kind {
        b"avc1" | b"avc3" => VideoCodec::H264,
        b"hvc1" | b"hev1" => VideoCodec::H265,
        _ => return None,
    };
    let sample_entry = Bytes::copy_from_slice(entry.whole);
    Some(VideoTrack { codec, sample_entry, rfc6381: handler_name(trak)?, width, height })
}

fn audio_track(moov: &[u8], trak: &[u8]) -> Option<AudioTrack> {
    let clock_rate = cursor(find(trak, &[b"mdia", b"mdhd"])?, 20)?.u32().filter(|rate| *rate > 0)?;
    let entry = sample_entry(trak)?;
    let declared = cursor(entry.body, 16)?.u16()?;
    let channels = aac_channels(entry).unwrap_or(declared);
    let codec = match &entry.kind {
        b"alaw" => AudioCodec::Alaw,
        b"ulaw" => AudioCodec::Ulaw,
        b"mp4a" => AudioCodec::Aac {
            sample_entry: Bytes::copy_from_slice(entry.whole),
            frame_length: default_duration(moov, AUDIO_TRACK)?,
        },
        _ => return None,
    };
    Some(AudioTrack { codec, clock_rate, channels, rfc6381: handler_name(trak)? })
}

/// The channels as the decoder's configuration tells them: sample entries say 2 for anything.
fn aac_channels(sample_entry: BoxRef<'_>) -> Option<u16> {
    let mut specific = Cursor::new(aac_config(sample_entry.whole)?);
    // Five bits of object type, four of frequency, four of channels.
    let bits = specific.u16()?;
    let frequency_is_spelled_out = (bits >> 7) & 0xf == 0xf;
    let channels = (bits >> 3) & 0xf;
    (!frequency_is_spelled_out && channels > 0).then_some(if channels == 7 { 8 } else { channels })
}

/// The AudioSpecificConfig in an `mp4a` sample entry.
pub(crate) fn aac_config(sample_entry: &[u8]) -> Option<&[u8]> {
    const ES: u8 = 3;
    const DECODER_CONFIG: u8 = 4;
    const DECODER_SPECIFIC: u8 = 5;
    let esds = find(sample_entry.get(8 + 28..)?, &[b"esds"])?.get(4..)?;
    let config = descriptor(descriptor(esds, ES)?.get(3..)?, DECODER_CONFIG)?;
    descriptor(config.get(13..)?, DECODER_SPECIFIC)
}

/// The contents of an MPEG-4 descriptor that begins with its tag and a length in groups of seven bits.
fn descriptor(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut cursor = Cursor::new(bytes);
    if cursor.u8()? != tag {
        return None;
    }
    let mut length = 0;
    for _ in 0..4 {
        let byte = cursor.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    cursor.take(length)
}

fn sample_entry(trak: &[u8]) -> Option<BoxRef<'_>> {
    let stsd = find(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
    Boxes::new(stsd.get(8..)?).next()
}

fn handler_name(trak: &[u8]) -> Option<String> {
    let name = find(trak, &[b"mdia", b"hdlr"])?.get(24..)?;
    String::from_utf8(name.strip_suffix(&[0])?.to_vec()).ok()
}

fn default_duration(moov: &[u8], id: u32) -> Option<u32> {
    let trexes = Boxes::new(find(moov, &[b"mvex"])?).filter(|found| &found.kind == b"trex");
    trexes
        .filter_map(|trex| {
            let mut cursor = cursor(trex.body, 4)?;
            let (track, _, duration) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
            (track == id).then_some(duration)
        })
        .next()
}

fn cursor(bytes: &[u8], at: usize) -> Option<Cursor<'_>> {
    bytes.get(at..).map(Cursor::new)
}
