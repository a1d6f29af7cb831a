//! `holdfast why`: who has authority over a site's recorder, what that rests on, and how the verdict reads now.

use std::fmt::Write;

use serde_json::{Value, json};
use wire::UnixMicros;

use super::target::TargetArgs;
use super::{finish, print, print_json, words};

/// Arguments of `holdfast why`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Which site
    site: String,
    /// The last line of the output is one JSON object: all the evidence
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// `holdfast why`.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.json, show(args))
}

fn show(args: &Args) -> anyhow::Result<bool> {
    let target = args.target.open()?;
    let answer = target.ask(&format!("/sites/{}/why", args.site))?;
    let mut told = answer.value;
    if args.json {
        told["ok"] = json!(true);
        print_json(&told)?;
    } else {
        print(&crate::client::clean_lines(&describe(&told, answer.now)))?;
    }
    Ok(true)
}

/// For people.
fn describe(told: &Value, now: UnixMicros) -> String {
    let known = &told["known"];
    let site = text(&told["site"]);
    let mut out = String::new();
    let stage = stage(&known["life"]);
    let ago = |at: &Value| words::duration(now.since(UnixMicros(at.as_i64().unwrap_or_default())));
    // Writing to a string can't fail.
    let _ = writeln!(out, "{site}: {stage}, epoch {}", epoch(&known["epoch"]));
    let _ = writeln!(out, "decided by: {}", text(&told["quorum"]));
    match known["placement"].as_str() {
        Some(host) => drop(writeln!(out, "stands by: {host}")),
        None if known["revision"] == 0 => {
            let _ = writeln!(out, "stands by: nobody (its cameras are not known yet)");
        }
        None => drop(writeln!(out, "stands by: nobody (no host has a place for it)")),
    }
    for host in known["neighbours"].as_array().into_iter().flatten().map(text) {
        let _ = writeln!(out, "beside it: {host}, which {}", beside(&told["beside"][host], ago));
    }
    for (camera, how) in told["protection"].as_object().into_iter().flatten() {
        let _ = writeln!(out, "  {camera}: {}", protection(how));
    }
    let verdict = &told["verdict"];
    if let Some(line) = verdict["telling"]["line"].as_str() {
        let _ = writeln!(out, "verdict: {} (for {})", verdict_words(line), ago(&verdict["since_us"]));
    }
    if told["frozen"] == true {
        out += "frozen: too many sites were dark at once; a person has to look first\n";
    }
    if let Some(order) = known["drill"]["order"].as_object() {
        let shadow = if order["shadow"] == true { ", over a shadow" } else { "" };
        let _ = writeln!(
            out,
            "a drill goes on: {}{shadow}, asked for by {}",
            text(&order["kind"]),
            text(&order["by"])
        );
    }
    let why = &known["why"];
    if let Some((ground, about)) = why["ground"].as_object().and_then(|ground| ground.iter().next()) {
        let _ = writeln!(
            out,
            "last change: epoch {} to {}, {} ago, entry {}: {}",
            epoch(&why["before"]),
            epoch(&why["after"]),
            ago(&why["stamped"]),
            why["index"],
            ground_words(ground, about)
        );
    }
    out
}

/// What a machine at its place does for it.
fn beside(said: &Value, ago: impl Fn(&Value) -> String) -> String {
    match (said["recording"].as_u64(), &said["cameras"]) {
        (None, _) => "has not said lately what it records".to_owned(),
        (Some(0), _) => "may record, and does not now".to_owned(),
        (Some(recording), cameras) => {
            format!(
                "records {recording} of {cameras} cameras, all of it durable up to {} ago",
                ago(&said["last_durable_us"])
            )
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn epoch(value: &Value) -> String {
    let (generation, n) = (&value["generation"]["count"], &value["n"]);
    format!("{}.{}", generation.as_u64().unwrap_or(0), n.as_u64().unwrap_or(0))
}

fn stage(life: &Value) -> String {
    let within = |name: &str| life.get(name);
    if let Some(standby) = within("Standby") {
        let host = text(&standby["host"]);
        return match text(&standby["mode"]) {
            "Armed" => {
                format!("armed at {host}: no camera answers, nothing is recorded there; authority is at home")
            }
            _ => format!("recorded by {host}, which has authority"),
        };
    }
    if let Some(healing) = within("Healing") {
        return format!("its recorder is back; {} has authority still", text(&healing["host"]));
    }
    if let Some(failback) = within("Failback") {
        return format!("{} is giving authority back", text(&failback["host"]));
    }
    match life.as_str() {
        Some("Suspect") => "at home, and suspected to be silent".to_owned(),
        _ => "at home".to_owned(),
    }
}

fn protection(how: &Value) -> String {
    match how {
        Value::String(name) => match name.as_str() {
            "Recorded" => "recorded by the standby too".to_owned(),
            "Protected" => "protected".to_owned(),
            "SubStreamOnly" => "sub stream only (the uplink carries no more)".to_owned(),
            "Scarce" => "scarce (it gives away no session while its recorder lives)".to_owned(),
            other => other.to_owned(),
        },
        other => match other["Unprotected"].as_str() {
            Some("NoAnswer") => "unprotected: it does not answer the standby's host".to_owned(),
            Some("NoUplink") => "unprotected: the uplink can't carry it".to_owned(),
            _ => "unprotected".to_owned(),
        },
    }
}

fn verdict_words(line: &str) -> &str {
    match line {
        "Planned" => "planned: its silence was announced",
        "Abstain" => "this node is not fit to say",
        "Well" => "well",
        "PathFault" => "path fault: another node hears it",
        "Isolated" => "isolated: only another site hears it",
        "Gray" => "gray: it beats, and some cameras that answer don't progress",
        "RecorderLost" => "recorder lost: silent to a majority, and its cameras answer",
        "Dark" => "dark: silent to a majority, and its cameras too",
        "Open" => "open: not known yet",
        other => other,
    }
}

fn ground_words(ground: &str, about: &Value) -> String {
    match ground {
        "Silence" => {
            let tallies: Vec<_> = about["tallies"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|tally| format!("{} of {} voters", tally["said"], tally["voters"]))
                .collect();
            let cameras = about["answers"]["cameras"].as_object().map_or(0, |cameras| cameras.len());
            format!(
                "{} said that {} was silent, {}",
                tallies.join(" and "),
                text(&about["holder"]),
                match cameras {
                    0 => "and no camera answered".to_owned(),
                    count => format!(
                        "and {} answered {}",
                        words::count(count, "camera"),
                        text(&about["answers"]["host"])
                    ),
                }
            )
        }
        "Planned" => "it was announced".to_owned(),
        "Person" => format!("{} wanted it: {}", text(&about["by"]), text(&about["reason"])),
        "Healed" => match about["by"].as_str() {
            Some(by) => format!("given back by {}, as {by} asked", text(&about["from"])),
            None => format!("the site has healed; given back by {}", text(&about["from"])),
        },
        other => other.to_owned(),
    }
}
