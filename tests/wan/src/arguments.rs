//! The command line, and the settings it means.

use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use wan::options::{PathOptions, seconds};
use wan::{End, Outage, Settings};

/// Join two network namespaces by an emulated WAN, for UDP and TCP alike
///
/// Prints "ready" when packets pass, and figures as JSON at the end (Ctrl-C). Sizes and rates are of whole IP
/// packets. Delay, jitter, loss, reordering and policer are the same in both directions.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// Namespace of end A; - is this process's own
    #[arg(required_unless_present = "prove")]
    ns_a: Option<String>,
    /// Namespace of end B
    #[arg(required_unless_present = "prove")]
    ns_b: Option<String>,
    /// Make namespaces that do not exist, and remove them at the end
    #[arg(long)]
    pub(crate) create: bool,
    /// Address of end A
    #[arg(long, default_value = "198.19.0.1")]
    a_address: Ipv4Addr,
    /// Address of end B
    #[arg(long, default_value = "198.19.0.2")]
    b_address: Ipv4Addr,
    /// Name of the device at each end
    #[arg(long, default_value = "wan")]
    device: String,
    #[command(flatten)]
    path: PathOptions,
    /// Cut the WAN after so many seconds
    #[arg(long, requires = "cut_for")]
    cut_at: Option<f64>,
    /// For so many seconds
    #[arg(long, requires = "cut_at")]
    cut_for: Option<f64>,
    /// Again every so many seconds
    #[arg(long, requires = "cut_at")]
    cut_every: Option<f64>,
    /// Which direction is cut
    #[arg(long, default_value = "both")]
    cut_way: CutWay,
    /// End after so many seconds
    #[arg(long)]
    pub(crate) for_s: Option<f64>,
    /// Figures as one line
    #[arg(long)]
    pub(crate) json: bool,
    /// Prove on this machine that the WAN does what it says, and end
    #[arg(long)]
    pub(crate) prove: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CutWay {
    Both,
    AToB,
    BToA,
}

/// Cuts of a schedule that repeats: more than anybody waits for.
const CUTS_MAX: u32 = 10_000;

impl Arguments {
    pub(crate) fn ends(&self) -> anyhow::Result<(End, End)> {
        let name = |name: &Option<String>| name.clone().context("two namespaces must be named");
        let (a, b) = (name(&self.ns_a)?, name(&self.ns_b)?);
        ensure!(a != b, "the two ends must be in different namespaces");
        let end = |netns: &str, address| End { device: self.device.clone(), ..End::new(netns, address) };
        Ok((end(&a, self.a_address), end(&b, self.b_address)))
    }

    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = self.path.settings()?;
        if self.cut_way != CutWay::BToA {
            settings.a_to_b.outages = self.outages()?;
        }
        if self.cut_way != CutWay::AToB {
            settings.b_to_a.outages = self.outages()?;
        }
        Ok(settings)
    }

    fn outages(&self) -> anyhow::Result<Vec<Outage>> {
        let Some((at, length)) = self.cut_at.zip(self.cut_for) else { return Ok(Vec::new()) };
        let (at, length) = (seconds(at)?, seconds(length)?);
        let Some(every) = self.cut_every.map(seconds).transpose()? else {
            return Ok(vec![Outage { at, length }]);
        };
        Ok((0..CUTS_MAX).map(|number| Outage { at: at + every * number, length }).collect())
    }
}
