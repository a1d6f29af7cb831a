//! A hub and its sites.

use std::collections::BTreeMap;

use serde::Deserialize;
use wire::UnixMicros;

use super::super::table::{Table, Tone, cell, number};
use super::super::words;
use super::{BEAT_AGE_MAX, Disk, Problem, Retention, Scrub, View, not_recorded};

#[derive(Debug, Deserialize)]
pub(super) struct Hub {
    name: String,
    software: String,
    quorum: String,
    vault: Vault,
    /// Nothing from daemons that know of no holds.
    #[serde(default)]
    holds: Holds,
    sites: BTreeMap<String, Site>,
}

#[derive(Debug, Deserialize)]
struct Vault {
    ledgers: u64,
    bytes: u64,
    open_segments: u64,
    stopped: Option<String>,
    /// None from daemons that don't re-read.
    scrub: Option<Scrub>,
    #[serde(default)]
    retention: Retention,
    /// None from daemons that know of one only.
    #[serde(default)]
    disks: Vec<Disk>,
}

/// What people asked to be kept.
#[derive(Debug, Default, Deserialize)]
struct Holds {
    in_force: u64,
    pending: u64,
    releasing: u64,
    not_confirmed_by: Vec<String>,
    /// Why vaults delete nothing, if so.
    #[serde(default)]
    deletion_suspended: Option<String>,
}

impl Holds {
    fn in_words(&self, here: &Retention) -> Option<String> {
        if self.in_force + self.releasing == 0 {
            return None;
        }
        let mut text = words::count(self.in_force, "hold");
        if let Some(bytes) = here.kept_bytes {
            text += &format!(", {} here", words::bytes(bytes));
        }
        for (count, what) in [(self.pending, "PENDING"), (self.releasing, "releasing")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        if !self.not_confirmed_by.is_empty() {
            text += &format!(": not confirmed by {}", self.not_confirmed_by.join(", "));
        }
        Some(text)
    }
}

#[derive(Debug, Default, Deserialize)]
struct Site {
    connected: bool,
    since_us: UnixMicros,
    address: String,
    detail: String,
    last_beat_us: UnixMicros,
    cameras: Vec<Camera>,
    unacked: u64,
    live_lag_ms_p50: u32,
    live_lag_ms_p99: u32,
    #[serde(default)]
    twins: Option<[Twin; 2]>,
}

/// One of two agents that run as the same site.
#[derive(Debug, Deserialize)]
struct Twin {
    address: String,
}

#[derive(Debug, Deserialize)]
struct Camera {
    stream: String,
    state: String,
    last_durable_us: UnixMicros,
    detail: String,
}

impl Hub {
    /// Adds sites that have recordings here and have not come since the hub started.
    pub(super) fn add_missing(&mut self, with_recordings: &[String]) {
        for site in with_recordings {
            self.sites.entry(site.clone()).or_insert_with(|| Site {
                detail: "not connected since the hub started".to_owned(),
                ..Site::default()
            });
        }
    }

    pub(super) fn problems(&self, now: UnixMicros) -> Vec<Problem> {
        let stopped = self.vault.stopped.iter().map(|why| Problem::new("the vault has stopped", why));
        let mut problems: Vec<Problem> = stopped.collect();
        problems.extend(self.vault.scrub.as_ref().and_then(Scrub::problem));
        let suspended = self.holds.deletion_suspended.iter();
        problems.extend(suspended.map(|why| Problem::new("deletion is suspended", why)));
        problems.extend(self.vault.retention.problem());
        problems.extend(self.vault.disks.iter().filter_map(Disk::problem));
        for (name, site) in &self.sites {
            if let Some([one, other]) = &site.twins {
                let where_from = format!("from {} and {}: stop one of them", one.address, other.address);
                problems.push(Problem::new(format!("two agents run as site {name}"), &where_from));
            }
            if !site.connected {
                problems.push(Problem::new(format!("site {name} is away"), &site.detail));
                continue;
            }
            let silent = now.since(site.last_beat_us.max(site.since_us));
            if silent > BEAT_AGE_MAX {
                let what =
                    format!("site {name} is connected, but has sent no beat for {}", words::duration(silent));
                problems.push(Problem::new(what, ""));
            }
            let named = site.cameras.iter().map(|camera| (format!("{name}/{}", camera.stream), camera));
            problems.extend(
                named.filter_map(|(name, camera)| not_recorded(&name, &camera.state, &camera.detail)),
            );
        }
        problems
    }

    pub(super) fn describe(&self, view: &View<'_>) -> String {
        let mut head = Table::new("");
        head.row([cell("hub"), cell(format!("{} at {}, {}", self.name, view.at, self.software))]);
        head.row([cell("quorum"), cell(&self.quorum)]);
        let vault = format!(
            "{} in {}, {}",
            words::bytes(self.vault.bytes),
            words::count(self.vault.ledgers, "ledger"),
            words::count(self.vault.open_segments, "open segment")
        );
        head.row([cell("vault"), cell(vault)]);
        if let Some(held) = self.holds.in_words(&self.vault.retention) {
            head.row([cell("held"), cell(held).tone(Tone::of(self.holds.not_confirmed_by.is_empty()))]);
        }
        head.stopped(self.vault.stopped.as_deref());
        let mut text = head.render(view.colours) + "\n";
        if self.sites.is_empty() {
            return text + "No site has ever connected.\n";
        }
        text += &self.sites(view).render(view.colours);
        let cameras = self.cameras(view);
        if self.sites.values().any(|site| !site.cameras.is_empty()) {
            text += "\n";
            text += &cameras.render(view.colours);
        }
        text
    }

    fn sites(&self, view: &View<'_>) -> Table {
        let headings = ["SITE", "HUB LINK", ">FOR", ">BEAT AGO", ">UNACKED", ">LAG p50/p99", "DETAIL"];
        let mut table = Table::with_heading(&headings);
        for (name, site) in &self.sites {
            let link = if site.connected { "connected" } else { "AWAY" };
            let lag = format!("{}/{} ms", site.live_lag_ms_p50, site.live_lag_ms_p99);
            let never = site.last_beat_us.0 <= 0;
            let detail =
                if site.detail.is_empty() { format!("from {}", site.address) } else { site.detail.clone() };
            table.row([
                cell(name),
                cell(link).tone(Tone::of(site.connected)),
                number(view.age(site.since_us)),
                number(view.age(site.last_beat_us)),
                number(if never { "–".to_owned() } else { site.unacked.to_string() }),
                number(if never { "–".to_owned() } else { lag }),
                cell(detail),
            ]);
        }
        table
    }

    fn cameras(&self, view: &View<'_>) -> Table {
        let mut table = Table::with_heading(&["CAMERA", "STATE", ">LAST FRAME", "DETAIL"]);
        for (name, site) in &self.sites {
            for camera in &site.cameras {
                // What a site that is away said last is no longer true for certain.
                let tone = if site.connected { Tone::of(camera.state == "recording") } else { Tone::Dim };
                let state = if site.connected { camera.state.clone() } else { format!("{}?", camera.state) };
                let age = match camera.last_durable_us.0 {
                    ..=0 => "never".to_owned(),
                    _ => format!("{} ago", view.age(camera.last_durable_us)),
                };
                let name = format!("{name}/{}", camera.stream);
                table.row([cell(name), cell(state).tone(tone), number(age), cell(&camera.detail)]);
            }
        }
        table
    }
}
