//! `holdfast events`: what a camera or its recorder noticed.

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use wire::UnixMicros;

use super::camera::CameraArgs;
use super::table::{Table, cell};
use super::target::TargetArgs;
use super::when::{Clock, FORMS, RangeArgs};
use super::{finish, print, print_json};
use crate::client::clean;

/// Of what an event says so many characters are shown.
const SHOWN_MAX: usize = 160;

/// Arguments of `holdfast events`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = FORMS)]
pub struct Args {
    #[command(flatten)]
    camera: CameraArgs,
    #[command(flatten)]
    range: RangeArgs,
    /// Only those whose kind begins like this: `onvif`, `camera.`, `replication.forecast`
    #[arg(long, default_value = "", value_parser = kind)]
    kind: String,
    /// One JSON object instead of text; it has all that the events say
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

fn kind(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("a kind has letters, digits, `.`, `_` and `-`".to_owned()),
    }
}

/// `holdfast events`. It checks nothing.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.json, show(args))
}

fn show(args: &Args) -> anyhow::Result<bool> {
    let clock = Clock::system();
    let (from, to) = args.range.read(&clock)?;
    let target = args.target.open()?;
    let camera = args.camera.choose(&target)?;
    let path = format!("events?from={}&to={}&kind={}", from.0, to.0, args.kind);
    let mut answer = target.ask(&camera.path(&path))?.value;
    let events = Events::deserialize(&answer).with_context(|| target.foreign("no list of events"))?;
    if args.json {
        answer["ok"] = true.into();
        (answer["site"], answer["camera"]) = (json!(camera.site), json!(camera.camera));
        answer["stream"] = json!(camera.stream);
        print_json(&answer)?;
        return Ok(true);
    }
    let range = clock.show_range(from, to);
    let table = events.table(&clock).render(super::colours());
    print(&format!("{camera}   {range}   ({})\n\n{table}{}", clock.zone(), events.rest(&clock)))?;
    Ok(true)
}

#[derive(Debug, Deserialize)]
struct Events {
    events: Vec<Event>,
    more: bool,
}

#[derive(Debug, Deserialize)]
struct Event {
    at_us: UnixMicros,
    kind: String,
    json: Option<Value>,
    text: Option<String>,
}

impl Events {
    fn table(&self, clock: &Clock) -> Table {
        let mut table = Table::new("  ");
        for event in &self.events {
            table.row([cell(clock.full(event.at_us)), cell(clean(&event.kind)), cell(event.says())]);
        }
        table
    }

    /// What the table does not show.
    fn rest(&self, clock: &Clock) -> String {
        match self.events.last() {
            None => "nothing was noticed\n".to_owned(),
            Some(last) if self.more => {
                format!("\nthere are more: --from '{}'\n", clock.full(last.at_us))
            }
            Some(_) => String::new(),
        }
    }
}

impl Event {
    fn says(&self) -> String {
        let text = match (&self.json, &self.text) {
            (Some(json), _) => json.to_string(),
            (None, Some(text)) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            (None, None) => "(not text)".to_owned(),
        };
        let mut shown: String = clean(&text).chars().take(SHOWN_MAX).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(value: Value) -> Event {
        let mut whole = json!({ "at_us": 1_750_000_000_000_000_i64, "kind": "onvif.metadata" });
        let more = value.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(more);
        Event::deserialize(whole).unwrap()
    }

    #[test]
    fn an_event_is_one_line_and_not_a_long_one() {
        assert_eq!(event(json!({ "json": { "lost": [] } })).says(), "{\"lost\":[]}");
        assert_eq!(event(json!({ "text": "<a>\n  <b/>\n</a>" })).says(), "<a> <b/> </a>");
        assert_eq!(event(json!({ "base64": "//4=" })).says(), "(not text)");
        let long = event(json!({ "text": "x".repeat(1000) })).says();
        assert_eq!((long.chars().count(), long.ends_with('…')), (SHOWN_MAX + 1, true));
    }

    #[test]
    fn what_is_no_kind_is_refused() {
        assert_eq!(kind("replication.forecast"), Ok("replication.forecast".to_owned()));
        assert!(kind("a&b").is_err() && kind("a b").is_err());
    }

    #[test]
    fn that_there_are_more_is_said() {
        let clock = Clock::system();
        let events = |more| Events { events: vec![event(json!({ "text": "x" }))], more };
        assert!(events(true).rest(&clock).contains("--from '2025-06-1"));
        assert_eq!(events(false).rest(&clock), "");
        assert_eq!(Events { events: Vec::new(), more: false }.rest(&clock), "nothing was noticed\n");
    }
}
