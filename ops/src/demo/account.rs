//! The account of a demo: archives verified, an export checked, every frame compared with what the
//! cameras logged.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use site_agent::archive::Archive;
use site_agent::archive::verify::verify;
use site_agent::serve::verify_export;
use wire::{StreamId, UnixMicros};

use super::show::Show;
use super::{KILLED_SITE, Lag, Outcome};
use crate::oracle::{self, Comparison};
use crate::rig::Rig;

#[derive(Default)]
pub(super) struct Account {
    cameras: usize,
    at_sites: Comparison,
    at_hub: Comparison,
    bytes_at_sites: u64,
    failover_gaps: Vec<Duration>,
    unexplained: u64,
    problems: Vec<String>,
}

impl Account {
    /// Counts what the stopped rig left on disk. The recorder of one site was `killed`.
    pub(super) fn take(rig: &Rig, show: &Show, killed: UnixMicros) -> anyhow::Result<Self> {
        let mut account = Self::default();
        account.verify(&rig.vault);
        for site in &rig.sites {
            account.bytes_at_sites += account.verify(&site.archive);
        }
        let cameras: usize = rig.sites.iter().map(|site| site.cameras.len()).sum();
        let bar = show.counting(cameras as u64).with_message("counting frames");
        let vault = Archive::open(&rig.vault)?;
        for (index, site) in rig.sites.iter().enumerate() {
            let had_gap = index == KILLED_SITE;
            let archive = Archive::open(&site.archive)?;
            for camera in &site.cameras {
                let stream = StreamId::new(&camera.id, "main")?;
                let log = oracle::read_log(&site.camera_logs.join(format!("{}.log", camera.id)))?;
                let at_site = oracle::read_open_archive(&archive, &site.id, &stream)?;
                let at_hub = match had_gap {
                    true => oracle::read_merged(&[&vault], &site.id, &stream)?,
                    false => oracle::read_open_archive(&vault, &site.id, &stream)?,
                };
                if had_gap {
                    let gap = oracle::gap_around(&at_hub.gaps, killed);
                    account.failover_gaps.push(gap.map_or(Duration::ZERO, |(from, to)| to.since(from)));
                }
                account.compare(&stream, ("site", had_gap), &oracle::compare(&log, &at_site, &at_site)?);
                account.compare(&stream, ("hub", had_gap), &oracle::compare(&log, &at_site, &at_hub)?);
                account.cameras += 1;
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(account)
    }

    fn verify(&mut self, archive: &Path) -> u64 {
        match verify(archive, |_| {}) {
            Ok(report) => {
                self.problems.extend(report.bad);
                if report.without_bytes > 0 || report.orphans > 0 {
                    let (missing, orphans) = (report.without_bytes, report.orphans);
                    let archive = archive.display();
                    self.problems
                        .push(format!("{archive}: {missing} segments without bytes, {orphans} orphans"));
                }
                report.bytes
            }
            Err(error) => {
                self.problems.push(format!("verify {}: {error}", archive.display()));
                0
            }
        }
    }

    fn compare(&mut self, stream: &StreamId, (side, had_gap): (&str, bool), found: &Comparison) {
        if found.sent == 0 {
            self.problems.push(format!("{stream}: nothing was recorded"));
        }
        let explained = if had_gap { 0 } else { found.explained };
        if found.lost + explained + found.foreign + found.audio_wrong > 0 {
            self.problems.push(format!("{stream} at the {side}: {found:?}"));
        }
        let sum = if side == "site" { &mut self.at_sites } else { &mut self.at_hub };
        sum.sent += found.sent;
        sum.recorded += found.recorded;
        sum.lost += found.lost;
        sum.explained += found.explained;
        sum.foreign += found.foreign;
        sum.audio_wrong += found.audio_wrong;
    }

    /// Exports the cut from the hub and checks the copy against its own proof.
    pub(super) fn export(rig: &Rig, site: usize, from: UnixMicros, to: UnixMicros) -> anyhow::Result<()> {
        let site = &rig.sites[site];
        let camera = site.cameras.first().context("the site has a camera")?;
        let (from, to) = (from - Duration::from_secs(3), to + Duration::from_secs(3));
        let path = format!("/sites/{}/cameras/{}/export.mp4?from={}&to={}", site.id, camera.id, from.0, to.0);
        let mut file = Vec::new();
        rig.hub()?.download(&path)?.1.read_to_end(&mut file).context("download the export")?;
        let report = verify_export(file.as_slice());
        ensure!(report.ok && report.frames > 0, "the export across the cut: {:?}", report.problems);
        ensure!(report.gaps.is_empty(), "the export across the cut has gaps: {:?}", report.gaps);
        Ok(())
    }

    /// How many gaps of any camera's timeline at the hub nothing explains.
    pub(super) fn unexplained(rig: &Rig) -> anyhow::Result<u64> {
        let (hub, now) = (rig.hub()?, wire::clock::wall());
        let mut count = 0;
        for site in &rig.sites {
            for camera in &site.cameras {
                let from = now - Duration::from_secs(24 * 3600);
                let path =
                    format!("/sites/{}/cameras/{}/coverage?from={}&to={}", site.id, camera.id, from.0, now.0);
                let coverage = hub.get(&path)?;
                let spans = coverage["spans"].as_array().context("coverage has spans")?;
                // Before the first recording there was no camera to record.
                let first = spans.iter().position(|span| span["state"] == "recorded").unwrap_or(spans.len());
                let unexplained = |span: &&serde_json::Value| span["cause"] == "unspecified";
                count += spans[first..].iter().filter(unexplained).count() as u64;
            }
        }
        Ok(count)
    }

    pub(super) fn add_unexplained(&mut self, count: u64) {
        self.unexplained = count;
        if count > 0 {
            self.problems.push(format!("{count} gaps are unexplained"));
        }
    }

    pub(super) fn add_export(&mut self, export: anyhow::Result<()>) {
        if let Err(error) = export {
            self.problems.push(format!("{error:#}"));
        }
    }

    /// The worse lag of the sites, and bytes sent by all.
    pub(super) fn links(rig: &Rig) -> anyhow::Result<(Lag, u64)> {
        let (mut lag, mut bytes) = (Lag::default(), 0);
        for site in 0..rig.sites.len() {
            let link = rig.site(site)?.get("/status")?["uplink"].clone();
            let number = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
            lag.p50 = lag.p50.max(number(&link["live_lag_ms"]["p50"]));
            lag.p99 = lag.p99.max(number(&link["live_lag_ms"]["p99"]));
            bytes += number(&link["live_bytes"]) + number(&link["backlog_bytes"]);
        }
        Ok((lag, bytes))
    }

    pub(super) fn outcome(self, cut: Duration, reconciled: Duration, lag: Lag, bytes_sent: u64) -> Outcome {
        let (sites, hub) = (self.at_sites, self.at_hub);
        Outcome {
            cameras: self.cameras,
            frames_sent: sites.sent,
            frames_at_sites: sites.recorded,
            frames_at_hub: hub.recorded,
            frames_lost: sites.lost + hub.lost + sites.foreign + hub.foreign,
            failover_gap_ms: percentiles(&self.failover_gaps),
            gaps_unexplained: self.unexplained,
            audio_frames_wrong: sites.audio_wrong + hub.audio_wrong,
            wan_cut_s: rounded(cut),
            reconcile_s: rounded(reconciled),
            live_lag_ms: lag,
            bytes_at_sites: self.bytes_at_sites,
            bytes_sent,
            verified: self.problems.is_empty(),
            problems: self.problems,
        }
    }
}

fn percentiles(times: &[Duration]) -> Lag {
    let mut millis: Vec<u64> =
        times.iter().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).collect();
    millis.sort_unstable();
    let at = |share: usize| millis.get((millis.len() * share).div_ceil(100).max(1) - 1).copied().unwrap_or(0);
    Lag { p50: at(50), p99: at(99) }
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

pub(super) fn print(outcome: &Outcome) {
    let percent = |part: u64| 100.0 * part as f64 / outcome.frames_sent.max(1) as f64;
    println!("cameras               {}", outcome.cameras);
    println!("frames sent           {}", outcome.frames_sent);
    println!(
        "frames at the sites   {}  ({:.2} %)",
        outcome.frames_at_sites,
        percent(outcome.frames_at_sites)
    );
    println!("frames at the hub     {}  ({:.2} %)", outcome.frames_at_hub, percent(outcome.frames_at_hub));
    println!("frames lost           {}", outcome.frames_lost);
    println!(
        "failover gap          p50 {} ms, p99 {} ms, {} gaps unexplained",
        outcome.failover_gap_ms.p50, outcome.failover_gap_ms.p99, outcome.gaps_unexplained
    );
    println!("WAN cut               {:.1} s", outcome.wan_cut_s);
    println!("equal again after     {:.1} s", outcome.reconcile_s);
    println!("live lag              p50 {} ms, p99 {} ms", outcome.live_lag_ms.p50, outcome.live_lag_ms.p99);
    for problem in &outcome.problems {
        println!("WRONG                 {problem}");
    }
    println!("verified              {}", if outcome.verified { "yes" } else { "NO" });
}
