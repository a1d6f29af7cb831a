//! `holdfast disk`: the disks of an archive, and that one of them does not come back.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::json;

use super::table::{Table, cell, number};
use super::target::TargetArgs;
use super::words;
use super::{colours, finish, print, print_json};
use crate::client::{Client, clean};

/// Arguments of `holdfast disk`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum What {
    /// Show the disks of a hub's or a site's archive
    List(List),
    /// Say that a disk does not come back: what was on it and nobody else has is gone for good, and the disk is refused
    Lost(Lost),
}

#[derive(clap::Args, Clone, Debug)]
struct List {
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(clap::Args, Clone, Debug)]
struct Lost {
    /// Its folder, or its number, as `holdfast disk list` shows them
    disk: String,
    /// Only tell what that would mean
    #[arg(long)]
    dry_run: bool,
    /// You are sure: this can't be taken back
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Deserialize)]
struct Disk {
    dir: String,
    number: Option<u32>,
    in_use: bool,
    given_up: bool,
    detail: String,
    free_bytes: Option<u64>,
    away: u64,
}

/// `holdfast disk`.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    match &args.what {
        What::List(list) => finish(list.json, show(list)),
        What::Lost(lost) => finish(lost.json, give_up(lost)),
    }
}

fn show(args: &List) -> anyhow::Result<bool> {
    let client = args.target.open()?;
    let mut told = client.get("/disks")?;
    let disks = read(&client, &told)?;
    let ok = disks.iter().all(|disk| disk.in_use || disk.given_up);
    if args.json {
        told["ok"] = ok.into();
        print_json(&told)?;
    } else {
        print(&table(&disks).render(colours()))?;
    }
    Ok(ok)
}

fn read(client: &Client, told: &serde_json::Value) -> anyhow::Result<Vec<Disk>> {
    serde_json::from_value(told["disks"].clone()).with_context(|| client.foreign("no disks"))
}

fn table(disks: &[Disk]) -> Table {
    let mut table = Table::with_heading(&[">NUMBER", "FOLDER", "STATE", ">FREE", ">WANTED", "WHY"]);
    for disk in disks {
        table.row([
            number(disk.number.map_or("-".to_owned(), |number| number.to_string())),
            cell(&disk.dir),
            cell(match (disk.in_use, disk.given_up) {
                (true, _) => "in use",
                (_, true) => "given up",
                _ => "out",
            }),
            number(disk.free_bytes.map_or("-".to_owned(), words::bytes)),
            number(disk.away),
            cell(&disk.detail),
        ]);
    }
    table
}

fn give_up(args: &Lost) -> anyhow::Result<bool> {
    let client = args.target.open()?;
    let dry_run = args.dry_run || !args.yes;
    let mut told = client.post("/disks/lost", &json!({ "disk": args.disk, "dry_run": dry_run }))?;
    let segments = told["segments"].as_u64().with_context(|| client.foreign("no disk"))?;
    let what = format!(
        "{}: {} that no other disk here has",
        clean(told["dir"].as_str().unwrap_or(&args.disk)),
        words::count(segments, "segment")
    );
    if dry_run && !args.dry_run {
        bail!(
            "{what}; what nobody else has either would be gone for good, and the disk refused if it came back. Say \
             --yes if that is so"
        );
    }
    if args.json {
        told["ok"] = true.into();
        told["dry_run"] = dry_run.into();
        print_json(&told)?;
    } else if dry_run {
        print(&format!("{what}; what nobody else has either would be gone for good\n"))?;
    } else {
        print(&format!(
            "{what}; they are wanted from the other side, and gone where that has not got them\n"
        ))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_in_use_out_or_given_up() {
        let disk = |in_use, given_up| Disk {
            dir: "/mnt/two".to_owned(),
            number: Some(1),
            in_use,
            given_up,
            detail: String::new(),
            free_bytes: None,
            away: 3,
        };
        for (disk, state) in
            [(disk(true, false), "in use"), (disk(false, false), "out"), (disk(false, true), "given up")]
        {
            let shown = table(&[disk]).render(false);
            assert!(shown.contains(state) && shown.contains("/mnt/two"), "{shown}");
        }
    }
}
