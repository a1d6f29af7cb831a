//! Processor time of process trees, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A tick of `/proc` on every Linux of today (`USER_HZ`).
const TICK_S: f64 = 0.01;

/// What a process and those it started used over an interval, in cores: 1.0 is one core all the time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cores: f64,
    /// The thread that used most.
    pub(crate) busiest: f64,
    /// By name of the thread; those of one name together, those below 1 % left out.
    pub(crate) threads: BTreeMap<String, f64>,
}

/// Ticks so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Of whole processes, ended children included.
    ticks: u64,
    threads: BTreeMap<u32, (String, u64)>,
}

impl Snapshot {
    /// Of the process `root` and all below it. What has ended counts as idle.
    pub(crate) fn take(root: u32) -> Self {
        let mut snapshot = Self::default();
        for process in tree(root) {
            let Some(stat) = Stat::read(&format!("/proc/{process}/stat")) else { continue };
            snapshot.ticks += stat.ticks + stat.children_ticks;
            for thread in numbers(&format!("/proc/{process}/task")) {
                if let Some(stat) = Stat::read(&format!("/proc/{process}/task/{thread}/stat")) {
                    snapshot.threads.insert(thread, (stat.name, stat.ticks));
                }
            }
        }
        snapshot
    }

    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self, length: Duration) -> Usage {
        let cores = |ticks: u64| ticks as f64 * TICK_S / length.as_secs_f64();
        let mut usage = Usage { cores: cores(self.ticks.saturating_sub(before.ticks)), ..Usage::default() };
        for (thread, (name, ticks)) in &self.threads {
            let earlier = before.threads.get(thread).map_or(0, |(_, ticks)| *ticks);
            let used = cores(ticks.saturating_sub(earlier));
            usage.busiest = usage.busiest.max(used);
            *usage.threads.entry(name.clone()).or_default() += used;
        }
        usage.threads.retain(|_, used| *used >= 0.01);
        usage
    }
}

/// The whole machine's ticks so far. Work under `nice` counts as idle: it gives way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineTicks {
    all: u64,
    idle: u64,
}

impl MachineTicks {
    pub(crate) fn take() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal.
    fn parse(text: &str) -> Self {
        let first = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            first.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
        let idle = [1, 3, 4].into_iter().filter_map(|index| ticks.get(index)).sum();
        Self { all: ticks.iter().sum(), idle }
    }

    /// The share of time since `before` in which cores were busy.
    pub(crate) fn busy_since(&self, before: &Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle);
        if all == 0 { 0.0 } else { 1.0 - idle as f64 / all as f64 }
    }
}

/// The process and all below it.
pub(crate) fn tree(root: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = numbers("/proc")
        .into_iter()
        .filter_map(|process| Some((process, Stat::read(&format!("/proc/{process}/stat"))?.parent)))
        .collect();
    let mut tree = BTreeSet::from([root]);
    loop {
        let more: Vec<u32> =
            parents.iter().filter(|(_, parent)| tree.contains(parent)).map(|(process, _)| *process).collect();
        let before = tree.len();
        tree.extend(more);
        if tree.len() == before {
            return tree;
        }
    }
}

fn numbers(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

struct Stat {
    name: String,
    parent: u32,
    ticks: u64,
    children_ticks: u64,
}

impl Stat {
    fn read(path: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    /// A name may hold anything, also brackets; the last one ends it.
    fn parse(text: &str) -> Option<Self> {
        let (front, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            name: front.split_once('(')?.1.to_owned(),
            parent: u32::try_from(number(1)?).ok()?,
            ticks: number(11)? + number(12)?,
            children_ticks: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc() {
        let stat = Stat::parse("7 (a (b) c) S 3 7 7 0 -1 4194304 1 2 3 4 500 60 7 8 20 0 1 0").unwrap();
        assert_eq!((stat.name.as_str(), stat.parent), ("a (b) c", 3));
        assert_eq!((stat.ticks, stat.children_ticks), (560, 15));
    }

    #[test]
    fn usage_is_what_came_on_top() {
        let before = Snapshot { ticks: 100, threads: BTreeMap::from([(1, ("main".into(), 60))]) };
        let threads =
            BTreeMap::from([(1, ("main".into(), 110)), (2, ("io".into(), 150)), (3, ("io".into(), 50))]);
        let after = Snapshot { ticks: 350, threads };
        let usage = after.since(&before, Duration::from_secs(10));
        assert_eq!((usage.cores, usage.busiest), (0.25, 0.15));
        assert_eq!(usage.threads, BTreeMap::from([("io".into(), 0.2), ("main".into(), 0.05)]));
    }

    #[test]
    fn niced_work_gives_way() {
        let before = MachineTicks::parse("cpu  100 0 0 0 0 0 0 0 0 0\ncpu0 1 2 3");
        let after = MachineTicks::parse("cpu  150 600 190 150 0 5 5 0 0 0\n");
        assert_eq!(after.busy_since(&before), 0.25);
    }

    #[test]
    fn this_process_is_in_its_tree() {
        assert!(tree(std::process::id()).contains(&std::process::id()));
        let before = Snapshot::take(std::process::id());
        assert!(!before.threads.is_empty());
    }
}
