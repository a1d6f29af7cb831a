//! `holdfast-bench`: Holdfast measured beside what people use today, on real processes.
//!
//! Every figure is of this machine at this moment: results say what the machine was and how busy, and one
//! that the machine spoilt is void. It never changes what it measures: daemons run as installed, but for
//! configuration.

mod archive;
mod cpu;
mod failover;
mod fleet;
mod reconcile;
mod report;
mod results;
mod series;
mod soak;
mod wan_bench;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "holdfast-bench", version, about = "Holdfast measured beside what people use today")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Catch-up over an emulated WAN, beside rsync over ssh and rclone; needs root
    Wan(wan_bench::Args),
    /// An hour of a bad line: one connection that survives it, nothing durable sent twice; needs root
    Soak(soak::Args),
    /// A recorder killed over and over, three voters, a WAN: how long the gap is; needs root
    Failover(failover::Args),
    /// Beats of many sites at one hub node: what that costs it
    Fleet(fleet::Args),
    /// Two archives, nearly equal: what it costs to find out what is wanted
    Reconcile(reconcile::Args),
    /// An archive of a million segments: its start, a step of retention, memory; needs root
    Archive(archive::Args),
    #[command(hide = true)]
    FleetBare(fleet::bare::Args),
    /// A trace of holdfast-line as a picture
    Plot(report::plot::Args),
    /// Tables and charts of the results so far
    Report(report::Args),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Wan(args) => wan_bench::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Failover(args) => failover::run(&args),
        Command::Fleet(args) => fleet::run(&args),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Archive(args) => archive::run(&args),
        Command::FleetBare(args) => fleet::bare::run(&args),
        Command::Plot(args) => report::plot::run(&args),
        Command::Report(args) => report::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("holdfast-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where results of a benchmark go unless told otherwise: beside the build.
fn default_results(name: &str) -> anyhow::Result<PathBuf> {
    use anyhow::Context;
    let own = std::env::current_exe().context("find this program")?;
    let target = own.ancestors().find(|folder| folder.ends_with("target")).map(PathBuf::from);
    Ok(target.unwrap_or_else(|| PathBuf::from("target")).join("bench").join(name))
}
