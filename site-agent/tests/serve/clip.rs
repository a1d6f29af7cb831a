//! Real video: what ffmpeg makes, as the frames a camera would send; and what it makes of our files.

use std::process::Command;
use std::sync::OnceLock;

use bytes::Bytes;
use media::{Arrival, Output, Segmenter, VideoCodec, VideoFrame, VideoTrack};
use wire::UnixMicros;

/// Seconds of every clip; 25 pictures and one keyframe per second.
pub(crate) const SECONDS: i64 = 12;

/// Runs one of ffmpeg's programs, which must succeed. Gives its output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = match Command::new(program).args(["-v", "error"]).args(arguments).output() {
        Ok(output) => output,
        Err(error) => panic!("`{program}` can't be run ({error}): run ops/setup.sh, which installs it"),
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

/// How many pictures ffprobe decodes from a file or an address.
pub(crate) fn count_frames(input: &str) -> usize {
    count(input, ["-count_frames", "stream=nb_read_frames"])
}

/// How many pictures ffprobe finds there.
pub(crate) fn count_packets(input: &str) -> usize {
    count(input, ["-count_packets", "stream=nb_read_packets"])
}

fn count(input: &str, [how, what]: [&str; 2]) -> usize {
    let counted =
        run("ffprobe", &[how, "-select_streams", "v:0", "-show_entries", what, "-of", "csv=p=0", input]);
    let first = counted.lines().next().unwrap_or_default().trim_end_matches(',');
    first.parse().unwrap_or_else(|_| panic!("ffprobe counted {counted:?}"))
}

/// What a camera sends.
pub(crate) struct Clip {
    video: VideoTrack,
    pictures: Vec<(bool, Bytes)>,
}

/// A clip in H.264.
pub(crate) fn h264() -> &'static Clip {
    static CLIP: OnceLock<Clip> = OnceLock::new();
    CLIP.get_or_init(|| Clip::make(VideoCodec::H264))
}

/// A clip in H.265.
pub(crate) fn h265() -> &'static Clip {
    static CLIP: OnceLock<Clip> = OnceLock::new();
    CLIP.get_or_init(|| Clip::make(VideoCodec::H265))
}

impl Clip {
    fn make(codec: VideoCodec) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mp4, raw) = (dir.path().join("a.mp4"), dir.path().join("a.bin"));
        let (mp4, raw) = (mp4.to_str().unwrap(), raw.to_str().unwrap());
        let (encoder, option, filter, format, tag, rfc6381) = match codec {
            VideoCodec::H264 => {
                ("libx264", "-x264-params", "h264_mp4toannexb", "h264", "avc1", "avc1.64000d")
            }
            VideoCodec::H265 => {
                ("libx265", "-x265-params", "hevc_mp4toannexb", "hevc", "hvc1", "hvc1.1.6.L60.90")
            }
        };
        let source = format!("testsrc=size=192x128:rate=25:duration={SECONDS}");
        let encode = ["-c:v", encoder, "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-tag:v", tag];
        let parameters = [option, "aud=1:keyint=25:scenecut=0:open-gop=0:bframes=0"];
        run("ffmpeg", &[&["-f", "lavfi", "-i", &source], &encode[..], &parameters, &[mp4]].concat());
        run("ffmpeg", &["-i", mp4, "-c", "copy", "-bsf:v", filter, "-f", format, raw]);
        let sample_entry = sample_entry(&std::fs::read(mp4).unwrap());
        let pictures = pictures(codec, &std::fs::read(raw).unwrap());
        assert_eq!(pictures.len() as i64, SECONDS * 25);
        let video = VideoTrack { codec, sample_entry, rfc6381: rfc6381.into(), width: 192, height: 128 };
        Self { video, pictures }
    }

    /// Sends everything through a new connection that begins at `start`.
    pub(crate) fn send(&self, segmenter: &mut Segmenter, start: UnixMicros) -> Vec<Output> {
        let mut outputs = segmenter.connected(self.video.clone(), None);
        for (index, (key, data)) in (0i64..).zip(&self.pictures) {
            let wall = UnixMicros(start.0 + index * 40_000);
            outputs.extend(segmenter.video(VideoFrame {
                pts_90k: index * 3600,
                rtp: 0,
                key: *key,
                data: data.clone(),
                arrival: Arrival { wall, boot_us: u64::try_from(wall.0).unwrap() },
                sender_report: None,
            }));
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

/// Pictures of an elementary stream with delimiters between them, the way a camera's are recorded:
/// lengths instead of start codes, without delimiters and parameter sets.
fn pictures(codec: VideoCodec, stream: &[u8]) -> Vec<(bool, Bytes)> {
    let mut starts: Vec<usize> =
        stream.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at + 3).collect();
    starts.push(stream.len() + 3);
    let mut pictures = vec![(false, Vec::new())];
    let mut has_slice = false;
    for pair in starts.windows(2) {
        let mut unit = &stream[pair[0]..pair[1] - 3];
        while let [rest @ .., 0] = unit {
            unit = rest;
        }
        let (kind, delimiter, sets, key, slices) = match codec {
            VideoCodec::H264 => (unit[0] & 0x1f, 9, 7..=8, 5..=5, 1..=5),
            VideoCodec::H265 => ((unit[0] >> 1) & 0x3f, 35, 32..=34, 16..=21, 0..=31),
        };
        if kind == delimiter && has_slice {
            pictures.push((false, Vec::new()));
            has_slice = false;
        } else if kind != delimiter
            && !sets.contains(&kind)
            && let Some((is_key, data)) = pictures.last_mut()
        {
            *is_key |= key.contains(&kind);
            has_slice |= slices.contains(&kind);
            data.extend(u32::try_from(unit.len()).unwrap().to_be_bytes());
            data.extend(unit);
        }
    }
    pictures.into_iter().map(|(key, data)| (key, data.into())).collect()
}
