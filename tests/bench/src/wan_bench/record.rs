//! One result: one contender on one line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wan::WayReport;

use super::case::{Case, Contender, Times};
use super::ours::{Lag, Seen};
use super::watch::Watched;
use crate::cpu::Usage;
use crate::results::Machine;
use crate::series::{mean, quantile};

/// A machine that had less than this to spare may have been the limit, not the line.
const SPARE_MIN: f64 = 0.05;
/// Packets that come out later than this, and later than a thirtieth of the round trip, are not from the line
/// that was asked for.
const LATE_US: u64 = 2000;

/// What was measured. Shares are of the link's rate, in packets whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) case: Case,
    pub(crate) contender: Contender,
    /// Which controller: the TCP's, or what the agent was configured with.
    pub(crate) congestion: String,
    /// UTC.
    pub(crate) at: String,
    pub(crate) machine: Machine,
    pub(crate) queue_limit_ms: u64,
    pub(crate) steady_s: f64,
    /// Of the steady interval: application bytes that arrived; ours are synced at the hub.
    pub(crate) share: f64,
    /// From the first byte to the end of the steady interval.
    pub(crate) cold_share: f64,
    pub(crate) cold_s: f64,
    /// What was put into the line: the difference to `share` is headers, repetitions and loss.
    pub(crate) sent_share: f64,
    pub(crate) queue_ms: Queue,
    /// Cameras alone, then beside the backlog.
    pub(crate) live_lag_idle_ms: Option<Lag>,
    pub(crate) live_lag_ms: Option<Lag>,
    pub(crate) cpu: BTreeMap<String, Usage>,
    /// Share of all cores.
    pub(crate) machine_busy: f64,
    /// The machine, or one thread's core, was full: more might be possible.
    pub(crate) cpu_bound: bool,
    /// Why it does not count.
    pub(crate) void: Option<String>,
    pub(crate) uplink: Uplink,
    /// What the agent said of its link.
    pub(crate) agent: Value,
}

/// What waited in the uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) max: f64,
}

/// What of the line's own report is kept; of the uplink, from its laying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Uplink {
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) overflowed: u64,
    pub(crate) unread: u64,
    pub(crate) late_us_p99: u64,
    pub(crate) late_us_max: u64,
}

impl From<&WayReport> for Uplink {
    fn from(report: &WayReport) -> Self {
        Self {
            packets: report.packets_in,
            lost: report.dropped.loss,
            overflowed: report.dropped.queue,
            unread: report.unread,
            late_us_p99: report.late_us_p99,
            late_us_max: report.late_us_max,
        }
    }
}

/// Under which circumstances something was measured.
pub(crate) struct Circumstances<'a> {
    pub(crate) case: Case,
    pub(crate) times: Times,
    pub(crate) queue_limit_ms: u64,
    pub(crate) machine: &'a Machine,
}

impl Record {
    pub(crate) fn of_ours(about: &Circumstances, congestion: &str, mut seen: Seen) -> anyhow::Result<Self> {
        let mut record = Self::new(about, Contender::Ours, congestion, &mut seen.watched)?;
        record.live_lag_idle_ms = Some(seen.idle_lag);
        record.live_lag_ms = Some(seen.lag);
        record.agent = seen.uplink;
        Ok(record)
    }

    pub(crate) fn of_peer(
        about: &Circumstances,
        contender: Contender,
        mut watched: Watched,
    ) -> anyhow::Result<Self> {
        let congestion = match contender {
            Contender::RsyncBbr | Contender::RcloneBbr => "bbr",
            _ => "cubic",
        };
        Self::new(about, contender, congestion, &mut watched)
    }

    fn new(
        about: &Circumstances,
        contender: Contender,
        congestion: &str,
        watched: &mut Watched,
    ) -> anyhow::Result<Self> {
        let (case, link) = (about.case, about.case.bytes_per_s());
        let busiest = watched.cpu.values().map(|usage| usage.busiest).fold(0.0, f64::max);
        let cold = about.times.warm + watched.steady;
        Ok(Self {
            case,
            contender,
            congestion: congestion.to_owned(),
            at: jiff::Timestamp::from_microsecond(wire::clock::wall().0)?.strftime("%FT%TZ").to_string(),
            machine: about.machine.clone(),
            queue_limit_ms: about.queue_limit_ms,
            steady_s: watched.steady.as_secs_f64(),
            share: watched.arrived.rate(about.times.warm).unwrap_or(0.0) / link,
            cold_share: watched.arrived.rate_since_zero().unwrap_or(0.0) / link,
            cold_s: cold.as_secs_f64(),
            sent_share: watched.sent_bytes as f64 / watched.steady.as_secs_f64() / link,
            queue_ms: Queue {
                mean: mean(&watched.queue_ms),
                p50: quantile(&mut watched.queue_ms, 0.5),
                p95: quantile(&mut watched.queue_ms, 0.95),
                max: quantile(&mut watched.queue_ms, 1.0),
            },
            live_lag_idle_ms: None,
            live_lag_ms: None,
            cpu: std::mem::take(&mut watched.cpu),
            machine_busy: watched.busy,
            cpu_bound: watched.busy.max(busiest) > 1.0 - SPARE_MIN,
            void: void(&case, watched),
            uplink: (&watched.uplink).into(),
            agent: Value::Null,
        })
    }

    /// By how much live lag grew.
    pub(crate) fn live_lag_added_ms_p99(&self) -> Option<u64> {
        Some(self.live_lag_ms?.p99.saturating_sub(self.live_lag_idle_ms?.p99))
    }
}

/// Was the line not the one asked for?
fn void(case: &Case, watched: &Watched) -> Option<String> {
    for (name, way) in [("uplink", &watched.uplink), ("downlink", &watched.downlink)] {
        if let Some(why) = &way.failed {
            return Some(format!("the {name} failed: {why}"));
        }
        if way.unread > 0 {
            return Some(format!("the kernel dropped {} packets in front of the {name}", way.unread));
        }
        if way.late_us_p99 > LATE_US.max(u64::from(case.rtt_ms) * 1000 / 30) {
            return Some(format!("the {name} was {} µs late", way.late_us_p99));
        }
    }
    None
}
