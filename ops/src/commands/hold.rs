//! `holdfast hold`, `holds`, `release`: footage that retention is not to delete, at the hub and at the site.

use std::fmt::Write;

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};
use wire::UnixMicros;

use super::table::{Table, Tone, cell, number};
use super::target::TargetArgs;
use super::when::{Clock, FORMS};
use super::wish::Common;
use super::{colours, finish, print, print_json, words};

/// Arguments of `holdfast hold`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = FORMS)]
pub struct Hold {
    /// Whose footage
    site: String,
    /// Of which camera, again for more of them [default: all of the site's]
    #[arg(long = "camera", value_name = "CAMERA")]
    cameras: Vec<String>,
    /// When the footage begins
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    /// When it ends; it may be still to come
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: String,
    /// When the hold ends by itself: a time, or +90d from now; at most ten years after --to
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `holdfast holds`.
#[derive(clap::Args, Clone, Debug)]
pub struct Holds {
    /// Of which site [default: all]
    site: Option<String>,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Arguments of `holdfast release`.
#[derive(clap::Args, Clone, Debug)]
pub struct Release {
    /// Whose footage
    site: String,
    /// Which hold, as `holdfast holds` numbers them
    hold: u64,
    #[command(flatten)]
    common: Common,
}

impl Hold {
    /// Asks, and tells what there is to be kept.
    pub fn run(&self) -> anyhow::Result<bool> {
        finish(
            self.common.json,
            (|| {
                let clock = Clock::system();
                let (from, to, until) = self.times(&clock)?;
                let wish = json!({
                    "cameras": self.cameras, "from_us": from, "to_us": to, "until_us": until, "reason": self.reason,
                });
                let mut came = self.common.post_to(&format!("/sites/{}/holds", self.site), wish)?;
                if self.common.json {
                    came["ok"] = json!(true);
                    print_json(&came)?;
                    return Ok(true);
                }
                let range = clock.show_range(from, to);
                let mut text = format!("{}\n", came["says"].as_str().unwrap_or_default());
                let _ = writeln!(text, "footage {range}, until {} ({})\n", clock.full(until), clock.zone());
                text += &describe_found(came["found"].as_object());
                print(&crate::client::clean_lines(&text))?;
                Ok(true)
            })(),
        )
    }

    fn times(&self, clock: &Clock) -> anyhow::Result<(UnixMicros, UnixMicros, UnixMicros)> {
        let from = clock.parse(&self.from).context("--from")?;
        let to = clock.parse_after(from, &self.to).context("--to")?;
        let until = clock.parse_after(clock.now, &self.until).context("--until")?;
        ensure!(from < to, "--from is {}, not earlier than --to, {}", clock.full(from), clock.full(to));
        ensure!(until > clock.now, "--until is {}, which has passed", clock.full(until));
        Ok((from, to, until))
    }
}

impl Holds {
    /// Lists them. True if every one is confirmed.
    pub fn run(&self) -> anyhow::Result<bool> {
        finish(
            self.json,
            (|| {
                let path =
                    self.site.as_ref().map_or("/holds".to_owned(), |site| format!("/sites/{site}/holds"));
                let target = self.target.open()?;
                let mut told = target.get(&path)?;
                let held =
                    told["holds"].as_array().cloned().with_context(|| target.foreign("no list of holds"))?;
                // At a site there are no states: what it keeps it keeps.
                let ok = held.iter().all(|hold| hold["state"] == "confirmed" || hold["state"].is_null());
                if self.json {
                    told["ok"] = json!(ok);
                    print_json(&told)?;
                } else {
                    print(&describe(&held, &Clock::system(), colours()))?;
                }
                Ok(ok)
            })(),
        )
    }
}

impl Release {
    /// Asks.
    pub fn run(&self) -> anyhow::Result<bool> {
        self.common.ask_at(&format!("/sites/{}/holds/{}/release", self.site, self.hold), json!({}))
    }
}

/// What there is of each stream.
fn describe_found(found: Option<&Map<String, Value>>) -> String {
    let Some(found) = found.filter(|found| !found.is_empty()) else {
        return "nothing was ever recorded of it, as far as the hub knows\n".to_owned();
    };
    let mut table = Table::with_heading(&["STREAM", ">AT HUB", ">AT SITE", ">GONE", "REST"]);
    for (stream, told) in found {
        let amount = |of: &str| {
            let (segments, bytes) = (&told[of]["segments"], &told[of]["bytes"]);
            let count = words::count(segments.as_u64().unwrap_or(0), "segment");
            number(format!("{count}, {}", words::bytes(bytes.as_u64().unwrap_or(0))))
        };
        let rest = cell(rest(told["seconds"].as_object()));
        table.row([cell(stream), amount("at_hub"), amount("at_site"), amount("gone"), rest]);
    }
    table.render(colours())
}

/// What is not recorded, or not yet.
fn rest(seconds: Option<&Map<String, Value>>) -> String {
    let Some(seconds) = seconds else { return "not looked at: the range is longer than 31 days".to_owned() };
    let recorded = ["recorded", "tail", "arriving"];
    let others = seconds.iter().filter(|(what, _)| !recorded.contains(&what.as_str()));
    let told = others.map(|(what, length)| {
        let length =
            std::time::Duration::try_from_secs_f64(length.as_f64().unwrap_or(0.0)).unwrap_or_default();
        let what = match what.as_str() {
            "future" => "still to come".to_owned(),
            "pending" => "too early to tell".to_owned(),
            cause => words::cause(cause),
        };
        format!("{} {what}", words::duration(length))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// For people.
fn describe(holds: &[Value], clock: &Clock, colours: bool) -> String {
    if holds.is_empty() {
        return "nothing is held\n".to_owned();
    }
    let mut table =
        Table::with_heading(&["HOLD", "SITE", "CAMERAS", "FOOTAGE", "UNTIL", "STATE", "BY", "REASON"]);
    let text = |value: &Value| crate::client::clean(value.as_str().unwrap_or_default());
    let at = |value: &Value| UnixMicros(value.as_i64().unwrap_or_default());
    let mut notes = std::collections::BTreeSet::new();
    for hold in holds {
        let cameras: Vec<_> = hold["cameras"].as_array().into_iter().flatten().map(text).collect();
        let (state, tone) = state(hold);
        if let Some(note) = hold["detail"].as_str().filter(|note| !note.is_empty()) {
            notes.insert(format!("{state}: {note}"));
        }
        table.row([
            cell(hold["hold"].as_u64().or(hold["id"].as_u64()).map_or_else(String::new, |id| id.to_string())),
            cell(text(&hold["site"])),
            cell(if cameras.is_empty() { "all".to_owned() } else { cameras.join(", ") }),
            cell(clock.show_range(at(&hold["from_us"]), at(&hold["to_us"]))),
            cell(clock.full(at(&hold["until_us"]))),
            cell(state).tone(tone),
            cell(text(&hold["by"])),
            cell(text(&hold["reason"])),
        ]);
    }
    let mut shown = table.render(colours);
    for note in notes {
        let _ = writeln!(shown, "\n{note}"); // a String takes everything
    }
    shown
}

fn state(hold: &Value) -> (&'static str, Tone) {
    match hold["state"].as_str() {
        _ if hold["over"] == true => ("over", Tone::Dim),
        Some("confirmed") => ("confirmed", Tone::Good),
        Some("pending") => ("PENDING", Tone::Bad),
        Some("releasing") => ("releasing", Tone::Dim),
        None => ("kept here", Tone::Good),
        Some(_) => ("?", Tone::Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(id: u64, state: &str, detail: &str) -> Value {
        json!({
            "hold": id, "site": "shop-1", "cameras": ["till-1"], "from_us": 0, "to_us": 60_000_000,
            "until_us": 1_000_000_000_000_i64, "reason": "theft", "by": "ada", "state": state, "over": false,
            "detail": detail,
        })
    }

    #[test]
    fn holds_are_a_line_each_and_what_is_not_confirmed_is_explained_once() {
        let held = [hold(7, "confirmed", ""), hold(8, "pending", "not yet"), hold(9, "pending", "not yet")];
        let text = describe(&held, &Clock::system(), false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert!(lines[1].starts_with("7     shop-1  till-1") && lines[1].contains("confirmed"), "{text}");
        assert_eq!((lines[5], text.matches("not yet").count()), ("PENDING: not yet", 1));
        assert_eq!(describe(&[], &Clock::system(), false), "nothing is held\n");
    }

    #[test]
    fn what_a_hold_would_not_keep_is_told() {
        let seconds = json!({ "recorded": 50.0, "expired": 600.0, "camera_down": 5.0, "future": 7200.0 });
        assert_eq!(rest(seconds.as_object()), "5.0 s camera down, 10 min expired, 2 h still to come");
        let found = json!({ "till-1/main": {
            "at_hub": { "segments": 3, "bytes": 3_000_000 }, "at_site": { "segments": 1, "bytes": 1_000_000 },
            "gone": { "segments": 0, "bytes": 0 }, "seconds": seconds,
        }});
        let text = describe_found(found.as_object());
        assert!(text.contains("3 segments, 3.0 MB") && text.contains("1 segment, 1.0 MB"), "{text}");
        assert!(describe_found(Some(&Map::new())).contains("nothing was ever recorded"));
    }
}
