//! Codec parameters as retina has them → tracks as MP4 needs them.

use media::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};
use retina::client::Stream;
use retina::codec::{ParametersRef, VideoParametersCodec};

/// Time base of all video.
const VIDEO_CLOCK: i128 = 90_000;

/// Can this stream's pictures be recorded?
pub(super) fn is_video(stream: &Stream) -> bool {
    stream.media() == "video" && matches!(stream.encoding_name(), "h264" | "h265")
}

/// Can this stream's sound be recorded?
pub(super) fn is_audio(stream: &Stream) -> bool {
    stream.media() == "audio" && matches!(stream.encoding_name(), "mpeg4-generic" | "pcma" | "pcmu")
}

/// What the messages of this stream are, if it carries ONVIF metadata.
pub(super) fn metadata_type(stream: &Stream) -> Option<&'static str> {
    match (stream.media(), stream.encoding_name()) {
        ("application", "vnd.onvif.metadata") => Some("application/xml"),
        ("application", "vnd.onvif.metadata.gzip") => Some("application/gzip"),
        ("application", "vnd.onvif.metadata.exi.onvif" | "vnd.onvif.metadata.exi.ext") => {
            Some("application/exi")
        }
        _ => None,
    }
}

/// A video stream's track; `None` until the camera has sent parameter sets.
pub(super) fn video(stream: &Stream) -> Result<Option<VideoTrack>, String> {
    let Some(ParametersRef::Video(parameters)) = stream.parameters() else { return Ok(None) };
    let codec = match parameters.codec_params() {
        VideoParametersCodec::H264 { .. } => VideoCodec::H264,
        VideoParametersCodec::H265 { .. } => VideoCodec::H265,
        _ => return Err("neither H.264 nor H.265".to_owned()),
    };
    let sample_entry = parameters.mp4_sample_entry().build().map_err(|error| error.to_string())?.into();
    let side = |pixels: u32| u16::try_from(pixels).map_err(|_| format!("{pixels} pixels are too many"));
    let (width, height) = parameters.pixel_dimensions();
    Ok(Some(VideoTrack {
        codec,
        sample_entry,
        rfc6381: parameters.rfc6381_codec().to_owned(),
        width: side(width)?,
        height: side(height)?,
    }))
}

/// An audio stream's track, or why its sound can't be recorded.
pub(super) fn audio(stream: &Stream) -> Result<AudioTrack, String> {
    let Some(ParametersRef::Audio(parameters)) = stream.parameters() else {
        return Err("its parameters are missing or make no sense".to_owned());
    };
    let channels = parameters.channels().get();
    if channels > 2 {
        return Err(format!("it has {channels} channels, at most 2 are recorded"));
    }
    let codec = match stream.encoding_name() {
        "pcma" => AudioCodec::Alaw,
        "pcmu" => AudioCodec::Ulaw,
        _ => AudioCodec::Aac {
            sample_entry: parameters.mp4_sample_entry().build().map_err(|error| error.to_string())?.into(),
            frame_length: parameters.frame_length().ok_or("its frames have no fixed length")?.get(),
        },
    };
    Ok(AudioTrack {
        codec,
        clock_rate: parameters.clock_rate(),
        channels,
        rfc6381: parameters.rfc6381_codec().unwrap_or_default().to_owned(),
    })
}

/// A picture's time in 1/90,000 s since the session's zero.
pub(super) fn pts_90k(time: retina::Timestamp) -> i64 {
    rescale(time.elapsed(), time.clock_rate().get(), VIDEO_CLOCK)
}

/// A sound's time in its track's clock rate since the session's zero.
pub(super) fn pts_in(time: retina::Timestamp, clock_rate: u32) -> i64 {
    rescale(time.elapsed(), time.clock_rate().get(), clock_rate.into())
}

/// The RTP time as received: the low 32 bits.
pub(super) fn rtp(time: retina::Timestamp) -> u32 {
    (time.timestamp() & i64::from(u32::MAX)) as u32
}

fn rescale(time: i64, from: u32, to: i128) -> i64 {
    let scaled = (i128::from(time) * to).div_euclid(i128::from(from.max(1)));
    i64::try_from(scaled).unwrap_or(if scaled < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn time(timestamp: i64, clock_rate: u32, start: u32) -> retina::Timestamp {
        retina::Timestamp::new(timestamp, NonZeroU32::new(clock_rate).unwrap(), start).unwrap()
    }

    #[test]
    fn times_count_from_the_sessions_zero_and_never_wrap() {
        let before = time(0xffff_ff00, 90_000, 0xffff_ff00);
        let after = time(0xffff_ff00 + 0x200, 90_000, 0xffff_ff00);
        assert_eq!((pts_90k(before), rtp(before)), (0, 0xffff_ff00));
        assert_eq!((pts_90k(after), rtp(after)), (0x200, 0x100));
        assert_eq!(pts_90k(time(10, 90_000, 100)), -90, "a stream may begin before its announced zero");
    }

    #[test]
    fn other_clock_rates_are_rescaled() {
        assert_eq!(pts_90k(time(1_000, 1_000, 0)), 90_000);
        assert_eq!(pts_90k(time(-1, 1_000_000, 0)), -1, "rounds down on both sides of zero");
        assert_eq!(pts_in(time(16_000, 8_000, 8_000), 16_000), 16_000);
        assert_eq!(pts_90k(time(i64::MAX, 1, 0)), i64::MAX);
    }
}
