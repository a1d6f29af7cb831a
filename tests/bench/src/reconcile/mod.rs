//! `holdfast-bench reconcile`: what becoming equal costs before a single byte of video moves.
//!
//! Two real archives on disk, a site's and a vault, with real entries and chains in their indexes; the real sessions
//! over a real QUIC connection on loopback. What is not real: the segment files are not there, because nothing reads
//! them before it is known what is wanted, and all of it runs in one process.

pub(crate) mod archives;
mod exchange;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use archives::Shape;
use exchange::Cost;

/// What 32 running ledgers may cost, and what 32 streams with 1,000 ended origins each may.
const BYTES_MAX: u64 = 4 << 10;
const BYTES_MAX_ENDED: u64 = 64 << 10;
/// What opening an archive may take.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Arguments of `holdfast-bench reconcile`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Segments in each archive
    #[arg(long, default_value_t = 10_000)]
    segments: u64,
    /// Streams that are being recorded: each has a running ledger
    #[arg(long, default_value_t = 32)]
    ledgers: u64,
    /// Runs that ended, each with a ledger for every stream
    #[arg(long, default_value_t = 0)]
    ended_origins: u64,
    /// Outages of three segments in each running ledger, of which the vault has the entries and not the bytes
    #[arg(long, default_value_t = 0)]
    gaps: u64,
    /// Ended ledgers of which the vault has lost a segment without knowing of it
    #[arg(long, default_value_t = 0)]
    lost: u64,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures; true if what is promised holds.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let shape = Shape {
        segments: args.segments,
        streams: args.ledgers,
        ended_origins: args.ended_origins,
        gaps: args.gaps,
        lost: args.lost,
    };
    shape.check()?;
    let dir = tempfile::Builder::new().prefix("holdfast-reconcile-").tempdir().context("make a folder")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    eprintln!("writing {} segments in {} ledgers, twice", shape.segments, shape.ledgers());
    let began = wire::clock::now();
    runtime.block_on(archives::fill(dir.path(), &shape)).context("fill archives")?;
    eprintln!("written in {:.0} s", began.elapsed().as_secs_f64());
    let measured = runtime.block_on(measure(dir.path(), &shape))?;
    measured.conclude(args, &shape)
}

struct Measured {
    open_site: Duration,
    open_hub: Duration,
    resident_mb: [u64; 3],
    cost: Cost,
}

async fn measure(dir: &std::path::Path, shape: &Shape) -> anyhow::Result<Measured> {
    let before = resident_mb()?;
    let (site, open_site) = timed(|| archives::open_site(dir))?;
    let one = resident_mb()?;
    let (vault, open_hub) = timed(|| archives::open_vault(dir))?;
    let cost = exchange::run(dir, &site, &vault).await.context("become equal")?;
    ensure!(
        cost.wanted == shape.wanted(),
        "{} segments are wanted, {} are missing",
        cost.wanted,
        shape.wanted()
    );
    Ok(Measured { open_site, open_hub, resident_mb: [before, one, resident_mb()?], cost })
}

fn timed<T>(open: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let began: Instant = wire::clock::now();
    Ok((open()?, began.elapsed()))
}

impl Measured {
    fn conclude(&self, args: &Args, shape: &Shape) -> anyhow::Result<bool> {
        let Cost { up, down, udp, round_trips, took, wanted } = self.cost;
        let bytes = up + down;
        let mut problems = Vec::new();
        let most = if args.ended_origins == 0 { BYTES_MAX } else { BYTES_MAX_ENDED };
        if args.gaps == 0 && args.lost == 0 && args.ledgers <= 32 && (bytes > most || round_trips > 1) {
            problems.push(format!("{bytes} bytes in {round_trips} round trips: {most} and 1 may be"));
        }
        for (what, took) in [("the site's archive", self.open_site), ("the vault", self.open_hub)] {
            if took > OPEN_MAX {
                problems.push(format!("{what} opens in {took:.1?}, {OPEN_MAX:.0?} may be"));
            }
        }
        let [before, one, both] = self.resident_mb;
        eprintln!("{} segments in {} ledgers", shape.segments, shape.ledgers());
        eprintln!("{up} bytes up and {down} down ({udp} of UDP), {round_trips} round trips, {took:.1?}");
        eprintln!("{wanted} segments are wanted");
        eprintln!(
            "opened in {:.0?} and {:.0?}; {before} MB, {one} with one, {both} with both",
            self.open_site, self.open_hub
        );
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        if args.json {
            let ms = |took: Duration| (took.as_secs_f64() * 1e4).round() / 10.0;
            let line = json!({
                "bytes": bytes, "round_trips": round_trips, "ms": ms(took),
                "bytes_up": up, "bytes_down": down, "udp_bytes": udp, "wanted": wanted,
                "segments": shape.segments, "ledgers": shape.ledgers(), "gaps": args.gaps, "lost": args.lost,
                "open_site_ms": ms(self.open_site), "open_hub_ms": ms(self.open_hub),
                "rss_mb": {"before": before, "with_site": one, "with_both": both},
            });
            println!("{line}");
        }
        Ok(problems.is_empty())
    }
}

/// What this process has in memory.
pub(crate) fn resident_mb() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("read memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kb: u64 = line.trim().trim_end_matches(" kB").parse().context("read VmRSS")?;
    Ok(kb / 1024)
}
