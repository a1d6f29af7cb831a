//! A backlog as weeks without a hub leave it: segments of cameras that are long gone, in ended origins.
//!
//! The pictures are noise; everything else is made by the agent's own code: the segmenter makes the files
//! and their entries, the archive commits them. So the hub takes them like any others, and `verify` is
//! content with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use media::{
    Arrival, Output, Segmenter, SegmenterConfig, VIDEO_TIMESCALE, VideoCodec, VideoFrame, VideoTrack,
};
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use site_agent::archive::{self, Archive, Change};
use wire::proto::entry::Kind;
use wire::{LedgerId, SegmentNumber, SiteId, StreamId, UnixMicros, proto};

/// A camera of 2 Mbit/s with 25 pictures a second, a keyframe in each second.
const FRAME_BYTES: usize = 10_000;
const FRAMES_PER_S: u64 = 25;
/// A segment of it: 10 s, 2.5 MB.
pub(crate) const SEGMENT_BYTES: u64 = 10 * FRAMES_PER_S * FRAME_BYTES as u64;
/// Its largest part: a second, and the boxes around it.
pub(crate) const FRAGMENT_BYTES_MAX: u64 = FRAMES_PER_S * FRAME_BYTES as u64 + 4096;
/// Segments of one origin: a run of five minutes.
const SEGMENTS: u64 = 30;
/// From the beginning of one run to the next.
const RUN: Duration = Duration::from_secs(10 * SEGMENTS + 60);

/// A backlog on disk.
pub(crate) struct Backlog {
    /// The agent's archive with it.
    pub(crate) archive: PathBuf,
    /// A folder with the same files, flat, for who copies files.
    pub(crate) files: PathBuf,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// Makes a backlog of at least so many bytes in `dir`.
pub(crate) fn make(dir: &Path, site: &SiteId, bytes: u64) -> anyhow::Result<Backlog> {
    let mut backlog = Backlog { archive: dir.join("archive"), files: dir.join("files"), bytes: 0 };
    fs::create_dir_all(&backlog.files).context("make a folder for the backlog")?;
    let archive = Archive::open(&backlog.archive)?;
    let runs = bytes.div_ceil(SEGMENTS * SEGMENT_BYTES);
    let mut random = SmallRng::seed_from_u64(1);
    for run in 0..runs {
        let ago = RUN * u32::try_from(runs - run).context("count the runs")?;
        let began = UnixMicros(wire::clock::wall().0 - i64::try_from(ago.as_micros())?);
        let segments = SEGMENTS.min((bytes - backlog.bytes).div_ceil(SEGMENT_BYTES));
        record_run(&archive, site, began, segments, &mut random, &mut backlog)?;
        if backlog.bytes >= bytes {
            break;
        }
    }
    Ok(backlog)
}

/// One run: a ledger that is opened, written and ended.
fn record_run(
    archive: &Archive,
    site: &SiteId,
    began: UnixMicros,
    segments: u64,
    random: &mut SmallRng,
    backlog: &mut Backlog,
) -> anyhow::Result<()> {
    let ledger = LedgerId { origin: archive::new_origin(), stream: StreamId::new("gone", "main")? };
    archive.submit_blocking(Change::Open { ledger: ledger.clone(), site: site.clone(), opened: began })?;
    let seconds = |seconds| Duration::from_secs(seconds);
    let config = SegmenterConfig { segment: seconds(10), fragment: seconds(1), first_segment: seconds(10) };
    let mut segmenter = Segmenter::new(ledger.clone(), config, 0);
    let mut outputs = segmenter.connected(track(), None);
    let mut file = Vec::new();
    for number in 0..segments * 10 * FRAMES_PER_S {
        outputs.extend(segmenter.video(frame(number, began, random)?));
        for output in outputs.drain(..) {
            keep(archive, &ledger, output, &mut file, backlog)?;
        }
    }
    for output in segmenter.cut() {
        keep(archive, &ledger, output, &mut file, backlog)?;
    }
    ensure!(file.is_empty(), "a segment of the backlog was not closed");
    archive.submit_blocking(Change::End { ledger })?;
    Ok(())
}

fn keep(
    archive: &Archive,
    ledger: &LedgerId,
    output: Output,
    file: &mut Vec<u8>,
    backlog: &mut Backlog,
) -> anyhow::Result<()> {
    match output {
        Output::Part(part) => file.extend_from_slice(&part.data),
        Output::Closed(segment) => {
            enter(archive, ledger, *segment, file, backlog)?;
            file.clear();
        }
    }
    Ok(())
}

/// As the recorder does it: a whole file, then its entry.
fn enter(
    archive: &Archive,
    ledger: &LedgerId,
    segment: proto::Segment,
    file: &[u8],
    backlog: &mut Backlog,
) -> anyhow::Result<()> {
    let number = SegmentNumber(segment.number);
    let open = archive.dir().join("incoming").join("next.mp4");
    fs::write(&open, file).context("write a segment of the backlog")?;
    let at = UnixMicros(segment.end_us);
    let (kind, ledger) = (Kind::Segment(segment), ledger.clone());
    archive.submit_blocking(Change::Append { ledger: ledger.clone(), at, kind, file: Some(open) })?;
    let flat = backlog.files.join(format!("{}-{:03}.mp4", ledger.origin, number.0));
    fs::hard_link(archive.segment_path(&ledger, number)?, flat).context("link a segment of the backlog")?;
    backlog.bytes += file.len() as u64;
    Ok(())
}

/// H.264 whose parameter sets say little, which nobody decodes.
fn track() -> VideoTrack {
    let boxed = |kind: &[u8; 4], body: &[u8]| {
        let size = u32::try_from(body.len() + 8).unwrap_or(u32::MAX).to_be_bytes();
        [&size[..], kind, body].concat()
    };
    let sets = [1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 2, 0x67, 0x42, 1, 0, 2, 0x68, 0xce];
    let entry = boxed(b"avc1", &[&[0; 78][..], &boxed(b"avcC", &sets)].concat());
    VideoTrack {
        codec: VideoCodec::H264,
        sample_entry: entry.into(),
        rfc6381: "avc1.42c01f".into(),
        width: 1920,
        height: 1080,
    }
}

fn frame(number: u64, began: UnixMicros, random: &mut SmallRng) -> anyhow::Result<VideoFrame> {
    let key = number.is_multiple_of(FRAMES_PER_S);
    let mut data = vec![0; FRAME_BYTES];
    random.fill_bytes(&mut data);
    data[..4].copy_from_slice(&u32::try_from(FRAME_BYTES - 4)?.to_be_bytes());
    data[4] = if key { 0x65 } else { 0x41 };
    let since_us = number * 1_000_000 / FRAMES_PER_S;
    let ticks = number * u64::from(VIDEO_TIMESCALE) / FRAMES_PER_S;
    Ok(VideoFrame {
        pts_90k: i64::try_from(ticks)?,
        rtp: u32::try_from(ticks & u64::from(u32::MAX))?,
        key,
        data: Bytes::from(data),
        arrival: Arrival { wall: UnixMicros(began.0 + i64::try_from(since_us)?), boot_us: since_us },
        sender_report: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use site_agent::archive::verify::verify;

    #[test]
    fn a_backlog_is_an_archive_like_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let asked = (SEGMENTS + 2) * SEGMENT_BYTES;
        let backlog = make(dir.path(), &SiteId::new("bench").unwrap(), asked).unwrap();
        assert!((asked..asked + 2 * SEGMENT_BYTES).contains(&backlog.bytes), "{}", backlog.bytes);
        let report = verify(&backlog.archive, |_| {}).unwrap();
        assert!(report.ok, "{report:?}");
        assert_eq!(report.segments, SEGMENTS + 2);
        assert_eq!(fs::read_dir(&backlog.files).unwrap().count() as u64, SEGMENTS + 2);
        let archive = Archive::open(&backlog.archive).unwrap();
        assert_eq!(archive.ledgers().len(), 2);
        assert!(archive.open_ledgers().is_empty());
    }
}
