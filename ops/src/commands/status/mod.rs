//! `holdfast status`: how a hub and its sites are, or how one site is, at a glance.

mod hub;
mod site;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use wire::UnixMicros;

use super::table::Tone;
use super::target::TargetArgs;
use super::{finish, print, print_json, words};
use crate::client::Client;

/// Beats come every ten seconds at the least; a site whose last is older than three of these is not well.
const BEAT_AGE_MAX: Duration = Duration::from_secs(30);

/// Arguments of `holdfast status`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
The exit status is 0 only if all is well: sites connected, cameras recorded, archives
writing.")]
pub struct Args {
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// `holdfast status`. Returns whether all is well.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.json, show(args))
}

fn show(args: &Args) -> anyhow::Result<bool> {
    let target = args.target.open()?;
    let answer = target.ask("/status")?;
    let mut told = answer.value;
    let mut status = Status::read(&told).with_context(|| target.foreign("no status"))?;
    if let Status::Hub(hub) = &mut status {
        hub.add_missing(&with_recordings(&target)?);
    }
    let problems = status.problems(answer.now);
    let ok = problems.is_empty();
    if args.json {
        let problems: Vec<String> = problems.iter().map(Problem::to_string).collect();
        (told["ok"], told["problems"], told["at"]) = (json!(ok), json!(problems), json!(target.base()));
        print_json(&told)?;
    } else {
        print(&status.describe(&View { at: target.base(), now: answer.now, colours: super::colours() }))?;
    }
    Ok(ok)
}

/// The sites that a hub has recordings of.
fn with_recordings(target: &Client) -> anyhow::Result<Vec<String>> {
    let sites = target.ask("/sites")?.value;
    let sites = sites.as_array().with_context(|| target.foreign("no list of sites"))?;
    Ok(sites.iter().filter_map(|site| Some(site["site"].as_str()?.to_owned())).collect())
}

/// What a daemon says of itself.
#[derive(Debug, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Status {
    Hub(Box<hub::Hub>),
    Site(Box<site::Site>),
}

/// What somebody should look at.
#[derive(Debug)]
struct Problem {
    what: String,
    /// As far as is known; the tables tell it too.
    why: String,
}

impl Problem {
    fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.why.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{}", self.what, self.why)
    }
}

/// From where it is looked at.
struct View<'a> {
    at: &'a str,
    now: UnixMicros,
    colours: bool,
}

impl Status {
    fn read(told: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(told)
    }

    fn problems(&self, now: UnixMicros) -> Vec<Problem> {
        match self {
            Self::Hub(hub) => hub.problems(now),
            Self::Site(site) => site.problems(),
        }
    }

    fn describe(&self, view: &View<'_>) -> String {
        let text = match self {
            Self::Hub(hub) => hub.describe(view),
            Self::Site(site) => site.describe(view),
        };
        let problems = self.problems(view.now);
        let mut text = text + "\n";
        if problems.is_empty() {
            text += &Tone::Good.paint("all is well", view.colours);
            text.push('\n');
        }
        for problem in &problems {
            let problem = crate::client::clean(&problem.what);
            text += &format!("{} {problem}\n", Tone::Bad.paint("!", view.colours));
        }
        text
    }
}

impl View<'_> {
    /// How long ago something was; a dash if it never was.
    fn age(&self, at: UnixMicros) -> String {
        if at.0 <= 0 { "–".to_owned() } else { words::duration(self.now.since(at)) }
    }
}

/// What re-reading has found.
#[derive(Debug, Deserialize)]
struct Scrub {
    wanted: u64,
    late: bool,
}

impl Scrub {
    fn problem(&self) -> Option<Problem> {
        if self.wanted > 0 {
            let what = format!("{} damaged, and not repaired yet", words::count(self.wanted, "segment"));
            return Some(Problem::new(what, "see the daemon's log; and look after its disk"));
        }
        let late = "not everything is re-read in time: raise scrub_mb_s_max";
        self.late.then(|| Problem::new(late, ""))
    }
}

/// A disk of an archive.
#[derive(Debug, Deserialize)]
struct Disk {
    dir: String,
    in_use: bool,
    #[serde(default)]
    given_up: bool,
    detail: String,
    away: u64,
}

impl Disk {
    fn problem(&self) -> Option<Problem> {
        let away = words::count(self.away, "segment");
        if self.given_up {
            let what = format!("disk {} was given up, {away} of it wanted from elsewhere", self.dir);
            return (self.away > 0).then(|| Problem::new(what, ""));
        }
        (!self.in_use).then(|| {
            Problem::new(
                format!("disk {} is not used, {away} of it wanted from elsewhere", self.dir),
                &self.detail,
            )
        })
    }
}

/// What retention has to tell.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Retention {
    stuck: bool,
    holds: u64,
    kept_bytes: Option<u64>,
    detail: String,
}

impl Retention {
    /// Too little room, and what fills it.
    fn problem(&self) -> Option<Problem> {
        self.stuck.then(|| Problem::new(self.detail.clone(), ""))
    }

    /// How much holds keep here, if there are any.
    fn held(&self) -> Option<String> {
        let bytes = self.kept_bytes.map_or("not measured yet".to_owned(), words::bytes);
        (self.holds > 0).then(|| format!("{}, {bytes}", words::count(self.holds, "hold")))
    }
}

/// What is to be said of a stream that is not being recorded.
fn not_recorded(name: &str, state: &str, detail: &str) -> Option<Problem> {
    (state != "recording")
        .then(|| Problem::new(format!("camera {name} is not recorded, it is {state}"), detail))
}
