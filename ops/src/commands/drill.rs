//! `holdfast drill`: rehearses a failure at one site or many, waits for the reports, and tells how it went.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::table::{Table, Tone, cell, number};
use super::wish::Common;
use super::{colours, finish, print, print_json};
use crate::client::{Client, clean};
use crate::length;

/// Between two looks how it goes.
const LOOK: Duration = Duration::from_millis(500);
/// So long after the drill's own time the reports are there, or never: authority comes home, and what the site
/// recorded comes to the hub.
const AFTER_MAX: Duration = Duration::from_secs(480);

/// Arguments of `holdfast drill`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Which sites, all at once
    #[arg(required_unless_present_any = ["all", "stop", "show"], conflicts_with = "all", value_name = "SITE")]
    sites: Vec<String>,
    /// Every site the hub knows, all at once
    #[arg(long)]
    all: bool,
    /// What fails
    #[arg(long, value_enum, default_value_t = Kind::Recorder)]
    kind: Kind,
    /// Only make as if: production is not touched
    #[arg(long)]
    shadow: bool,
    /// For how long, 5s to 15m
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = length::parse)]
    length: Duration,
    /// With `--kind site` and without `--shadow`: nobody records meanwhile, and that is accepted
    #[arg(long)]
    accept_loss: bool,
    /// End this drill before its time
    #[arg(long, value_name = "ID", conflicts_with_all = ["sites", "all"])]
    stop: Option<String>,
    /// Tell of this drill again
    #[arg(long, value_name = "ID", conflicts_with_all = ["sites", "all", "stop"])]
    show: Option<String>,
    /// Save each site's picture here, as SITE.svg
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The recorder dies, its cameras live: a standby has to take over
    Recorder,
    /// The way to the site is cut, its recorder lives: nobody may take over
    Wan,
    /// Both: somebody has to notice, and nobody can take over
    Site,
}

/// `holdfast drill`. True if every site's drill was good.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.common.json, drill(args))
}

fn drill(args: &Args) -> anyhow::Result<bool> {
    let Common { dry_run, json, target, .. } = &args.common;
    let (target, by) = (target.open()?, args.common.who());
    if let Some(id) = &args.stop {
        return stop(&target, id, &by, *json);
    }
    if let Some(id) = &args.show {
        let told = target.get(&format!("/drills/{id}"))?;
        let ok = told["ok"] == true;
        return tell(&target, args, &told).map(|()| ok);
    }
    let kind = match args.kind {
        Kind::Recorder => "recorder",
        Kind::Wan => "wan",
        Kind::Site => "site",
    };
    let asked = json!({
        "sites": args.sites, "kind": kind, "shadow": args.shadow, "length_s": args.length.as_secs(), "by": by,
        "accept_loss": args.accept_loss, "dry_run": dry_run,
    });
    let accepted = target.post("/drills", &asked)?;
    let begun = at_sites(&accepted);
    if *dry_run {
        if *json {
            print_json(&accepted)?;
        }
        return Ok(accepted["ok"] == true);
    }
    if begun.is_empty() {
        bail!("the drill began nowhere");
    }
    let mut told = await_reports(&target, text(&accepted["id"]), &begun, args.length + AFTER_MAX)?;
    let ok = accepted["ok"] == true && told["ok"] == true && begun.len() == told_of(&told).count();
    told["ok"] = json!(ok);
    told["asked"] = accepted["sites"].clone();
    tell(&target, args, &told)?;
    Ok(ok)
}

/// Saves what is to be saved, and says how it went.
fn tell(target: &Client, args: &Args, told: &Value) -> anyhow::Result<()> {
    if let Some(folder) = &args.svg {
        save(target, told, folder)?;
    }
    match args.common.json {
        true => print_json(told),
        false => print(&describe(told, colours())),
    }
}

fn stop(target: &Client, id: &str, by: &str, json: bool) -> anyhow::Result<bool> {
    let mut stopped = target.post(&format!("/drills/{id}/stop"), &json!({ "by": by }))?;
    if json {
        stopped["ok"] = json!(true);
        print_json(&stopped)?;
        return Ok(true);
    }
    for (site, says) in stopped["sites"].as_object().into_iter().flatten() {
        print(&format!("{}\n", clean(&format!("{site}: {}", text(says)))))?;
    }
    Ok(true)
}

/// Says what begins where; the sites at which it begins.
fn at_sites(accepted: &Value) -> BTreeSet<String> {
    let mut begun = BTreeSet::new();
    for (site, came) in accepted["sites"].as_object().into_iter().flatten() {
        let says = text(&came["says"]);
        eprintln!("{}", clean(&if came["ok"] == true { says.to_owned() } else { format!("{site}: {says}") }));
        if came["ok"] == true {
            begun.insert(site.clone());
        }
    }
    begun
}

/// Waits until of every site it is known how it went: by its report, or by what the node that has that said of it.
fn await_reports(
    target: &Client,
    id: &str,
    sites: &BTreeSet<String>,
    within: Duration,
) -> anyhow::Result<Value> {
    let (began, mut said) = (wire::clock::now(), String::new());
    loop {
        let told = target.get(&format!("/drills/{id}"))?;
        let there: BTreeSet<&str> = told_of(&told).collect();
        if sites.iter().all(|site| there.contains(site.as_str())) {
            return Ok(told);
        }
        let count = |key: &str| told[key].as_array().map_or(0, Vec::len);
        let says = format!(
            "{} go on, {} are measured, {} are done",
            count("running"),
            count("measured"),
            there.len()
        );
        if says != said {
            eprintln!("{says}");
            said = says;
        }
        if began.elapsed() > within {
            bail!("drill {id} has no report of every site after {} s; see `dc-hub`'s log", within.as_secs());
        }
        std::thread::sleep(LOOK);
    }
}

fn save(target: &Client, told: &Value, folder: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    for report in reports(told) {
        let (id, site) = (text(&told["id"]), text(&report["site"]));
        let (_, mut body) = target.download(&format!("/drills/{id}/{site}.svg"))?;
        let mut picture = Vec::new();
        body.read_to_end(&mut picture).context("read the picture")?;
        let file = folder.join(format!("{site}.svg"));
        std::fs::write(&file, picture).with_context(|| format!("write {}", file.display()))?;
        eprintln!("{}", file.display());
    }
    Ok(())
}

fn reports(told: &Value) -> impl Iterator<Item = &Value> {
    told["reports"].as_array().into_iter().flatten()
}

/// Reports that are at another node, and nowhere if nobody told of the drill.
fn elsewhere(told: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let known = told["elsewhere"].as_object().into_iter().flatten();
    known.filter(|(_, at)| at["ok"].is_boolean()).map(|(site, at)| (site.as_str(), at))
}

/// Sites of which it is known how the drill went.
fn told_of(told: &Value) -> impl Iterator<Item = &str> {
    reports(told).map(|report| text(&report["site"])).chain(elsewhere(told).map(|(site, _)| site))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// For people.
fn describe(told: &Value, colours: bool) -> String {
    let headings = [
        "SITE",
        "RESULT",
        ">DETECT",
        ">DECIDE",
        ">FIRST FRAME",
        ">LONGEST GAP",
        ">BACK HOME",
        ">FRAMES LOST",
    ];
    let mut table = Table::with_heading(&headings);
    let mut problems = String::new();
    for report in reports(told) {
        let good = report["ok"] == true;
        let time = |key: &str| number(seconds(&report[key]));
        let frames = format!("{} of {}", report["frames_lost"], report["frames_compared"]);
        table.row([
            cell(text(&report["site"])),
            result(good),
            time("detect_ms"),
            time("decide_ms"),
            time("record_ms"),
            time("gap_ms"),
            time("failback_ms"),
            number(frames),
        ]);
        for problem in report["problems"].as_array().into_iter().flatten() {
            // Writing to a string can't fail.
            let _ = writeln!(problems, "{}: {}", clean(text(&report["site"])), clean(text(problem)));
        }
    }
    for (site, at) in elsewhere(told) {
        let none = || cell("-");
        let columns = [cell(site), result(at["ok"] == true), none(), none(), none(), none(), none(), none()];
        table.row(columns);
        let _ = writeln!(problems, "{}", clean(&format!("{site}: {}", where_else(at, text(&told["id"])))));
    }
    format!(
        "{}{problems}drill {}: reports and pictures are kept at the hub\n",
        table.render(colours),
        clean(text(&told["id"]))
    )
}

fn result(good: bool) -> super::table::Cell {
    let (word, tone) = if good { ("good", Tone::Good) } else { ("NOT GOOD", Tone::Bad) };
    cell(word).tone(tone)
}

fn where_else(at: &Value, id: &str) -> String {
    let node = at["node"].as_str().unwrap_or("a node that is gone");
    let interrupted = if at["interrupted"] == true { "another leader was elected meanwhile; " } else { "" };
    match at["untold"] == true {
        true => format!("{interrupted}{node}, which keeps its vault, told nothing of it"),
        false => format!("{interrupted}its report is at {node}: `holdfast drill --show {id}` there"),
    }
}

fn seconds(ms: &Value) -> String {
    match ms.as_u64() {
        None => "-".to_owned(),
        Some(ms @ ..1000) => format!("{ms} ms"),
        Some(ms) => format!("{:.2} s", ms as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_at_another_node_is_said_to_be_there() {
        let told = json!({
            "id": "d-1", "reports": [],
            "elsewhere": {
                "shop-1": { "node": "hub-2", "ok": true, "interrupted": false, "untold": false },
                "shop-2": { "node": "hub-3", "ok": false, "interrupted": true, "untold": true },
                "shop-3": { "node": "hub-3", "ok": null, "interrupted": false, "untold": false },
            },
        });
        assert_eq!(
            told_of(&told).collect::<Vec<_>>(),
            ["shop-1", "shop-2"],
            "of the third nothing is known yet"
        );
        let shown = describe(&told, false);
        assert!(
            shown.contains("shop-1: its report is at hub-2: `holdfast drill --show d-1` there"),
            "{shown}"
        );
        assert!(
            shown.contains("shop-2: another leader was elected meanwhile; hub-3, which keeps"),
            "{shown}"
        );
        assert!(!shown.contains("shop-3"), "{shown}");
    }
}
