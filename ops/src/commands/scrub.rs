//! `holdfast scrub`: everything is re-read now, and what is damaged is waited for.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use wire::SiteId;

use super::target::TargetArgs;
use super::words;
use crate::client::Client;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// A site that can't be asked for so long is not waited for.
const GONE: Duration = Duration::from_secs(60);

/// Arguments of `holdfast scrub`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The site that is to re-read its archive, asked by way of its hub [default: the daemon that is asked does]
    #[arg(value_name = "SITE", value_parser = |text: &str| SiteId::new(text))]
    site: Option<SiteId>,
    /// Ask, and wait for nothing
    #[arg(long)]
    no_wait: bool,
    /// How many seconds to wait for right bytes once everything is re-read
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    patience: u64,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// What the daemon tells.
#[derive(Clone, Debug, Deserialize)]
struct Scrub {
    read_segments: u64,
    read_bytes: u64,
    bad: u64,
    missing: u64,
    failing: u64,
    repaired: u64,
    given_up: u64,
    wanted: u64,
    asked: bool,
    pass_segments: u64,
    pass_bytes: u64,
}

/// Asks, waits, tells; `true` if everything is right, or was made right.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    super::finish(args.json, ask(args))
}

fn ask(args: &Args) -> anyhow::Result<bool> {
    let client = args.target.open()?;
    let path = args.site.as_ref().map_or_else(|| "/scrub".to_owned(), |site| format!("/sites/{site}/scrub"));
    let before = look(&client, &path)?;
    client.post(&path, &json!({}))?;
    if args.no_wait {
        eprintln!("it has begun; `holdfast status` tells of what it finds");
        return Ok(true);
    }
    let after = wait(&client, &path, Duration::from_secs(args.patience))?;
    let ok = after.wanted == 0 && after.given_up == before.given_up;
    let told = json!({
        "ok": ok,
        "read_segments": after.read_segments.saturating_sub(before.read_segments),
        "read_bytes": after.read_bytes.saturating_sub(before.read_bytes),
        "bad": after.bad.saturating_sub(before.bad),
        "missing": after.missing.saturating_sub(before.missing),
        "failing": after.failing.saturating_sub(before.failing),
        "repaired": after.repaired.saturating_sub(before.repaired),
        "given_up": after.given_up.saturating_sub(before.given_up),
        "wanted": after.wanted,
    });
    if args.json {
        super::print_json(&told)?
    } else {
        super::print(&in_words(&told))?
    }
    Ok(ok)
}

fn look(client: &Client, path: &str) -> anyhow::Result<Scrub> {
    serde_json::from_value(client.get(path)?).map_err(|_| anyhow::anyhow!(client.foreign("no scrub")))
}

/// Until everything was re-read, and nothing is wanted any more or patience has ended.
fn wait(client: &Client, path: &str, patience: Duration) -> anyhow::Result<Scrub> {
    let (mut read, mut gone) = (None, None);
    let mut told = wire::clock::now();
    loop {
        let now = match look(client, path) {
            Ok(now) => now,
            // A line breaks, a daemon starts anew: the pass goes on.
            Err(error) => {
                if gone.get_or_insert_with(wire::clock::now).elapsed() >= GONE {
                    return Err(error);
                }
                std::thread::sleep(LOOK);
                continue;
            }
        };
        gone = None;
        if !now.asked {
            let since = *read.get_or_insert_with(wire::clock::now);
            if now.wanted == 0 || since.elapsed() >= patience {
                return Ok(now);
            }
        }
        if told.elapsed() >= Duration::from_secs(10) {
            told = wire::clock::now();
            let (segments, bytes) =
                (words::count(now.pass_segments, "segment"), words::bytes(now.pass_bytes));
            match now.asked {
                true => eprintln!("{segments} ({bytes}) re-read"),
                false => eprintln!("{} wanted from the other side", words::count(now.wanted, "segment")),
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn in_words(told: &Value) -> String {
    let number = |key: &str| told[key].as_u64().unwrap_or_default();
    let read = format!(
        "{} ({}) re-read",
        words::count(number("read_segments"), "segment"),
        words::bytes(number("read_bytes"))
    );
    let damaged = number("bad") + number("missing") + number("failing");
    let mut parts = vec![read];
    if damaged == 0 {
        parts.push("nothing new is damaged".to_owned());
    } else {
        let found = ["bad", "missing", "failing"].map(|key| format!("{} {key}", number(key)));
        parts.push(format!("{damaged} damaged ({})", found.join(", ")));
    }
    for (key, what) in [("repaired", "repaired"), ("given_up", "given up"), ("wanted", "still wanted")] {
        if number(key) > 0 {
            parts.push(format!("{} {what}", number(key)));
        }
    }
    parts.join("; ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_said_in_one_line() {
        let mut told = json!({
            "read_segments": 2, "read_bytes": 1_300_000, "bad": 0, "missing": 0, "failing": 0,
            "repaired": 0, "given_up": 0, "wanted": 0,
        });
        assert_eq!(in_words(&told), "2 segments (1.3 MB) re-read; nothing new is damaged\n");
        told["bad"] = 1.into();
        told["repaired"] = 1.into();
        assert_eq!(
            in_words(&told),
            "2 segments (1.3 MB) re-read; 1 damaged (1 bad, 0 missing, 0 failing); 1 repaired\n"
        );
    }
}
