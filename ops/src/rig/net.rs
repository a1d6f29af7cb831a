//! Network namespaces and the virtual cables that join them to this one.
//!
//! Addresses are from 198.18.0.0/15, set aside for tests of network devices (RFC 2544), so they collide
//! with nobody's. Names begin with `hf-` and the process id, so that leftovers can be told and swept.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::SITE_HTTP_PORT;

/// A /24 for one rig, held for as long as its first cable exists.
pub(super) struct Block {
    third: u8,
}

impl Block {
    /// Finds one nobody uses.
    pub(super) fn take() -> anyhow::Result<Self> {
        let used = run("ip", &["-4", "-o", "address", "show"])?;
        let start = std::process::id() % 250;
        for offset in 0..250 {
            let third = u8::try_from((start + offset) % 250).unwrap_or(0);
            if !used.contains(&format!(" 198.18.{third}.")) {
                return Ok(Self { third });
            }
        }
        bail!("all test networks below 198.18.0.0/16 are in use: end the demos and tests that run")
    }
}

/// A site's WAN: a virtual cable from this namespace into the site's.
pub struct Cable {
    /// The site's namespace.
    pub namespace: String,
    /// This end: where the site finds the hub.
    pub hub_address: Ipv4Addr,
    /// The site's end.
    pub site_address: Ipv4Addr,
    near: String,
}

impl Cable {
    pub(super) fn lay(block: &Block, index: usize) -> anyhow::Result<Self> {
        let base = u8::try_from(index * 4).context("too many sites for one rig")?;
        let cable = Self {
            namespace: format!("hf-{}-{index}", std::process::id()),
            hub_address: Ipv4Addr::new(198, 18, block.third, base + 1),
            site_address: Ipv4Addr::new(198, 18, block.third, base + 2),
            near: format!("hf{}n{index}", std::process::id() % 1_000_000),
        };
        let (namespace, near) = (cable.namespace.as_str(), cable.near.as_str());
        let made = run("ip", &["netns", "add", namespace]);
        made.context(
            "make a network namespace: the demo and the end-to-end tests need root for their own networks",
        )?;
        run("ip", &["link", "add", near, "type", "veth", "peer", "name", "wan", "netns", namespace])?;
        run("ip", &["address", "add", &format!("{}/30", cable.hub_address), "dev", near])?;
        run("ip", &["link", "set", near, "up"])?;
        run("ip", &["-n", namespace, "address", "add", &format!("{}/30", cable.site_address), "dev", "wan"])?;
        run("ip", &["-n", namespace, "link", "set", "wan", "up"])?;
        run("ip", &["-n", namespace, "link", "set", "lo", "up"])?;
        cable.nft(
            "table inet measured {\n\
            counter sent { }\n\
            chain out { type filter hook postrouting priority 0; oifname wan meta l4proto udp counter name sent; }\n}\n",
        )?;
        Ok(cable)
    }

    /// Bytes the site has sent to the hub, packet headers and repetitions included; what a cut swallowed is
    /// not counted.
    pub fn sent_bytes(&self) -> anyhow::Result<u64> {
        let counter =
            ["netns", "exec", &self.namespace, "nft", "list", "counter", "inet", "measured", "sent"];
        let said = run("ip", &counter)?;
        let bytes = said.split_whitespace().skip_while(|word| *word != "bytes").nth(1);
        bytes.and_then(|bytes| bytes.parse().ok()).with_context(|| format!("nft said {said}"))
    }

    /// Nothing crosses any more but what the rig itself asks the site over HTTP.
    pub fn cut(&self) -> anyhow::Result<()> {
        let rules = format!(
            "table inet wan {{\n\
             chain out {{ type filter hook output priority 0; oifname wan meta l4proto udp drop; \
             oifname wan tcp sport != {SITE_HTTP_PORT} drop; }}\n\
             chain in {{ type filter hook input priority 0; iifname wan meta l4proto udp drop; \
             iifname wan tcp dport != {SITE_HTTP_PORT} drop; }}\n}}\n"
        );
        self.nft(&rules)
    }

    /// UDP crosses no more, as with a firewall that somebody has changed; TCP does.
    pub fn block_udp(&self) -> anyhow::Result<()> {
        let rules = "table inet wan {\n\
            chain out { type filter hook output priority 0; oifname wan meta l4proto udp drop; }\n\
            chain in { type filter hook input priority 0; iifname wan meta l4proto udp drop; }\n}\n";
        self.nft(rules)
    }

    /// Mends what was cut or blocked.
    pub fn heal(&self) -> anyhow::Result<()> {
        self.nft("delete table inet wan\n")
    }

    fn nft(&self, rules: &str) -> anyhow::Result<()> {
        use std::io::Write;
        let mut nft = Command::new("ip")
            .args(["netns", "exec", &self.namespace, "nft", "-f", "-"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .context("start nft: run ops/setup.sh")?;
        nft.stdin.take().context("nft's input")?.write_all(rules.as_bytes()).context("tell nft")?;
        ensure!(nft.wait()?.success(), "nft refused the rules for {}", self.namespace);
        Ok(())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // The cable goes with its far end.
        let _ = run("ip", &["netns", "delete", &self.namespace]);
        let _ = run("ip", &["link", "delete", &self.near]);
    }
}

/// Removes namespaces whose rig is dead.
pub(super) fn sweep() {
    let Ok(listed) = run("ip", &["netns", "list"]) else { return };
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix("hf-").and_then(|rest| rest.split('-').next());
        if let Some(owner) = owner
            && !Path::new("/proc").join(owner).exists()
        {
            let _ = run("ip", &["netns", "delete", name]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("start {program}: run ops/setup.sh"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
