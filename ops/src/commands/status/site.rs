//! One site, as it sees itself: also while the hub is out of reach.

use std::collections::BTreeMap;

use serde::Deserialize;
use wire::UnixMicros;

use super::super::table::{Table, Tone, cell, number};
use super::super::when::Clock;
use super::super::words;
use super::{Disk, Problem, Retention, Scrub, View, not_recorded};

#[derive(Debug, Deserialize)]
pub(super) struct Site {
    site: String,
    name: String,
    software: String,
    archive: Archive,
    /// The hub it is to connect to; `None` if it records for itself only.
    hub: Option<String>,
    uplink: Uplink,
    /// Nothing from daemons that know of no holds.
    #[serde(default)]
    holds: Holds,
    streams: BTreeMap<String, Stream>,
    /// Policies of those streams that don't replicate live.
    #[serde(default)]
    replicate: BTreeMap<String, String>,
    /// What retention will free before the hub has it; null before the first look.
    #[serde(default)]
    forecast: Option<Vec<Lost>>,
}

/// Footage that is going to be lost.
#[derive(Debug, Deserialize)]
struct Lost {
    stream: String,
    from: UnixMicros,
    to: UnixMicros,
    bytes: u64,
    at: UnixMicros,
}

#[derive(Debug, Deserialize)]
struct Archive {
    ledgers: u64,
    bytes: u64,
    stopped: Option<String>,
    /// None from daemons that don't re-read.
    scrub: Option<Scrub>,
    #[serde(default)]
    retention: Retention,
    /// None from daemons that know of one only.
    #[serde(default)]
    disks: Vec<Disk>,
}

/// What the site keeps for the hub.
#[derive(Debug, Default, Deserialize)]
struct Holds {
    trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Uplink {
    connected: bool,
    since_us: UnixMicros,
    hub: String,
    detail: String,
    unacked: u64,
    live_bytes: u64,
    backlog_bytes: u64,
    live_lag_ms: Lag,
    line: Option<Line>,
    quarantined: Vec<String>,
}

/// What is measured of the line to the hub.
#[derive(Debug, Deserialize)]
struct Line {
    rate_bps: u64,
    rtt_us: u64,
    queue_us: u64,
    loss_ppm: u64,
    live_bps_max: Option<u64>,
    backlog_bps_max: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Lag {
    p50: u64,
    p99: u64,
}

#[derive(Debug, Deserialize)]
struct Stream {
    state: String,
    detail: String,
    last_durable_us: Option<UnixMicros>,
    codecs: String,
    frames: u64,
    bytes: u64,
    connects: u64,
    holes: u64,
    write_errors: u64,
}

impl Site {
    pub(super) fn problems(&self) -> Vec<Problem> {
        let stopped = self.archive.stopped.iter().map(|why| Problem::new("the archive has stopped", why));
        let mut problems: Vec<Problem> = stopped.collect();
        problems.extend(self.archive.scrub.as_ref().and_then(Scrub::problem));
        problems.extend(self.archive.retention.problem());
        problems.extend(self.archive.disks.iter().filter_map(Disk::problem));
        let trouble = self.holds.trouble.iter();
        problems.extend(trouble.map(|why| Problem::new(format!("holds are not safe: {why}"), "")));
        if let (Some(hub), false) = (&self.hub, self.uplink.connected) {
            problems.push(Problem::new(format!("the hub {hub} is not connected"), &self.uplink.detail));
        }
        let streams = self.streams.iter();
        problems
            .extend(streams.filter_map(|(name, stream)| not_recorded(name, &stream.state, &stream.detail)));
        let quarantined = self.uplink.quarantined.iter();
        problems.extend(
            quarantined
                .map(|ledger| Problem::new(format!("the hub has another past of ledger {ledger}"), "")),
        );
        problems.extend(self.forecast.iter().flatten().map(Lost::problem));
        problems
    }

    pub(super) fn describe(&self, view: &View<'_>) -> String {
        let mut head = Table::new("");
        let name = if self.name == self.site { String::new() } else { format!(" ({})", self.name) };
        head.row([cell("site"), cell(format!("{}{name} at {}, {}", self.site, view.at, self.software))]);
        let (bytes, ledgers) =
            (words::bytes(self.archive.bytes), words::count(self.archive.ledgers, "ledger"));
        head.row([cell("archive"), cell(format!("{bytes} in {ledgers}"))]);
        if let Some(held) = self.archive.retention.held() {
            head.row([cell("held"), cell(held)]);
        }
        head.stopped(self.archive.stopped.as_deref());
        match &self.hub {
            None => head.row([cell("hub"), cell("none is configured: this site records for itself only")]),
            Some(hub) => self.link(hub, view, &mut head),
        }
        let mut text = head.render(view.colours) + "\n";
        if self.streams.is_empty() {
            return text + "No camera is configured.\n";
        }
        text += &self.cameras(view).render(view.colours);
        text
    }

    fn link(&self, hub: &str, view: &View<'_>, head: &mut Table) {
        let link = &self.uplink;
        let since =
            if link.since_us.0 > 0 { format!(" for {}", view.age(link.since_us)) } else { String::new() };
        let state = match link.connected {
            true => format!("connected{since} to {hub} ({})", link.hub),
            false => format!("NOT connected{since} to {hub}: {}", link.detail),
        };
        head.row([cell("hub"), cell(state).tone(Tone::of(link.connected))]);
        let sent = format!(
            "{} live and {} of backlog, {} unacked",
            words::bytes(link.live_bytes),
            words::bytes(link.backlog_bytes),
            if link.unacked == 1 { "1 entry".to_owned() } else { format!("{} entries", link.unacked) }
        );
        head.row([cell("sent"), cell(sent)]);
        if let Some(line) = &link.line {
            head.row([cell("line"), cell(line.describe())]);
        }
        let lag = format!("p50 {} ms, p99 {} ms", link.live_lag_ms.p50, link.live_lag_ms.p99);
        head.row([cell("lag"), cell(lag)]);
    }

    fn cameras(&self, view: &View<'_>) -> Table {
        let mut table =
            Table::with_heading(&["CAMERA", "STATE", ">LAST FRAME", ">FRAMES", ">BYTES", "CODECS", "DETAIL"]);
        for (name, stream) in &self.streams {
            let age = stream
                .last_durable_us
                .map_or_else(|| "never".to_owned(), |at| format!("{} ago", view.age(at)));
            table.row([
                cell(name),
                cell(&stream.state).tone(Tone::of(stream.state == "recording")),
                number(age),
                number(stream.frames),
                number(words::bytes(stream.bytes)),
                cell(&stream.codecs),
                cell(stream.notes(self.replicate.get(name))),
            ]);
        }
        table
    }
}

impl Lost {
    fn problem(&self) -> Problem {
        let clock = Clock::system();
        let what = format!(
            "{} of {} will be deleted before the hub has it, from {} on",
            words::bytes(self.bytes),
            self.stream,
            clock.full(self.at)
        );
        Problem::new(what, format!("recorded {}", clock.show_range(self.from, self.to)))
    }
}

impl Line {
    fn describe(&self) -> String {
        let mbit = |bps: u64| format!("{:.1} Mbit/s", bps as f64 / 1e6);
        let mut text = format!(
            "{}, round trip {} ms with {} ms of queue, {:.1} % lost",
            mbit(self.rate_bps),
            self.rtt_us / 1000,
            self.queue_us / 1000,
            self.loss_ppm as f64 / 1e4
        );
        for (class, most) in [("live", self.live_bps_max), ("backlog", self.backlog_bps_max)] {
            if let Some(most) = most {
                text += &format!(", {class} limited to {}", mbit(most));
            }
        }
        text
    }
}

impl Stream {
    /// What there is to say of it, in this run.
    fn notes(&self, replicate: Option<&String>) -> String {
        let counts = [
            (self.connects.saturating_sub(1), "reconnect"),
            (self.holes, "hole"),
            (self.write_errors, "write error"),
        ];
        let counts = counts.iter().filter(|(number, _)| *number > 0);
        let counts = counts.map(|(number, noun)| words::count(*number, noun));
        let detail = Some(self.detail.clone()).filter(|detail| !detail.is_empty());
        let policy = replicate.map(|word| format!("replicate = \"{word}\""));
        policy.into_iter().chain(detail).chain(counts).collect::<Vec<_>>().join(", ")
    }
}
