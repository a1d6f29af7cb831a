//! The operator's commands: what a person at a terminal, or a script, asks of a running hub or site, or
//! of an exported file.
//!
//! Guarantees: what was asked for goes to standard output, everything else to standard error; with
//! `--json` the last line of standard output is one JSON object with `ok`, also when the command fails;
//! the exit status is 0 only if what the command checks holds. They speak HTTP and know nothing of the
//! daemons' internals.

mod camera;
pub mod coverage;
pub mod disk;
pub mod drill;
pub mod events;
pub mod export;
pub mod fetch;
pub mod hold;
pub mod node;
mod part_file;
pub mod plan;
pub mod reconcile;
pub mod scrub;
pub mod status;
mod table;
mod target;
mod token;
pub mod verify;
mod when;
pub mod why;
pub mod wish;
mod words;

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// Writes to standard output. That nobody reads on, as after `| head`, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    print(&format!("{value}\n"))
}

/// Ends a command: a script that asked for JSON gets JSON, also about a failure.
fn finish(json: bool, done: anyhow::Result<bool>) -> anyhow::Result<bool> {
    if let (true, Err(error)) = (json, &done) {
        print_json(&json!({ "ok": false, "error": format!("{error:#}") }))?;
    }
    done
}

/// Bytes that come, on standard error.
fn progress() -> ProgressBar {
    let template = "{msg} {bar:32} {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

/// Should standard output have colours?
fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
