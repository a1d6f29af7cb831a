//! The victim: a process that records into an archive whatever chance says, and tells each promise the archive made, once
//! it was made.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use media::{Arrival, Output, Segmenter, SegmenterConfig, VideoCodec, VideoFrame, VideoTrack};
use rand::Rng;
use rand::rngs::SmallRng;
use site_agent::archive::{self, Archive, ArchiveError, Change, Done};
use site_agent::virtual_server;
use wire::entry::Entry;
use wire::proto::GapCause;
use wire::proto::entry::Kind;
use wire::{LedgerId, OriginId, RangeSet, SegmentNumber, Seq, SiteId, UnixMicros, proto};

use super::promise::Promise;
use super::rule::Rule;
use crate::chance;

/// Whose archive it is.
pub(crate) const SITE: &str = "shop-1";
const STREAMS: [&str; 2] = ["till-1/main", "door-1/main"];
/// Changes of one run at most: long before, the power goes.
const CHANGES: u32 = 400;

/// One stream being recorded.
struct Stream {
    ledger: LedgerId,
    number: u64,
    /// What was committed, as far as it may be freed.
    held: Vec<Seq>,
}

struct Recorder {
    archive: Archive,
    chance: SmallRng,
    streams: Vec<Stream>,
    without: Option<Rule>,
}

/// Records until the power goes, or for long enough; without a rule if so told.
pub fn run(dir: &Path, seed: u64, without: Option<Rule>) -> anyhow::Result<()> {
    let Some(mut recorder) = unless_full(Recorder::start(dir, seed, without))? else { return Ok(()) };
    (0..CHANGES).try_for_each(|_| unless_full(recorder.change()).map(drop))
}

/// A full disk says no, and nothing else.
fn unless_full<T>(done: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    match done {
        Err(error) if error.downcast_ref().is_some_and(ArchiveError::is_out_of_space) => {
            tell(&Promise::Refused)?;
            Ok(None)
        }
        done => done.map(Some),
    }
}

impl Recorder {
    fn start(dir: &Path, seed: u64, without: Option<Rule>) -> anyhow::Result<Self> {
        let archive = Archive::open(dir)?;
        let site = SiteId::new(SITE)?;
        let reused = if without == Some(Rule::NewOrigin) { last_origin(&archive) } else { None };
        let origin = match reused {
            Some(origin) => origin,
            None => {
                virtual_server::recover(&archive, &site)?;
                archive::new_origin()
            }
        };
        let mut streams = Vec::new();
        for stream in STREAMS {
            let ledger = LedgerId { origin, stream: stream.parse()? };
            let opened = wire::clock::wall();
            archive.submit_blocking(Change::Open { ledger: ledger.clone(), site: site.clone(), opened })?;
            streams.push(Stream { number: free_number(&archive, &site, &ledger)?, ledger, held: Vec::new() });
        }
        Ok(Self { archive, chance: chance(seed), streams, without })
    }

    fn change(&mut self) -> anyhow::Result<()> {
        let stream = self.chance.random_range(0..self.streams.len());
        match self.chance.random_range(0..100) {
            0..60 => self.segment(stream),
            60..75 => self.gap(stream),
            75..85 => self.acked(stream),
            _ => self.free(stream),
        }
    }

    /// A file, part by part, and mostly its entry.
    fn segment(&mut self, stream: usize) -> anyhow::Result<()> {
        let Stream { ledger, number, .. } = &mut self.streams[stream];
        let (ledger, number) = (ledger.clone(), std::mem::replace(number, *number + 1));
        let (parts, segment) = make(&ledger, number, 6000, &mut self.chance)?;
        let mut open = self.archive.create_segment(&ledger, SegmentNumber(number))?;
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        for part in &parts {
            hasher.update(part);
            bytes += part.len() as u64;
            let hash = hasher.finalize().to_hex().to_string();
            let promise = Promise::Fragments { ledger: ledger.clone(), number, bytes, hash };
            self.promised(&promise, || Ok(open.append(part)?))?;
        }
        if self.chance.random_range(0..10) == 0 {
            return Ok(()); // as a process leaves it that dies now
        }
        self.append(stream, Kind::Segment(segment), Some(open.close()))
    }

    fn gap(&mut self, stream: usize) -> anyhow::Result<()> {
        let start_us = self.chance.random_range(0..1_000_000);
        let cause = GapCause::CameraDown.into();
        let gap = proto::Gap { start_us, end_us: start_us + 1, cause, detail: String::new() };
        self.append(stream, Kind::Gap(gap), None)
    }

    fn append(&mut self, stream: usize, kind: Kind, file: Option<std::path::PathBuf>) -> anyhow::Result<()> {
        let ledger = self.streams[stream].ledger.clone();
        let segment = match &kind {
            Kind::Segment(segment) => Some(segment.number),
            _ => None,
        };
        let (record, at) = (self.archive.ledger(&ledger).context("an unknown ledger")?, wire::clock::wall());
        let next = record.next();
        let head = record.head().after(Entry::write(at, kind.clone()).bytes());
        let promise = Promise::Entry { ledger: ledger.clone(), seq: next.0, head: head.to_string(), segment };
        let change = Change::Append { ledger, at, kind, file };
        let done = self.promised(&promise, || Ok(self.archive.submit_blocking(change)?))?;
        anyhow::ensure!(done == Done::Appended { seq: next, head }, "appended otherwise: {done:?}");
        if segment.is_some() {
            self.streams[stream].held.push(next);
        }
        Ok(())
    }

    /// Does it and tells of it then. Or, without the rule, the other way round.
    fn promised<T>(&self, promise: &Promise, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let early = self.without == Some(Rule::SyncBeforeAck);
        if early {
            tell(promise)?;
        }
        let done = act()?;
        if !early {
            tell(promise)?;
        }
        Ok(done)
    }

    fn acked(&mut self, stream: usize) -> anyhow::Result<()> {
        let Stream { ledger, held, .. } = &self.streams[stream];
        let Some(last) = held.last() else { return Ok(()) };
        let seqs = RangeSet::from(0..self.chance.random_range(0..=last.0));
        self.archive.submit_blocking(Change::Acked { ledger: ledger.clone(), seqs, all: false })?;
        Ok(())
    }

    fn free(&mut self, stream: usize) -> anyhow::Result<()> {
        let Stream { ledger, held, .. } = &mut self.streams[stream];
        if held.is_empty() {
            return Ok(());
        }
        let seq = held.swap_remove(self.chance.random_range(0..held.len()));
        let ledger = ledger.clone();
        tell(&Promise::Freeing { ledger: ledger.clone(), seq: seq.0 })?;
        let change = Change::Free {
            ledger: ledger.clone(),
            at: wire::clock::wall(),
            of: ledger.clone(),
            seqs: RangeSet::from(seq.0..seq.0 + 1),
            cause: GapCause::Expired,
        };
        let freed = Promise::Freed { ledger, seq: seq.0 };
        self.promised(&freed, || Ok(self.archive.submit_blocking(change)?))?;
        self.archive.delete_freed(16)?;
        Ok(())
    }
}

/// The origin of the last run, as the archive remembers it: what a run that goes on with it would take for its own.
fn last_origin(archive: &Archive) -> Option<OriginId> {
    let ledgers = archive.ledgers();
    let last = ledgers.into_iter().max_by_key(|(_, record)| record.opened());
    last.map(|(ledger, _)| ledger.origin)
}

/// The first number that nothing in the archive's folder has.
fn free_number(archive: &Archive, site: &SiteId, ledger: &LedgerId) -> anyhow::Result<u64> {
    let mut number = SegmentNumber(0);
    loop {
        let open = archive::layout::open_segment(archive.dir(), ledger, number);
        let moved = archive::layout::segment(archive.dir(), site, ledger, number);
        if archive.seq_of(ledger, number)?.is_none() && !open.exists() && !moved.exists() {
            return Ok(number.0);
        }
        number.0 += 1;
    }
}

fn tell(promise: &Promise) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{promise}").and_then(|()| out.flush()).context("tell a promise")
}

/// A segment of a few fragments, made by the segmenter from pictures of noise, each smaller than `picture_bytes`.
pub(crate) fn make(
    ledger: &LedgerId,
    number: u64,
    picture_bytes: usize,
    chance: &mut SmallRng,
) -> anyhow::Result<(Vec<Bytes>, proto::Segment)> {
    let second = Duration::from_secs(1);
    let config = SegmenterConfig { segment: 10 * second, fragment: second, first_segment: 10 * second };
    let mut segmenter = Segmenter::new(ledger.clone(), config, 0).starting_at(SegmentNumber(number));
    let track = VideoTrack {
        codec: VideoCodec::H264,
        sample_entry: Bytes::from_static(b"\0\0\0\x08avc1"),
        rfc6381: "avc1".into(),
        width: 16,
        height: 16,
    };
    let mut outputs = segmenter.connected(track, None);
    for n in 0..chance.random_range(2..5) {
        let at = i64::try_from(number)? * 10 + n;
        let mut data = vec![0; chance.random_range(16..picture_bytes)];
        chance.fill(&mut data[5..]);
        let length = u32::try_from(data.len() - 4)?;
        data[..4].copy_from_slice(&length.to_be_bytes());
        data[4] = 0x65;
        outputs.extend(segmenter.video(VideoFrame {
            pts_90k: n * 90_000,
            rtp: 0,
            key: true,
            data: data.into(),
            arrival: Arrival { wall: UnixMicros(at * 1_000_000), boot_us: at.unsigned_abs() * 1_000_000 },
            sender_report: None,
        }));
    }
    outputs.extend(segmenter.cut());
    let (mut parts, mut closed) = (Vec::new(), None);
    for output in outputs {
        match output {
            Output::Part(part) => parts.push(part.data),
            Output::Closed(segment) => closed = Some(*segment),
        }
    }
    Ok((parts, closed.context("the segmenter closes what was cut")?))
}
