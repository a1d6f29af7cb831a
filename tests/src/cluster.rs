//! Hub nodes and sites, each on a machine (a network namespace) of its own, all on one switch. Any machine can be
//! cut from any other, in either direction; any daemon can be killed, or frozen.

mod machine;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use ops::init::{self, Camera, HubPlan, Member, Plan, SitePlan};
use ops::oracle::{self, Comparison};
use ops::rig::{CameraPlan, Process, programs, wait_until};
use serde_json::{Value, json};
use site_agent::archive::Archive;
use wan::netns;
use wire::discover::HubAddress;
use wire::{SiteId, StreamId, UnixMicros};

use crate::disk::Disk;
use crate::scene::PATIENCE;

pub use machine::Machine;
use machine::{HTTP_PORT, LAN, START, Switch, ip, name};

const HUB_PORT: u16 = 7443;
const CAMERA_PORT: u16 = 8554;
/// So long a standby keeps a site at least, and so long the site has to be well before that.
const BACK_S: u64 = 2;

/// What a cluster has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// Hub nodes, which all vote.
    pub hubs: u8,
    /// Sites with a camera each.
    pub sites: u8,
    /// Has each node's control log a disk of its own, which can hang?
    pub own_disks: bool,
    /// Do sites have a second path to the hubs, called `lte`, that no cut touches?
    pub second_path: bool,
    /// Has the first node, which keeps the sites' vaults, no room to stand by for anybody?
    pub apart: bool,
    /// Does the second site's machine record the first one's camera, `always` or when it is `lost`? Then no node does.
    pub neighbour: Option<&'static str>,
    /// Nodes have room all the same.
    pub roomy: bool,
}

/// All of it.
pub struct Cluster {
    /// The nodes, which all vote.
    pub hubs: Vec<Machine>,
    /// The sites, with a camera each.
    pub sites: Vec<Machine>,
    dir: tempfile::TempDir,
    cameras: Vec<Process>,
    switches: Vec<Switch>,
    /// Does nobody stand by at the hub?
    unprotected: bool,
}

/// The name of every site's camera.
pub const CAMERA: &str = "till-1";

/// What became of a site's camera.
#[derive(Clone, Debug)]
pub struct Account {
    /// The camera's log, and all archives together.
    pub found: Comparison,
    /// Times that nobody has, between the first and the last that anybody has.
    pub holes: Vec<(UnixMicros, UnixMicros)>,
}

impl Cluster {
    /// Makes it, and starts nothing.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        netns::sweep()?;
        let dir = tempfile::Builder::new().prefix("holdfast-cluster-").tempdir().context("make a folder")?;
        let mut switches = vec![Switch::new("lan", LAN)?];
        if parts.second_path {
            switches.push(Switch::new("lte", LAN + 1)?);
        }
        let unprotected = parts.neighbour.is_some() && !parts.roomy;
        let (hubs, sites) = (Vec::new(), Vec::new());
        let mut cluster = Self { hubs, sites, dir, cameras: Vec::new(), switches, unprotected };
        for number in 1..=parts.hubs {
            let mut hub = cluster.make_hub(number, parts.hubs)?;
            if parts.own_disks {
                hub.disk = Some(Disk::mount(&cluster.dir.path().join(&hub.name).join("control"))?);
            }
            if parts.apart && number == 1 {
                hub.change(|text| text.replace("streams_max = 64", "streams_max = 0"))?;
            }
            cluster.hubs.push(hub);
        }
        for number in 1..=parts.sites {
            let site = cluster.make_site(number)?;
            cluster.sites.push(site);
        }
        if let Some(when) = parts.neighbour {
            cluster.make_neighbours(when, parts.roomy)?;
        }
        Ok(cluster)
    }

    fn installation(&self) -> PathBuf {
        self.dir.path().join("installation")
    }

    /// A node of so many.
    fn make_hub(&self, number: u8, of: u8) -> anyhow::Result<Machine> {
        let members: Vec<Member> = (1..=of).map(member).collect();
        let own = &members[usize::from(number) - 1];
        let home = self.dir.path().join(&own.name);
        let store = home.join("vault");
        let mut plan = Plan::new(self.installation());
        plan.hub = Some(HubPlan {
            folder: Some(own.name.clone()),
            members: members.clone(),
            http_listen: Some(format!("127.0.0.1:{HTTP_PORT}")),
            vault_dir: Some(store.display().to_string()),
            control_dir: Some(home.join("control").display().to_string()),
            active_min_s: Some(BACK_S),
            stable_min_s: Some(BACK_S),
            ..HubPlan::new(&own.name)
        });
        let config = init::init(&plan)?.hub.context("the plan has a hub")?;
        Machine::plug(&self.switches, number, &own.name, ("dc-hub", config, store))
    }

    fn make_site(&self, number: u8) -> anyhow::Result<Machine> {
        let site = SiteId::new(format!("shop-{number}"))?;
        let own = 100 + number;
        let address = Ipv4Addr::new(198, 19, LAN, own);
        let store = self.dir.path().join(site.as_str());
        let mut planned = SitePlan::new(site.clone());
        // The first node; of the others the site is told.
        let hub: HubAddress = format!("{}:{HUB_PORT}", hub_address(1)).parse().context("hub address")?;
        planned.hub_address = Some(hub);
        planned.http_listen = Some(format!("127.0.0.1:{HTTP_PORT}"));
        planned.archive_dir = Some(store.display().to_string());
        (planned.segment_s, planned.fragment_ms) = (Some(2), Some(500));
        planned.cameras = vec![Camera::new(CAMERA, format!("rtsp://{address}:{CAMERA_PORT}/{CAMERA}"))];
        let mut plan = Plan::new(self.installation());
        plan.sites.push(planned);
        let config = init::init(&plan)?.sites.into_iter().next().context("the plan has a site")?.1;
        let machine = Machine::plug(&self.switches, own, site.as_str(), ("site-agent", config, store))?;
        if let [lan, beside] = self.switches.as_slice() {
            // The hubs are where they are, whatever the way to them.
            let hubs = format!("198.19.{LAN}.0/24");
            ip(&["-n", &name(&machine.netns), "route", "add", &hubs, "dev", beside.cable, "metric", "200"])?;
            let path = |name: &str, switch: &Switch| {
                format!("[[uplink.path]]\nname = \"{name}\"\ninterface = \"{}\"\n", switch.cable)
            };
            let paths = path("wan", lan) + &path("lte", beside);
            let text = std::fs::read_to_string(&machine.config).context("read the configuration")?;
            std::fs::write(&machine.config, text + &paths).context("write the configuration")?;
        }
        Ok(machine)
    }

    /// The second site's machine becomes a host of the first one; no node has room for anybody, unless they are to.
    fn make_neighbours(&self, when: &str, roomy: bool) -> anyhow::Result<()> {
        for hub in self.hubs.iter().filter(|_| !roomy) {
            hub.change(|text| text.replace("streams_max = 64", "streams_max = 0"))?;
        }
        let (lost, host) = (&self.sites[0], &self.sites[1]);
        let hosts = format!("\n[standby]\nhosts = [\"{}\"]\n", host.name);
        lost.change(|text| text.replace("\n[standby]\n", &hosts))?;
        let url = format!("rtsp://{}:{CAMERA_PORT}/{CAMERA}", lost.address);
        let section = format!(
            "\n[[host]]\nsite = \"{}\"\nwhen = \"{when}\"\n\n[[host.camera]]\nid = \"{CAMERA}\"\n\n\
             [[host.camera.stream]]\nname = \"main\"\nurl = \"{url}\"\n",
            lost.name
        );
        host.change(|text| text.to_owned() + &section)
    }

    /// Starts everything, and waits until every site is at home and protected.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let dir = self.dir.path().to_owned();
        self.hubs.iter_mut().try_for_each(|hub| hub.start(&dir))?;
        for site in &mut self.sites {
            let logs = dir.join("cameras").join(&site.name);
            std::fs::create_dir_all(&logs).context("make the camera's folder")?;
            let plan = CameraPlan::new(CAMERA, "codec=h264,size=320x180,kbit=300");
            let command = programs::cameras(&site.address.to_string(), CAMERA_PORT, &logs, &[plan])?;
            let log = dir.join(format!("{}-cameras.log", site.name));
            let mut cameras = Process::start("camera server", &command, Some(&name(&site.netns)), &log)?;
            cameras.await_line("ready", START)?;
            self.cameras.push(cameras);
            site.start(&dir)?;
        }
        (0..self.sites.len()).try_for_each(|site| self.await_home(site))
    }

    /// Starts a daemon again that was killed.
    pub fn start_site(&mut self, site: usize) -> anyhow::Result<()> {
        self.sites[site].start(self.dir.path())
    }

    /// Starts a node again that was killed.
    pub fn start_hub(&mut self, hub: usize) -> anyhow::Result<()> {
        self.hubs[hub].start(self.dir.path())
    }

    /// The node that keeps a site's vault.
    pub fn keeper(&self, site: usize) -> anyhow::Result<usize> {
        let vault = self.why(0, site)?["known"]["vault"].as_u64().context("a node keeps the vault")?;
        Ok(usize::try_from(vault)? - 1)
    }

    /// The node that has the place to stand by for a site.
    pub fn placed(&self, site: usize) -> anyhow::Result<usize> {
        self.await_known((0, site), "a node has the place", |known| known["placement"].is_string())?;
        let why = self.why(0, site)?;
        let host = why["known"]["placement"].as_str().context("a node has the place")?;
        self.hubs.iter().position(|hub| hub.name == host).context("a host is a node here")
    }

    /// Installs one more node, starts it, and has it called by the leader; its place.
    pub fn add_hub(&mut self) -> anyhow::Result<usize> {
        let number = u8::try_from(self.hubs.len())? + 1;
        let mut hub = self.make_hub(number, number)?;
        hub.start(self.dir.path())?;
        let Member { name, address } = member(number);
        let wish = json!({"wish": "add", "node": number, "name": name, "address": address, "by": "tester"});
        self.hubs[self.leader()?].post("/nodes", &wish)?;
        self.hubs.push(hub);
        Ok(self.hubs.len() - 1)
    }

    /// Takes a node out, as whoever leads is asked to, and stops it.
    pub fn remove_hub(&mut self, hub: usize) -> anyhow::Result<()> {
        let wish = json!({"wish": "remove", "name": self.hubs[hub].name, "by": "tester"});
        self.hubs[self.leader()?].post("/nodes", &wish)?;
        let mut removed = self.hubs.remove(hub);
        removed.process.take().context("the daemon runs")?.stop()
    }

    /// Which node leads, as one says that does.
    pub fn leader(&self) -> anyhow::Result<usize> {
        let leads = |hub: &Machine| {
            hub.get("/control").is_ok_and(|control| control["log"]["leadership"]["mine"].is_number())
        };
        self.hubs.iter().position(leads).context("a node leads")
    }

    /// What a node says of a site.
    pub fn why(&self, hub: usize, site: usize) -> anyhow::Result<Value> {
        self.hubs[hub].get(&format!("/sites/{}/why", self.sites[site].name))
    }

    /// Waits until a node knows a site's virtual server so.
    pub fn await_known(
        &self,
        (hub, site): (usize, usize),
        what: &str,
        right: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Duration> {
        wait_until(what, PATIENCE, || Ok(self.why(hub, site).is_ok_and(|why| right(&why["known"]))))
    }

    /// Waits until a standby records, as a node knows; which.
    pub fn await_standby(&self, (hub, site): (usize, usize)) -> anyhow::Result<usize> {
        self.await_known((hub, site), "a standby has authority", |known| recorder(known).is_some())?;
        let why = self.why(hub, site)?;
        let host = recorder(&why["known"]).context("a standby has authority")?;
        self.hubs.iter().position(|hub| hub.name == host).context("a host is a node here")
    }

    /// Waits until a site is at home, its own recorder records, and some node could take it over.
    pub fn await_home(&self, site: usize) -> anyhow::Result<()> {
        let home = || {
            let all: Option<Vec<Value>> = (0..self.hubs.len()).map(|hub| self.why(hub, site).ok()).collect();
            let Some(all) = all else { return Ok(false) };
            let at_home = all
                .iter()
                .all(|why| why["known"]["life"] == "Home" && why["verdict"]["telling"]["line"] == "Well");
            let protected = self.unprotected
                || all.iter().any(|why| {
                    let cameras = why["protection"].as_object().cloned().unwrap_or_default();
                    let placed = why["known"]["placement"].is_string();
                    placed && !cameras.is_empty() && cameras.values().all(|how| how == "Protected")
                });
            let status = self.sites[site].get("/status")?;
            Ok(at_home
                && protected
                && status["uplink"]["connected"] == true
                && status["uplink"]["unacked"] == 0)
        };
        wait_until("the site is at home and protected", PATIENCE, home).map(drop)
    }

    /// Waits until so many seconds since `from` of a site's camera are in one machine's store.
    pub fn await_recorded(
        &self,
        machine: &Machine,
        site: usize,
        from: UnixMicros,
        seconds: f64,
    ) -> anyhow::Result<()> {
        let enough = || Ok(self.recorded_s(machine, site, from)? >= seconds);
        let what = format!("{seconds} s of {} are at {}", self.sites[site].name, machine.name);
        wait_until(&what, PATIENCE + Duration::from_secs_f64(seconds), enough).map(drop)
    }

    /// So many seconds since `from` of a site's camera are in one machine's store.
    pub fn recorded_s(&self, machine: &Machine, site: usize, from: UnixMicros) -> anyhow::Result<f64> {
        let (site, to) = (&self.sites[site].name, wire::clock::wall());
        let path = format!("/sites/{site}/cameras/{CAMERA}/coverage?from={}&to={}", from.0, to.0);
        // A node that has nothing of a camera says that there is none.
        Ok(machine.get(&path).ok().and_then(|coverage| coverage["recorded_s"].as_f64()).unwrap_or(0.0))
    }

    /// How often authority over a site has moved, as a node has seen since it started.
    pub fn moves(&self, hub: usize, site: usize) -> anyhow::Result<usize> {
        let why = self.why(hub, site)?;
        let decided = why["decided"].as_array().cloned().unwrap_or_default();
        Ok(decided.iter().filter(|was| was["event"].get("Authority").is_some()).count())
    }

    /// Waits until all nodes know the same epoch and life of a site.
    pub fn await_agreement(&self, site: usize) -> anyhow::Result<Value> {
        let mut agreed = Value::Null;
        wait_until("all nodes know the same", PATIENCE, || {
            let known = |hub| self.why(hub, site).map(|why| why["known"].clone());
            let all: Vec<Value> = (0..self.hubs.len()).map(known).collect::<anyhow::Result<_>>()?;
            let same = |one: &Value| one["epoch"] == all[0]["epoch"] && one["life"] == all[0]["life"];
            agreed.clone_from(&all[0]);
            Ok(all.iter().all(same))
        })?;
        Ok(agreed)
    }

    /// The runs that have something of a site's camera since `from` in one machine's store, whoever recorded it.
    pub fn origins(
        &self,
        machine: &Machine,
        site: usize,
        from: UnixMicros,
    ) -> anyhow::Result<BTreeSet<String>> {
        let (site, to) = (&self.sites[site].name, wire::clock::wall());
        let path = format!("/sites/{site}/cameras/{CAMERA}/coverage?from={}&to={}", from.0, to.0);
        // A node that has nothing of a camera says that there is none.
        let spans = machine.get(&path).ok().and_then(|told| told["spans"].as_array().cloned());
        let origin = |span: &Value| Some(span["origin"].as_str()?.to_owned());
        Ok(spans.unwrap_or_default().iter().filter_map(origin).collect())
    }

    /// Stops everything, and compares what the cameras sent with all archives together.
    pub fn account(&mut self) -> anyhow::Result<BTreeMap<String, Account>> {
        self.stop()?;
        self.account_in(|_| true)
    }

    /// Stops everything.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for machine in self.sites.iter_mut().chain(&mut self.hubs) {
            if let Some(process) = machine.process.take() {
                process.stop()?;
            }
        }
        self.cameras.clear();
        Ok(())
    }

    /// One site's, in the archives of some machines together; everything is stopped.
    pub fn account_of(&self, site: &str, chosen: impl Fn(&Machine) -> bool) -> anyhow::Result<Account> {
        let sites: Vec<_> = self.sites.iter().filter(|machine| machine.name == site).collect();
        self.account_for(&sites, chosen)?.remove(site).context("there is such a site")
    }

    /// Compares what the cameras sent with the archives of some machines together; everything is stopped.
    pub fn account_in(&self, chosen: impl Fn(&Machine) -> bool) -> anyhow::Result<BTreeMap<String, Account>> {
        self.account_for(&self.sites.iter().collect::<Vec<_>>(), chosen)
    }

    fn account_for(
        &self,
        sites: &[&Machine],
        chosen: impl Fn(&Machine) -> bool,
    ) -> anyhow::Result<BTreeMap<String, Account>> {
        let machines = self.sites.iter().chain(&self.hubs).filter(|machine| chosen(machine));
        let archives = machines.map(|machine| Ok(Archive::open(&machine.store)?));
        let archives: Vec<Archive> = archives.collect::<anyhow::Result<_>>()?;
        let archives: Vec<&Archive> = archives.iter().collect();
        let stream = StreamId::new(CAMERA, "main")?;
        let mut accounts = BTreeMap::new();
        for site in sites {
            let log = self.dir.path().join("cameras").join(&site.name).join(format!("{CAMERA}.log"));
            let all = oracle::read_merged(&archives, &SiteId::new(&site.name)?, &stream)?;
            let found = oracle::compare(&oracle::read_log(&log)?, &all, &all)?;
            ensure!(found.lost + found.foreign == 0 && found.sent > 0, "{}: {found:?}", site.name);
            accounts.insert(site.name.clone(), Account { found, holes: all.gaps });
        }
        Ok(accounts)
    }

    /// Everything stays on disk; the ends of all logs, for whoever reads why a test failed.
    fn keep(&mut self) {
        self.dir.disable_cleanup(true);
        eprintln!("everything is kept in {}", self.dir.path().display());
        for machine in self.hubs.iter().chain(&self.sites) {
            let text = std::fs::read_to_string(machine.log(self.dir.path())).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- the end of what {} logged", machine.name);
            lines.iter().skip(lines.len().saturating_sub(25)).for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Makes a cluster and tells `story` in it; what goes wrong ends the test.
pub fn play(hubs: u8, sites: u8, story: impl FnOnce(&mut Cluster) -> anyhow::Result<()>) {
    play_with(Parts { hubs, sites, ..Parts::default() }, story);
}

/// Likewise, with all that it may have.
pub fn play_with(parts: Parts, story: impl FnOnce(&mut Cluster) -> anyhow::Result<()>) {
    let mut cluster = Cluster::new(parts).unwrap_or_else(|error| panic!("make a cluster: {error:#}"));
    if let Err(error) = cluster.start().and_then(|()| story(&mut cluster)) {
        cluster.keep();
        panic!("{error:#}");
    }
}

/// The host that records with authority, if it isn't the home.
pub fn recorder(known: &Value) -> Option<&str> {
    let stage = known["life"].as_object()?.values().next()?;
    (stage["mode"] != "Armed").then(|| stage["host"].as_str()).flatten()
}

fn member(number: u8) -> Member {
    Member { name: format!("hub-{number}"), address: format!("{}:{HUB_PORT}", hub_address(number)) }
}

fn hub_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 19, LAN, number)
}
