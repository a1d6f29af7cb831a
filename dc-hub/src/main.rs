//! `dc-hub`: takes in what many sites record, keeps it, serves it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use dc_hub::{config, node};
use site_agent::cli;
use wire::transport::{Identity, QuicThreads};

/// One that empties the socket, and one for the connections of the sites, which share both.
const QUIC_THREADS: usize = 2;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take sites in and serve what they recorded, until told to stop
    Run(Config),
    /// Say everything that is wrong with a configuration
    Check {
        #[command(flatten)]
        config: Config,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Begin a control log anew from what `holdfast node backup` saved, in an empty `control.dir`
    Restore {
        #[command(flatten)]
        config: Config,
        /// The file
        #[arg(long)]
        from: PathBuf,
    },
    /// Re-read a vault and check every hash; nobody may have it open
    Verify(cli::VerifyArgs),
}

#[derive(clap::Args)]
struct Config {
    /// The configuration file
    #[arg(long, default_value = "/etc/holdfast/hub.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments.config).map(|()| true),
        Command::Check { config, json } => Ok(config::report(&config::load_hub(&config.config), json)),
        Command::Restore { config, from } => restore(&config.config, &from).map(|()| true),
        Command::Verify(arguments) => cli::run_verify(&arguments),
    };
    cli::finish("dc-hub", done)
}

fn restore(file: &Path, from: &Path) -> anyhow::Result<()> {
    let config = cli::usable(file, config::load_hub(file))?;
    let done = dc_hub::restore::restore(&config.control, from)?;
    println!("{done}");
    Ok(())
}

#[tokio::main]
async fn run(file: &Path) -> anyhow::Result<()> {
    cli::log();
    let config = cli::usable(file, config::load_hub(file))?;
    let stop = cli::stop_signal()?;
    let files = &config.identity;
    let identity = Identity::load(&files.ca, &files.certificate, &files.key)?;
    if let Err(error) = identity.check(wire::clock::wall()) {
        tracing::error!(%error, "sites will refuse this hub");
    }
    let threads = QuicThreads::start(QUIC_THREADS).context("start QUIC's threads")?;
    node::run(&config, &identity, &threads.handle(), stop).await
}
