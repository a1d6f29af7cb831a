//! The command line, and the settings it means.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use wan::{
    CapacityStep, End, GilbertElliott, Headroom, Jitter, Outage, PathSettings, Policer, Queue, Reorder,
    Settings,
};

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
    /// Round trip without queue or jitter, half in each direction
    #[arg(long, default_value_t = 0.0)]
    rtt_ms: f64,
    /// Rate; none means no limit
    #[arg(long)]
    mbit: Option<f64>,
    /// Rate from B to A, if another
    #[arg(long, requires = "mbit")]
    back_mbit: Option<f64>,
    /// What may wait for the rate: so many ms at --mbit
    #[arg(long, default_value_t = 100.0)]
    queue_ms: f64,
    /// What may wait for the rate, in bytes
    #[arg(long, conflicts_with = "queue_ms")]
    queue_bytes: Option<u64>,
    /// Independent loss
    #[arg(long, default_value_t = 0.0)]
    loss_percent: f64,
    /// Loss in bursts, besides
    #[arg(long, default_value_t = 0.0)]
    burst_loss_percent: f64,
    /// Mean length of a burst
    #[arg(long, default_value_t = 8.0)]
    burst_packets: f64,
    /// Delay varies by up to this, above half of --rtt-ms
    #[arg(long, default_value_t = 0.0)]
    jitter_ms: f64,
    /// Jitter of each packet on its own, so that they overtake each other
    #[arg(long)]
    jitter_reorders: bool,
    /// Packets that fall back behind others
    #[arg(long, default_value_t = 0.0)]
    reorder_percent: f64,
    /// By how much
    #[arg(long, default_value_t = 5.0)]
    reorder_ms: f64,
    /// Drop what is over this rate, before the queue
    #[arg(long)]
    policer_mbit: Option<f64>,
    /// What the policer lets pass at once
    #[arg(long, default_value_t = 64.0)]
    policer_burst_kb: f64,
    /// All chance follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
    /// The rate from A to B over time, as seconds:Mbit/s, such as 10:20,15:100
    #[arg(long, value_delimiter = ',', requires = "mbit", value_parser = capacity_step)]
    capacity: Vec<CapacityStep>,
    /// End after so many seconds
    #[arg(long)]
    pub(crate) for_s: Option<f64>,
    /// Do not measure first whether the machine carries the rate
    #[arg(long)]
    trust: bool,
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
        let (uplink, downlink) = (self.mbit, self.back_mbit.or(self.mbit));
        let mut a_to_b = self.path(uplink, [CutWay::Both, CutWay::AToB])?;
        a_to_b.capacity.clone_from(&self.capacity);
        let b_to_a = self.path(downlink, [CutWay::Both, CutWay::BToA])?;
        let headroom = if self.trust { Headroom::Trust } else { Headroom::Measure };
        Ok(Settings { a_to_b, b_to_a, seed: self.seed, headroom })
    }

    fn path(&self, mbit: Option<f64>, cut_by: [CutWay; 2]) -> anyhow::Result<PathSettings> {
        let share = |percent: f64| percent / 100.0;
        ensure!(
            self.burst_packets >= 1.0,
            "--burst-packets is {}: a burst has at least one",
            self.burst_packets
        );
        let burst = GilbertElliott::bursts(share(self.burst_loss_percent), self.burst_packets);
        let reorder = Reorder { share: share(self.reorder_percent), by: millis(self.reorder_ms)? };
        let jitter = Jitter { max: millis(self.jitter_ms)?, reorders: self.jitter_reorders };
        let policer = self.policer_mbit.map(bits).transpose()?;
        let policer_burst = (self.policer_burst_kb * 1000.0) as u64;
        Ok(PathSettings {
            delay: millis(self.rtt_ms / 2.0)?,
            jitter: (self.jitter_ms > 0.0).then_some(jitter),
            rate_bps: mbit.map(bits).transpose()?,
            capacity: Vec::new(),
            queue: match self.queue_bytes {
                Some(bytes) => Queue::Bytes(bytes),
                None => Queue::Time(millis(self.queue_ms)?),
            },
            loss: share(self.loss_percent),
            burst: (self.burst_loss_percent > 0.0).then_some(burst),
            reorder: (self.reorder_percent > 0.0).then_some(reorder),
            policer: policer.map(|rate_bps| Policer { rate_bps, burst_bytes: policer_burst }),
            outages: if cut_by.contains(&self.cut_way) { self.outages()? } else { Vec::new() },
        })
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

fn capacity_step(text: &str) -> Result<CapacityStep, String> {
    let step = || {
        let (at, mbit) = text.split_once(':').context("write seconds:Mbit/s")?;
        let (at, mbit): (f64, f64) = (at.parse()?, mbit.parse()?);
        anyhow::Ok(CapacityStep { at: seconds(at)?, rate_bps: bits(mbit)? })
    };
    step().map_err(|error| format!("{error:#}"))
}

fn bits(mbit: f64) -> anyhow::Result<u64> {
    ensure!((0.0..=1e6).contains(&mbit), "a rate is from 0 to 1,000,000 Mbit/s, not {mbit}");
    Ok((mbit * 1e6).round() as u64)
}

fn millis(millis: f64) -> anyhow::Result<Duration> {
    seconds(millis / 1000.0)
}

fn seconds(seconds: f64) -> anyhow::Result<Duration> {
    ensure!((0.0..=1e8).contains(&seconds), "{seconds} s is no length of time for this");
    Ok(Duration::from_secs_f64(seconds))
}
