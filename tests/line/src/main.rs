//! `holdfast-line`: what our congestion controller makes of a line, by hand.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use line::{Options, matrix};

/// Send over an emulated line and say what arrives
///
/// One bulk connection of the real transport between two namespaces, made for it and removed at the end.
#[derive(Parser)]
#[command(version, args_override_self = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Figures as one line
    #[arg(long)]
    json: bool,
    /// Run every line of a file (a name, then options) and print a table; options after -- hold for all
    #[arg(long)]
    matrix: Option<PathBuf>,
    /// Hold this file's lock during each run, so that others can keep quiet
    #[arg(long)]
    lock: Option<PathBuf>,
    /// Options for all lines of the matrix
    #[arg(last = true, requires = "matrix")]
    also: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.matrix {
        Some(file) => table(file, &arguments),
        None => single(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast-line: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn single(arguments: &Arguments) -> Result<()> {
    let held = arguments.lock.as_deref().map(matrix::hold).transpose()?;
    let outcome = line::run(&arguments.options)?;
    drop(held);
    let text = if arguments.json {
        serde_json::to_string(&outcome)?
    } else {
        serde_json::to_string_pretty(&outcome)?
    };
    println!("{text}");
    for why in &outcome.void {
        eprintln!("holdfast-line: this run is void: {why}");
    }
    Ok(())
}

fn table(file: &Path, arguments: &Arguments) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let cases = matrix::cases(&text, &arguments.also)?;
    matrix::table(&cases, arguments.lock.as_deref(), std::io::stdout())
}
