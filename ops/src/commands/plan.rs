//! `holdfast plan`: has every site a place for its standby, and would it still if nodes of the hub were lost?

use serde_json::Value;

use super::table::{Table, Tone, cell, number};
use super::target::TargetArgs;
use super::{colours, finish, print, print_json};

/// Arguments of `holdfast plan`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How many nodes may be lost at once; every way to lose so many is looked at
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3))]
    lose: u32,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// `holdfast plan`. True if every site has a place in every case.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.json, show(args))
}

fn show(args: &Args) -> anyhow::Result<bool> {
    let plan = args.target.open()?.get(&format!("/plan?lose={}", args.lose))?;
    if args.json {
        print_json(&plan)?;
    } else {
        print(&describe(&plan, colours()))?;
    }
    Ok(plan["ok"] == true)
}

fn describe(plan: &Value, colours: bool) -> String {
    let headings = ["NODE", ">STREAMS", ">RESERVED", ">AT WORK", ">MBIT/S", ">RESERVED"];
    let mut hosts = Table::with_heading(&headings);
    for (name, host) in plan["hosts"].as_object().into_iter().flatten() {
        let streams = |of: &str| number(host[of]["streams"].as_u64().unwrap_or(0));
        let mbit = |of: &str| number(host[of]["rate_bps"].as_u64().unwrap_or(0) / 1_000_000);
        let figures = [
            streams("capacity"),
            streams("reserved"),
            streams("at_work"),
            mbit("capacity"),
            mbit("reserved"),
        ];
        hosts.row([cell(name)].into_iter().chain(figures));
    }
    let mut text = hosts.render(colours);
    for case in plan["cases"].as_array().into_iter().flatten() {
        text += &format!("{}\n", self::case(case, colours));
    }
    if plan["cases"].as_array().is_none_or(Vec::is_empty) {
        text += "the hub has not so many nodes\n";
    }
    text
}

fn case(case: &Value, colours: bool) -> String {
    let lost: Vec<&str> = case["lost"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let lost =
        if lost.is_empty() { "with all nodes".to_owned() } else { format!("without {}", lost.join(" and ")) };
    let unplaced = case["unplaced"].as_object().cloned().unwrap_or_default();
    let placed = case["placed"].as_object().map_or(0, serde_json::Map::len);
    if unplaced.is_empty() {
        return Tone::Good.paint(&format!("{lost}: all {placed} sites have a place"), colours);
    }
    let mut text = Tone::Bad.paint(
        &format!("{lost}: {} of {} sites have no place", unplaced.len(), placed + unplaced.len()),
        colours,
    );
    for (site, reasons) in unplaced.iter().take(NAMED) {
        let reasons = reasons.as_object().into_iter().flatten();
        let reasons: Vec<String> =
            reasons.map(|(host, why)| format!("{host}: {}", why.as_str().unwrap_or("?"))).collect();
        text += &format!("\n  {}: {}", crate::client::clean(site), crate::client::clean(&reasons.join("; ")));
    }
    if unplaced.len() > NAMED {
        text += &format!("\n  and {} more (--json has all)", unplaced.len() - NAMED);
    }
    text
}

/// Sites without a place that are named on a terminal.
const NAMED: usize = 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_no_place_is_named_with_the_reasons() {
        let plan = json!({
            "ok": false, "lose": 1,
            "hosts": { "hub-1": {
                "capacity": { "streams": 8, "rate_bps": 40_000_000 }, "reserved": { "streams": 4, "rate_bps": 16_000_000 },
                "at_work": { "streams": 0, "rate_bps": 0 },
            } },
            "cases": [
                { "lost": ["hub-2"], "placed": { "shop-1": "hub-1" }, "unplaced": { "shop-2": { "hub-1": "it has no place left" } } },
                { "lost": ["hub-1"], "placed": { "shop-1": "hub-2", "shop-2": "hub-2" }, "unplaced": {} },
            ],
        });
        let text = describe(&plan, false);
        assert!(text.contains("hub-1"), "{text}");
        assert!(
            text.contains("without hub-2: 1 of 2 sites have no place\n  shop-2: hub-1: it has no place left"),
            "{text}"
        );
        assert!(text.contains("without hub-1: all 2 sites have a place"), "{text}");
    }
}
