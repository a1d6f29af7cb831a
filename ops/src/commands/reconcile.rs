//! `holdfast reconcile`: what is still to cross between a site and its hub, and how it goes.

use std::time::Duration;

use serde_json::Value;
use wire::{SiteId, UnixMicros};

use super::table::{Table, cell, number};
use super::target::TargetArgs;
use super::when::rfc3339;
use super::words;
use super::{colours, finish, print, print_json, progress};
use crate::client::{Client, clean};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Arguments of `holdfast reconcile`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The site
    #[arg(value_name = "SITE", value_parser = |text: &str| SiteId::new(text))]
    site: SiteId,
    /// Tell what would cross, how long that takes and what is lost before, and follow nothing. Ask the site: it knows
    /// what it has also while the hub can't be reached
    #[arg(long)]
    dry_run: bool,
    /// Give up following after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// `holdfast reconcile`. True if nothing that was recorded before it was called is left to cross, or that was not
/// waited for and nothing is going to be lost.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.json, reconcile(args))
}

fn reconcile(args: &Args) -> anyhow::Result<bool> {
    let target = args.target.open()?;
    let plan = look(&target, &args.site, None)?;
    if !args.json {
        print(&(describe(&plan, colours()) + &back(&plan)))?;
    }
    if args.dry_run {
        let whole = plan["lost"].as_array().is_none_or(Vec::is_empty);
        return tell_json(args, plan, whole);
    }
    let equal = follow(&target, args)?;
    tell_json(args, look(&target, &args.site, None)?, equal)
}

fn look(target: &Client, site: &SiteId, before: Option<UnixMicros>) -> anyhow::Result<Value> {
    let before = before.map(|before| format!("?before_us={}", before.0)).unwrap_or_default();
    target.get(&format!("/sites/{site}/reconcile{before}"))
}

fn tell_json(args: &Args, mut plan: Value, ok: bool) -> anyhow::Result<bool> {
    if args.json {
        plan["ok"] = ok.into();
        print_json(&plan)?;
    }
    Ok(ok)
}

/// Until all that was recorded before this began has crossed; false if that took too long.
fn follow(target: &Client, args: &Args) -> anyhow::Result<bool> {
    let (began, before) = (wire::clock::now(), wire::clock::wall());
    let bar = progress();
    let mut most = 0;
    loop {
        let plan = look(target, &args.site, Some(before))?;
        let left = amount(&plan["to_hub"]["bytes"]) + amount(&plan["to_site"]["bytes"]);
        // The segment that was open when this began comes later.
        most = most.max(left);
        bar.set_length(most);
        bar.set_position(most - left);
        bar.set_message(if plan["connected"] == true { "crossing" } else { "waiting for the link" });
        if is_equal(&plan) {
            bar.finish_and_clear();
            eprint!("{}: equal after {:.1} s\n{}", args.site, began.elapsed().as_secs_f64(), back(&plan));
            return Ok(true);
        }
        if args.timeout.is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds)) {
            bar.abandon();
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}

fn describe(plan: &Value, colours: bool) -> String {
    let site = clean(plan["site"].as_str().unwrap_or("?"));
    let (segments, bytes) = (amount(&plan["to_hub"]["segments"]), amount(&plan["to_hub"]["bytes"]));
    if segments == 0 {
        let link = if plan["connected"] == true { "equal" } else { "nothing waits, and the link is down" };
        return format!("{site}: {link}\n");
    }
    let mut text =
        format!("{site}: {segments} segments, {} to the hub, {}\n", words::bytes(bytes), duration(plan));
    let mut table = Table::with_heading(&["STREAM", "FROM", "TO", ">SEGMENTS", ">BYTES"]);
    let mut rows = |pieces: &Value| {
        for piece in pieces.as_array().into_iter().flatten() {
            table.row([
                cell(clean(piece["stream"].as_str().unwrap_or("?"))),
                cell(time(&piece["from"])),
                cell(time(&piece["to"])),
                number(amount(&piece["segments"])),
                number(amount(&piece["bytes"])),
            ]);
        }
    };
    rows(&plan["to_hub"]["pieces"]);
    text += &table.render(colours);
    for lost in plan["lost"].as_array().into_iter().flatten() {
        let why = if lost["why"] == "age" { "it gets too old" } else { "there is no room left" };
        text += &format!(
            "will be lost: {} from {} to {} ({}), from {} on: {why}\n",
            clean(lost["stream"].as_str().unwrap_or("?")),
            time(&lost["from"]),
            time(&lost["to"]),
            words::bytes(amount(&lost["bytes"])),
            time(&lost["at"]),
        );
    }
    text
}

/// What comes back to the site, if anything does.
fn back(plan: &Value) -> String {
    let (segments, bytes) = (amount(&plan["to_site"]["segments"]), amount(&plan["to_site"]["bytes"]));
    if segments == 0 {
        return String::new();
    }
    let waits = clean(plan["to_site"]["waits_for"].as_str().unwrap_or_default());
    let waits = if waits.is_empty() { String::new() } else { format!("; it waits for {waits}") };
    format!("{segments} segments, about {} back to the site{waits}\n", words::bytes(bytes))
}

/// Is there nothing left to cross, in either direction, but what waits for something else?
fn is_equal(plan: &Value) -> bool {
    let back = &plan["to_site"];
    let waits = back["waits_for"].as_str().is_some_and(|what| !what.is_empty());
    plan["equal"] == true && (amount(&back["segments"]) == 0 || waits)
}

fn duration(plan: &Value) -> String {
    match (plan["duration_s"].as_f64(), plan["rate_bps"].as_u64()) {
        (Some(seconds), Some(rate)) => format!("in {seconds:.0} s at {:.1} Mbit/s", rate as f64 / 1e6),
        (_, Some(_)) => "never: recording needs all that the line carries".to_owned(),
        _ => "at a rate that is not known here".to_owned(),
    }
}

fn amount(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn time(value: &Value) -> String {
    value.as_i64().map_or_else(|| "?".to_owned(), |us| rfc3339(UnixMicros(us)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_reads_as_sentences_and_a_table() {
        let piece = json!({"stream": "till-1/main", "from": 1_750_000_000_000_000_i64,
            "to": 1_750_000_600_000_000_i64, "segments": 60, "bytes": 300_000_000});
        let mut lost = piece.clone();
        (lost["at"], lost["why"]) = (json!(1_750_001_000_000_000_i64), json!("room"));
        let plan = json!({"site": "shop-1", "connected": false, "equal": false,
            "to_hub": {"segments": 60, "bytes": 300_000_000, "pieces": [piece]},
            "rate_bps": 8_000_000, "duration_s": 300.0, "lost": [lost]});
        let text = describe(&plan, false);
        assert!(text.starts_with("shop-1: 60 segments, "), "{text}");
        assert!(text.contains("in 300 s at 8.0 Mbit/s") && text.contains("till-1/main"), "{text}");
        assert!(text.contains("will be lost: till-1/main from 2025-06-15T15:06:40.000000Z"), "{text}");
        let equal = json!({"site": "shop-1", "connected": true, "to_hub": {"segments": 0}});
        assert_eq!(describe(&equal, false), "shop-1: equal\n");
    }

    #[test]
    fn what_comes_back_is_told_and_waited_for() {
        let plan = |segments: u64, waits: &str| json!({"equal": true, "to_site": {"segments": segments, "bytes": segments * 1_000_000, "waits_for": waits}});
        assert_eq!(back(&plan(0, "")), "");
        assert_eq!(back(&plan(3, "")), "3 segments, about 3.0 MB back to the site\n");
        assert!(back(&plan(3, "room on the disk")).ends_with("; it waits for room on the disk\n"));
        assert!(is_equal(&plan(0, "")) && is_equal(&plan(3, "room on the disk")) && !is_equal(&plan(3, "")));
        assert!(
            is_equal(&json!({"equal": true, "to_site": null})),
            "a site of an earlier version says nothing"
        );
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        assert!(duration(&json!({"rate_bps": null})).contains("not known"));
        assert!(duration(&json!({"rate_bps": 0, "duration_s": null})).starts_with("never"));
    }
}
