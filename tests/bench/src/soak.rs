//! `holdfast-bench soak`: an hour of a bad line with a backlog and live cameras. The connection has to live
//! through it, and nothing that was durable at the hub may be sent again but a fragment for each cut.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ops::rig::wait_until;
use serde_json::json;
use site_agent::archive::verify::verify;
use wan::{GilbertElliott, Outage, PathSettings, Queue, Reorder};
use wire::SiteId;

use crate::wan_bench::backlog::{self, FRAGMENT_BYTES_MAX};
use crate::wan_bench::line::Line;
use crate::wan_bench::ours::{Daemons, Installation};

/// Between two looks at the daemons.
const LOOK: Duration = Duration::from_secs(1);
/// Between two lines for whoever watches.
const LINES: Duration = Duration::from_secs(60);
/// The line is good again until everything is at the hub; then no longer than this.
const CATCH_UP: Duration = Duration::from_secs(300);
/// Packets lost in a row, on average.
const BURST_PACKETS: f64 = 4.0;
/// Packets that others overtake…
const REORDERED: f64 = 0.01;
/// …by so much.
const OVERTAKEN_BY: Duration = Duration::from_millis(8);
/// Live is not looked at before the cameras are recorded…
const STARTED: Duration = Duration::from_secs(20);
/// …nor while a cut lasts and so long after it.
const HEALED: Duration = Duration::from_secs(5);
/// Live is to be no further behind than this.
const BEHIND_MAX: Duration = Duration::from_secs(3);
/// The part of what the line could carry that is there as a backlog.
const FILLED: f64 = 0.75;

/// Arguments of `holdfast-bench soak`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Times without any passage, evenly spread
    #[arg(long, default_value_t = 10)]
    cuts: u32,
    /// Seconds of each; over 12 s both ends give the connection up
    #[arg(long, default_value_t = 6.0)]
    cut_s: f64,
    /// Packets lost, in bursts of four
    #[arg(long, default_value_t = 2.0)]
    loss_percent: f64,
    /// Round trip of the line
    #[arg(long, default_value_t = 100)]
    rtt_ms: u32,
    /// Rate of the line, in each direction
    #[arg(long, default_value_t = 5)]
    mbit: u32,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
}

/// What came of it, in bytes of parts.
struct Seen {
    /// Connections that the agent has had.
    connections: u64,
    /// Given to the connection.
    sent: u64,
    /// Taken in by the hub.
    arrived: u64,
    /// In the vault's segments, each of them read and right.
    held: u64,
    /// In the site's segments, likewise.
    recorded: u64,
    /// How old the newest live picture at the hub was, looked at each second in which the line was whole.
    lag: Vec<Duration>,
}

/// Soaks; true if everything that was promised holds.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let scratch = tempfile::Builder::new().prefix("holdfast-soak-").tempdir().context("make a folder")?;
    let site = SiteId::new("bench")?;
    let installation = Installation::make(scratch.path(), &site, None)?;
    let bytes = (args.length().as_secs_f64() * f64::from(args.mbit) * 125_000.0 * FILLED) as u64;
    eprintln!("making a backlog of {} MB", bytes / 1_000_000);
    let backlog = backlog::make(scratch.path(), &site, bytes)?;
    let line = Line::along(&args.path())?;
    let laid = wire::clock::now();
    let cameras = installation.start_cameras(&line)?;
    let place = installation.scratch()?;
    let daemons = installation.start_daemons(&line, &backlog.archive, place.path())?;
    let lag = watch(&daemons, args, laid)?;
    let connections = daemons.uplink_figure("connects")?;
    catch_up(&daemons)?;
    drop(cameras);
    let sent = daemons.uplink_figure("live_bytes")? + daemons.uplink_figure("backlog_bytes")?;
    let arrived = daemons.stop()?;
    let seen = Seen {
        connections,
        sent,
        arrived,
        held: right_bytes(&place.path().join("vault"))?,
        recorded: right_bytes(&backlog.archive)?,
        lag,
    };
    Ok(seen.conclude(args))
}

impl Args {
    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    fn path(&self) -> PathSettings {
        let length = Duration::from_secs_f64(self.cut_s);
        let apart = self.length() / (self.cuts + 1);
        PathSettings {
            delay: Duration::from_millis(self.rtt_ms.into()) / 2,
            rate_bps: Some(u64::from(self.mbit) * 1_000_000),
            queue: Queue::Time(Duration::from_millis(100)),
            burst: Some(GilbertElliott::bursts(self.loss_percent / 100.0, BURST_PACKETS)),
            reorder: Some(Reorder { share: REORDERED, by: OVERTAKEN_BY }),
            outages: (1..=self.cuts).map(|cut| Outage { at: apart * cut, length }).collect(),
            ..PathSettings::default()
        }
    }

    /// Is the line whole now, and has it been for as long as a dial and what waited may take?
    fn is_whole(&self, at: Duration) -> bool {
        let apart = self.length() / (self.cuts + 1);
        let length = Duration::from_secs_f64(self.cut_s) + HEALED;
        at > STARTED && !(1..=self.cuts).any(|cut| (apart * cut..apart * cut + length).contains(&at))
    }

    /// Both ends give a connection up after 12 s of silence.
    fn connections(&self) -> u64 {
        if self.cut_s < 11.0 { 1 } else { 1 + u64::from(self.cuts) }
    }
}

/// Lets it happen, with a word a minute; tells how far live was behind.
fn watch(daemons: &Daemons, args: &Args, laid: Instant) -> anyhow::Result<Vec<Duration>> {
    let began = wire::clock::now();
    let (mut said, mut lag) = (Duration::ZERO, Vec::new());
    while began.elapsed() < args.length() {
        std::thread::sleep(LOOK);
        if args.is_whole(laid.elapsed()) {
            let behind = daemons.newest_at_hub()?.map(|newest| wire::clock::wall().since(newest));
            if let Some(behind) = behind.filter(|behind| *behind > BEHIND_MAX) {
                let after = laid.elapsed().as_secs_f64() % (args.length() / (args.cuts + 1)).as_secs_f64();
                eprintln!(
                    "live is {:.1} s behind, {after:.1} s after the last cut began",
                    behind.as_secs_f64()
                );
            }
            lag.extend(behind);
        }
        if began.elapsed() >= said + LINES {
            said += LINES;
            let arrived = daemons.durable_bytes()? / 1_000_000;
            eprintln!("{:>3} min: {arrived} MB at the hub", said.as_secs() / 60);
        }
    }
    lag.sort_unstable();
    Ok(lag)
}

/// Waits until the hub has acked every entry.
fn catch_up(daemons: &Daemons) -> anyhow::Result<()> {
    wait_until("the hub has everything", CATCH_UP, || Ok(daemons.uplink_figure("unacked")? == 0)).map(drop)
}

fn right_bytes(archive: &Path) -> anyhow::Result<u64> {
    let report = verify(archive, |_| {})?;
    ensure!(report.ok, "{}: {}", archive.display(), report.bad.join("; "));
    Ok(report.bytes)
}

impl Seen {
    fn conclude(&self, args: &Args) -> bool {
        let twice = self.arrived.saturating_sub(self.held);
        let twice_max = u64::from(args.cuts) * FRAGMENT_BYTES_MAX;
        let mut problems = Vec::new();
        if self.connections != args.connections() {
            problems.push(format!("{} connections instead of {}", self.connections, args.connections()));
        }
        if twice > twice_max {
            problems.push(format!("{twice} bytes came twice, {twice_max} may"));
        }
        if self.held != self.recorded {
            problems.push(format!("the hub holds {} bytes of {}", self.held, self.recorded));
        }
        let permille =
            |of: usize| self.lag.get((self.lag.len() * of / 1000).min(self.lag.len().saturating_sub(1)));
        let ms = |of: usize| permille(of).map_or(0, Duration::as_millis);
        eprintln!(
            "live was {} ms behind (median), {} (99 of 100), {} at most, outside of cuts",
            ms(500),
            ms(990),
            ms(1000)
        );
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        if args.json {
            let line = json!({
                "live_lag_ms": {"p50": ms(500), "p99": ms(990), "max": ms(1000), "looks": self.lag.len()},
                "live_over_3s": self.lag.iter().filter(|lag| **lag > BEHIND_MAX).count(),
                "minutes": args.minutes, "cuts": args.cuts, "cut_s": args.cut_s,
                "connections": self.connections, "sent_bytes": self.sent, "arrived_bytes": self.arrived,
                "held_bytes": self.held, "recorded_bytes": self.recorded,
                "twice_bytes": twice, "twice_bytes_max": twice_max, "ok": problems.is_empty(),
            });
            println!("{line}");
        }
        problems.is_empty()
    }
}
