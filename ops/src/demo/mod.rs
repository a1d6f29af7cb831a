//! `holdfast demo`: the main job on this machine, with real parts: two sites with two cameras each, a
//! hub, a WAN that is cut and healed, and at the end every frame accounted for.

mod account;
mod show;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;
use wire::{SiteId, UnixMicros};

use crate::length;
use crate::rig::{CameraPlan, Rig, Settings, SiteSpec, wait_until};

use account::Account;
use show::Show;

/// Arguments of `holdfast demo`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How long to record, as 60s or 5m; without it, until Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = length::parse)]
    pub length: Option<Duration>,
    /// The last line of the output is one JSON object
    #[arg(long)]
    pub json: bool,
    /// Keep everything that was recorded in this folder (which must not exist yet)
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// What a demo measured; the keys of its JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Cameras recorded.
    pub cameras: usize,
    /// Video frames the cameras sent, from the first to the last a recorder saw.
    pub frames_sent: u64,
    /// Of these, intact at the sites.
    pub frames_at_sites: u64,
    /// Of these, intact at the hub.
    pub frames_at_hub: u64,
    /// Missing or altered at the sites or at the hub, outside gaps that are explained.
    pub frames_lost: u64,
    /// How long nobody recorded a camera whose site's recorder was killed; the standby ended it.
    pub failover_gap_ms: Lag,
    /// Gaps in any camera's timeline at the hub that no entry and no known cause explains.
    pub gaps_unexplained: u64,
    /// Audio frames missing or altered on either side.
    pub audio_frames_wrong: u64,
    /// How long the WAN of one site was cut.
    pub wan_cut_s: f64,
    /// From the heal until the hub had acked everything the site had committed before it.
    pub reconcile_s: f64,
    /// Arrival of a fragment's oldest frame at the agent to TailAck; the worse of the sites.
    pub live_lag_ms: Lag,
    /// Bytes of the archives at the sites.
    pub bytes_at_sites: u64,
    /// Bytes that crossed the WAN as live and as backlog.
    pub bytes_sent: u64,
    /// Every archive, the export across the cut and every frame were checked and found right.
    pub verified: bool,
    /// What was found wrong.
    pub problems: Vec<String>,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Lag {
    /// Half are at most this.
    pub p50: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
}

/// Shorter than this there is no time to cut the WAN and heal it.
const SHORTEST: Duration = Duration::from_secs(30);
/// Reconciling must not take longer than this.
const RECONCILE_MAX: Duration = Duration::from_secs(120);

/// `holdfast demo`. Returns whether everything was found right.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    if args.length.is_some_and(|length| length < SHORTEST) {
        bail!("--for takes {} s or more: the WAN has to be cut and healed in that time", SHORTEST.as_secs());
    }
    let scratch = tempfile::Builder::new().prefix("holdfast-demo-").tempdir().context("make a folder")?;
    let dir = match &args.keep {
        Some(dir) if dir.exists() => bail!("{} exists; name a folder that doesn't", dir.display()),
        Some(dir) => std::path::absolute(dir).context("find the folder to keep")?,
        None => scratch.path().to_owned(),
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    // Ctrl-C ends the recording, not the account of it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stop = runtime.block_on(async { site_agent::cli::stop_signal() })?;
    let settings = Settings { failback_s: (BACK_S, BACK_S), ..Settings::default() };
    let mut rig = Rig::new(&dir, &sites()?, &settings)?;
    let mut demo =
        Demo { show: Show::new(), stop: Box::new(move || stop.is_cancelled()), began: wire::clock::now() };
    let outcome = demo.run(&mut rig, args.length)?;
    account::print(&outcome);
    if args.json {
        site_agent::cli::print_json(&outcome)?;
    }
    Ok(outcome.verified)
}

/// Two sites, two cameras each: H.264 and H.265, sound at one.
fn sites() -> anyhow::Result<Vec<SiteSpec>> {
    let camera = |id: &str, spec: &str, audio| CameraPlan { audio, ..CameraPlan::new(id, spec) };
    Ok(vec![
        SiteSpec {
            id: SiteId::new("shop-1")?,
            cameras: vec![
                camera("till-1", "codec=h264,audio=aac", true),
                camera("door-1", "codec=h265", false),
            ],
        },
        SiteSpec {
            id: SiteId::new("shop-2")?,
            cameras: vec![camera("till-2", "codec=h264", false), camera("door-2", "codec=h265", false)],
        },
    ])
}

struct Demo {
    show: Show,
    stop: Box<dyn Fn() -> bool>,
    began: Instant,
}

/// When the WAN was cut and healed, and how long becoming equal took.
#[derive(Clone, Copy)]
struct Cut {
    from: UnixMicros,
    to: UnixMicros,
    reconciled: Duration,
}

/// The site whose WAN is cut.
const CUT_SITE: usize = 1;
/// The site whose recorder is killed.
const KILLED_SITE: usize = 0;
/// What a standby records before the killed recorder is started again.
const STANDBY_S: f64 = 4.0;
/// How long a standby keeps a site at least, and the site has to be well before: people wait longer.
const BACK_S: u64 = 2;
/// A failover, and the way back, must not take longer than this.
const FAILOVER_MAX: Duration = Duration::from_secs(60);

impl Demo {
    fn run(&mut self, rig: &mut Rig, length: Option<Duration>) -> anyhow::Result<Outcome> {
        self.show.say("starting a hub, two sites and four cameras");
        rig.start()?;
        self.show.where_to_look(rig)?;
        let recording = || all_recording(rig);
        wait_until("all cameras are recorded at the hub", Duration::from_secs(60), recording)?;
        self.began = wire::clock::now();
        // A quarter of the time each: before the cut, the cut, and the rest after it.
        let quarter = length.unwrap_or(Duration::from_secs(60)) / 4;
        self.watch(rig, quarter, "")?;
        let cut = self.cut(rig, quarter)?;
        let killed = self.fail_over(rig)?;
        match length {
            Some(length) => {
                let left = length.saturating_sub(self.began.elapsed());
                self.watch(rig, left, "")?;
            }
            None => {
                self.show.say("recording until Ctrl-C");
                self.watch(rig, Duration::MAX, "")?;
            }
        }
        let export = Account::export(rig, CUT_SITE, cut.from, cut.to);
        let links = Account::links(rig);
        let unexplained = Account::unexplained(rig)?;
        self.show.say("stopping, then counting every frame");
        rig.stop()?;
        let mut account = Account::take(rig, &self.show, killed)?;
        account.add_export(export);
        account.add_unexplained(unexplained);
        let (lag, bytes_sent) = links?;
        Ok(account.outcome(cut.to.since(cut.from), cut.reconciled, lag, bytes_sent))
    }

    fn cut(&mut self, rig: &Rig, length: Duration) -> anyhow::Result<Cut> {
        let site = &rig.sites[CUT_SITE];
        self.show.say(&format!("cutting the WAN of {}; it records on", site.id));
        let from = wire::clock::wall();
        site.cable.cut()?;
        self.watch(rig, length, "WAN cut")?;
        site.cable.heal()?;
        let to = wire::clock::wall();
        self.show.say(&format!("healed the WAN of {}; becoming equal again", site.id));
        let equal = || {
            self.show.draw(rig, self.began, "healing");
            all_acked(rig, from, to)
        };
        let reconciled = wait_until("the hub has all of the cut", RECONCILE_MAX, equal)?;
        self.show.say(&format!("equal again after {:.1} s", reconciled.as_secs_f64()));
        Ok(Cut { from, to, reconciled })
    }

    /// Kills a site's recorder while its cameras live, lets the hub's standby record, and lets the recorder come
    /// back. Returns when it was killed.
    fn fail_over(&self, rig: &mut Rig) -> anyhow::Result<UnixMicros> {
        let id = rig.sites[KILLED_SITE].id.clone();
        let life = |rig: &Rig| -> anyhow::Result<Value> {
            Ok(rig.hub()?.get(&format!("/sites/{id}/why"))?["known"]["life"].take())
        };
        wait_until("the standby could take over", FAILOVER_MAX, || is_protected(rig, KILLED_SITE))?;
        self.show.say(&format!("killing the recorder of {id}; its cameras live"));
        rig.kill_agent(KILLED_SITE)?;
        let killed = wire::clock::wall();
        let wait = |what: &str, rig: &Rig, right: &dyn Fn(&Value) -> bool| {
            wait_until(what, FAILOVER_MAX, || {
                self.show.draw(rig, self.began, "recorder killed");
                Ok(right(&life(rig)?))
            })
        };
        let took = wait("the standby has authority", rig, &|life| life["Standby"]["mode"] == "Recording")?;
        self.show.say(&format!("after {:.1} s the hub has authority and records {id}", took.as_secs_f64()));
        let taken = wire::clock::wall();
        wait_until("the standby has recorded", FAILOVER_MAX, || {
            self.show.draw(rig, self.began, "standby");
            recorded_s(rig, KILLED_SITE, taken).map(|seconds| seconds >= STANDBY_S)
        })?;
        self.show.say(&format!("starting the recorder of {id} again"));
        rig.start_agent(KILLED_SITE)?;
        let back = wait("authority is back home", rig, &|life| life == "Home")?;
        self.show.say(&format!("{id} has its authority back after {:.1} s", back.as_secs_f64()));
        Ok(killed)
    }

    /// Shows progress for a while, or until somebody has had enough.
    fn watch(&self, rig: &Rig, length: Duration, note: &str) -> anyhow::Result<()> {
        let began = wire::clock::now();
        while began.elapsed() < length && !(self.stop)() {
            self.show.draw(rig, self.began, note);
            std::thread::sleep(Duration::from_millis(250).min(length.saturating_sub(began.elapsed())));
        }
        Ok(())
    }
}

/// Does the hub see every camera of a site, and no reason to record it?
fn is_protected(rig: &Rig, site: usize) -> anyhow::Result<bool> {
    let site = &rig.sites[site];
    let Ok(why) = rig.hub()?.get(&format!("/sites/{}/why", site.id)) else { return Ok(false) };
    let protection = why["protection"].as_object().cloned().unwrap_or_default();
    let all = protection.len() == site.cameras.len() && protection.values().all(|how| how == "Protected");
    Ok(all && why["verdict"]["telling"]["line"] == "Well")
}

/// How many seconds since `from` the hub has of the camera of a site that it has the least of.
fn recorded_s(rig: &Rig, site: usize, from: UnixMicros) -> anyhow::Result<f64> {
    let (hub, site, to) = (rig.hub()?, &rig.sites[site], wire::clock::wall());
    let mut least = f64::MAX;
    for camera in &site.cameras {
        let path = format!("/sites/{}/cameras/{}/coverage?from={}&to={}", site.id, camera.id, from.0, to.0);
        least = least.min(hub.get(&path)?["recorded_s"].as_f64().unwrap_or(0.0));
    }
    Ok(least)
}

/// Does the hub know every camera as recording?
fn all_recording(rig: &Rig) -> anyhow::Result<bool> {
    let status = rig.hub()?.get("/status")?;
    Ok(rig.sites.iter().all(|site| {
        let streams = status["sites"][site.id.as_str()]["cameras"].as_array();
        let recording = |stream: &&Value| stream["state"] == "recording" && stream["last_durable_us"] != 0;
        streams.is_some_and(|streams| streams.iter().filter(recording).count() == site.cameras.len())
    }))
}

/// Has the hub acked everything that the cut site committed of the time before the heal?
fn all_acked(rig: &Rig, from: UnixMicros, to: UnixMicros) -> anyhow::Result<bool> {
    let site = &rig.sites[CUT_SITE];
    let client = rig.site(CUT_SITE)?;
    for camera in &site.cameras {
        let path = format!("/sites/{}/cameras/{}/coverage?from={}&to={}", site.id, camera.id, from.0, to.0);
        let coverage = client.get(&path)?;
        let spans = coverage["spans"].as_array().context("coverage has spans")?;
        let committed = spans.iter().filter(|span| !span["seq"].is_null());
        if committed.into_iter().any(|span| span["acked"] != true) {
            return Ok(false);
        }
    }
    Ok(true)
}
