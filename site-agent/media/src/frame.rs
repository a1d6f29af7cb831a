//! What comes in: frames, the tracks they belong to, and when they arrived.

use bytes::Bytes;
use wire::UnixMicros;

/// The codec of a video track, as far as MP4 needs to tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264 / AVC: samples are NAL units with four-byte lengths.
    H264,
    /// H.265 / HEVC: likewise.
    H265,
}

/// A video track's parameters. When they change, a new segment begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTrack {
    /// Which codec.
    pub codec: VideoCodec,
    /// The `avc1` or `hvc1` sample entry box, complete, parameter sets within.
    pub sample_entry: Bytes,
    /// RFC 6381, for example `avc1.42c01f`.
    pub rfc6381: String,
    /// Picture width in pixels as displayed.
    pub width: u16,
    /// Picture height in pixels as displayed.
    pub height: u16,
}

/// The codec of an audio track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC in raw access units.
    Aac {
        /// The `mp4a` sample entry box, complete.
        sample_entry: Bytes,
        /// Samples in an access unit: 1024, or 960.
        frame_length: u32,
    },
    /// G.711 A-law, 8 bit (`alaw` in MP4).
    Alaw,
    /// G.711 µ-law, 8 bit (`ulaw` in MP4).
    Ulaw,
}

/// An audio track's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioTrack {
    /// Which codec.
    pub codec: AudioCodec,
    /// Samples per second; also the time base of the track's frames.
    pub clock_rate: u32,
    /// 1 or 2.
    pub channels: u16,
    /// RFC 6381, for example `mp4a.40.2`; empty where there is none.
    pub rfc6381: String,
}

/// When a frame arrived, on two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The wall clock.
    pub wall: UnixMicros,
    /// Microseconds since boot: never steps.
    pub boot_us: u64,
}

/// The last RTCP sender report: the camera's own idea of wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderReport {
    /// NTP time, 32.32 fixed point.
    pub ntp: u64,
    /// The RTP time of the same instant.
    pub rtp: u32,
}

/// One coded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFrame {
    /// Presentation time in 1/90,000 s, from an arbitrary zero; unwrapped, so it never jumps at 2³².
    pub pts_90k: i64,
    /// The RTP time as received.
    pub rtp: u32,
    /// Can decoding begin here?
    pub key: bool,
    /// NAL units with four-byte lengths.
    pub data: Bytes,
    /// When its last packet arrived.
    pub arrival: Arrival,
    /// The last sender report known when it arrived.
    pub sender_report: Option<SenderReport>,
}

/// One audio access unit (AAC) or packet (G.711).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFrame {
    /// Presentation time in the track's clock rate, from an arbitrary zero.
    pub pts: i64,
    /// The payload.
    pub data: Bytes,
    /// When it arrived.
    pub arrival: Arrival,
}
