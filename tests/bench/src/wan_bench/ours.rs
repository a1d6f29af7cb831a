//! Holdfast itself: a hub, and an agent with a backlog and live cameras, as their packages would run them.
//!
//! First the cameras alone with empty archives, which tells their lag on this line when nothing else is on
//! it; then once more with the backlog.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use ops::client::Client;
use ops::init::{self, Camera, HubPlan, Plan, SitePlan};
use ops::rig::{CameraPlan, Process, programs, wait_until};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wan::netns::Netns;
use wire::discover::HubAddress;
use wire::{SiteId, UnixMicros};

use super::case::Times;
use super::line::{self, HUB, Line};
use super::watch::{Watched, watch};

const HUB_PORT: u16 = 7443;
const HUB_HTTP: &str = "127.0.0.1:8080";
const SITE_HTTP: &str = "127.0.0.1:8081";
const CAMERA_PORT: u16 = 8554;
const CAMERAS: [&str; 2] = ["till-1", "door-1"];
/// Small, since the line is what is measured.
const CAMERA: &str = "codec=h264,size=320x180,kbit=300";
const START: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(10);

/// From the arrival of a frame at the agent until its fragment is durable at the hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lag {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
    /// Fragments measured.
    pub(crate) count: u64,
}

/// What was seen of an agent that catches up.
pub(crate) struct Seen {
    pub(crate) watched: Watched,
    pub(crate) idle_lag: Lag,
    pub(crate) lag: Lag,
    /// What the agent said of its link at the end.
    pub(crate) uplink: Value,
}

/// A hub and a site, installed.
pub(crate) struct Installation {
    dir: PathBuf,
    site: SiteId,
    hub_config: PathBuf,
    site_config: PathBuf,
    congestion: Option<String>,
}

impl Installation {
    pub(crate) fn make(dir: &Path, site: &SiteId, congestion: Option<String>) -> anyhow::Result<Self> {
        let mut plan = Plan::new(dir.join("installation"));
        let mut hub = HubPlan::new("hub-1");
        hub.listen = Some(format!("0.0.0.0:{HUB_PORT}"));
        hub.http_listen = Some(HUB_HTTP.to_owned());
        plan.hub = Some(hub);
        let mut planned = SitePlan::new(site.clone());
        let address: HubAddress = format!("{HUB}:{HUB_PORT}").parse().context("hub address")?;
        planned.hub_address = Some(address);
        planned.http_listen = Some(SITE_HTTP.to_owned());
        let camera = |id: &str| Camera::new(id, format!("rtsp://127.0.0.1:{CAMERA_PORT}/{id}"));
        planned.cameras = CAMERAS.map(camera).into();
        plan.sites.push(planned);
        let made = init::init(&plan)?;
        let (_, site_config) = made.sites.into_iter().next().context("the plan has a site")?;
        Ok(Self {
            dir: dir.to_owned(),
            site: site.clone(),
            hub_config: made.hub.context("the plan has a hub")?,
            site_config,
            congestion,
        })
    }

    /// Lets the agent catch up with `archive` over a line.
    pub(crate) fn run(&self, line: &Line, times: &Times, archive: &Path) -> anyhow::Result<Seen> {
        let cameras = self.start_cameras(line)?;
        let idle_lag = {
            let scratch = self.scratch()?;
            let daemons = self.start_daemons(line, &scratch.path().join("archive"), scratch.path())?;
            daemons.await_live()?;
            std::thread::sleep(times.idle);
            daemons.lag()?
        };
        let scratch = self.scratch()?;
        let daemons = self.start_daemons(line, archive, scratch.path())?;
        let running = [("hub", daemons.hub.id()), ("agent", daemons.agent.id()), ("cameras", cameras.id())];
        let watched = watch(line, times, &running, || daemons.durable_bytes())?;
        let uplink = daemons.uplink()?;
        Ok(Seen { watched, idle_lag, lag: lag(&uplink)?, uplink })
    }

    /// For a vault: every run has a new one, so that to the hub everything is news.
    pub(crate) fn scratch(&self) -> anyhow::Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix("vault-").tempdir_in(&self.dir).context("make a folder")
    }

    pub(crate) fn start_cameras(&self, line: &Line) -> anyhow::Result<Process> {
        let plans = CAMERAS.map(|id| CameraPlan::new(id, CAMERA));
        let command = programs::cameras("127.0.0.1", CAMERA_PORT, &self.dir.join("cameras"), &plans)?;
        let log = self.dir.join("cameras.log");
        let mut cameras = Process::start("camera server", &command, Some(&line::name(&line.site)), &log)?;
        cameras.await_line("ready", START)?;
        Ok(cameras)
    }

    pub(crate) fn start_daemons(
        &self,
        line: &Line,
        archive: &Path,
        scratch: &Path,
    ) -> anyhow::Result<Daemons> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let log = |name: &str| self.dir.join(format!("{name}-{run}.log"));
        let vault = scratch.join("vault");
        let control = scratch.join("control");
        let mut settings = vec![
            format!("HOLDFAST__VAULT__DIR={}", vault.display()),
            format!("HOLDFAST__CONTROL__DIR={}", control.display()),
        ];
        let command = with_settings(&settings, programs::daemon("dc-hub", &self.hub_config)?);
        let mut hub = Process::start("dc-hub", &command, Some(&line::name(&line.hub)), &log("hub"))?;
        hub.await_line("listening", START)?;
        settings = vec![format!("HOLDFAST__ARCHIVE__DIR={}", archive.display())];
        settings.extend(self.congestion.iter().map(|name| format!("HOLDFAST__UPLINK__CONGESTION={name}")));
        let command = with_settings(&settings, programs::daemon("site-agent", &self.site_config)?);
        let mut agent = Process::start("site-agent", &command, Some(&line::name(&line.site)), &log("agent"))?;
        agent.await_line("serving HTTP", START)?;
        let open = |address: &str, dir: &Path| {
            Client::open(&format!("http://{address}"), &dir.join("http-token"), SILENCE)
        };
        Ok(Daemons {
            hub_http: At { netns: line.hub.clone(), client: open(HUB_HTTP, &vault)? },
            site_http: At { netns: line.site.clone(), client: open(SITE_HTTP, archive)? },
            hub,
            agent,
            site: self.site.clone(),
        })
    }
}

/// Settings win over the configuration file when they come through the environment.
fn with_settings(settings: &[String], command: Vec<String>) -> Vec<String> {
    let mut line = vec!["env".to_owned()];
    line.extend_from_slice(settings);
    line.extend(command);
    line
}

/// A hub and an agent that run. They are killed when this is dropped.
pub(crate) struct Daemons {
    agent: Process,
    hub: Process,
    site: SiteId,
    hub_http: At,
    site_http: At,
}

impl Daemons {
    fn uplink(&self) -> anyhow::Result<Value> {
        Ok(self.site_http.status()?["uplink"].take())
    }

    /// A number of the agent's link.
    pub(crate) fn uplink_figure(&self, key: &str) -> anyhow::Result<u64> {
        self.uplink()?[key].as_u64().with_context(|| format!("the agent's status has no uplink.{key}"))
    }

    /// Stops both, the agent first. Returns the bytes the hub had taken in by then.
    pub(crate) fn stop(self) -> anyhow::Result<u64> {
        self.agent.stop()?;
        let status = self.hub_http.status()?;
        self.hub.stop()?;
        Ok(status["sites"][self.site.as_str()]["bytes_in"].as_u64().unwrap_or(0))
    }

    fn lag(&self) -> anyhow::Result<Lag> {
        lag(&self.uplink()?)
    }

    /// Waits until the hub has parts of every camera.
    fn await_live(&self) -> anyhow::Result<()> {
        let live = || Ok(self.lag().unwrap_or_default().count >= CAMERAS.len() as u64);
        wait_until("the cameras are live at the hub", START, live).map(drop)
    }

    /// The end of what the hub has of the first camera, if it has any of the last minute.
    pub(crate) fn newest_at_hub(&self) -> anyhow::Result<Option<UnixMicros>> {
        let (now, camera) = (wire::clock::wall(), CAMERAS[0]);
        let from = now - Duration::from_secs(60);
        let path = format!("/sites/{}/cameras/{camera}/coverage?from={}&to={}", self.site, from.0, now.0);
        let coverage = self.hub_http.get(&path)?;
        let here = |span: &&Value| span["state"] == "recorded" || span["state"] == "tail";
        let spans = coverage["spans"].as_array().context("coverage has spans")?;
        Ok(spans.iter().rev().find(here).and_then(|span| span["to_us"].as_i64()).map(UnixMicros))
    }

    /// Parts are counted when they are synced in the journal.
    pub(crate) fn durable_bytes(&self) -> anyhow::Result<u64> {
        let status = self.hub_http.status()?;
        let site = &status["sites"][self.site.as_str()];
        Ok(site["bytes_in"].as_u64().unwrap_or(0)) // not there before it has connected
    }
}

fn lag(uplink: &Value) -> anyhow::Result<Lag> {
    serde_json::from_value(uplink["live_lag_ms"].clone()).context("read the agent's lag")
}

/// A daemon's HTTP interface, as it is reached inside its namespace.
struct At {
    netns: Netns,
    client: Client,
}

impl At {
    fn status(&self) -> anyhow::Result<Value> {
        self.get("/status")
    }

    fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.netns.inside(|| self.client.get(path))?
    }
}
