//! `holdfast`: the operator's command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a CA of one's own, certificates, and configurations for a hub and its sites
    Init(ops::init::Args),
    /// The main job on this machine: real cameras, two sites, a hub, a WAN that is cut
    Demo(ops::demo::Args),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Init(arguments) => ops::init::run(arguments).map(|()| true),
        Command::Demo(arguments) => ops::demo::run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("holdfast: {error:#}");
            ExitCode::FAILURE
        }
    }
}
