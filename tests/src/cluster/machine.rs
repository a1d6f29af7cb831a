//! One machine of a cluster: a network namespace with a daemon, plugged into switches.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use ops::client::Client;
use ops::rig::{Process, programs};
use serde_json::Value;
use wan::netns::{self, Made};
use wire::UnixMicros;

use crate::disk::Disk;

/// The third byte of addresses on the switch.
pub(super) const LAN: u8 = 200;
pub(super) const HTTP_PORT: u16 = 8080;
pub(super) const START: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(10);

/// A machine with one daemon.
pub struct Machine {
    /// What its daemon is called: the node's or the site's name.
    pub name: String,
    pub(super) address: Ipv4Addr,
    pub(super) netns: Made,
    pub(super) daemon: &'static str,
    pub(super) config: PathBuf,
    /// The vault, or the archive.
    pub(super) store: PathBuf,
    /// Where a node's control log is, if that is a disk of its own. Dropped before the daemon: one that waits for a
    /// disk that hangs does not end.
    pub(super) disk: Option<Disk>,
    pub(super) process: Option<Process>,
}

/// A way to plug machines together.
pub(super) struct Switch {
    pub(super) netns: Made,
    /// What machines call the cable to it.
    pub(super) cable: &'static str,
    /// The third byte of addresses there.
    net: u8,
}

impl Switch {
    pub(super) fn new(cable: &'static str, net: u8) -> anyhow::Result<Self> {
        let netns = Made::new(&format!("hfw-{}-switch-{cable}", std::process::id()))?;
        ip(&["-n", &name(&netns), "link", "add", "switch", "type", "bridge"])?;
        ip(&["-n", &name(&netns), "link", "set", "switch", "up"])?;
        Ok(Self { netns, cable, net })
    }

    /// Lays a cable from a machine to this.
    fn plug(&self, machine: &str, called: &str, number: u8) -> anyhow::Result<()> {
        let (own, address) = (name(&self.netns), format!("198.19.{}.{number}/24", self.net));
        ip(&[
            "-n", machine, "link", "add", self.cable, "type", "veth", "peer", "name", called, "netns", &own,
        ])?;
        ip(&["-n", &own, "link", "set", called, "master", "switch", "up"])?;
        ip(&["-n", machine, "address", "add", &address, "dev", self.cable])?;
        ip(&["-n", machine, "link", "set", self.cable, "up"])
    }
}

impl Machine {
    pub(super) fn plug(
        switches: &[Switch],
        number: u8,
        called: &str,
        (daemon, config, store): (&'static str, PathBuf, PathBuf),
    ) -> anyhow::Result<Self> {
        let netns = Made::new(&format!("hfw-{}-{called}", std::process::id()))?;
        switches.iter().try_for_each(|switch| switch.plug(&name(&netns), called, number))?;
        let address = Ipv4Addr::new(198, 19, LAN, number);
        let machine = Self {
            name: called.to_owned(),
            address,
            netns,
            daemon,
            config,
            store,
            disk: None,
            process: None,
        };
        machine.nft(
            "table inet cuts {\n\
             set deaf_to { type ipv4_addr; }\n\
             chain in { type filter hook input priority 0; iifname lan ip saddr @deaf_to drop; }\n}\n",
        )?;
        Ok(machine)
    }

    pub(super) fn start(&mut self, dir: &std::path::Path) -> anyhow::Result<()> {
        let command = programs::daemon(self.daemon, &self.config)?;
        let log = self.log(dir);
        let mut process = Process::start(self.daemon, &command, Some(&name(&self.netns)), &log)?;
        process.await_line(if self.daemon == "dc-hub" { "listening" } else { "serving HTTP" }, START)?;
        self.process = Some(process);
        Ok(())
    }

    /// Changes its configuration.
    pub(super) fn change(&self, changed: impl FnOnce(&str) -> String) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.config).context("read the configuration")?;
        let changed = changed(&text);
        ensure!(changed != text, "{} is configured otherwise", self.name);
        std::fs::write(&self.config, changed).context("write the configuration")
    }

    pub(super) fn log(&self, dir: &std::path::Path) -> PathBuf {
        dir.join(format!("{}.log", self.name))
    }

    /// Nothing that `other` sends arrives any more, but over a second path.
    pub fn deafen(&self, other: &Self) -> anyhow::Result<()> {
        self.nft(&format!("add element inet cuts deaf_to {{ {} }}\n", other.address))
    }

    /// Nothing crosses between the two any more, in either direction.
    pub fn cut(&self, other: &Self) -> anyhow::Result<()> {
        self.deafen(other)?;
        other.deafen(self)
    }

    /// Hears everybody again. The other direction is the others' to mend.
    pub fn heal(&self) -> anyhow::Result<()> {
        self.nft("flush set inet cuts deaf_to\n")
    }

    /// The disk of its control log.
    pub fn disk(&self) -> anyhow::Result<&Disk> {
        self.disk.as_ref().context("it has a disk of its own")
    }

    /// SIGKILL; returns when.
    pub fn kill(&mut self) -> anyhow::Result<UnixMicros> {
        let process = self.process.take().context("the daemon runs")?;
        let at = wire::clock::wall();
        process.kill()?;
        Ok(at)
    }

    /// SIGSTOP: it stands still, and knows nothing of that.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.process.as_ref().context("the daemon runs")?.signal("STOP")
    }

    /// SIGCONT.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.process.as_ref().context("the daemon runs")?.signal("CONT")
    }

    /// Asks its daemon, below `/api/v1`, as somebody who sits there.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let token = self.store.join("http-token");
        let base = format!("http://127.0.0.1:{HTTP_PORT}");
        self.netns.netns().inside(|| Client::open(&base, &token, SILENCE)?.get(path))?
    }

    /// Has its daemon do something, as somebody who sits there.
    pub fn post(&self, path: &str, wish: &Value) -> anyhow::Result<Value> {
        let token = self.store.join("http-token");
        let base = format!("http://127.0.0.1:{HTTP_PORT}");
        self.netns.netns().inside(|| Client::open(&base, &token, SILENCE)?.post(path, wish))?
    }

    /// Saves what its daemon answers, below `/api/v1`.
    pub fn download(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let token = self.store.join("http-token");
        let base = format!("http://127.0.0.1:{HTTP_PORT}");
        self.netns.netns().inside(|| {
            let mut file = Vec::new();
            std::io::copy(&mut Client::open(&base, &token, SILENCE)?.download(path)?.1, &mut file)?;
            Ok(file)
        })?
    }

    /// What its daemon tells Prometheus.
    pub fn metrics(&self) -> anyhow::Result<String> {
        let token = std::fs::read_to_string(self.store.join("http-token")).context("read the token")?;
        self.netns.netns().inside(|| {
            let request = ureq::get(format!("http://127.0.0.1:{HTTP_PORT}/metrics"));
            let answer = request.header("Authorization", format!("Bearer {}", token.trim())).call();
            answer.context("ask for metrics")?.body_mut().read_to_string().context("read metrics")
        })?
    }

    /// Its configuration.
    pub fn config(&self) -> &std::path::Path {
        &self.config
    }

    fn nft(&self, rules: &str) -> anyhow::Result<()> {
        use std::io::Write;
        let mut nft = Command::new("ip")
            .args(["netns", "exec", &name(&self.netns), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .context("start nft: run ops/setup.sh")?;
        nft.stdin.take().context("nft's input")?.write_all(rules.as_bytes()).context("tell nft")?;
        ensure!(nft.wait()?.success(), "nft refused the rules for {}", self.name);
        Ok(())
    }
}

pub(super) fn name(netns: &Made) -> String {
    match netns.netns() {
        netns::Netns::Named(name) => name,
        netns::Netns::Own => "-".to_owned(),
    }
}

pub(super) fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output().context("start ip: run ops/setup.sh")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "ip {}: {said}", arguments.join(" "));
    Ok(())
}
