//! Segments of real codecs play, each alone.

use std::time::Duration;

use media::*;

use crate::ffmpeg::{Clip, column, count_frames, decode};
use crate::frames::{File, files, segmenter};

fn record(clip: &Clip) -> Vec<File> {
    let mut segmenter = segmenter();
    let mut outputs = clip.send(&mut segmenter, 0);
    outputs.extend(segmenter.cut());
    files(outputs)
}

fn check(clip: &Clip, files: &[File]) {
    let dir = tempfile::tempdir().unwrap();
    let mut pictures = 0;
    let mut sounds = 0;
    for file in files {
        let name = dir.path().join("segment.mp4");
        std::fs::write(&name, file.bytes()).unwrap();
        let expected: u32 = file.entry.fragments.iter().map(|fragment| fragment.video_frames).sum();
        assert_eq!(count_frames(&name, "v:0"), expected as usize);
        pictures += expected as usize;
        assert_eq!(*column(&name, "v:0", "packet=dts").first().unwrap(), file.entry.decode_time_90k);
        if clip.audio.is_some() {
            sounds += column(&name, "a:0", "packet=dts").len();
        }
        decode(&name);
    }
    assert_eq!(pictures, clip.pictures.len());
    assert_eq!(sounds, clip.sounds.len());
}

#[test]
fn h264_with_aac() {
    let clip = Clip::new(VideoCodec::H264, (320, 240), 9, 0).with_aac(9);
    let files = record(&clip);
    assert_eq!(files.len(), 3);
    assert_eq!(files[0].header().audio, clip.audio);
    assert_eq!(files[0].entry.codecs, "avc1.64000d,mp4a.40.2");
    check(&clip, &files);
}

#[test]
fn h265_with_ulaw() {
    let clip = Clip::new(VideoCodec::H265, (320, 240), 5, 0).with_g711(AudioCodec::Ulaw, 2, 5);
    let files = record(&clip);
    assert_eq!(files[0].header().video, clip.video);
    check(&clip, &files);
}

#[test]
fn h264_with_alaw() {
    let clip = Clip::new(VideoCodec::H264, (320, 240), 5, 0).with_g711(AudioCodec::Alaw, 1, 5);
    check(&clip, &record(&clip));
}

#[test]
fn b_frames() {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let clip = Clip::new(codec, (320, 240), 9, 2);
        assert!(clip.pictures.windows(2).any(|pair| pair[0].0 > pair[1].0), "there are B-frames");
        // Fragments that end between keyframes, in the middle of reordering.
        let config = SegmenterConfig {
            segment: Duration::from_secs(4),
            fragment: Duration::from_millis(300),
            first_segment: Duration::from_secs(2),
        };
        let mut segmenter = Segmenter::new(crate::frames::ledger(), config, 0);
        let mut outputs = clip.send(&mut segmenter, 0);
        outputs.extend(segmenter.cut());
        let files = files(outputs);
        assert_eq!(
            files.iter().map(|file| file.entry.decode_time_90k / 90_000).collect::<Vec<_>>(),
            [0, 2, 6]
        );
        let shown: Vec<i64> = files
            .iter()
            .flat_map(|file| file.fragments())
            .flat_map(|f| f.video)
            .map(|sample| sample.dts + i64::from(sample.cts_offset))
            .collect();
        let zero = clip.pictures[0].0;
        let sent: Vec<i64> = clip.pictures.iter().map(|(time, ..)| time - zero).collect();
        assert_eq!(shown, sent, "every picture is shown when it was meant to be");
        check(&clip, &files);
    }
}
