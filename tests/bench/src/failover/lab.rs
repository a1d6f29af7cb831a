//! Hub nodes in one namespace, a site with its cameras in another, the WAN between.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use ops::client::Client;
use ops::init::{self, Camera, HubPlan, Member, Plan, SitePlan};
use ops::oracle::{self, Comparison};
use ops::rig::{CameraPlan, Process, programs, wait_until};
use serde_json::Value;
use site_agent::archive::Archive;
use wan::{PathSettings, Queue};
use wire::discover::HubAddress;
use wire::{SiteId, StreamId, UnixMicros};

use super::sample::Sample;
use super::{Args, Tier};
use crate::wan_bench::line::{self, HUB, Line, SITE};

const HUB_PORT: u16 = 7443;
const HUB_HTTP: u16 = 8080;
const SITE_HTTP: &str = "127.0.0.1:8090";
const CAMERA_PORT: u16 = 8554;
/// One keyframe a second, as the camera server makes them unless told otherwise.
const CAMERA: &str = "codec=h264,size=320x180,kbit=300";
const START: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(10);
/// What any wait may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// So long a standby keeps a site at least, and so long the site has to be well before that: short, so that the
/// next failover can come.
const BACK_S: u64 = 3;

/// The cameras of the site.
pub(super) const CAMERAS: [&str; 2] = ["till-1", "door-1"];

pub(super) struct Lab {
    dir: tempfile::TempDir,
    line: Line,
    site: SiteId,
    hubs: Vec<HubNode>,
    site_config: PathBuf,
    archive: PathBuf,
    cameras: Option<Process>,
    agent: Option<Process>,
    /// How a camera is protected where everything is as it should be.
    ready: &'static str,
}

struct HubNode {
    config: PathBuf,
    vault: PathBuf,
    http: String,
    process: Option<Process>,
}

impl Lab {
    pub(super) fn make(args: &Args) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("holdfast-failover-").tempdir().context("make a folder")?;
        let site = SiteId::new("bench")?;
        let member = |at: usize| Member {
            name: format!("hub-{}", at + 1),
            address: format!("{HUB}:{}", usize::from(HUB_PORT) + at),
        };
        let members: Vec<Member> = (0..args.voters).map(member).collect();
        let mut hubs = Vec::new();
        let mut plan = Plan::new(dir.path().join("installation"));
        for (at, own) in members.iter().enumerate() {
            let home = dir.path().join(&own.name);
            let vault = home.join("vault");
            let http = format!("127.0.0.1:{}", usize::from(HUB_HTTP) + at);
            plan.hub = Some(HubPlan {
                folder: Some(own.name.clone()),
                members: members.clone(),
                listen: Some(format!("0.0.0.0:{}", usize::from(HUB_PORT) + at)),
                http_listen: Some(http.clone()),
                vault_dir: Some(vault.display().to_string()),
                control_dir: Some(home.join("control").display().to_string()),
                active_min_s: Some(BACK_S),
                stable_min_s: Some(BACK_S),
                ..HubPlan::new(&own.name)
            });
            let config = init::init(&plan)?.hub.context("the plan has a hub")?;
            hubs.push(HubNode { config, vault, http, process: None });
        }
        plan.hub = None;
        let archive = dir.path().join("archive");
        let mut planned = SitePlan::new(site.clone());
        let address: HubAddress = format!("{HUB}:{HUB_PORT}").parse().context("hub address")?;
        planned.hub_address = Some(address);
        planned.http_listen = Some(SITE_HTTP.to_owned());
        planned.tier = Some(args.tier.word().to_owned());
        planned.archive_dir = Some(archive.display().to_string());
        planned.cameras =
            CAMERAS.map(|id| Camera::new(id, format!("rtsp://{SITE}:{CAMERA_PORT}/{id}"))).into();
        plan.sites.push(planned);
        let site_config = init::init(&plan)?.sites.into_iter().next().context("the plan has a site")?.1;
        let line = Line::along(&PathSettings {
            delay: Duration::from_millis(args.rtt_ms.into()) / 2,
            rate_bps: Some(100_000_000),
            queue: Queue::Time(Duration::from_millis(100)),
            ..PathSettings::default()
        })?;
        let ready = if args.tier == Tier::Hot { "Recorded" } else { "Protected" };
        Ok(Self { dir, line, site, hubs, site_config, archive, cameras: None, agent: None, ready })
    }

    /// Starts everything and waits until the site is protected.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        for at in 0..self.hubs.len() {
            self.start_hub(at)?;
        }
        let plans = CAMERAS.map(|id| CameraPlan::new(id, CAMERA));
        let logs = self.dir.path().join("cameras");
        let command = programs::cameras(&SITE.to_string(), CAMERA_PORT, &logs, &plans)?;
        let log = self.dir.path().join("cameras.log");
        let mut cameras =
            Process::start("camera server", &command, Some(&line::name(&self.line.site)), &log)?;
        cameras.await_line("ready", START)?;
        self.cameras = Some(cameras);
        self.start_agent()?;
        self.await_home()
    }

    pub(super) fn start_agent(&mut self) -> anyhow::Result<()> {
        let command = programs::daemon("site-agent", &self.site_config)?;
        let log = self.dir.path().join("agent.log");
        let mut agent = Process::start("site-agent", &command, Some(&line::name(&self.line.site)), &log)?;
        agent.await_line("serving HTTP", START)?;
        self.agent = Some(agent);
        Ok(())
    }

    /// SIGKILL; returns when.
    pub(super) fn kill_agent(&mut self) -> anyhow::Result<UnixMicros> {
        let agent = self.agent.take().context("the agent runs")?;
        let at = wire::clock::wall();
        agent.kill()?;
        Ok(at)
    }

    /// SIGTERM; returns when, after it has ended.
    pub(super) fn stop_agent(&mut self) -> anyhow::Result<UnixMicros> {
        let agent = self.agent.take().context("the agent runs")?;
        let at = wire::clock::wall();
        agent.stop()?;
        Ok(at)
    }

    /// SIGKILL for whichever node leads; which, and when.
    pub(super) fn kill_leader(&mut self) -> anyhow::Result<(usize, UnixMicros)> {
        let leads = |hub: &usize| {
            let control = self.hub_get(*hub, "/control");
            control.is_ok_and(|control| control["log"]["leadership"]["mine"].is_number())
        };
        let leader = (0..self.hubs.len()).find(leads).context("a node leads")?;
        let process = self.hubs[leader].process.take().context("the leader runs")?;
        let at = wire::clock::wall();
        process.kill()?;
        Ok((leader, at))
    }

    /// Starts a node.
    pub(super) fn start_hub(&mut self, at: usize) -> anyhow::Result<()> {
        let hub = &mut self.hubs[at];
        let command = programs::daemon("dc-hub", &hub.config)?;
        let log = self.dir.path().join(format!("hub-{}.log", at + 1));
        let mut process = Process::start("dc-hub", &command, Some(&line::name(&self.line.hub)), &log)?;
        process.await_line("listening", START)?;
        hub.process = Some(process);
        Ok(())
    }

    /// Everything, for whoever wants to see what went wrong.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    /// What a person asks of the quorum.
    pub(super) fn wish(&self, wish: &Value) -> anyhow::Result<()> {
        let path = format!("/sites/{}/wishes", self.site);
        self.with_hub(self.alive()?, |client| client.post(&path, wish)).map(drop)
    }

    /// What the first node that runs says of the site.
    pub(super) fn why(&self) -> anyhow::Result<Value> {
        self.why_of(self.alive()?)
    }

    /// What this node says of the site.
    pub(super) fn why_of(&self, hub: usize) -> anyhow::Result<Value> {
        self.hub_get(hub, &format!("/sites/{}/why", self.site))
    }

    /// The epoch in force, as each node knows it.
    pub(super) fn epochs(&self) -> anyhow::Result<Vec<Value>> {
        let of = |hub| Ok(self.why_of(hub)?["known"]["epoch"].clone());
        (0..self.hubs.len()).map(of).collect()
    }

    /// The first node that runs.
    pub(super) fn alive(&self) -> anyhow::Result<usize> {
        self.hubs.iter().position(|hub| hub.process.is_some()).context("a node runs")
    }

    fn hub_get(&self, hub: usize, path: &str) -> anyhow::Result<Value> {
        self.with_hub(hub, |client| client.get(path))
    }

    fn with_hub(
        &self,
        hub: usize,
        ask: impl FnOnce(&Client) -> anyhow::Result<Value> + Send,
    ) -> anyhow::Result<Value> {
        let hub = &self.hubs[hub];
        let (base, token) = (format!("http://{}", hub.http), hub.vault.join("http-token"));
        self.line.hub.inside(|| ask(&Client::open(&base, &token, SILENCE)?))?
    }

    /// Waits until the site is at home and every camera is protected and recorded.
    pub(super) fn await_home(&self) -> anyhow::Result<()> {
        let home = || {
            let Ok(why) = self.why() else { return Ok(false) };
            // How it reads is told by whoever leads.
            let well = (0..self.hubs.len())
                .any(|hub| self.why_of(hub).is_ok_and(|why| why["verdict"]["telling"]["line"] == "Well"));
            let at_home = why["known"]["life"] == "Home" && well;
            Ok(at_home && self.is_protected()? && self.is_recording()?)
        };
        wait_until("the site is at home, recorded and protected", PATIENCE, home).map(drop)
    }

    /// The host with the place is whoever it is: every node is asked.
    fn is_protected(&self) -> anyhow::Result<bool> {
        for hub in 0..self.hubs.len() {
            let Ok(why) = self.why_of(hub) else { return Ok(false) };
            let protection = why["protection"].as_object().cloned().unwrap_or_default();
            if protection.len() == CAMERAS.len() && protection.values().all(|how| *how == *self.ready) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until the site's own recorder has all cameras, and the hub all it has.
    pub(super) fn await_recording(&self) -> anyhow::Result<()> {
        wait_until("the site records", PATIENCE, || self.is_recording()).map(drop)
    }

    fn is_recording(&self) -> anyhow::Result<bool> {
        let token = self.archive.join("http-token");
        let status = self
            .line
            .site
            .inside(|| Client::open(&format!("http://{SITE_HTTP}"), &token, SILENCE)?.get("/status"))??;
        let streams = status["streams"].as_object().cloned().unwrap_or_default();
        let connected = status["uplink"]["connected"] == true && status["uplink"]["unacked"] == 0;
        Ok(connected
            && streams.len() == CAMERAS.len()
            && streams.values().all(|stream| stream["state"] == "recording"))
    }

    /// Stops everything; completes the samples with what the archives hold, and compares every frame.
    pub(super) fn account(&mut self, samples: &mut [Sample]) -> anyhow::Result<Comparison> {
        if let Some(agent) = self.agent.take() {
            agent.stop()?;
        }
        for hub in &mut self.hubs {
            if let Some(process) = hub.process.take() {
                process.stop()?;
            }
        }
        drop(self.cameras.take());
        let mut archives = vec![Archive::open(&self.archive)?];
        for hub in &self.hubs {
            archives.push(Archive::open(&hub.vault)?);
        }
        let archives: Vec<&Archive> = archives.iter().collect();
        let mut sum = Comparison::default();
        for id in CAMERAS {
            let stream = StreamId::new(id, "main")?;
            let log = oracle::read_log(&self.dir.path().join("cameras").join(format!("{id}.log")))?;
            let all = oracle::read_merged(&archives, &self.site, &stream)?;
            samples.iter_mut().for_each(|sample| sample.add_gap(&all.gaps));
            let found = oracle::compare(&log, &all, &all)?;
            sum.sent += found.sent;
            sum.recorded += found.recorded;
            sum.lost += found.lost;
            sum.explained += found.explained;
            sum.foreign += found.foreign;
        }
        Ok(sum)
    }

    /// How many seconds of the first camera the standby has recorded since `from`.
    pub(super) fn recorded_s(&self, from: UnixMicros) -> anyhow::Result<f64> {
        let why = self.why()?;
        let mut life = why["known"]["life"].as_object().into_iter().flat_map(|life| life.values());
        let host = life.find_map(|stage| stage["host"].as_str()).context("a standby has authority")?;
        let hub = host.rsplit('-').next().and_then(|number| number.parse::<usize>().ok());
        let hub = hub.context("a host is called hub-N here")? - 1;
        let (to, camera) = (wire::clock::wall(), CAMERAS[0]);
        let path = format!("/sites/{}/cameras/{camera}/coverage?from={}&to={}", self.site, from.0, to.0);
        Ok(self.hub_get(hub, &path)?["recorded_s"].as_f64().unwrap_or(0.0))
    }
}
