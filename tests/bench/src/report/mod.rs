//! `holdfast-bench report`: the results so far as one page with charts.
//!
//! It measures nothing and judges nothing anew; a page can be made again from the same results at any time.

mod chart;
mod page;
pub(crate) mod plot;
mod svg;
mod wan;

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::ensure;

use crate::default_results;
use crate::results::Results;
use crate::wan_bench::RESULTS;
use crate::wan_bench::record::Record;

/// Arguments of `holdfast-bench report`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Results of `holdfast-bench wan`; default: bench/wan.jsonl in the build's folder
    #[arg(long)]
    results: Option<PathBuf>,
    /// Where performance.md and its charts go
    #[arg(long, default_value = "docs")]
    to: PathBuf,
}

const ABOUT: &str = include_str!("about.md");

/// Writes the page; always true.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let results = Results::new(args.results.clone().map_or_else(|| default_results(RESULTS), Ok)?);
    let records: Vec<Record> = results.read()?;
    let file = results.file().display();
    ensure!(!records.is_empty(), "{file} has no results: run holdfast-bench wan first");
    let mut text = ABOUT.replace("MACHINES\n", &wan::machines(&records));
    for mbit in wan::rates(&wan::cases(&records)) {
        let charts =
            [("share", wan::share_chart(mbit, &records)), ("queue", wan::queue_chart(mbit, &records))];
        // Writing to a String can't fail.
        let _ = writeln!(text, "\n## {mbit} Mbit/s\n\n{}", wan::table(mbit, &records));
        for (name, drawn) in charts {
            page::write(&args.to.join(format!("performance/{name}-{mbit}.svg")), &drawn)?;
            let _ = writeln!(text, "![{name} at {mbit} Mbit/s](performance/{name}-{mbit}.svg)\n");
        }
        let _ = writeln!(text, "Cores used:\n\n{}", wan::cost_table(mbit, &records).trim_end());
    }
    text.push_str(&wan::not_counted(&records));
    let path = args.to.join("performance.md");
    page::write(&path, &text)?;
    println!("{}", path.display());
    Ok(true)
}
