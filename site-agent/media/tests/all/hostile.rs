//! Torn, damaged and made-up bytes.

use bytes::Bytes;
use media::export::{exported_fragments, find_proof};
use media::nal::{coded_slices, parameter_sets};
use media::read::{Header, parse_fragment, rebuild, scan};
use media::*;
use proptest::prelude::*;
use wire::SegmentNumber;

use crate::frames::*;

fn file() -> File {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), Some(alaw()));
    (0..75).for_each(|n| outputs.extend(tick(&mut segmenter, n, 25, 0)));
    outputs.extend(segmenter.cut());
    files(outputs).remove(0)
}

/// Everything that reads, for its absence of panics.
fn read_all(bytes: &Bytes) {
    let _ = Header::parse(bytes);
    let _ = parse_fragment(bytes);
    let _ = rebuild(SegmentNumber(1), bytes);
    let _ = find_proof(bytes);
    let _ = exported_fragments(bytes).map(Iterator::count);
    let _ = parameter_sets(VideoCodec::H264, bytes);
    let _ = parameter_sets(VideoCodec::H265, bytes);
    let _ = coded_slices(VideoCodec::H265, bytes).count();
}

#[test]
fn any_truncation_leaves_the_complete_fragments() {
    let file = file();
    let bytes = file.bytes();
    let mut ends = vec![0];
    file.parts.iter().for_each(|part| ends.push(ends[ends.len() - 1] + part.data.len()));
    for length in (0..bytes.len()).step_by(7).chain(ends.clone()) {
        let found = scan(&bytes[..length]);
        let complete = ends.iter().filter(|end| **end <= length).count() - 1;
        assert_eq!(found.fragments.len(), complete.saturating_sub(1), "of {length} bytes");
        assert_eq!(found.valid_bytes, ends[complete]);
        assert_eq!(found.trailing, ends[complete] < length);
    }
}

#[test]
fn any_flipped_bit_is_noticed() {
    let bytes = file().bytes();
    let whole = scan(&bytes);
    for position in (0..bytes.len()).step_by(3).chain(0..whole.header_bytes + 600) {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 1 << (position % 8);
        let found = scan(&damaged);
        let before = whole.fragments.iter().filter(|f| f.offset + f.bytes <= position).count();
        assert!(found.trailing, "bit flipped at {position}");
        assert_eq!(found.fragments.len(), before, "bit flipped at {position}");
    }
}

#[test]
fn fragments_of_another_segment_are_not_taken_for_its_own() {
    let mut segmenter = segmenter();
    let mut outputs = segmenter.connected(video_track(320), None);
    (0..250).for_each(|n| outputs.extend(tick(&mut segmenter, n, 25, 0)));
    outputs.extend(segmenter.cut());
    let files = files(outputs);
    let mixed = [&files[0].parts[0].data[..], &files[0].parts[1].data, &files[1].parts[2].data].concat();
    assert_eq!(scan(&mixed).fragments.len(), 1);
    let skipped = [&files[0].parts[0].data[..], &files[0].parts[2].data].concat();
    assert_eq!(scan(&skipped).fragments.len(), 0);
    assert!(rebuild(SegmentNumber(0), &skipped).is_err());
}

#[test]
fn numbers_of_a_valid_checksum_are_not_believed_either() {
    // An exported file has no checksums: every field of its `moof` can lie.
    let file = file();
    let (mut exporter, start) = media::export::Exporter::begin(&file.header(), Some(&alaw()), None);
    let mut bytes = start.to_vec();
    bytes.extend(exporter.fragment(&file.header(), &file.parts[1].data).unwrap().data);
    for position in start.len()..start.len() + 300 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] = value;
            read_all(&damaged.into());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn mutations_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        insert in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = file().bytes().to_vec();
        for (index, value) in changes {
            let at = index.index(2_000.min(bytes.len()));
            bytes[at] = value;
        }
        let at = insert.index(bytes.len());
        bytes.splice(at..at, garbage);
        read_all(&bytes.into());
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes.into());
    }
}
