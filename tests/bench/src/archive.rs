//! `holdfast-bench archive`: what an archive of many segments costs: a start, a step of retention, memory.
//!
//! A real archive on disk with real entries and chains in its index. What is not real: the segment files are not there,
//! so deleting one finds nothing to delete; what is measured is the index.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use site_agent::archive::{Archive, new_origin};
use site_agent::retention::plan::{Policy, Rules};
use site_agent::retention::{Retention, Settings, Status, Writer};
use site_agent::virtual_server;

use crate::reconcile::archives::{self, SEGMENT_BYTES, Shape};
use crate::reconcile::resident_mb;

/// What a start may take.
const START_MAX: Duration = Duration::from_secs(5);
/// What a step of retention may take of the index's time.
const STEP_MAX: Duration = Duration::from_millis(50);
/// Segments freed in a step, and the rest before the next: `site-agent/src/retention/mod.rs`.
const STEP: u64 = 64;
const REST: Duration = Duration::from_millis(20);
/// Steps that are measured.
const STEPS: u64 = 50;
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(120);

/// Arguments of `holdfast-bench archive`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Segments in the archive
    #[arg(long, default_value_t = 1_000_000)]
    segments: u64,
    /// Streams
    #[arg(long, default_value_t = 32)]
    streams: u64,
    /// Runs that ended, each with a ledger for every stream
    #[arg(long, default_value_t = 30)]
    ended_origins: u64,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures; true if what is promised holds.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let shape = Shape {
        segments: args.segments,
        streams: args.streams,
        ended_origins: args.ended_origins,
        gaps: 0,
        lost: 0,
    };
    shape.check()?;
    let dir = tempfile::Builder::new().prefix("holdfast-archive-").tempdir().context("make a folder")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    eprintln!("writing {} segments in {} ledgers", shape.segments, shape.ledgers());
    runtime.block_on(archives::fill_site(dir.path(), &shape)).context("fill the archive")?;
    std::fs::write("/proc/sys/vm/drop_caches", "3").context("empty the page cache; run it as root")?;

    let before = resident_mb()?;
    let began = wire::clock::now();
    let archive = archives::open_site(dir.path())?;
    virtual_server::recover(&archive, &archives::site()?).context("recover")?;
    let start = began.elapsed();
    let opened = resident_mb()?;
    let (first, step) = retain(&archive, &shape)?;
    let retained = resident_mb()?;

    eprintln!(
        "start with an empty page cache {start:.2?}; {before} MB before, {opened} open, {retained} after retention"
    );
    eprintln!("first look and step of retention {first:.1?}; each later step {step:.1?}");
    let mut problems = Vec::new();
    if start > START_MAX {
        problems.push(format!("a start takes {start:.1?}, {START_MAX:.0?} may be"));
    }
    if step > STEP_MAX {
        problems.push(format!("a step of retention takes {step:.1?}, {STEP_MAX:.0?} may be"));
    }
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    if args.json {
        let ms = |took: Duration| (took.as_secs_f64() * 1e4).round() / 10.0;
        let line = json!({
            "segments": shape.segments, "ledgers": shape.ledgers(), "start_ms": ms(start),
            "retention_first_ms": ms(first), "retention_step_ms": ms(step),
            "rss_mb": {"before": before, "open": opened, "after_retention": retained},
        });
        println!("{line}");
    }
    Ok(problems.is_empty())
}

/// How long retention takes until its first step is done, and each later one without its rest.
fn retain(archive: &Archive, shape: &Shape) -> anyhow::Result<(Duration, Duration)> {
    let each = shape.segments / shape.streams * SEGMENT_BYTES;
    let freed = STEPS * STEP / shape.streams * SEGMENT_BYTES;
    ensure!(each > freed, "too few segments to free any");
    let policy = Policy { age_max: None, bytes_max: Some(each - freed) };
    let status = Arc::<Status>::default();
    let settings = Settings {
        rules: Rules { policy, ..Rules::default() },
        holds: Arc::default(),
        replication: None,
        ballast_bytes: 0,
        writer: Writer::Run(new_origin()),
    };
    let began = wire::clock::now();
    let _retention = Retention::start(archive, settings, status.clone())?;
    let until = |wanted: u64| loop {
        let freed = status.snapshot().freed_segments;
        if freed >= wanted {
            return Ok((freed, began.elapsed()));
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "{freed} segments freed, {wanted} were to be: {:?}",
            status.snapshot()
        );
        std::thread::sleep(LOOK);
    };
    let (some, first) = until(1)?;
    let (all, last) = until(STEPS * STEP * 9 / 10)?;
    let steps = u32::try_from((all - some).div_ceil(STEP))?;
    Ok((first, ((last - first) / steps.max(1)).saturating_sub(REST)))
}
