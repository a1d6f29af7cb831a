//! Exports play across gaps and changes, and hold what was recorded.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use media::export::*;
use media::read::Header;
use media::*;

use crate::ffmpeg::{Clip, column, count_frames, decode, path, run};
use crate::frames::*;

/// Exports files, and checks what every export must be.
fn export(files: &[File], audio: Option<&AudioTrack>) -> Bytes {
    let total =
        files.iter().flat_map(|file| &file.entry.fragments).map(|f| u64::from(f.duration_90k)).sum::<u64>();
    let first = files[0].header();
    let (mut exporter, start) = Exporter::begin(&first, audio, Some(Duration::from_micros(total * 100 / 9)));
    let mut bytes = start.to_vec();
    let mut hashes = Vec::new();
    for file in files {
        let header = file.header();
        for (part, entry) in file.parts[1..].iter().zip(&file.entry.fragments) {
            let exported = exporter.fragment(&header, &part.data).unwrap();
            if !exported.audio_dropped {
                assert_eq!(&exported.frames_hash[..], &entry.frames_hash);
            }
            assert!(!exported.skipped);
            bytes.extend(exported.data);
            hashes.push(exported.frames_hash);
        }
    }
    assert_eq!(exporter.duration(), Duration::from_micros(total * 100 / 9));
    let proven = bytes.len();
    bytes.extend(proof_box(b"the proof"));
    bytes.extend(exporter.finish());
    let bytes = Bytes::from(bytes);

    let proof = find_proof(&bytes[bytes.len() / 2..]).unwrap();
    assert_eq!(proof.payload, b"the proof");
    assert_eq!(bytes.len() - proof.from_end, proven);
    let fragments: Vec<_> = exported_fragments(&bytes).unwrap().map(Result::unwrap).collect();
    assert_eq!(fragments.iter().map(ExportedFragment::frames_hash).collect::<Vec<_>>(), hashes);
    let mut end = 0;
    for sample in fragments.iter().flat_map(|fragment| &fragment.video) {
        assert_eq!(sample.dts, end, "gaps are closed up");
        end += i64::from(sample.duration);
    }
    let sounds: Vec<_> = fragments.iter().flat_map(|fragment| &fragment.audio).collect();
    assert!(sounds.windows(2).all(|pair| pair[0].dts < pair[1].dts), "sound never goes back");
    bytes
}

fn written(dir: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let name = dir.join("export.mp4");
    std::fs::write(&name, bytes).unwrap();
    name
}

/// Two connections with other parameters, 30 s apart.
fn two_sizes(codec: VideoCodec) -> (Vec<File>, Clip) {
    let small = Clip::new(codec, (320, 240), 6, 0).with_aac(6);
    let large = Clip::new(codec, (640, 480), 5, 0).with_aac(5);
    let mut segmenter = segmenter();
    let mut outputs = small.send(&mut segmenter, 0);
    outputs.extend(segmenter.cut());
    outputs.extend(large.send(&mut segmenter, 36_000_000));
    outputs.extend(segmenter.cut());
    outputs.extend(small.send(&mut segmenter, 50_000_000));
    outputs.extend(segmenter.cut());
    (files(outputs), small)
}

#[test]
fn two_sizes_and_gaps_play_as_one() {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let (files, clip) = two_sizes(codec);
        let bytes = export(&files, clip.audio.as_ref());
        let dir = tempfile::tempdir().unwrap();
        let name = written(dir.path(), &bytes);
        assert_eq!(count_frames(&name, "v:0"), 17 * 25);
        decode(&name);
        let widths = column(&name, "v:0", "frame=width");
        assert_eq!(widths, [vec![320; 150], vec![640; 125], vec![320; 150]].concat());
        let seconds = run("ffprobe", &["-show_entries", "format=duration", "-of", "csv=p=0", path(&name)]);
        assert!((seconds.trim().parse::<f64>().unwrap() - 17.0).abs() < 0.2, "{seconds}");

        // Sound stays with the picture in every part.
        let sounds = column(&name, "a:0", "packet=dts");
        let step = |pair: &[i64]| pair[1] - pair[0];
        assert_eq!(
            sounds.len(),
            files.iter().flat_map(|f| &f.entry.fragments).map(|f| f.audio_frames as usize).sum()
        );
        assert!(sounds.windows(2).all(|pair| step(pair) <= 2 * 1024), "sound has no holes");
        assert!(
            sounds.contains(&(6 * 16_000)) && sounds.contains(&(11 * 16_000)),
            "sound begins with the picture"
        );
        // Playing can begin in any part.
        for start in ["2.5", "8.5", "14.5"] {
            run("ffmpeg", &["-xerror", "-ss", start, "-i", path(&name), "-frames:v", "5", "-f", "null", "-"]);
        }
    }
}

#[test]
fn sound_is_kept_only_while_it_is_the_same() {
    let aac = Clip::new(VideoCodec::H264, (320, 240), 5, 0).with_aac(5);
    let mut alaw = aac.clone();
    alaw.sounds.clear();
    let alaw = alaw.with_g711(AudioCodec::Alaw, 1, 5);
    let mut segmenter = segmenter();
    let mut outputs = aac.send(&mut segmenter, 0);
    outputs.extend(alaw.send(&mut segmenter, 7_000_000));
    outputs.extend(segmenter.cut());
    let files = files(outputs);
    let bytes = export(&files, aac.audio.as_ref());
    let dir = tempfile::tempdir().unwrap();
    let name = written(dir.path(), &bytes);
    assert_eq!(column(&name, "a:0", "packet=dts").len(), aac.sounds.len());
    assert_eq!(count_frames(&name, "v:0"), 250);
    decode(&name);
    let silent = export(&files, None);
    std::fs::write(&name, silent).unwrap();
    assert!(column(&name, "a:0", "packet=dts").is_empty());
    decode(&name);
}

#[test]
fn another_codec_needs_another_file() {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), None);
    (0..50).for_each(|n| outputs.extend(tick(&mut segmenter, n, 25, 0)));
    outputs.extend(segmenter.cut());
    let file = files(outputs).remove(0);
    let (mut exporter, _) = Exporter::begin(&file.header(), None, None);
    exporter.fragment(&file.header(), &file.parts[1].data).unwrap();
    let other = Header { video: VideoTrack { codec: VideoCodec::H265, ..video_track(320) }, ..file.header() };
    let refused = exporter.fragment(&other, &file.parts[2].data);
    let expected = wire::UnixMicros(file.entry.fragments[1].start_us);
    assert!(matches!(refused, Err(ExportError::CodecChanged { at }) if at == expected));
}

#[test]
fn after_a_gap_it_waits_for_a_keyframe() {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), None);
    (0..100).for_each(|n| outputs.extend(tick(&mut segmenter, n, 50, 0)));
    outputs.extend(segmenter.cut());
    let file = files(outputs).remove(0);
    let (mut exporter, _) = Exporter::begin(&file.header(), None, None);
    let mut add = |part: usize| exporter.fragment(&file.header(), &file.parts[part].data).unwrap();
    assert!(add(2).skipped, "it begins without a keyframe");
    assert_eq!(add(3).start_90k, 0);
    assert_eq!(add(4).start_90k, 90_000);
    assert!(add(2).skipped);
    assert_eq!(add(1).start_90k, 180_000);
}
