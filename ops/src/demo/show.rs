//! What the demo shows while it runs: one line per site, redrawn in place on a terminal.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::rig::Rig;

pub(super) struct Show {
    bars: MultiProgress,
    lines: Vec<ProgressBar>,
    terminal: bool,
}

impl Show {
    pub(super) fn new() -> Self {
        let bars = MultiProgress::new();
        let style = ProgressStyle::with_template("{spinner} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let lines = (0..2).map(|_| bars.add(ProgressBar::new_spinner().with_style(style.clone()))).collect();
        Self { terminal: !bars.is_hidden(), bars, lines }
    }

    /// Says something that stays.
    pub(super) fn say(&self, text: &str) {
        if self.terminal {
            let _ = self.bars.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    pub(super) fn where_to_look(&self, rig: &Rig) -> anyhow::Result<()> {
        let token = std::fs::read_to_string(rig.vault.join("http-token"))?;
        let (hub, token) = (&rig.hub_http, token.trim());
        self.say(&format!("look at   http://{hub}/api/v1/status?token={token}"));
        if let Some(site) = rig.sites.first()
            && let Some(camera) = site.cameras.first()
        {
            let camera = format!("http://{hub}/api/v1/sites/{}/cameras/{}", site.id, camera.id);
            self.say(&format!("live      {camera}/live.mp4?token={token}"));
            self.say(&format!("playlist  {camera}/hls.m3u8?token={token}"));
            self.say(&format!("timeline  {camera}/coverage?token={token}"));
        }
        Ok(())
    }

    /// Draws how things are now.
    pub(super) fn draw(&self, rig: &Rig, began: Instant, note: &str) {
        if !self.terminal {
            return;
        }
        for (index, line) in self.lines.iter().enumerate().take(rig.sites.len()) {
            let state = rig.site(index).and_then(|client| client.get("/status"));
            let note = if index == super::CUT_SITE { note } else { "" };
            let text = match state {
                Ok(state) => describe(&state, note, began.elapsed()),
                Err(error) => format!("{}: {error:#}", rig.sites[index].id),
            };
            line.set_message(text);
            line.tick();
        }
    }

    pub(super) fn counting(&self, total: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len}");
        let bar = ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bars.add(bar)
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.lines.iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn describe(state: &Value, note: &str, elapsed: Duration) -> String {
    let streams = state["streams"].as_object();
    let recording =
        streams.map_or(0, |streams| streams.values().filter(|s| s["state"] == "recording").count());
    let frames: u64 =
        streams.map_or(0, |streams| streams.values().filter_map(|s| s["frames"].as_u64()).sum());
    let link = &state["uplink"];
    format!(
        "{:>4} s  {:8} {} of {} cameras recording, {frames:>6} frames  hub {:10} unacked {:>3}  lag p99 {:>5} ms  {note}",
        elapsed.as_secs(),
        state["site"].as_str().unwrap_or("?"),
        recording,
        streams.map_or(0, serde_json::Map::len),
        if link["connected"] == true { "connected" } else { "away" },
        link["unacked"],
        link["live_lag_ms"]["p99"],
    )
}
