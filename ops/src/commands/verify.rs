//! `holdfast verify`: checks an exported file, without any hub or site.

use std::fmt::Write;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use site_agent::serve::proof::ProvenGap;
use site_agent::serve::{Report, verify_export};
use wire::UnixMicros;

use super::coverage::what;
use super::table::{Table, cell, number};
use super::when::{Clock, rfc3339};
use super::{finish, print, print_json, words};
use crate::client::clean;

/// Arguments of `holdfast verify`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Shows that the file is as it was exported and agrees with the ledger entries in it.
That these are the ledger's own shows when a head is compared with the ledger's.")]
pub struct Args {
    /// The exported file
    export: PathBuf,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
}

/// `holdfast verify`. Returns whether the file is what was recorded.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.json, show(args))
}

fn show(args: &Args) -> anyhow::Result<bool> {
    let (report, bytes) = check(&args.export)?;
    if args.json {
        print_json(&to_json(&report, &args.export, bytes))?;
    } else {
        print(&describe(&report, &args.export, bytes, &Clock::system()))?;
    }
    Ok(report.ok)
}

/// Reads a whole file. Also gives its length.
pub(super) fn check(path: &Path) -> anyhow::Result<(Report, u64)> {
    let verb = || format!("read {}", path.display());
    let file = File::open(path).with_context(verb)?;
    let metadata = file.metadata().with_context(verb)?;
    if metadata.is_dir() {
        bail!("{} is a folder: `site-agent verify` and `dc-hub verify` check archives", path.display());
    }
    let style = ProgressStyle::with_template("verifying {bar:32} {decimal_bytes}/{decimal_total_bytes}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(metadata.len()).with_style(style);
    let report = verify_export(BufReader::with_capacity(1 << 20, bar.wrap_read(file)));
    bar.finish_and_clear();
    Ok((report, metadata.len()))
}

/// A report for programs.
pub(super) fn to_json(report: &Report, file: &Path, bytes: u64) -> Value {
    let gap = |gap: &ProvenGap| {
        json!({
            "from": rfc3339(UnixMicros(gap.from_us)),
            "to": rfc3339(UnixMicros(gap.to_us)),
            "state": gap.state,
            "cause": gap.cause,
            "detail": gap.detail,
        })
    };
    let known = !report.stream.is_empty();
    json!({
        "ok": report.ok,
        "verified": report.ok,
        "file": file.display().to_string(),
        "bytes": bytes,
        "stream": report.stream,
        "from": known.then(|| rfc3339(UnixMicros(report.from_us))),
        "to": known.then(|| rfc3339(UnixMicros(report.to_us))),
        "frames": report.frames,
        "fragments": report.fragments,
        "proven": report.proven,
        "segments": report.segments,
        "gaps": report.gaps.iter().map(gap).collect::<Vec<_>>(),
        "heads": report.heads,
        "problems": report.problems,
    })
}

/// A report for people.
pub(super) fn describe(report: &Report, file: &Path, bytes: u64, clock: &Clock) -> String {
    let mut facts = Table::new("");
    let mut fact = |name: &str, value: String| facts.row([cell(format!("{name:<8}")), cell(value)]);
    fact("file", format!("{}, {}", file.display(), words::bytes(bytes)));
    if !report.stream.is_empty() {
        fact("stream", report.stream.clone());
        let range = clock.show_range(UnixMicros(report.from_us), UnixMicros(report.to_us));
        fact("holds", format!("{range} ({})", clock.zone()));
    }
    let fragments = words::count(report.fragments, "fragment");
    let segments = words::count(report.segments, "segment");
    fact("frames", format!("{} in {fragments} of {segments}", report.frames));
    for head in &report.heads {
        fact("head", format!("{} after entry {} of {}", head.head, head.seq, head.origin));
    }
    let mut text = facts.render(false);
    if !report.gaps.is_empty() {
        text += "\nNot in the file, of what was asked for:\n";
        text += &gaps(&report.gaps, clock).render(super::colours());
    }
    text.push('\n');
    // A String takes everything.
    for problem in &report.problems {
        let _ = writeln!(text, "WRONG     {}", clean(problem));
    }
    let verdict = match report.problems.len() {
        0 => "verified  every fragment is what its ledger entry says".to_owned(),
        problems => {
            let hint = if report.stream.is_empty() { "; did `holdfast export` make this file?" } else { "" };
            format!("NOT ok    {}{hint}", words::count(problems, "problem"))
        }
    };
    text + &verdict + "\n"
}

fn gaps(gaps: &[ProvenGap], clock: &Clock) -> Table {
    let mut table = Table::new("  ");
    let ends = gaps.first().zip(gaps.last());
    let one_day =
        ends.is_some_and(|(first, last)| clock.same_day(UnixMicros(first.from_us), UnixMicros(last.to_us)));
    for gap in gaps {
        let (from, to) = (UnixMicros(gap.from_us), UnixMicros(gap.to_us));
        let show = |at| if one_day { clock.time(at) } else { clock.full(at) };
        let length = number(words::duration(to.since(from)));
        let what = what(&gap.state, gap.cause.as_deref());
        table.row([cell(show(from)), cell(show(to)), length, what, cell(&gap.detail)]);
    }
    table
}
