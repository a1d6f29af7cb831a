//! Where things begin and end, and that files say what their entries say.

use media::read::{frames_hash, rebuild, scan};
use media::*;
use proptest::prelude::*;
use wire::{SegmentNumber, UnixMicros};

use crate::frames::*;

fn record(gop: u64, frames: u64) -> Vec<File> {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), Some(alaw()));
    for number in 0..frames {
        outputs.extend(tick(&mut segmenter, number, gop, 1_000_000));
    }
    outputs.extend(segmenter.cut());
    files(outputs)
}

#[test]
fn segments_end_at_keyframes_and_fragments_after_a_second() {
    let files = record(50, 250);
    let frames: Vec<Vec<u32>> =
        files.iter().map(|file| file.entry.fragments.iter().map(|f| f.video_frames).collect()).collect();
    assert_eq!(frames, [vec![25; 4], vec![25; 4], vec![25; 2]]);
    let keys: Vec<bool> = files[0].entry.fragments.iter().map(|f| f.key).collect();
    assert_eq!(keys, [true, false, true, false]);
    let entry = &files[1].entry;
    assert_eq!(entry.start_us, START_US + 4_000_000);
    assert_eq!(entry.end_us, START_US + 8_000_000, "the arrival of the frame that ended it");
    assert_eq!(files[2].entry.end_us, START_US + 249 * 40_000, "the arrival of its last frame");
    assert_eq!(entry.decode_time_90k, 4 * 90_000);
    assert_eq!((entry.video_width, entry.video_height), (320, 240));
    assert_eq!(entry.codecs, "avc1.42c01f");
    assert_eq!(entry.time_error_us, 1_500);
}

#[test]
fn fragments_hold_what_was_fed() {
    let file = &record(50, 100)[0];
    assert_eq!(file.header().video, video_track(320));
    assert_eq!(file.header().audio, Some(alaw()));
    let mut expected = 0;
    for (fragment, entry) in file.fragments().iter().zip(&file.entry.fragments) {
        assert_eq!(&frames_hash(VideoCodec::H264, fragment)[..], &entry.frames_hash);
        assert_eq!(fragment.info.first_rtp, 1_000_000 + expected * 3600);
        assert_eq!(fragment.info.sender_report_ntp, 99);
        for sample in &fragment.video {
            assert_eq!(sample.dts, i64::from(expected) * 3600);
            assert_eq!((sample.cts_offset, sample.duration), (0, 3600));
            assert_eq!(sample.key, expected.is_multiple_of(50));
            expected += 1;
        }
        let first = fragment.audio.first().unwrap();
        assert_eq!(first.dts * 90_000 / 8_000, fragment.video[0].dts, "sound and picture are in time");
        assert!(fragment.audio.iter().all(|sample| sample.duration == 160));
    }
    assert_eq!(expected, 100);
}

#[test]
fn with_b_frames_decode_times_ascend() {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), None);
    let order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8];
    for (index, time) in order.into_iter().enumerate() {
        outputs.extend(segmenter.video(video(time * 3600, index == 0, index as u64 * 40_000, 9)));
    }
    outputs.extend(segmenter.cut());
    let fragments = files(outputs)[0].fragments();
    let dts: Vec<_> = fragments[0].video.iter().map(|s| s.dts).collect();
    assert_eq!(dts, (0..10).map(|n| n * 3600).collect::<Vec<i64>>());
    let pts: Vec<_> = fragments[0].video.iter().map(|s| (s.dts + i64::from(s.cts_offset)) / 3600).collect();
    assert_eq!(pts, order);
}

#[test]
fn a_reconnection_continues_the_timeline_by_arrival() {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), Some(alaw()));
    (0..30).for_each(|n| outputs.extend(tick(&mut segmenter, n, 50, 77)));
    outputs.extend(segmenter.cut());
    assert!(segmenter.wants_keyframe());
    assert_eq!(segmenter.last_frame_at(), Some(arrival(29 * 40_000)));
    outputs.extend(segmenter.connected(video_track(320), Some(alaw())));
    (190..250).for_each(|n| outputs.extend(tick(&mut segmenter, n, 50, -900_000_000)));
    assert_eq!(segmenter.open_segment(), Some(SegmentNumber(1)));
    outputs.extend(segmenter.cut());
    let files = files(outputs);
    let second = &files[1].fragments()[0];
    assert_eq!(second.info.decode_time_90k, 200 * 3600, "frames before the keyframe are dropped");
    assert_eq!(second.audio[0].dts, 200 * 320);
}

#[test]
fn parameters_within_a_connection_keep_the_cameras_time() {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), None);
    outputs.extend(segmenter.video(video(0, true, 0, 5)));
    assert!(segmenter.parameters(video_track(320), None).is_empty(), "nothing has changed");
    outputs.extend(segmenter.parameters(video_track(640), None));
    outputs.extend(segmenter.video(video(3_000, true, 999_999, 5)));
    outputs.extend(segmenter.cut());
    let files = files(outputs);
    assert_ne!(files[0].entry.header_hash, files[1].entry.header_hash);
    assert_eq!(files[1].entry.video_width, 640);
    // 1/25 s was assumed for the last frame before the change: time doesn't go back behind that.
    assert_eq!(files[1].entry.decode_time_90k, 3_600);
}

#[test]
fn a_jump_of_the_cameras_clock_is_a_cut() {
    for jump in [-20, 20] {
        let mut segmenter = segmenter();
        let mut outputs = segmenter.connected(video_track(320), None);
        outputs.extend(segmenter.video(video(50 * 90_000, true, 0, 5)));
        outputs.extend(segmenter.video(video((50 + jump) * 90_000, false, 40_000, 5)));
        assert!(segmenter.wants_keyframe());
        outputs.extend(segmenter.video(video((50 + jump) * 90_000 + 3_600, true, 80_000, 5)));
        outputs.extend(segmenter.cut());
        assert_eq!(files(outputs)[1].entry.decode_time_90k, 7_200);
    }
}

#[test]
fn without_keyframes_a_segment_goes_on_but_not_for_ever() {
    let files = record(u64::MAX, 26 * 25);
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].entry.fragments.len(), 26);
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), None);
    for n in 0..3_700 {
        outputs.extend(segmenter.video(video(n * 90_000, n == 0, n as u64 * 1_000_000, 5)));
    }
    assert!(segmenter.wants_keyframe());
    assert_eq!(crate::frames::files(outputs)[0].entry.fragments.len(), 3_600);
}

#[test]
fn the_first_segment_has_its_own_length_whatever_its_number() {
    let config = SegmenterConfig { first_segment: std::time::Duration::from_secs(2), ..config() };
    let mut segmenter = Segmenter::new(ledger(), config, 0).starting_at(SegmentNumber(7));
    let mut outputs = segmenter.connected(video_track(320), None);
    (0..200).for_each(|n| outputs.extend(tick(&mut segmenter, n, 25, 0)));
    let closed = outputs.iter().filter_map(|output| match output {
        Output::Closed(entry) => Some((entry.number, (entry.end_us - entry.start_us) / 1_000_000)),
        Output::Part(_) => None,
    });
    assert_eq!(closed.collect::<Vec<_>>(), [(7, 2), (8, 4)]);
}

#[test]
fn a_clock_that_stands_still_does_not_hold_frames_back() {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), None);
    for n in 0..100 {
        outputs.extend(segmenter.video(video(5, n == 0, n * 40_000, 5)));
    }
    outputs.extend(segmenter.cut());
    let fragments = files(outputs)[0].fragments();
    assert_eq!(fragments.len(), 2);
    assert!(fragments.iter().flat_map(|f| &f.video).all(|sample| sample.duration >= 1));
}

#[test]
fn large_frames_close_the_fragment_and_larger_ones_are_holes() {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), None);
    outputs.extend(segmenter.video(video(0, true, 0, 20 << 20)));
    outputs.extend(segmenter.video(video(3_600, false, 40_000, 20 << 20)));
    assert_eq!(outputs.len(), 2, "header and first fragment");
    let mut frame = video(7_200, false, 80_000, 0);
    frame.data = vec![0; (64 << 20) + 1].into();
    outputs.extend(segmenter.video(frame));
    assert!(segmenter.wants_keyframe());
    assert_eq!(files(outputs)[0].entry.fragments.len(), 2);
}

#[test]
fn a_wall_clock_set_back_leaves_a_sensible_entry() {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), None);
    outputs.extend(segmenter.video(video(0, true, 0, 5)));
    let mut frame = video(3_600, false, 40_000, 5);
    frame.arrival.wall = UnixMicros(START_US - 3_600_000_000);
    outputs.extend(segmenter.video(frame));
    outputs.extend(segmenter.cut());
    let entry = files(outputs).remove(0).entry;
    assert_eq!(entry.end_us, entry.start_us);
}

#[derive(Clone, Debug)]
enum Step {
    Video { step: i64, key: bool, arrives: u64, size: usize },
    Audio { step: i64 },
    Cut,
    Connect { width: u16, audio: bool },
    Parameters { width: u16 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ordinary = (3_000_i64..4_200, prop::bool::weighted(0.1), 20_000_u64..60_000, 0_usize..300);
    let odd = (-1_000_000_i64..1_000_000, any::<bool>(), 0_u64..5_000_000, 0_usize..300);
    let video = |(step, key, arrives, size)| Step::Video { step, key, arrives, size };
    prop::collection::vec(
        prop_oneof![
            60 => ordinary.prop_map(video),
            6 => odd.prop_map(video),
            30 => (-50_i64..400).prop_map(|step| Step::Audio { step }),
            1 => Just(Step::Cut),
            1 => (320_u16..322, any::<bool>()).prop_map(|(width, audio)| Step::Connect { width, audio }),
            1 => (320_u16..322).prop_map(|width| Step::Parameters { width }),
        ],
        1..400,
    )
}

fn play(steps: Vec<Step>) -> Vec<File> {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), Some(alaw()));
    let (mut pts, mut sound, mut boot_us) = (0, 0, 0);
    for step in steps {
        outputs.extend(match step {
            Step::Video { step, key, arrives, size } => {
                pts += step;
                boot_us += arrives;
                segmenter.video(video(pts, key, boot_us, size))
            }
            Step::Audio { step } => {
                sound += step;
                segmenter.audio(audio(sound, boot_us))
            }
            Step::Cut => segmenter.cut(),
            Step::Connect { width, audio } => segmenter.connected(video_track(width), audio.then(alaw)),
            Step::Parameters { width } => segmenter.parameters(video_track(width), Some(alaw())),
        });
    }
    outputs.extend(segmenter.cut());
    files(outputs)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn entries_are_what_recovery_finds(steps in steps()) {
        let mut end = 0;
        let mut sound = -1;
        for (number, file) in play(steps).iter().enumerate() {
            let bytes = file.bytes();
            let rebuilt = rebuild(SegmentNumber(number as u64), &bytes).unwrap();
            prop_assert_eq!(&rebuilt.segment, &file.entry);
            prop_assert_eq!(&rebuilt.ledger, &ledger());
            prop_assert_eq!(rebuilt.valid_bytes, bytes.len());
            prop_assert!(!scan(&bytes).trailing);
            let entry = wire::proto::entry::Kind::Segment(file.entry.clone());
            let entry = wire::entry::Entry::write(UnixMicros(0), entry);
            prop_assert!(wire::entry::Entry::read(entry.bytes().clone()).is_ok());

            let mut length = 0;
            for part in &file.parts {
                length += part.data.len();
                prop_assert_eq!(part.running_hash, *blake3::hash(&bytes[..length]).as_bytes());
            }
            for fragment in file.fragments() {
                prop_assert!(fragment.info.decode_time_90k >= end, "time goes back");
                end = fragment.info.decode_time_90k;
                for sample in &fragment.video {
                    prop_assert_eq!(sample.dts, end);
                    prop_assert!(sample.duration > 0);
                    end += i64::from(sample.duration);
                }
                prop_assert_eq!(end, fragment.info.decode_time_90k + i64::from(fragment.info.duration_90k));
                for sample in &fragment.audio {
                    prop_assert!(sample.dts > sound, "sound goes back");
                    sound = sample.dts;
                }
            }
        }
    }
}
