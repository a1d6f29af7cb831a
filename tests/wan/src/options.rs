//! What a WAN is like, as options of a command line: for `holdfast-wan` and for programs that run one inside.

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use crate::settings::{
    CapacityStep, GilbertElliott, Headroom, Jitter, PathSettings, Policer, Queue, Reorder, Settings,
};

/// Delay, jitter, loss, reordering and policer are the same in both directions.
#[derive(Args, Clone, Debug)]
pub struct PathOptions {
    /// Round trip without queue or jitter, half in each direction
    #[arg(long, default_value_t = 0.0)]
    pub rtt_ms: f64,
    /// Rate; none means no limit
    #[arg(long)]
    pub mbit: Option<f64>,
    /// Rate from B to A, if another
    #[arg(long, requires = "mbit")]
    pub back_mbit: Option<f64>,
    /// What may wait for the rate: so many ms at --mbit
    #[arg(long, default_value_t = 100.0)]
    pub queue_ms: f64,
    /// What may wait for the rate, in bytes
    #[arg(long, conflicts_with = "queue_ms")]
    pub queue_bytes: Option<u64>,
    /// Independent loss
    #[arg(long, default_value_t = 0.0)]
    pub loss_percent: f64,
    /// Loss in bursts, besides
    #[arg(long, default_value_t = 0.0)]
    pub burst_loss_percent: f64,
    /// Mean length of a burst
    #[arg(long, default_value_t = 8.0)]
    pub burst_packets: f64,
    /// Delay varies by up to this, above half of --rtt-ms
    #[arg(long, default_value_t = 0.0)]
    pub jitter_ms: f64,
    /// Jitter of each packet on its own, so that they overtake each other
    #[arg(long)]
    pub jitter_reorders: bool,
    /// Packets that fall back behind others
    #[arg(long, default_value_t = 0.0)]
    pub reorder_percent: f64,
    /// By how much
    #[arg(long, default_value_t = 5.0)]
    pub reorder_ms: f64,
    /// Drop what is over this rate, before the queue
    #[arg(long)]
    pub policer_mbit: Option<f64>,
    /// What the policer lets pass at once
    #[arg(long, default_value_t = 64.0)]
    pub policer_burst_kb: f64,
    /// All chance follows from it
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The rate from A to B over time, as seconds:Mbit/s, such as 10:20,15:100
    #[arg(long, visible_alias = "step", value_delimiter = ',', requires = "mbit", value_parser = capacity_step)]
    pub capacity: Vec<CapacityStep>,
    /// Do not measure first whether the machine carries the rate
    #[arg(long)]
    pub trust: bool,
}

impl PathOptions {
    /// As they are meant, without outages.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let mut a_to_b = self.path(self.mbit)?;
        a_to_b.capacity.clone_from(&self.capacity);
        let b_to_a = self.path(self.back_mbit.or(self.mbit))?;
        let headroom = if self.trust { Headroom::Trust } else { Headroom::Measure };
        Ok(Settings { a_to_b, b_to_a, seed: self.seed, headroom })
    }

    fn path(&self, mbit: Option<f64>) -> anyhow::Result<PathSettings> {
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
            outages: Vec::new(),
        })
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

/// So many seconds, if that is a length of time.
pub fn seconds(seconds: f64) -> anyhow::Result<Duration> {
    ensure!((0.0..=1e8).contains(&seconds), "{seconds} s is no length of time for this");
    Ok(Duration::from_secs_f64(seconds))
}
