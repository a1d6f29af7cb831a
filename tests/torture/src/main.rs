//! `holdfast-torture`: daemons killed, disks without power, full or gone: what was acked is still there.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;
use torture::schedules::{Rule, Wrong};
use torture::{disk_lost, disks, full, kill, power, recovery, rot, schedules};

#[derive(Parser)]
#[command(name = "holdfast-torture", version, about = "What was acked survives whatever happens; needs root")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What chance begins with; printed, so that a run can be repeated
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// The last line of the output is one JSON object
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Kills each daemon under load, at any moment and at every step of what it does
    Kill {
        /// How often each
        #[arg(long, default_value_t = 100)]
        times: u32,
    },
    /// Takes each side's power: what was not synced is lost
    Power {
        /// How often each
        #[arg(long, default_value_t = 100)]
        times: u32,
        /// Disks that say they sync and don't: something must be lost, or this command proves nothing
        #[arg(long)]
        lying_disks: bool,
    },
    /// Flips bits in segments of both sides, and scrubs each once
    Rot {
        /// In how many segments of each
        #[arg(long, default_value_t = 20)]
        bits: usize,
    },
    /// Plays random schedules of an archive alone; a power cut ends each run
    Schedules {
        /// How many
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
        /// The first
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Disks that say they sync and don't: then promises must be broken
        #[arg(long)]
        lying_disks: bool,
        /// A rule that is not obeyed: then promises must be broken
        #[arg(long, value_name = "RULE", conflicts_with = "lying_disks")]
        without: Option<Rule>,
    },
    /// Times the start that finds a large archive as a killed run left it
    Recovery {
        /// How large
        #[arg(long, default_value_t = 100_000)]
        segments: u64,
    },
    /// That start
    #[command(hide = true)]
    RecoverOnce { dir: PathBuf },
    /// One run of a schedule
    #[command(hide = true)]
    Record {
        dir: PathBuf,
        seed: u64,
        #[arg(long)]
        without: Option<Rule>,
    },
    /// Pulls the second of an archive's disks and returns it, at both sides
    Disks {
        /// How often each
        #[arg(long, default_value_t = 1)]
        rounds: u32,
    },
    /// Pulls the second of an archive's disks for good, at both sides, and says so
    DiskLost,
    /// Fills disks, empties them, takes them away and brings them back, at both sides
    Full {
        /// How often each
        #[arg(long, default_value_t = 1)]
        rounds: u32,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(wire::clock::seed);
    eprintln!("--seed {seed}");
    match run(&arguments.command, seed) {
        Ok((holds, figures)) => {
            if !figures.is_null() {
                println!("{figures}");
            }
            if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("holdfast-torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command, seed: u64) -> anyhow::Result<(bool, Value)> {
    match command {
        Command::Kill { times } => kill::run(*times, seed).map(|outcome| (outcome.holds(), outcome.json())),
        Command::Schedules { seeds, from, lying_disks, without } => {
            let wrong = Wrong { lying_disks: *lying_disks, without: *without };
            schedules::run(*seeds, *from, wrong).map(|outcome| (outcome.holds(), outcome.json()))
        }
        Command::Record { dir, seed, without } => {
            schedules::recorder::run(dir, *seed, *without).map(|()| (true, Value::Null))
        }
        Command::Rot { bits } => rot::run(*bits, seed).map(|outcome| (outcome.holds(), outcome.json())),
        Command::Recovery { segments } => {
            recovery::run(*segments).map(|outcome| (outcome.holds(), outcome.json()))
        }
        Command::RecoverOnce { dir } => recovery::once(dir).map(|recovered| (true, recovered.into())),
        Command::Disks { rounds } => disks::run(*rounds).map(|outcome| (outcome.holds(), outcome.json())),
        Command::DiskLost => disk_lost::run().map(|outcome| (outcome.holds(), outcome.json())),
        Command::Full { rounds } => full::run(*rounds).map(|outcome| (outcome.holds(), outcome.json())),
        Command::Power { times, lying_disks } => {
            power::run(*times, seed, *lying_disks).map(|outcome| (outcome.holds(), outcome.json()))
        }
    }
}
