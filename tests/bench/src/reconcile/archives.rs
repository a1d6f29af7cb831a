//! The two archives: the same entries in both, but for what the vault is to lack.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, ensure};
use bytes::Bytes;
use dc_hub::vault::Vault;
use futures::{StreamExt, TryStreamExt, stream};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use site_agent::archive::{Archive, Change};
use wire::entry::Entry;
use wire::proto::entry::Kind;
use wire::{LedgerId, OriginId, RangeSet, Seq, SiteId, StreamId, UnixMicros, proto};

/// Whose archive it is.
pub(super) const SITE: &str = "shop-1";
/// Segments of an outage.
const OUTAGE: u64 = 3;
const SEGMENT_S: i64 = 10;
const FRAGMENTS: usize = 10;
/// What a segment says it has.
pub(crate) const SEGMENT_BYTES: u64 = 5_000_700;
/// Changes that wait for the archive's writer.
const UNDER_WAY: usize = 512;
const JOURNAL_FILE_BYTES: u64 = 64 << 20;

/// What is in them.
pub(crate) struct Shape {
    pub(crate) segments: u64,
    pub(crate) streams: u64,
    pub(crate) ended_origins: u64,
    /// In each running ledger.
    pub(crate) gaps: u64,
    /// Ended ledgers of which the vault lacks a segment.
    pub(crate) lost: u64,
}

/// One ledger of them.
struct Plan {
    ledger: LedgerId,
    segments: u64,
    ended: bool,
    /// What the vault lacks.
    lacks: RangeSet,
    /// What the site believes to be acked.
    acked: RangeSet,
}

impl Shape {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.streams > 0, "--ledgers is at least 1");
        let each = self.segments / self.ledgers();
        ensure!(each >= 1, "each of the {} ledgers has a segment at least", self.ledgers());
        ensure!(
            each > 2 * OUTAGE * self.gaps,
            "{each} segments in a ledger have no room for {} gaps",
            self.gaps
        );
        ensure!(self.lost <= self.streams * self.ended_origins, "there are not so many ended ledgers");
        Ok(())
    }

    pub(crate) fn ledgers(&self) -> u64 {
        self.streams * (1 + self.ended_origins)
    }

    /// Segments whose bytes the vault lacks.
    pub(super) fn wanted(&self) -> u64 {
        self.streams * self.gaps * OUTAGE + self.lost
    }

    fn plans(&self) -> anyhow::Result<Vec<Plan>> {
        let mut random = SmallRng::seed_from_u64(1);
        let (each, rest) = (self.segments / self.ledgers(), self.segments % self.ledgers());
        let mut plans = Vec::new();
        for run in 0..=self.ended_origins {
            let (origin, ended) = (OriginId(random.random()), run < self.ended_origins);
            for number in 0..self.streams {
                let index = plans.len() as u64;
                let stream: StreamId = format!("cam-{number:03}/main").parse()?;
                let segments = each + u64::from(index < rest);
                let outage = |k: u64| (k + 1) * segments / (self.gaps + 1) - OUTAGE;
                let (mut lacks, mut unacked) = (RangeSet::new(), RangeSet::new());
                if !ended {
                    (0..self.gaps).map(outage).for_each(|from| lacks.insert(from..from + OUTAGE));
                    unacked = lacks.clone();
                } else if index < self.lost {
                    lacks.insert_one(0);
                }
                let acked = RangeSet::from(0..segments).minus(&unacked);
                plans.push(Plan { ledger: LedgerId { origin, stream }, segments, ended, lacks, acked });
            }
        }
        Ok(plans)
    }
}

pub(crate) fn site() -> anyhow::Result<SiteId> {
    Ok(SiteId::new(SITE)?)
}

pub(crate) fn open_site(dir: &Path) -> anyhow::Result<Archive> {
    Archive::open(&dir.join("site")).context("open the site's archive")
}

pub(super) fn open_vault(dir: &Path) -> anyhow::Result<Vault> {
    Vault::open(&dir.join("vault"), JOURNAL_FILE_BYTES).context("open the vault")
}

/// Writes both, and closes them.
pub(super) async fn fill(dir: &Path, shape: &Shape) -> anyhow::Result<()> {
    fill_site(dir, shape).await.context("the site's")?;
    let vault = open_vault(dir)?;
    submit(vault.archive(), shape.plans()?.iter().flat_map(at_hub)).await.context("the vault's")
}

/// Writes the site's, and closes it.
pub(crate) async fn fill_site(dir: &Path, shape: &Shape) -> anyhow::Result<()> {
    let archive = open_site(dir)?;
    submit(&archive, shape.plans()?.iter().flat_map(at_site)).await
}

async fn submit(
    archive: &Archive,
    changes: impl Iterator<Item = anyhow::Result<Change>>,
) -> anyhow::Result<()> {
    let jobs = stream::iter(changes)
        .map(|change| async { archive.submit(change?).await.map_err(anyhow::Error::from) });
    // Unconstrained: a future that has to yield before it has sent its change loses its place in line.
    tokio::task::unconstrained(jobs.buffered(UNDER_WAY).try_for_each(|_| async { Ok(()) })).await
}

fn at_site(plan: &Plan) -> impl Iterator<Item = anyhow::Result<Change>> {
    let acked = Change::Acked { ledger: plan.ledger.clone(), seqs: plan.acked.clone(), all: true };
    let entries = (0..plan.segments).map(|seq| append(plan, seq));
    open(plan).into_iter().chain(entries.map(Ok)).chain([Ok(acked)]).chain(end(plan))
}

fn at_hub(plan: &Plan) -> impl Iterator<Item = anyhow::Result<Change>> {
    let entry = |seq: u64| if plan.lacks.contains(seq) { take_in(plan, seq) } else { Ok(append(plan, seq)) };
    open(plan).into_iter().chain((0..plan.segments).map(entry)).chain(end(plan))
}

fn open(plan: &Plan) -> [anyhow::Result<Change>; 1] {
    [site().map(|site| Change::Open { ledger: plan.ledger.clone(), site, opened: time(0) })]
}

fn end(plan: &Plan) -> Option<anyhow::Result<Change>> {
    plan.ended.then(|| Ok(Change::End { ledger: plan.ledger.clone() }))
}

/// With its bytes, as far as the index is concerned.
fn append(plan: &Plan, seq: u64) -> Change {
    Change::Append { ledger: plan.ledger.clone(), at: time(seq), kind: kind(seq), file: None }
}

/// Without.
fn take_in(plan: &Plan, seq: u64) -> anyhow::Result<Change> {
    let entries = vec![Entry::write(time(seq), kind(seq))];
    Ok(Change::Entries { site: site()?, ledger: plan.ledger.clone(), first: Seq(seq), entries })
}

fn time(seq: u64) -> UnixMicros {
    UnixMicros(1_750_000_000_000_000 + seq.cast_signed() * SEGMENT_S * 1_000_000)
}

fn kind(seq: u64) -> Kind {
    let Range { start, end } = time(seq)..time(seq + 1);
    let fragment = proto::Fragment {
        bytes: 500_000,
        key: true,
        start_us: start.0,
        video_frames: 25,
        frames_hash: Bytes::from(vec![seq.to_le_bytes()[0]; 32]),
        duration_90k: 90_000,
        ..Default::default()
    };
    Kind::Segment(proto::Segment {
        number: seq,
        start_us: start.0,
        end_us: end.0,
        bytes: SEGMENT_BYTES,
        hash: Bytes::from(vec![seq.to_le_bytes()[0]; 32]),
        header_bytes: 700,
        header_hash: Bytes::from(vec![7; 32]),
        fragments: vec![fragment; FRAGMENTS],
        codecs: "avc1.42c01f".to_owned(),
        ..Default::default()
    })
}
