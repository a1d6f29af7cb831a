//! What a path is like. All sizes are of whole IP packets, headers included.

use std::time::Duration;

/// Both directions of a WAN.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From end A to end B.
    pub a_to_b: PathSettings,
    /// From end B to end A.
    pub b_to_a: PathSettings,
    /// Everything left to chance follows from it.
    pub seed: u64,
    /// What to do about rates the machine may not carry.
    pub headroom: Headroom,
}

impl Settings {
    /// The same in both directions.
    pub fn symmetric(path: PathSettings) -> Self {
        Self { a_to_b: path.clone(), b_to_a: path, seed: 1, headroom: Headroom::Measure }
    }

    /// Says what makes no sense.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.a_to_b.check()?;
        self.b_to_a.check()
    }
}

/// Whether to measure, at the start, what the machine carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headroom {
    /// Half a second of full load first; refuse if a rate × 1.2 is more than that carried.
    Measure,
    /// Start at once. Look at the lateness in the report.
    Trust,
}

/// One direction. The default is a path that changes nothing.
#[derive(Clone, Debug, Default)]
pub struct PathSettings {
    /// Propagation, one way: no packet takes less.
    pub delay: Duration,
    /// Added to the delay.
    pub jitter: Option<Jitter>,
    /// Bits per second; none means no limit and no queue.
    pub rate_bps: Option<u64>,
    /// Replaces the rate from a time on; ascending.
    pub capacity: Vec<CapacityStep>,
    /// What may wait for the rate.
    pub queue: Queue,
    /// Share of packets lost independently of each other, 0 to 1.
    pub loss: f64,
    /// Loss in bursts, beside it.
    pub burst: Option<GilbertElliott>,
    /// Packets that others overtake.
    pub reorder: Option<Reorder>,
    /// A policer in front of the queue.
    pub policer: Option<Policer>,
    /// Times without any passage; ascending.
    pub outages: Vec<Outage>,
}

/// A buffer with drop-tail. The packet being sent is not counted.
#[derive(Clone, Copy, Debug)]
pub enum Queue {
    /// As many bytes as the nominal rate (not the schedule's) sends in this time.
    Time(Duration),
    /// So many bytes.
    Bytes(u64),
}

impl Default for Queue {
    fn default() -> Self {
        Self::Time(Duration::from_millis(100))
    }
}

/// Delay that varies between nothing and `max`.
#[derive(Clone, Copy, Debug)]
pub struct Jitter {
    /// The most it adds.
    pub max: Duration,
    /// If set, each packet's is drawn on its own, so packets overtake each other. If not, the delay wanders
    /// smoothly (a new level every 10 ms) and order is kept: drawing on its own *and* keeping order would
    /// leave dense traffic with no jitter, only with more delay.
    pub reorders: bool,
}

/// From `at` on, this is the rate.
#[derive(Clone, Copy, Debug)]
pub struct CapacityStep {
    /// Since the start of the path.
    pub at: Duration,
    /// Bits per second; 0 holds everything back.
    pub rate_bps: u64,
}

/// The two-state loss model: a state is chosen for each packet, then its fate by the state's loss.
#[derive(Clone, Copy, Debug)]
pub struct GilbertElliott {
    /// Chance of turning bad, per packet.
    pub to_bad: f64,
    /// Chance of turning good, per packet.
    pub to_good: f64,
    /// Loss in the good state.
    pub loss_good: f64,
    /// Loss in the bad state.
    pub loss_bad: f64,
}

impl GilbertElliott {
    /// Everything is lost in the bad state, `share` in the long run, in bursts of `packets` on average.
    pub fn bursts(share: f64, packets: f64) -> Self {
        let to_good = 1.0 / packets;
        Self { to_bad: to_good * share / (1.0 - share), to_good, loss_good: 0.0, loss_bad: 1.0 }
    }
}

/// Some packets take longer, and those behind overtake them.
#[derive(Clone, Copy, Debug)]
pub struct Reorder {
    /// How many, 0 to 1.
    pub share: f64,
    /// By how much.
    pub by: Duration,
}

/// A token bucket that drops what it has no tokens for.
#[derive(Clone, Copy, Debug)]
pub struct Policer {
    /// Bits per second.
    pub rate_bps: u64,
    /// What it lets pass at once.
    pub burst_bytes: u64,
}

/// Everything that arrives at the path from `at` on is lost, for `length`. What is inside still comes out.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Since the start of the path.
    pub at: Duration,
    /// How long.
    pub length: Duration,
}

/// A setting that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A share that is none.
    #[error("{name} is {value}: a share is from 0 to 1")]
    Share {
        /// Which.
        name: &'static str,
        /// What it is.
        value: f64,
    },
    /// A rate of nothing, outside a schedule.
    #[error("{name} is 0: leave it out for no limit, or cut the path")]
    NoRate {
        /// Which.
        name: &'static str,
    },
    /// A schedule that goes back in time.
    #[error("{name}: the times of a schedule must ascend, without overlap")]
    Unordered {
        /// Which.
        name: &'static str,
    },
    /// A schedule that changes a rate that is not there.
    #[error("a capacity schedule needs a rate: it is what the queue's length in ms refers to")]
    ScheduleWithoutRate,
    /// A bucket that lets no packet pass.
    #[error("the policer's burst is {0} bytes, less than one packet of 1500")]
    SmallBurst(u64),
}

impl PathSettings {
    /// Says what makes no sense.
    pub fn check(&self) -> Result<(), SettingsError> {
        let burst = self.burst.map(|burst| {
            [
                ("chance of a burst", burst.to_bad),
                ("chance of a burst's end", burst.to_good),
                ("loss between bursts", burst.loss_good),
                ("loss in bursts", burst.loss_bad),
            ]
        });
        let shares = burst.into_iter().flatten();
        let shares = shares.chain([("loss", self.loss)]);
        for (name, value) in shares.chain(self.reorder.map(|reorder| ("reordering", reorder.share))) {
            if !(0.0..=1.0).contains(&value) {
                return Err(SettingsError::Share { name, value });
            }
        }
        let rates =
            [("rate", self.rate_bps), ("policer's rate", self.policer.map(|policer| policer.rate_bps))];
        if let Some((name, _)) = rates.into_iter().find(|(_, rate)| *rate == Some(0)) {
            return Err(SettingsError::NoRate { name });
        }
        if !self.capacity.is_sorted_by(|one, next| one.at < next.at) {
            return Err(SettingsError::Unordered { name: "capacity" });
        }
        if !self.outages.is_sorted_by(|one, next| one.at + one.length <= next.at) {
            return Err(SettingsError::Unordered { name: "outages" });
        }
        if !self.capacity.is_empty() && self.rate_bps.is_none() {
            return Err(SettingsError::ScheduleWithoutRate);
        }
        match self.policer {
            Some(policer) if policer.burst_bytes < 1500 => {
                Err(SettingsError::SmallBurst(policer.burst_bytes))
            }
            _ => Ok(()),
        }
    }

    /// How many bytes may wait.
    pub(crate) fn queue_bytes(&self) -> u64 {
        match (self.queue, self.rate_bps) {
            (Queue::Bytes(bytes), _) => bytes,
            (Queue::Time(time), Some(rate)) => {
                let bytes = time.as_nanos() * u128::from(rate) / 8 / 1_000_000_000;
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
            (Queue::Time(_), None) => u64::MAX,
        }
    }

    /// The highest rate it ever has.
    pub(crate) fn rate_bps_max(&self) -> Option<u64> {
        self.capacity.iter().map(|step| step.rate_bps).chain(self.rate_bps).max()
    }
}

/// Nanoseconds, the core's unit: 584 years fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
