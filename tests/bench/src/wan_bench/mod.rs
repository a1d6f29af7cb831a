//! `holdfast-bench wan`: how much of a bad line an agent with a backlog uses, how long a queue it keeps there,
//! and what that does to its live cameras, beside rsync over ssh and rclone over SFTP.

pub(crate) mod backlog;
pub(crate) mod case;
pub(crate) mod line;
pub(crate) mod ours;
mod peers;
pub(crate) mod record;
mod summary;
pub(crate) mod verdict;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use wire::SiteId;

use crate::default_results;
use crate::results::{Machine, Results};
use backlog::Backlog;
use case::{Case, Contender, Times};
use line::Line;
use ours::Installation;
use peers::Ssh;
use record::{Circumstances, Record};
use summary::{Summary, say};
use verdict::{judge, newest};

/// Where results go, below the build's folder.
pub(crate) const RESULTS: &str = "wan.jsonl";

/// Arguments of `holdfast-bench wan`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Round trip of the line
    #[arg(long, default_value_t = 100)]
    rtt_ms: u32,
    /// Packets lost at random, in each direction
    #[arg(long, default_value_t = 0.1)]
    loss_percent: f64,
    /// Rate of the line, in each direction
    #[arg(long, default_value_t = 100)]
    mbit: u32,
    /// What may wait for the rate
    #[arg(long, default_value_t = 100)]
    queue_ms: u64,
    /// Every line that something is promised for, 40 of them; goes on where it ended last time
    #[arg(long, conflicts_with_all = ["rtt_ms", "loss_percent", "mbit"])]
    full: bool,
    /// With --full: measure again what is in the results already
    #[arg(long)]
    again: bool,
    /// Only these
    #[arg(long, value_delimiter = ',')]
    contender: Vec<Contender>,
    /// The agent's uplink.congestion; without it, its default
    #[arg(long)]
    congestion: Option<String>,
    /// Seconds from the first byte to the steady interval; without it, by the line
    #[arg(long)]
    warm_s: Option<f64>,
    /// Seconds of the steady interval
    #[arg(long)]
    steady_s: Option<f64>,
    /// Seconds of cameras alone
    #[arg(long)]
    idle_s: Option<f64>,
    /// Where results are added; default: bench/wan.jsonl in the build's folder
    #[arg(long)]
    results: Option<PathBuf>,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures; true if everything that was promised holds.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let bench = Bench::new(args)?;
    let cases = args.cases();
    let due = bench.due(&cases)?;
    let mut failed = Vec::new();
    if !due.is_empty() {
        let scratch =
            tempfile::Builder::new().prefix("holdfast-bench-").tempdir().context("make a folder")?;
        let parts = Parts::make(scratch.path(), args, &due)?;
        for (case, contender) in &due {
            if let Err(error) = bench.measure(&parts, *case, *contender) {
                eprintln!("{}: {error:#}", contender.name());
                failed.push(format!("{case}, {}: {error:#}", contender.name()));
            }
        }
        if !failed.is_empty() {
            let kept = scratch.keep();
            eprintln!("logs are kept in {}", kept.display());
        }
    }
    bench.conclude(&cases, &failed)
}

impl Args {
    fn cases(&self) -> Vec<Case> {
        if self.full {
            return case::matrix();
        }
        vec![Case { rtt_ms: self.rtt_ms, loss_percent: self.loss_percent, mbit: self.mbit }]
    }

    fn contenders(&self) -> Vec<Contender> {
        if self.contender.is_empty() { Contender::ALL.into() } else { self.contender.clone() }
    }

    fn times(&self, case: &Case) -> Times {
        let usual = case.times();
        let or = |seconds: Option<f64>, usual| seconds.map_or(usual, Duration::from_secs_f64);
        Times {
            warm: or(self.warm_s, usual.warm),
            steady: or(self.steady_s, usual.steady),
            idle: or(self.idle_s, usual.idle),
        }
    }

    fn congestion(&self) -> &str {
        self.congestion.as_deref().unwrap_or("default")
    }
}

/// What the contenders work with, made once.
struct Parts {
    installation: Installation,
    ssh: Option<Ssh>,
    backlog: Backlog,
}

impl Parts {
    fn make(dir: &std::path::Path, args: &Args, due: &[(Case, Contender)]) -> anyhow::Result<Self> {
        let site = SiteId::new("bench")?;
        let bytes = due.iter().map(|(case, _)| case.backlog_bytes(&args.times(case))).max().unwrap_or(0);
        eprintln!("making a backlog of {} MB", bytes / 1_000_000);
        let peers = due.iter().any(|(_, contender)| *contender != Contender::Ours);
        Ok(Self {
            installation: Installation::make(dir, &site, args.congestion.clone())?,
            ssh: peers.then(|| Ssh::make(dir)).transpose()?,
            backlog: backlog::make(dir, &site, bytes)?,
        })
    }
}

struct Bench<'a> {
    args: &'a Args,
    results: Results,
    machine: Machine,
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args) -> anyhow::Result<Self> {
        let file = args.results.clone().map_or_else(|| default_results(RESULTS), Ok)?;
        Ok(Self { args, results: Results::new(file), machine: Machine::this() })
    }

    /// What there is to measure.
    fn due(&self, cases: &[Case]) -> anyhow::Result<Vec<(Case, Contender)>> {
        let records: Vec<Record> = self.results.read()?;
        let all = cases.iter().flat_map(|case| self.args.contenders().into_iter().map(|who| (*case, who)));
        let skip = self.args.full && !self.args.again;
        Ok(all.filter(|(case, who)| !(skip && self.is_done(case, *who, &records))).collect())
    }

    fn is_done(&self, case: &Case, contender: Contender, records: &[Record]) -> bool {
        let same =
            |record: &&Record| contender != Contender::Ours || record.congestion == self.args.congestion();
        let of_case = |record: &&Record| record.case == *case && record.contender == contender;
        records.iter().filter(of_case).filter(same).any(|record| record.void.is_none())
    }

    fn measure(&self, parts: &Parts, case: Case, contender: Contender) -> anyhow::Result<()> {
        let times = self.args.times(&case);
        eprintln!("{case}: {}, {:.0} s", contender.name(), (times.warm + times.steady).as_secs_f64());
        let line = Line::lay(&case, Duration::from_millis(self.args.queue_ms))?;
        let queue_limit_ms = self.args.queue_ms;
        let about = Circumstances { case, times, queue_limit_ms, machine: &self.machine };
        let backlog = &parts.backlog;
        let record = match (contender, &parts.ssh) {
            (Contender::Ours, _) => {
                let seen = parts.installation.run(&line, &times, &backlog.archive)?;
                ensure!(seen.watched.arrived.last() < backlog.bytes, "the backlog was too short");
                Record::of_ours(&about, self.args.congestion(), seen)?
            }
            (peer, Some(ssh)) => {
                let watched = ssh.run(peer, &line, &times, &backlog.files)?;
                ensure!(watched.arrived.last() < backlog.bytes, "the backlog was too short");
                Record::of_peer(&about, peer, watched)?
            }
            (_, None) => anyhow::bail!("there is no ssh server for it"),
        };
        say(&record);
        self.results.append(&record)
    }

    /// Says of every case whether it holds.
    fn conclude(&self, cases: &[Case], failed: &[String]) -> anyhow::Result<bool> {
        let records: Vec<Record> = self.results.read()?;
        let mut held = 0;
        for case in cases {
            let verdict = judge(case, &records);
            let looked_at = !newest(case, &records).is_empty();
            let missing: Vec<_> = verdict.missing.iter().map(|contender| contender.name()).collect();
            let missing =
                if missing.is_empty() { String::new() } else { format!(" (without {})", missing.join(", ")) };
            held += usize::from(verdict.holds() && looked_at);
            let said = if verdict.holds() { "holds".to_owned() } else { verdict.problems.join("; ") };
            eprintln!("{case}: {said}{missing}");
        }
        let ok = held == cases.len() && failed.is_empty() && self.measured_counts(cases, &records);
        if self.args.json {
            let summary = Summary { cases, records: &records, held, failed, file: self.results.file() };
            println!("{}", summary.json());
        }
        Ok(ok)
    }

    /// Is there a result that counts of everything that was asked for?
    fn measured_counts(&self, cases: &[Case], records: &[Record]) -> bool {
        cases.iter().all(|case| self.args.contenders().iter().all(|who| self.is_done(case, *who, records)))
    }
}
