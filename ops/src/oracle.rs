//! Compares what cameras say they sent with what archives hold, frame by frame.
//!
//! A camera's log has a SHA-256 per video frame over its coded slices (and per audio frame over its
//! payload), taken before the frame was packetized. From the first to the last frame that was recorded of
//! a camera's run nothing may be missing or altered, unless an entry explains the time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, ensure};
use bytes::Bytes;
use media::VideoCodec;
use media::nal::coded_slices;
use media::read::segment_frames;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use site_agent::archive::Archive;
use wire::proto::entry::Kind;
use wire::{SegmentNumber, SiteId, StreamId, UnixMicros};

/// SHA-256.
pub type Hash = [u8; 32];

/// One line of a camera's log.
#[derive(Clone, Debug, Deserialize)]
pub struct Sent {
    /// `video` or `audio`.
    pub t: String,
    /// Which run of the camera's pipeline.
    pub run: u64,
    /// Counts the frames of a run, for video and audio each.
    pub n: u64,
    /// The camera's wall clock.
    pub wall_us: i64,
    /// Lower-case hex.
    pub sha256: String,
}

/// What an archive holds of one stream.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Digests of video frames, with how often each is there.
    pub video: BTreeMap<Hash, u32>,
    /// Likewise for audio.
    pub audio: BTreeMap<Hash, u32>,
    /// Times without recording that an entry explains.
    pub gaps: Vec<(UnixMicros, UnixMicros)>,
}

/// How a log and a recording compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Video frames sent from the first to the last that any of the recordings has, by run.
    pub sent: u64,
    /// Of these, recorded.
    pub recorded: u64,
    /// Of these, neither recorded nor explained.
    pub lost: u64,
    /// Of these, not recorded and explained by an entry.
    pub explained: u64,
    /// Recorded frames that no camera sent: altered.
    pub foreign: u64,
    /// Audio frames that are missing between the first and the last recorded one, or were altered.
    pub audio_wrong: u64,
}

/// Reads a camera's log.
pub fn read_log(file: &Path) -> anyhow::Result<Vec<Sent>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    // A camera that was killed may have left half a line.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("a line of {}", file.display())))
        .collect()
}

/// Reads what an archive (that nobody writes) holds of a stream: every file, every frame.
pub fn read_archive(dir: &Path, site: &SiteId, stream: &StreamId) -> anyhow::Result<Recorded> {
    read_open_archive(&Archive::open(dir)?, site, stream)
}

/// Reads what an archive holds of a stream.
pub fn read_open_archive(archive: &Archive, site: &SiteId, stream: &StreamId) -> anyhow::Result<Recorded> {
    let mut recorded = Recorded::default();
    for located in archive.query(site, stream, UnixMicros(0), UnixMicros::MAX)? {
        if let Some(segment) = located.entry.segment().filter(|_| located.held) {
            let number = SegmentNumber(segment.number);
            let file = Bytes::from(archive.read(&located.ledger, number, 0, segment.bytes)?);
            recorded.add_segment(segment, &file)?;
        } else if let Some(Kind::Gap(_) | Kind::Gone(_)) = located.entry.kind() {
            recorded.gaps.push((located.start, located.end));
        }
    }
    recorded.gaps.extend(between_runs(archive, site, stream));
    Ok(recorded)
}

/// The times of every segment that an archive holds of a stream.
fn recorded_spans(
    archive: &Archive,
    site: &SiteId,
    stream: &StreamId,
) -> anyhow::Result<Vec<(UnixMicros, UnixMicros)>> {
    let located = archive.query(site, stream, UnixMicros(0), UnixMicros::MAX)?;
    let held = located.into_iter().filter(|located| located.held && located.entry.segment().is_some());
    Ok(held.map(|located| (located.start, located.end)).collect())
}

/// What several archives (that nobody writes) hold of a stream together; its gaps are what none of them has.
pub fn read_merged(archives: &[&Archive], site: &SiteId, stream: &StreamId) -> anyhow::Result<Recorded> {
    let (mut merged, mut spans) = (Recorded::default(), Vec::new());
    for archive in archives {
        let held = read_open_archive(archive, site, stream)?;
        for (all, these) in [(&mut merged.video, held.video), (&mut merged.audio, held.audio)] {
            for (hash, count) in these {
                let known = all.entry(hash).or_default();
                *known = count.max(*known);
            }
        }
        spans.extend(recorded_spans(archive, site, stream)?);
    }
    spans.sort_unstable();
    merged.gaps = holes(&spans);
    Ok(merged)
}

/// The gap around an instant at which a recorder died: what it had recorded last may be a moment older.
pub fn gap_around(gaps: &[(UnixMicros, UnixMicros)], at: UnixMicros) -> Option<(UnixMicros, UnixMicros)> {
    let moment = std::time::Duration::from_secs(2);
    gaps.iter().copied().find(|(from, to)| *from <= at + moment && *to >= at)
}

/// What lies between spans that are sorted by their beginnings.
fn holes(spans: &[(UnixMicros, UnixMicros)]) -> Vec<(UnixMicros, UnixMicros)> {
    let mut holes = Vec::new();
    let mut end: Option<UnixMicros> = None;
    for (from, to) in spans {
        if let Some(before) = end.filter(|before| before < from) {
            holes.push((before, *from));
        }
        end = end.max(Some(*to));
    }
    holes
}

/// From the end of a run to the beginning of the next nobody recorded: the host was down.
fn between_runs(archive: &Archive, site: &SiteId, stream: &StreamId) -> Vec<(UnixMicros, UnixMicros)> {
    let mut runs: Vec<_> = archive
        .ledgers()
        .into_iter()
        .filter(|(ledger, record)| {
            ledger.stream == *stream && record.site == site.as_str() && !record.salvage
        })
        .map(|(_, record)| (record.opened_us, record.last_us))
        .collect();
    runs.sort_unstable();
    runs.windows(2).map(|pair| (UnixMicros(pair[0].1), UnixMicros(pair[1].0))).collect()
}

impl Recorded {
    fn add_segment(&mut self, segment: &wire::proto::Segment, file: &Bytes) -> anyhow::Result<()> {
        let read = segment_frames(segment, file)?;
        for parsed in read.fragments {
            for sample in parsed.video {
                *self.video.entry(frame_hash(read.codec, &sample.data)).or_default() += 1;
            }
            for sample in parsed.audio {
                *self.audio.entry(Sha256::digest(&sample.data).into()).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// Compares a log with a recording. `seen` (the site's recording, usually) tells from which to which frame
/// of each run a recorder saw anything at all.
pub fn compare(log: &[Sent], seen: &Recorded, recorded: &Recorded) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison::default();
    let video = frames(log, "video")?;
    for run in runs(&video) {
        let frames: Vec<_> = video.iter().filter(|frame| frame.run == run).collect();
        let Some((first, last)) = bounds(&frames, &seen.video) else { continue };
        for frame in &frames[first..=last] {
            comparison.sent += 1;
            if recorded.video.contains_key(&frame.hash) {
                comparison.recorded += 1;
            } else if recorded.gaps.iter().any(|gap| touches(gap, frame.wall)) {
                comparison.explained += 1;
            } else {
                comparison.lost += 1;
            }
        }
    }
    comparison.foreign = foreign(&video, &recorded.video);
    let audio = frames(log, "audio")?;
    comparison.audio_wrong = foreign(&audio, &recorded.audio);
    for run in runs(&audio) {
        let frames: Vec<_> = audio.iter().filter(|frame| frame.run == run).collect();
        let Some((first, last)) = bounds(&frames, &seen.audio) else { continue };
        let missing = frames[first..=last].iter().filter(|frame| {
            !recorded.audio.contains_key(&frame.hash)
                && !recorded.gaps.iter().any(|gap| touches(gap, frame.wall))
        });
        comparison.audio_wrong += missing.count() as u64;
    }
    Ok(comparison)
}

/// The hashes of the video frames a camera sent, in order.
pub fn video_hashes(log: &[Sent]) -> anyhow::Result<Vec<Hash>> {
    Ok(frames(log, "video")?.into_iter().map(|frame| frame.hash).collect())
}

/// For each of a camera's runs that anything was recorded of: when the frames were sent that came after
/// the last recorded one.
pub fn sent_after_last(log: &[Sent], recorded: &Recorded) -> anyhow::Result<Vec<Vec<UnixMicros>>> {
    let video = frames(log, "video")?;
    let mut after = Vec::new();
    for run in runs(&video) {
        let frames: Vec<_> = video.iter().filter(|frame| frame.run == run).collect();
        if let Some((_, last)) = bounds(&frames, &recorded.video) {
            after.push(frames[last + 1..].iter().map(|frame| frame.wall).collect());
        }
    }
    Ok(after)
}

/// The hash of a frame as a file has it: over its coded slices.
pub fn frame_hash(codec: VideoCodec, sample: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    coded_slices(codec, sample).for_each(|slice| hasher.update(slice));
    hasher.finalize().into()
}

struct Frame {
    run: u64,
    wall: UnixMicros,
    hash: Hash,
}

fn frames(log: &[Sent], kind: &str) -> anyhow::Result<Vec<Frame>> {
    log.iter()
        .filter(|sent| sent.t == kind)
        .map(|sent| {
            Ok(Frame { run: sent.run, wall: UnixMicros(sent.wall_us), hash: parse_hash(&sent.sha256)? })
        })
        .collect()
}

fn runs(frames: &[Frame]) -> BTreeSet<u64> {
    frames.iter().map(|frame| frame.run).collect()
}

fn bounds(frames: &[&Frame], seen: &BTreeMap<Hash, u32>) -> Option<(usize, usize)> {
    let first = frames.iter().position(|frame| seen.contains_key(&frame.hash))?;
    let last = frames.iter().rposition(|frame| seen.contains_key(&frame.hash))?;
    Some((first, last))
}

fn foreign(sent: &[Frame], recorded: &BTreeMap<Hash, u32>) -> u64 {
    let sent: BTreeSet<_> = sent.iter().map(|frame| frame.hash).collect();
    recorded.iter().filter(|(hash, _)| !sent.contains(*hash)).map(|(_, count)| u64::from(*count)).sum()
}

/// A frame is on its way for a moment: the log has the time it was sent, gaps the time it would have
/// arrived.
fn touches(gap: &(UnixMicros, UnixMicros), sent: UnixMicros) -> bool {
    let slack = std::time::Duration::from_millis(500);
    gap.0 - slack <= sent && sent <= gap.1 + slack
}

fn parse_hash(hex: &str) -> anyhow::Result<Hash> {
    ensure!(hex.len() == 64 && hex.is_ascii(), "`{hex}` is no SHA-256");
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).context("a SHA-256 in hex")?;
    }
    Ok(hash)
}
