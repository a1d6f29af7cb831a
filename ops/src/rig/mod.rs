//! A whole installation on one machine, made of real parts: a hub in this network namespace, each site in
//! a namespace of its own behind a virtual cable, real RTSP cameras beside it. The demo runs on it, and so
//! do the end-to-end tests.
//!
//! Everything it starts ends with it, also when it is killed: processes are tied to their parent, and
//! namespaces of dead runs are swept away by the next.

mod net;
mod process;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use site_agent::config::Secret;
use wire::discover::HubAddress;
use wire::{Replicate, SiteId};

use crate::client::Client;
use crate::init::{self, HubPlan, Plan, SitePlan};

pub use net::Cable;
pub use process::{Process, programs};

/// A daemon on this machine that says nothing for so long is not well.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a daemon may take to say that it is there.
const START: Duration = Duration::from_secs(20);
/// What a hub logs when sites can connect, and an agent when it records and answers.
const HUB_IS_THERE: &str = "listening";
const AGENT_IS_THERE: &str = "serving HTTP";
/// An installation on one machine may share a small disk: it makes room late, and keeps little of it.
const FREE_MB: (u64, u64) = (16, 24);
const BALLAST_MB: u64 = 4;
const CAMERA_PORT: u16 = 8554;
/// Of cameras whose `spec` has `onvif`: the one behind that of RTSP.
const ONVIF_PORT: u16 = CAMERA_PORT + 1;
const SITE_HTTP_PORT: u16 = 8081;

/// A camera to be.
#[derive(Clone, Debug)]
pub struct CameraPlan {
    /// Its id.
    pub id: String,
    /// What the camera server is told; see `ops/camera/README.md`.
    pub spec: String,
    /// Is its sound recorded?
    pub audio: bool,
    /// What the site logs in with: user and password.
    pub credentials: Option<(String, String)>,
    /// Whether its bytes go to the hub, and when.
    pub replicate: Replicate,
}

impl CameraPlan {
    /// A camera without sound that asks for no password.
    pub fn new(id: impl Into<String>, spec: impl Into<String>) -> Self {
        let replicate = Replicate::default();
        Self { id: id.into(), spec: spec.into(), audio: false, credentials: None, replicate }
    }
}

/// A site to be.
#[derive(Clone, Debug)]
pub struct SiteSpec {
    /// Its id.
    pub id: SiteId,
    /// Its cameras.
    pub cameras: Vec<CameraPlan>,
}

/// One site, running or not.
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Its cameras.
    pub cameras: Vec<CameraPlan>,
    /// Its WAN link, namespace and all.
    pub cable: Cable,
    /// Its archive.
    pub archive: PathBuf,
    /// Where its cameras log what they send.
    pub camera_logs: PathBuf,
    /// Its configuration; certificate and key lie beside it.
    pub config: PathBuf,
    log: PathBuf,
    camera_server: Option<Process>,
    agent: Option<Process>,
}

/// The installation.
pub struct Rig {
    dir: PathBuf,
    /// The sites, in the order they were asked for.
    pub sites: Vec<Site>,
    /// The vault.
    pub vault: PathBuf,
    /// Where the hub serves HTTP.
    pub hub_http: String,
    hub_config: PathBuf,
    hub: Option<Process>,
    /// What daemons that are started from now on have in their environment, as `NAME=value`.
    pub environment: Vec<String>,
}

/// Settings that differ from those of an installation's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long segments are.
    pub segment_s: u64,
    /// How long fragments are.
    pub fragment_ms: u64,
    /// How long a standby keeps a site at least, and how long the site has to be well before that.
    pub failback_s: (u64, u64),
    /// How much of a standby is ready: `hot`, `warm`, `cold` or `none`.
    pub tier: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self { segment_s: 10, fragment_ms: 1000, failback_s: (300, 600), tier: "warm" }
    }
}

impl Rig {
    /// Makes everything in `dir` (which must not have an installation yet) and starts nothing.
    pub fn new(dir: &Path, sites: &[SiteSpec], settings: &Settings) -> anyhow::Result<Self> {
        net::sweep();
        let block = net::Block::take()?;
        let hub_port = free_port()?;
        let hub_http = format!("127.0.0.1:{}", free_tcp_port()?);
        let vault = dir.join("vault");
        let mut plan = Plan::new(dir.join("installation"));
        let mut hub = HubPlan::new("hub-1");
        hub.listen = Some(format!("0.0.0.0:{hub_port}"));
        hub.http_listen = Some(hub_http.clone());
        hub.vault_dir = Some(path_text(&vault)?);
        hub.control_dir = Some(path_text(&dir.join("control"))?);
        hub.ballast_mb = Some(BALLAST_MB);
        (hub.active_min_s, hub.stable_min_s) = (Some(settings.failback_s.0), Some(settings.failback_s.1));
        plan.hub = Some(hub);
        let mut made = Vec::new();
        for (index, spec) in sites.iter().enumerate() {
            let cable = Cable::lay(&block, index)?;
            let archive = dir.join("sites").join(spec.id.as_str());
            let mut site = SitePlan::new(spec.id.clone());
            site.hub_address = Some(
                format!("{}:{hub_port}", cable.hub_address).parse::<HubAddress>().context("hub address")?,
            );
            site.archive_dir = Some(path_text(&archive)?);
            site.segment_s = Some(settings.segment_s);
            site.fragment_ms = Some(settings.fragment_ms);
            (site.free_mb, site.ballast_mb) = (Some(FREE_MB), Some(BALLAST_MB));
            site.tier = Some(settings.tier.to_owned());
            site.http_listen = Some(format!("{}:{SITE_HTTP_PORT}", cable.site_address));
            site.cameras = spec.cameras.iter().map(|camera| camera_plan(camera, &cable)).collect();
            plan.sites.push(site);
            made.push((spec.clone(), cable, archive));
        }
        let installed = init::init(&plan)?;
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs).context("make log folder")?;
        let site =
            |((spec, cable, archive), (_, config)): ((SiteSpec, Cable, PathBuf), (SiteId, PathBuf))| Site {
                log: logs.join(format!("{}.log", spec.id)),
                camera_logs: dir.join("cameras").join(spec.id.as_str()),
                id: spec.id,
                cameras: spec.cameras,
                cable,
                archive,
                config,
                camera_server: None,
                agent: None,
            };
        Ok(Self {
            sites: made.into_iter().zip(installed.sites).map(site).collect(),
            vault,
            hub_http,
            hub_config: installed.hub.context("the plan has a hub")?,
            hub: None,
            environment: Vec::new(),
            dir: dir.to_owned(),
        })
    }

    /// Starts the hub and waits until it listens.
    pub fn start_hub(&mut self) -> anyhow::Result<()> {
        ensure!(self.hub.is_none(), "the hub is running");
        let log = self.dir.join("logs/hub.log");
        let command = self.with_environment(programs::daemon("dc-hub", &self.hub_config)?);
        let mut hub = Process::start("dc-hub", &command, None, &log)?;
        hub.await_line(HUB_IS_THERE, START)?;
        self.hub = Some(hub);
        Ok(())
    }

    /// Starts a site's cameras and waits until they answer.
    pub fn start_cameras(&mut self, site: usize) -> anyhow::Result<()> {
        let site = &mut self.sites[site];
        ensure!(site.camera_server.is_none(), "the cameras of {} are running", site.id);
        std::fs::create_dir_all(&site.camera_logs).context("make camera log folder")?;
        let address = site.cable.site_address.to_string();
        let command = programs::cameras(&address, CAMERA_PORT, &site.camera_logs, &site.cameras)?;
        let log = self.dir.join("logs").join(format!("{}-cameras.log", site.id));
        let mut server = Process::start("camera server", &command, Some(&site.cable.namespace), &log)?;
        server.await_line("ready", START)?;
        site.camera_server = Some(server);
        Ok(())
    }

    /// Starts a site's agent and waits until it records and answers.
    pub fn start_agent(&mut self, site: usize) -> anyhow::Result<()> {
        let command = self.with_environment(programs::daemon("site-agent", &self.sites[site].config)?);
        let site = &mut self.sites[site];
        ensure!(site.agent.is_none(), "the agent of {} is running", site.id);
        let mut agent = Process::start("site-agent", &command, Some(&site.cable.namespace), &site.log)?;
        agent.await_line(AGENT_IS_THERE, START)?;
        site.agent = Some(agent);
        Ok(())
    }

    /// Starts everything.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.start_hub()?;
        for site in 0..self.sites.len() {
            self.start_cameras(site)?;
            self.start_agent(site)?;
        }
        Ok(())
    }

    /// Waits until the hub ends by itself; false if it doesn't in time.
    pub fn await_hub_end(&mut self, limit: Duration) -> bool {
        let ended = self.hub.as_mut().is_none_or(|hub| hub.await_end(limit));
        self.hub.take_if(|_| ended);
        ended
    }

    /// Waits until a site's agent ends by itself; false if it doesn't in time.
    pub fn await_agent_end(&mut self, site: usize, limit: Duration) -> bool {
        let agent = &mut self.sites[site].agent;
        let ended = agent.as_mut().is_none_or(|agent| agent.await_end(limit));
        agent.take_if(|_| ended);
        ended
    }

    fn with_environment(&self, command: Vec<String>) -> Vec<String> {
        let environment = self.environment.iter().cloned();
        match self.environment.is_empty() {
            true => command,
            false => std::iter::once("env".to_owned()).chain(environment).chain(command).collect(),
        }
    }

    /// SIGKILLs the hub.
    pub fn kill_hub(&mut self) -> anyhow::Result<()> {
        self.hub.take().context("the hub is not running")?.kill()
    }

    /// SIGKILLs a site's agent.
    pub fn kill_agent(&mut self, site: usize) -> anyhow::Result<()> {
        self.sites[site].agent.take().context("the agent is not running")?.kill()
    }

    /// SIGKILLs a site's cameras.
    pub fn kill_cameras(&mut self, site: usize) -> anyhow::Result<()> {
        self.sites[site].camera_server.take().context("the cameras are not running")?.kill()
    }

    /// Has a site's agent read its configuration again.
    pub fn reload_agent(&self, site: usize) -> anyhow::Result<()> {
        self.sites[site].agent.as_ref().context("the agent is not running")?.signal("USR1")
    }

    /// Stops a site's agent in an orderly way and waits for its end.
    pub fn stop_agent(&mut self, site: usize) -> anyhow::Result<()> {
        self.sites[site].agent.take().context("the agent is not running")?.stop()
    }

    /// Stops the hub in an orderly way and waits for its end.
    pub fn stop_hub(&mut self) -> anyhow::Result<()> {
        self.hub.take().context("the hub is not running")?.stop()
    }

    /// Stops everything that runs: agents first, so that what they close still arrives.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for site in &mut self.sites {
            if let Some(agent) = site.agent.take() {
                agent.stop()?;
            }
        }
        if let Some(hub) = self.hub.take() {
            hub.stop()?;
        }
        for site in &mut self.sites {
            if let Some(cameras) = site.camera_server.take() {
                cameras.stop()?;
            }
        }
        Ok(())
    }

    /// Speaks to the hub.
    pub fn hub(&self) -> anyhow::Result<Client> {
        Client::open(&format!("http://{}", self.hub_http), &self.vault.join("http-token"), SILENCE)
    }

    /// Speaks to a site.
    pub fn site(&self, site: usize) -> anyhow::Result<Client> {
        Client::open(&self.site_http(site), &self.sites[site].archive.join("http-token"), SILENCE)
    }

    /// Where a site serves HTTP.
    pub fn site_http(&self, site: usize) -> String {
        format!("http://{}:{SITE_HTTP_PORT}", self.sites[site].cable.site_address)
    }

    /// Where everything lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The hub's configuration.
    pub fn hub_config(&self) -> &Path {
        &self.hub_config
    }

    /// The hub's log file.
    pub fn hub_log(&self) -> PathBuf {
        self.dir.join("logs/hub.log")
    }
}

/// Calls `holds` until it says yes, or fails with `what` after `limit`.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut holds: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let began = wire::clock::now();
    loop {
        if holds()? {
            return Ok(began.elapsed());
        }
        if began.elapsed() > limit {
            bail!("waited {} s until {what}, in vain", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Where the hub reaches it too, while the WAN stands.
fn camera_plan(camera: &CameraPlan, cable: &Cable) -> init::Camera {
    let url = format!("rtsp://{}:{CAMERA_PORT}/{}", cable.site_address, camera.id);
    let mut planned = init::Camera::new(&camera.id, url);
    planned.audio = camera.audio;
    if camera.spec.split(',').any(|setting| setting.starts_with("onvif=")) {
        let service =
            format!("http://{}:{ONVIF_PORT}/{}/onvif/device_service", cable.site_address, camera.id);
        planned.onvif = Some(service);
    }
    let credentials = camera.credentials.clone().map(|(user, password)| (user, Secret::new(password)));
    for stream in &mut planned.streams {
        stream.credentials.clone_from(&credentials);
        stream.replicate = camera.replicate;
    }
    planned
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("the folder's name is not UTF-8")?.to_owned())
}

/// A port that is free for both UDP and TCP.
fn free_port() -> anyhow::Result<u16> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").context("find a free UDP port")?;
    let port = socket.local_addr()?.port();
    match std::net::TcpListener::bind(("0.0.0.0", port)) {
        Ok(_) => Ok(port),
        // Rare: another then.
        Err(_) => free_port(),
    }
}

fn free_tcp_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0").context("find a free TCP port")?.local_addr()?.port())
}
