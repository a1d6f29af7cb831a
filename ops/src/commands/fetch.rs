//! `holdfast fetch`: footage that only its site has, brought to the hub now, ahead of everything else.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::camera::{CameraArgs, Chosen};
use super::coverage::Coverage;
use super::target::TargetArgs;
use super::when::{Clock, FORMS, RangeArgs};
use super::words;
use super::{colours, finish, print, print_json, progress};
use crate::client::{Client, clean};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Arguments of `holdfast fetch`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = FORMS)]
pub struct Args {
    #[command(flatten)]
    camera: CameraArgs,
    #[command(flatten)]
    range: RangeArgs,
    /// Give up following after so many seconds; the hub does not give up
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// `holdfast fetch`. True if all of the range that the site holds is at the hub, and that is something.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.json, fetch(args))
}

fn fetch(args: &Args) -> anyhow::Result<bool> {
    let target = args.target.open()?;
    let clock = Clock::system();
    let (from, to) = args.range.read(&clock)?;
    let camera = args.camera.choose(&target)?;
    let wish = json!({ "stream": camera.stream, "from_us": from, "to_us": to });
    let path = format!("/sites/{}/cameras/{}/fetch", camera.site, camera.camera);
    let begun = target.post(&path, &wish)?;
    let id = begun["id"].as_u64().with_context(|| target.foreign("no fetch"))?;
    if let (Some(late), false) = (begun["late"].as_str(), begun["done"] == true) {
        bail!(
            "{camera}: {}. The hub has noted this as fetch {id}, and brings it as soon as the site connects, ahead of \
             everything else; say the same again to follow it",
            clean(late)
        );
    }
    let last = follow(&target, args, &camera, begun)?;
    let path = format!("coverage?summary=1&from={}&to={}", last["from_us"], last["to_us"]);
    let coverage = target.get(&camera.path(&path))?;
    let done = last["done"] == true;
    let ok = done && last["recorded_s"].as_f64().is_some_and(|seconds| seconds > 0.0);
    if args.json {
        let mut told = last;
        told["ok"] = ok.into();
        told["coverage"] = coverage;
        print_json(&told)?;
    } else {
        let missing = Coverage::read(&coverage).with_context(|| target.foreign("no timeline"))?;
        print(&tell(&camera, &last, &missing.without_recorded(), &clock))?;
    }
    Ok(ok)
}

/// Until it is over, or that took too long.
fn follow(target: &Client, args: &Args, camera: &Chosen, begun: Value) -> anyhow::Result<Value> {
    let (began, mut last) = (wire::clock::now(), begun);
    let bar = progress();
    let held_before = amount(&last["held"]["bytes"]);
    loop {
        let (held, left) =
            (amount(&last["held"]["bytes"]).saturating_sub(held_before), amount(&last["left"]["bytes"]));
        bar.set_length(held + left);
        bar.set_position(held);
        bar.set_message(match (last["late"].is_null(), left) {
            (false, _) => format!("{camera}: waiting for the site"),
            (true, 0) => format!("{camera}: waiting for what is being recorded"),
            (true, _) => camera.to_string(),
        });
        if last["done"] == true {
            bar.finish_and_clear();
            return Ok(last);
        }
        if args.timeout.is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds)) {
            bar.abandon();
            return Ok(last);
        }
        std::thread::sleep(LOOK);
        last = target.get(&format!("/fetches/{}", last["id"]))?;
    }
}

fn tell(camera: &Chosen, last: &Value, rest: &Coverage, clock: &Clock) -> String {
    let (held, left) = (&last["held"], &last["left"]);
    let bytes = |of: &Value| words::bytes(amount(&of["bytes"]));
    let mut text = match (last["done"] == true, amount(&held["segments"])) {
        (true, 0) => format!("{camera}: the site holds nothing of that time\n"),
        (true, count) => {
            format!("{camera}: all that the site holds is here, {count} segments, {}\n", bytes(held))
        }
        (false, count) => format!(
            "{camera}: not all is here yet: {count} segments are, {} ({}) are to come; the hub goes on\n",
            amount(&left["segments"]),
            bytes(left)
        ),
    };
    if !rest.is_empty() {
        // A string takes everything.
        let _ = write!(text, "not here:\n{}", rest.table(clock).render(colours()));
    }
    text
}

fn amount(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_and_what_is_not_are_told_apart() {
        let camera = Chosen { site: "shop-1".into(), camera: "till-1".into(), stream: "main".into() };
        let coverage = json!({"spans": [
            {"from_us": 0, "to_us": 3_600_000_000_i64, "state": "recorded"},
            {"from_us": 3_600_000_000_i64, "to_us": 3_640_000_000_i64, "state": "gap", "cause": "expired", "detail": "x"}],
            "recorded_s": 3600.0, "arriving_s": 0.0, "at_site_s": 0.0, "gaps_s": 40.0, "unexplained_s": 0.0, "pending_s": 0.0});
        let rest = || Coverage::read(&coverage).unwrap().without_recorded();
        let told = |last: Value| tell(&camera, &last, &rest(), &Clock::system());
        let here =
            told(json!({"done": true, "held": {"segments": 6, "bytes": 3_000_000}, "left": {"segments": 0}}));
        assert!(
            here.starts_with("shop-1/till-1/main: all that the site holds is here, 6 segments, "),
            "{here}"
        );
        assert!(here.contains("not here:\n") && here.contains("gap: expired"), "{here}");
        assert!(!here.contains("  recorded"), "{here}");
        let left = json!({"segments": 2, "bytes": 1_000_000});
        let partly = told(json!({"done": false, "held": {"segments": 6, "bytes": 3_000_000}, "left": left}));
        assert!(partly.contains("6 segments are, 2 (") && partly.contains("the hub goes on"), "{partly}");
        let none = told(json!({"done": true, "held": {"segments": 0, "bytes": 0}, "left": {"segments": 0}}));
        assert!(none.contains("holds nothing of that time"), "{none}");
    }
}
