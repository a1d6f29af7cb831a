//! Watches a contender: what has arrived, what waits in the line, what it costs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{bail, ensure};
use wan::WayReport;

use super::case::Times;
use super::line::Line;
use crate::cpu::{MachineTicks, Snapshot, Usage};
use crate::series::Series;

/// Between two looks at the queue.
const LOOK: Duration = Duration::from_millis(20);
/// So many of them for one look at what has arrived.
const LOOKS_PER_COUNT: u32 = 10;
/// A contender that has not begun by then never will.
const BEGIN: Duration = Duration::from_secs(30);
/// More than any handshake takes.
const BEGUN_BYTES: u64 = 64_000;

/// What was seen.
pub(crate) struct Watched {
    /// Arrived bytes, since the line carried the first.
    pub(crate) arrived: Series,
    /// What waited in the uplink, over the steady interval.
    pub(crate) queue_ms: Vec<f64>,
    /// By program, over the steady interval; `wan` is the line itself.
    pub(crate) cpu: BTreeMap<String, Usage>,
    /// Share of the machine that was busy, likewise.
    pub(crate) busy: f64,
    /// Bytes put into the uplink in the steady interval, packets whole.
    pub(crate) sent_bytes: u64,
    /// How long that was.
    pub(crate) steady: Duration,
    /// The line's figures at the end.
    pub(crate) uplink: WayReport,
    pub(crate) downlink: WayReport,
}

/// Watches until the end of the steady interval. `programs` are names and processes to account for,
/// `arrived` counts what is there.
pub(crate) fn watch(
    line: &Line,
    times: &Times,
    programs: &[(&str, u32)],
    mut arrived: impl FnMut() -> anyhow::Result<u64>,
) -> anyhow::Result<Watched> {
    let began = begin(line)?;
    let mut counts = Series::default();
    counts.push(Duration::ZERO, 0);
    let mut queue_ms = Vec::new();
    let mut before = None;
    let end = times.warm + times.steady;
    for look in 1_u32.. {
        std::thread::sleep((LOOK * look).saturating_sub(began.elapsed()));
        let at = began.elapsed();
        if before.is_none() && at >= times.warm {
            before = Some((at, Account::take(line, programs)?));
        }
        if before.is_some() {
            queue_ms.push(line.queue_ms()?);
        }
        if look % LOOKS_PER_COUNT == 0 {
            let count = arrived()?;
            counts.push(began.elapsed(), count);
        }
        if at >= end {
            break;
        }
    }
    let Some((from, before)) = before else { bail!("the steady interval never began") };
    let after = Account::take(line, programs)?;
    let steady = began.elapsed() - from;
    Ok(Watched {
        arrived: counts,
        queue_ms,
        cpu: after.usage_since(&before, steady),
        busy: after.machine.busy_since(&before.machine),
        sent_bytes: after.uplink.bytes_in - before.uplink.bytes_in,
        steady,
        uplink: after.uplink,
        downlink: after.downlink,
    })
}

/// Waits until more than handshakes has crossed the line.
fn begin(line: &Line) -> anyhow::Result<std::time::Instant> {
    let before = line.report()?.a_to_b.bytes_out;
    let started = wire::clock::now();
    while line.report()?.a_to_b.bytes_out < before + BEGUN_BYTES {
        ensure!(started.elapsed() < BEGIN, "it has sent nothing for {} s", BEGIN.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(wire::clock::now())
}

struct Account {
    programs: Vec<(String, Snapshot)>,
    machine: MachineTicks,
    uplink: WayReport,
    downlink: WayReport,
}

impl Account {
    fn take(line: &Line, programs: &[(&str, u32)]) -> anyhow::Result<Self> {
        let report = line.report()?;
        let programs = programs.iter().map(|(name, process)| ((*name).to_owned(), Snapshot::take(*process)));
        Ok(Self {
            programs: programs.collect(),
            machine: MachineTicks::take(),
            uplink: report.a_to_b,
            downlink: report.b_to_a,
        })
    }

    fn usage_since(&self, before: &Self, length: Duration) -> BTreeMap<String, Usage> {
        let pairs = self.programs.iter().zip(&before.programs);
        let mut usage: BTreeMap<_, _> =
            pairs.map(|((name, after), (_, before))| (name.clone(), after.since(before, length))).collect();
        let cores = |after: &WayReport, before: &WayReport| {
            (after.cpu_ms - before.cpu_ms) as f64 / 1000.0 / length.as_secs_f64()
        };
        let ways = [cores(&self.uplink, &before.uplink), cores(&self.downlink, &before.downlink)];
        let wan = Usage { cores: ways[0] + ways[1], busiest: ways[0].max(ways[1]), ..Usage::default() };
        usage.insert("wan".to_owned(), wan);
        usage
    }
}
