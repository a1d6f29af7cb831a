//! Two network namespaces and the WAN between them, made anew for every contender: the kernel remembers of
//! TCP what a path was like.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use wan::netns::{self, Made, Netns};
use wan::{End, Headroom, PathSettings, Queue, Report, Settings, Wan, Way};

use super::case::Case;

/// Where the site is.
pub(crate) const SITE: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
/// Where the hub is.
pub(crate) const HUB: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 2);

/// A laid line. The uplink is from A to B.
pub(crate) struct Line {
    wan: Wan,
    pub(crate) site: Netns,
    pub(crate) hub: Netns,
    // After the WAN: devices go before their namespaces.
    _made: [Made; 2],
}

impl Line {
    pub(crate) fn lay(case: &Case, queue: Duration) -> anyhow::Result<Self> {
        Self::along(&PathSettings {
            delay: Duration::from_millis(case.rtt_ms.into()) / 2,
            rate_bps: Some(u64::from(case.mbit) * 1_000_000),
            queue: Queue::Time(queue),
            loss: case.loss_percent / 100.0,
            ..PathSettings::default()
        })
    }

    /// With this path in both directions.
    pub(crate) fn along(path: &PathSettings) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        netns::sweep()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let names = ["site", "hub"].map(|end| format!("hfw-{}-{number}-{end}", std::process::id()));
        let made = [Made::new(&names[0])?, Made::new(&names[1])?];
        let settings = Settings { headroom: Headroom::Measure, ..Settings::symmetric(path.clone()) };
        let wan = Wan::start(&End::new(&names[0], SITE), &End::new(&names[1], HUB), &settings)?;
        let [site, hub] = [made[0].netns(), made[1].netns()];
        Ok(Self { wan, site, hub, _made: made })
    }

    /// Sets the congestion control of what the site sends over TCP from now on.
    pub(crate) fn set_tcp(&self, congestion: &str) -> anyhow::Result<()> {
        allow_tcp(congestion).with_context(|| format!("allow TCP {congestion} in namespaces"))?;
        let write = || std::fs::write("/proc/sys/net/ipv4/tcp_congestion_control", congestion);
        // `/proc/sys/net` shows the namespace of the thread that looks.
        self.site.inside(write)?.with_context(|| format!("does this kernel have TCP {congestion}?"))
    }

    /// The congestion control of every TCP connection that the site has to the hub.
    pub(crate) fn tcp(&self) -> anyhow::Result<Vec<String>> {
        let sockets = std::process::Command::new("ip")
            .args(["netns", "exec", &name(&self.site), "ss", "-tinOH", "dst", &HUB.to_string()])
            .output()
            .context("start ss: it comes with the package iproute2")?;
        ensure!(sockets.status.success(), "ss: {}", String::from_utf8_lossy(&sockets.stderr).trim());
        let text = String::from_utf8_lossy(&sockets.stdout).into_owned();
        Ok(text.lines().filter_map(congestion_of).collect())
    }

    pub(crate) fn report(&self) -> anyhow::Result<Report> {
        self.wan.report()
    }

    /// How long what waits in the uplink now takes to send.
    pub(crate) fn queue_ms(&self) -> anyhow::Result<f64> {
        let queue = self.wan.queue(Way::AToB).context("the WAN has ended")?;
        Ok(queue.as_secs_f64() * 1000.0)
    }
}

/// A namespace may use only what the machine allows to everybody. Adds to that list, and leaves it so.
fn allow_tcp(congestion: &str) -> anyhow::Result<()> {
    const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
    let allowed = std::fs::read_to_string(ALLOWED)?;
    if allowed.split_whitespace().any(|name| name == congestion) {
        return Ok(());
    }
    Ok(std::fs::write(ALLOWED, format!("{} {congestion}", allowed.trim()))?)
}

/// As `ip netns` knows it.
pub(crate) fn name(netns: &Netns) -> String {
    match netns {
        Netns::Named(name) => name.clone(),
        Netns::Own => unreachable!("the namespaces of a line are made and named"),
    }
}

/// The congestion control in a line of `ss -tinOH` about a connection that stands.
fn congestion_of(line: &str) -> Option<String> {
    const KNOWN: [&str; 3] = ["cubic", "bbr", "reno"];
    let mut words = line.split_whitespace();
    (words.next()? == "ESTAB").then_some(())?;
    words.find(|word| KNOWN.contains(word)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ss_says() {
        let line =
            "ESTAB 0 36864 198.19.0.1:40000 198.19.0.2:2222 bbr wscale:9,9 rto:300 rtt:100.3/0.1 cwnd:10";
        assert_eq!(congestion_of(line).as_deref(), Some("bbr"));
        assert_eq!(congestion_of(&line.replace("ESTAB", "SYN-SENT")), None);
        assert_eq!(congestion_of(""), None);
    }
}
