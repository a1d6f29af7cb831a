//! Real codecs: what ffmpeg makes, as the frames a camera would send; and what it makes of our files.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use media::*;

use crate::frames::arrival;

/// Runs one of ffmpeg's programs, which must succeed without a word on stderr. Gives its output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = match Command::new(program).args(["-v", "error"]).args(arguments).output() {
        Ok(output) => output,
        Err(error) => panic!("`{program}` can't be run ({error}): run ops/setup.sh, which installs it"),
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{program} {arguments:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

/// How many frames of a stream ("v:0", "a:0") ffprobe decodes.
pub(crate) fn count_frames(file: &Path, stream: &str) -> usize {
    let entry = ["-count_frames", "-select_streams", stream, "-show_entries", "stream=nb_read_frames"];
    let counted = run("ffprobe", &[&entry[..], &["-of", "csv=p=0", path(file)]].concat());
    counted.trim().parse().unwrap()
}

/// One column of what ffprobe says of every packet or frame.
pub(crate) fn column(file: &Path, stream: &str, entry: &str) -> Vec<i64> {
    let said =
        run("ffprobe", &["-select_streams", stream, "-show_entries", entry, "-of", "csv=p=0", path(file)]);
    let first = |line: &str| line.split(',').next().and_then(|text| text.trim().parse().ok());
    said.lines().filter_map(first).collect()
}

/// Decodes everything.
pub(crate) fn decode(file: &Path) {
    run("ffmpeg", &["-xerror", "-i", path(file), "-f", "null", "-"]);
}

pub(crate) fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

/// What a camera sends.
#[derive(Clone)]
pub(crate) struct Clip {
    pub(crate) video: VideoTrack,
    pub(crate) audio: Option<AudioTrack>,
    /// Presentation time, key, data; in decoding order.
    pub(crate) pictures: Vec<(i64, bool, Bytes)>,
    /// Presentation time and payload.
    pub(crate) sounds: Vec<(i64, Bytes)>,
}

impl Clip {
    /// 25 pictures per second, a keyframe every second.
    pub(crate) fn new(codec: VideoCodec, (width, height): (u16, u16), seconds: u32, b_frames: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mp4, elementary) = (dir.path().join("a.mp4"), dir.path().join("a.bin"));
        let source = format!("testsrc=size={width}x{height}:rate=25:duration={seconds}");
        let (encoder, option, filter, format) = match codec {
            VideoCodec::H264 => ("libx264", "-x264-params", "h264_mp4toannexb", "h264"),
            VideoCodec::H265 => ("libx265", "-x265-params", "hevc_mp4toannexb", "hevc"),
        };
        let options = format!("aud=1:keyint=25:scenecut=0:open-gop=0:bframes={b_frames}:log-level=error");
        let options =
            if codec == VideoCodec::H264 { options.replace(":log-level=error", "") } else { options };
        let tag = if codec == VideoCodec::H264 { "avc1" } else { "hvc1" };
        run(
            "ffmpeg",
            &[
                "-f",
                "lavfi",
                "-i",
                &source,
                "-c:v",
                encoder,
                "-preset",
                "veryfast",
                "-pix_fmt",
                "yuv420p",
                option,
                &options,
                "-tag:v",
                tag,
                "-video_track_timescale",
                "90000",
                path(&mp4),
            ],
        );
        run("ffmpeg", &["-i", path(&mp4), "-c", "copy", "-bsf:v", filter, "-f", format, path(&elementary)]);
        let times = column(&mp4, "v:0", "packet=pts");
        let units = access_units(codec, &std::fs::read(&elementary).unwrap());
        assert_eq!(times.len(), units.len());
        let pictures = times.into_iter().zip(units).map(|(time, (key, data))| (time, key, data)).collect();
        let rfc6381 = if codec == VideoCodec::H264 { "avc1.64000d" } else { "hvc1.1.6.L60.90" };
        let sample_entry = sample_entry(&std::fs::read(&mp4).unwrap());
        let video = VideoTrack { codec, sample_entry, rfc6381: rfc6381.into(), width, height };
        Self { video, audio: None, pictures, sounds: Vec::new() }
    }

    /// With a tone in AAC.
    pub(crate) fn with_aac(mut self, seconds: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mp4, adts) = (dir.path().join("a.mp4"), dir.path().join("a.aac"));
        let source = format!("sine=frequency=440:sample_rate=16000:duration={seconds}");
        for file in [&mp4, &adts] {
            run("ffmpeg", &["-f", "lavfi", "-i", &source, "-c:a", "aac", path(file)]);
        }
        let bytes = std::fs::read(&adts).unwrap();
        let mut rest = &bytes[..];
        while let [_, _, _, a, b, c, _, ..] = *rest {
            let length = usize::from(a & 3) << 11 | usize::from(b) << 3 | usize::from(c >> 5);
            let time = i64::try_from(self.sounds.len()).unwrap() * 1024;
            self.sounds.push((time, Bytes::copy_from_slice(&rest[7..length])));
            rest = &rest[length..];
        }
        // The encoder's last frame lies beyond the last picture.
        self.sounds.retain(|(time, _)| *time < i64::from(seconds) * 16_000);
        let codec =
            AudioCodec::Aac { sample_entry: sample_entry(&std::fs::read(&mp4).unwrap()), frame_length: 1024 };
        self.audio = Some(AudioTrack { codec, clock_rate: 16_000, channels: 1, rfc6381: "mp4a.40.2".into() });
        self
    }

    /// With a tone in G.711, 20 ms to the packet.
    pub(crate) fn with_g711(mut self, codec: AudioCodec, channels: u16, seconds: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("a.raw");
        let source = format!("sine=frequency=440:sample_rate=8000:duration={seconds}");
        let format = if codec == AudioCodec::Alaw { "alaw" } else { "mulaw" };
        let count = channels.to_string();
        run("ffmpeg", &["-f", "lavfi", "-i", &source, "-ac", &count, "-f", format, path(&raw)]);
        let bytes = std::fs::read(&raw).unwrap();
        let packets = bytes.chunks(160 * usize::from(channels)).enumerate();
        self.sounds = packets
            .map(|(index, packet)| (i64::try_from(index).unwrap() * 160, Bytes::copy_from_slice(packet)))
            .collect();
        self.audio = Some(AudioTrack { codec, clock_rate: 8000, channels, rfc6381: String::new() });
        self
    }

    /// Sends everything through a new connection that begins `start_us` after boot.
    pub(crate) fn send(&self, segmenter: &mut Segmenter, start_us: u64) -> Vec<Output> {
        let mut outputs = segmenter.connected(self.video.clone(), self.audio.clone());
        let rate = self.audio.as_ref().map_or(1, |audio| i64::from(audio.clock_rate));
        let mut sounds = self.sounds.iter().peekable();
        for (index, (time, key, data)) in self.pictures.iter().enumerate() {
            let now = i64::try_from(index).unwrap() * 40_000;
            let at = |us: i64| arrival(start_us + u64::try_from(us).unwrap());
            outputs.extend(segmenter.video(VideoFrame {
                pts_90k: *time,
                rtp: 0,
                key: *key,
                data: data.clone(),
                arrival: at(now),
                sender_report: None,
            }));
            while let Some((time, data)) = sounds.next_if(|(time, _)| time * 1_000_000 / rate < now + 40_000)
            {
                let arrival = at(time * 1_000_000 / rate);
                outputs.extend(segmenter.audio(AudioFrame { pts: *time, data: data.clone(), arrival }));
            }
        }
        outputs
    }
}

/// The sample entry of an MP4 with one track.
fn sample_entry(mp4: &[u8]) -> Bytes {
    let stsd = mp4.windows(4).position(|kind| kind == b"stsd").unwrap() + 12;
    let size = u32::from_be_bytes(mp4[stsd..stsd + 4].try_into().unwrap()) as usize;
    Bytes::copy_from_slice(&mp4[stsd..stsd + size])
}

/// Access units of an elementary stream with delimiters between them, the way a camera's are recorded:
/// lengths instead of start codes, without delimiters and parameter sets.
fn access_units(codec: VideoCodec, stream: &[u8]) -> Vec<(bool, Bytes)> {
    #[derive(Default)]
    struct Unit {
        key: bool,
        has_slice: bool,
        data: Vec<u8>,
    }
    let mut starts: Vec<usize> =
        stream.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at + 3).collect();
    starts.push(stream.len() + 3);
    let mut units = vec![Unit::default()];
    for pair in starts.windows(2) {
        let mut nal = &stream[pair[0]..pair[1] - 3];
        while let [rest @ .., 0] = nal {
            nal = rest;
        }
        let (kind, delimiter, sets, key, slices) = match codec {
            VideoCodec::H264 => (nal[0] & 0x1f, 9, 7..=8, 5..=5, 1..=5),
            VideoCodec::H265 => ((nal[0] >> 1) & 0x3f, 35, 32..=34, 16..=21, 0..=31),
        };
        let unit = units.last_mut().unwrap();
        if kind == delimiter && unit.has_slice {
            units.push(Unit::default());
        } else if kind != delimiter && !sets.contains(&kind) {
            unit.key |= key.contains(&kind);
            unit.has_slice |= slices.contains(&kind);
            unit.data.extend(u32::try_from(nal.len()).unwrap().to_be_bytes());
            unit.data.extend(nal);
        }
    }
    units.into_iter().map(|unit| (unit.key, unit.data.into())).collect()
}
