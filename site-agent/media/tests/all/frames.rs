//! Made-up cameras: frames that no decoder would like, but that lie in files like real ones.

use std::time::Duration;

use bytes::Bytes;
use media::*;
use wire::proto::Segment;
use wire::{LedgerId, OriginId, UnixMicros};

pub(crate) const START_US: i64 = 1_700_000_000_000_000;

pub(crate) fn ledger() -> LedgerId {
    LedgerId { origin: OriginId([7; 16]), stream: "till-1/main".parse().unwrap() }
}

pub(crate) fn config() -> SegmenterConfig {
    SegmenterConfig {
        segment: Duration::from_secs(4),
        fragment: Duration::from_secs(1),
        first_segment: Duration::from_secs(4),
    }
}

pub(crate) fn segmenter() -> Segmenter {
    Segmenter::new(ledger(), config(), 1_500)
}

pub(crate) fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&size[..], kind, body].concat()
}

pub(crate) fn video_track(width: u16) -> VideoTrack {
    let config = [1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 2, 0x67, 0x42, 1, 0, 2, 0x68, 0xce];
    let body = [&[0; 78][..], &boxed(b"avcC", &config)].concat();
    VideoTrack {
        codec: VideoCodec::H264,
        sample_entry: boxed(b"avc1", &body).into(),
        rfc6381: "avc1.42c01f".into(),
        width,
        height: 240,
    }
}

pub(crate) fn alaw() -> AudioTrack {
    AudioTrack { codec: AudioCodec::Alaw, clock_rate: 8000, channels: 1, rfc6381: String::new() }
}

pub(crate) fn arrival(boot_us: u64) -> Arrival {
    Arrival { wall: UnixMicros(START_US + i64::try_from(boot_us).unwrap()), boot_us }
}

/// A frame that arrives at `boot_us`.
pub(crate) fn video(pts_90k: i64, key: bool, boot_us: u64, size: usize) -> VideoFrame {
    let mut nal = vec![if key { 0x65 } else { 0x41 }];
    nal.extend((0..size).map(|index| u8::try_from((index as i64 ^ pts_90k) & 0xff).unwrap()));
    let data = [&u32::try_from(nal.len()).unwrap().to_be_bytes()[..], &nal].concat();
    VideoFrame {
        pts_90k,
        rtp: u32::try_from(pts_90k & 0xffff_ffff).unwrap(),
        key,
        data: data.into(),
        arrival: arrival(boot_us),
        sender_report: Some(SenderReport { ntp: 99, rtp: 98 }),
    }
}

pub(crate) fn audio(pts: i64, boot_us: u64) -> AudioFrame {
    AudioFrame { pts, data: Bytes::from(vec![0xd5; 160]), arrival: arrival(boot_us) }
}

/// Feeds frame `number` of a camera with 25 frames per second, every `gop`-th a keyframe, and the sound
/// of the time until the next one.
pub(crate) fn tick(segmenter: &mut Segmenter, number: u64, gop: u64, zero: i64) -> Vec<Output> {
    let (index, boot_us) = (i64::try_from(number).unwrap(), number * 40_000);
    let mut outputs = segmenter.video(video(zero + index * 3600, number.is_multiple_of(gop), boot_us, 50));
    for half in 0..2 {
        let pts = zero + index * 320 + half * 160;
        outputs.extend(segmenter.audio(audio(pts, boot_us + u64::try_from(half).unwrap() * 20_000)));
    }
    outputs
}

/// A segment file with its entry, put together from outputs.
pub(crate) struct File {
    pub(crate) entry: Segment,
    pub(crate) parts: Vec<Part>,
}

impl File {
    pub(crate) fn bytes(&self) -> Bytes {
        self.parts.iter().flat_map(|part| part.data.iter().copied()).collect()
    }

    pub(crate) fn header(&self) -> media::read::Header {
        media::read::Header::parse(&self.parts[0].data).unwrap()
    }

    pub(crate) fn fragments(&self) -> Vec<media::read::ParsedFragment> {
        let fragments = self.parts.iter().skip(1);
        fragments.map(|part| media::read::parse_fragment(&part.data).unwrap()).collect()
    }
}

/// Checks the order of outputs, and makes files of them.
pub(crate) fn files(outputs: Vec<Output>) -> Vec<File> {
    let mut files = Vec::new();
    let mut parts: Vec<Part> = Vec::new();
    for output in outputs {
        match output {
            Output::Part(part) => {
                assert_eq!(part.segment.0, files.len() as u64, "segments are numbered densely");
                assert_eq!(part.part as usize, parts.len(), "parts come in order");
                parts.push(part);
            }
            Output::Closed(entry) => {
                assert_eq!(entry.number, files.len() as u64);
                assert!(parts.len() >= 2, "a header and a fragment");
                files.push(File { entry: *entry, parts: std::mem::take(&mut parts) });
            }
        }
    }
    assert!(parts.is_empty(), "every segment is closed");
    files
}
