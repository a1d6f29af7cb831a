//! Looks at the line and at our connection while they run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use quinn::ConnectionStats;
use wan::{End, Report, Way};
use wire::congestion::{Estimate, Metrics, metrics};

use crate::run::Stage;

/// How often the queue is measured.
const LOOK: Duration = Duration::from_millis(5);
/// Of these, how many make a row.
const LOOKS: u32 = 20;

/// Everything seen.
pub(crate) struct Seen {
    /// When, and how long the queue was; none while nothing passes.
    pub(crate) queue: Vec<(f64, Option<Duration>)>,
    pub(crate) rows: Vec<Row>,
    /// At the beginning of the steady interval, and at its end.
    pub(crate) marks: [Mark; 2],
    /// Datagrams that the kernels of the sending and the receiving end dropped for want of room.
    pub(crate) overflowed: [u64; 2],
}

/// Every 100 ms.
pub(crate) struct Row {
    pub(crate) at: f64,
    pub(crate) queue: Option<Duration>,
    pub(crate) stats: Option<ConnectionStats>,
    pub(crate) estimate: Option<Estimate>,
}

/// Counters at a time.
pub(crate) struct Mark {
    pub(crate) wan: Report,
    pub(crate) near: Option<ConnectionStats>,
    pub(crate) far: Option<ConnectionStats>,
    pub(crate) cpu: f64,
    /// Seconds this machine's processors were wanted here and ran somebody else's machine.
    pub(crate) stolen: f64,
    /// Seconds on a processor, by the threads' names.
    pub(crate) threads: BTreeMap<String, f64>,
}

/// Until the end.
pub(crate) fn watch(stage: &Stage) -> Result<Seen> {
    let (mut queue, mut rows, mut first) = (Vec::new(), Vec::new(), None);
    let mut believed: Option<Arc<Metrics>> = None;
    let from = Duration::from_secs_f64(stage.options.from_s);
    let ends = [&stage.lab.a, &stage.lab.b];
    let [a_before, b_before] = [overflowed(ends[0])?, overflowed(ends[1])?];
    for look in 0.. {
        let due = LOOK * look;
        if due >= stage.options.end() {
            break;
        }
        stage.sleep_until(due);
        let at = stage.now().as_secs_f64();
        let long = stage.wan.queue(Way::AToB);
        queue.push((at, long));
        if first.is_none() && due >= from {
            first = Some(mark(stage)?);
        }
        if look % LOOKS == 0 {
            let near = stage.ours.near.get();
            believed = believed.or_else(|| near.and_then(metrics));
            let estimate = believed.as_ref().map(|believed| believed.get());
            rows.push(Row { at, queue: long, stats: near.map(|near| near.stats()), estimate });
        }
    }
    let last = mark(stage)?;
    let overflowed = [overflowed(ends[0])? - a_before, overflowed(ends[1])? - b_before];
    Ok(Seen { queue, rows, marks: [first.context("the run is too short")?, last], overflowed })
}

fn mark(stage: &Stage) -> Result<Mark> {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(Mark {
        wan: stage.wan.report()?,
        near: stage.ours.near.get().map(|near| near.stats()),
        far: stage.ours.far.get().map(|far| far.stats()),
        cpu: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        stolen: stolen()?,
        threads: threads()?,
    })
}

fn stolen() -> Result<f64> {
    let table = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let all = table.lines().next().unwrap_or("");
    let ticks = all.split_whitespace().nth(8).and_then(|ticks| ticks.parse::<f64>().ok());
    Ok(ticks.context("/proc/stat has no stolen time")? / rustix::param::clock_ticks_per_second() as f64)
}

fn threads() -> Result<BTreeMap<String, f64>> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").context("list this process's threads")? {
        let folder = task.context("list this process's threads")?.path();
        let read = |file| std::fs::read_to_string(folder.join(file));
        // A thread that ended meanwhile has neither.
        let (Ok(name), Ok(times)) = (read("comm"), read("schedstat")) else { continue };
        let nanos = times.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok());
        *threads.entry(name.trim().to_owned()).or_default() += nanos.unwrap_or(0) as f64 / 1e9;
    }
    Ok(threads)
}

/// Datagrams dropped at an end so far. The measurement of the machine's speed leaves some.
fn overflowed(end: &End) -> Result<u64> {
    let file = "/proc/thread-self/net/snmp";
    let table = end.netns.inside(|| std::fs::read_to_string(file))?;
    let table = table.with_context(|| format!("read {file}"))?;
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, figures) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let figures = names.split_whitespace().zip(figures.split_whitespace());
    let errors = figures.filter(|(name, _)| ["RcvbufErrors", "SndbufErrors"].contains(name));
    Ok(errors.filter_map(|(_, figure)| figure.parse::<u64>().ok()).sum())
}
