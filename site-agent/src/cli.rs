//! What both daemons' command lines share: logging, signals, `check` and `verify`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::archive::verify::{Progress, Report, verify_with};

/// Logs to standard error; `HOLDFAST_LOG` sets what, `info` if it is not there.
pub fn log() {
    // The control log's library tells its own steps at every level; what matters of them our crate says itself.
    let info = || {
        let quiet = tracing::level_filters::LevelFilter::OFF;
        Targets::new().with_default(tracing::Level::INFO).with_target("openraft", quiet)
    };
    let asked = std::env::var("HOLDFAST_LOG").ok();
    let filter = asked.as_deref().map(str::parse::<Targets>);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let unread = matches!(filter, Some(Err(_)));
    let filter = filter.and_then(Result::ok).unwrap_or_else(info);
    // A second initialisation (in tests) leaves the first in place.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
    if unread {
        tracing::warn!("HOLDFAST_LOG makes no sense; write for example info, or info,wire=debug");
    }
}

/// What ends a daemon: SIGTERM or SIGINT, and for an agent SIGHUP too. A second one ends it at once.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Cancelled at the first signal.
    pub token: CancellationToken,
    /// Was that SIGHUP: is it about to be started again?
    restart: Arc<AtomicBool>,
}

impl Stop {
    /// Is the daemon about to be started again?
    pub fn is_restart(&self) -> bool {
        self.restart.load(Ordering::Relaxed)
    }
}

/// Listens for SIGTERM and SIGINT.
pub fn stop_signal() -> anyhow::Result<CancellationToken> {
    listen(false).map(|stop| stop.token)
}

/// Listens for SIGTERM, SIGINT and SIGHUP.
pub fn stop_or_restart_signal() -> anyhow::Result<Stop> {
    listen(true)
}

fn listen(restarts: bool) -> anyhow::Result<Stop> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut hang_up = match restarts {
        true => Some(signal(SignalKind::hangup()).context("listen for SIGHUP")?),
        false => None,
    };
    let stop = Stop { token: CancellationToken::new(), restart: Arc::default() };
    let told = stop.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            let hung_up = async {
                match &mut hang_up {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            let restart = tokio::select! {
                _ = terminate.recv() => false,
                _ = interrupt.recv() => false,
                _ = hung_up => true,
            };
            if last {
                std::process::exit(130);
            }
            tracing::info!(restart, "stopping; once more to end at once");
            told.restart.store(restart, Ordering::Relaxed);
            told.token.cancel();
        }
    });
    Ok(stop)
}

/// Arguments of `verify`.
#[derive(clap::Args, Clone, Debug)]
pub struct VerifyArgs {
    /// The archive's folder: archive.dir of a site, vault.dir of a hub
    dir: PathBuf,
    /// The folder of a further disk; without, all are looked for where they were last
    #[arg(long = "disk")]
    disks: Vec<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Runs `verify DIR`: progress on standard error, the result on standard output. Returns whether the
/// archive is what it claims to be.
pub fn run_verify(VerifyArgs { dir, disks, json }: &VerifyArgs) -> anyhow::Result<bool> {
    let mut shown = 0;
    let show = |progress: Progress| {
        if progress.done - shown >= 1000 {
            shown = progress.done;
            eprintln!("{} of {} entries", progress.done, progress.total);
        }
    };
    let report = verify_with(dir, disks, show)?;
    if *json {
        println!("{}", serde_json::to_string(&report)?)
    } else {
        print_report(dir, &report)
    }
    Ok(report.ok)
}

fn print_report(dir: &Path, report: &Report) {
    for bad in &report.bad {
        println!("BAD   {bad}");
    }
    if report.away > 0 {
        println!("AWAY  {} segments are on a disk that is not there", report.away);
    }
    println!(
        "{}: {} segments ({} bytes) in {} ledgers, {} entries; {} bad, {} orphans, {} open: {}",
        dir.display(),
        report.segments,
        report.bytes,
        report.ledgers,
        report.entries,
        report.bad.len(),
        report.orphans,
        report.open,
        if report.ok { "ok" } else { "NOT ok" }
    );
}

/// How a program ends: well, with what it checked not holding, or with an error.
pub fn finish(program: &str, done: anyhow::Result<bool>) -> std::process::ExitCode {
    match done {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{program}: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// What a configuration says; its warnings are logged, its problems printed.
pub fn usable<T>(file: &Path, outcome: crate::config::Outcome<T>) -> anyhow::Result<T> {
    match outcome {
        Ok((config, warnings)) => {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            Ok(config)
        }
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            anyhow::bail!("{} is not usable; see above", file.display())
        }
    }
}

/// Prints one JSON object on a line of its own.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
