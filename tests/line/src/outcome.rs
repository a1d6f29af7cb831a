//! What a run says.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use quinn::ConnectionStats;
use serde::Serialize;
use wan::{Drops, WayReport};

use crate::arrivals::Arrivals;
use crate::line::{Line, PAYLOAD};
use crate::ours::locked;
use crate::run::Stage;
use crate::watch::{Mark, Seen};

/// A queue that is back to normal after a step, in ms.
const CALM: f64 = 25.0;

/// Figures of the steady interval, unless they say otherwise. Shares are from 0 to 1.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Stream bytes that arrived, of the line's rate.
    pub share: f64,
    /// The same from the first byte on.
    pub cold_share: Option<f64>,
    /// Stream bytes that arrived.
    pub goodput_mbit: f64,
    /// What the line could carry: the mean, without outages.
    pub line_mbit: f64,
    /// The line's queue in our direction.
    pub queue_ms: Spread,
    /// Bytes we thought lost, of those sent.
    pub retransmitted_share: f64,
    /// Our datagrams that were lost, of those sent.
    pub lost_share: f64,
    /// Packets of all flows that the line dropped, of those that came to it.
    pub path_loss: f64,
    /// By cause.
    pub path_drops: Drops,
    /// What each TCP flow got.
    pub beside_mbit: Vec<f64>,
    /// Our part of what all got.
    pub ours_of_both: Option<f64>,
    /// Of each step of the line's rate.
    pub steps: Vec<Settled>,
    /// Of each outage.
    pub outages: Vec<Resumed>,
    /// Of the live stream.
    pub live: Option<LiveLatency>,
    /// Processor time in cores: everything.
    pub cores: f64,
    /// The same by thread.
    pub threads: BTreeMap<String, f64>,
    /// How late the line was, of 99 in 100 packets, since the start.
    pub late_us_p99: u64,
    /// How late it was at worst.
    pub late_us_max: u64,
    /// Why the run must not be used; empty if it may.
    pub void: Vec<String>,
}

/// A distribution.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Spread {
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// After a step of the line's rate. Windows are of 300 ms, or two round trips if that is longer.
#[derive(Clone, Debug, Serialize)]
pub struct Settled {
    /// When.
    pub at_s: f64,
    /// To what.
    pub to_mbit: f64,
    /// Until the first window with 90 % of what the new rate leaves for streams.
    pub settle_s: Option<f64>,
    /// Until the last window with less. Random loss and probing may make single ones.
    pub held_s: Option<f64>,
    /// Until the queue of a window was first under 25 ms.
    pub queue_s: Option<f64>,
}

/// After an outage.
#[derive(Clone, Debug, Serialize)]
pub struct Resumed {
    /// When it was healed.
    pub healed_s: f64,
    /// From then to the first byte.
    pub first_s: Option<f64>,
    /// From then to the first window with 85 % of what the rate leaves for streams.
    pub full_s: Option<f64>,
}

/// From when a piece was made to when all of it was read.
#[derive(Clone, Debug, Serialize)]
pub struct LiveLatency {
    /// Pieces made in the steady interval that arrived.
    pub pieces: usize,
    /// How long they took.
    pub ms: Spread,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else { return Self::default() };
        let at = |quantile: f64| values[(quantile * last as f64).round() as usize];
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Self { mean, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
    }
}

/// From all that was counted.
pub(crate) fn judge(stage: &Stage, line: &Line, seen: &Seen) -> Result<Outcome> {
    let options = &stage.options;
    if let Some(file) = &options.trace {
        write_trace(stage, seen, file).with_context(|| format!("write {}", file.display()))?;
    }
    let (from, to) = (options.from_s, options.for_s);
    let [before, after] = &seen.marks;
    let ours = &stage.ours.arrivals;
    let goodput_mbit = ours.mbit(from, to);
    let line_mbit = line.mbit(from, to);
    let cold = ours.first_after(0.0).filter(|first| *first < to);
    let beside_mbit: Vec<f64> = stage.beside.iter().map(|flow| flow.mbit(from, to)).collect();
    let both = goodput_mbit + beside_mbit.iter().sum::<f64>();
    let sent = Sent::between(before, after);
    let (path_drops, packets) = drops(&before.wan.a_to_b, &after.wan.a_to_b);
    let cpu = |name: &String| before.threads.get(name).copied().unwrap_or(0.0);
    let threads = after.threads.iter().map(|(name, cpu_s)| (name.clone(), (cpu_s - cpu(name)) / (to - from)));
    let live = locked(&stage.ours.live);
    let live = live.iter().filter(|(made, _)| made.as_secs_f64() >= from);
    let live: Vec<f64> = live.map(|(_, took)| took.as_secs_f64() * 1e3).collect();
    Ok(Outcome {
        share: goodput_mbit / line_mbit,
        cold_share: cold.map(|first| ours.mbit(first, to) / line.mbit(first, to)),
        goodput_mbit,
        line_mbit,
        queue_ms: Spread::of(queue(seen, from, to).collect()),
        retransmitted_share: share(sent.thought_lost, sent.bytes),
        lost_share: share(sent.datagrams.saturating_sub(sent.arrived), sent.datagrams),
        path_loss: share(path_drops.total(), packets),
        path_drops,
        ours_of_both: (!beside_mbit.is_empty()).then(|| goodput_mbit / both),
        beside_mbit,
        steps: line.steps(options).into_iter().map(|step| settled(stage, seen, step)).collect(),
        outages: line.outages().iter().map(|(_, healed)| resumed(stage, line, *healed)).collect(),
        live: options.live_kbit.map(|_| LiveLatency { pieces: live.len(), ms: Spread::of(live) }),
        cores: (after.cpu - before.cpu) / (to - from),
        threads: threads.filter(|(_, cores)| *cores >= 0.001).collect(),
        late_us_p99: after.wan.a_to_b.late_us_p99.max(after.wan.b_to_a.late_us_p99),
        late_us_max: after.wan.a_to_b.late_us_max.max(after.wan.b_to_a.late_us_max),
        void: void(after, seen),
    })
}

/// What our connection counted in the steady interval.
#[derive(Default)]
struct Sent {
    bytes: u64,
    thought_lost: u64,
    datagrams: u64,
    arrived: u64,
}

impl Sent {
    fn between(before: &Mark, after: &Mark) -> Self {
        let count = |what: fn(&ConnectionStats) -> u64, mark: fn(&Mark) -> Option<&ConnectionStats>| {
            let counted = |stats| mark(stats).map_or(0, what);
            counted(after).saturating_sub(counted(before))
        };
        let near: fn(&Mark) -> Option<&ConnectionStats> = |mark| mark.near.as_ref();
        let far: fn(&Mark) -> Option<&ConnectionStats> = |mark| mark.far.as_ref();
        Self {
            bytes: count(|stats| stats.udp_tx.bytes, near),
            thought_lost: count(|stats| stats.path.lost_bytes, near),
            datagrams: count(|stats| stats.udp_tx.datagrams, near),
            arrived: count(|stats| stats.udp_rx.datagrams, far),
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn drops(before: &WayReport, after: &WayReport) -> (Drops, u64) {
    let (a, b) = (&before.dropped, &after.dropped);
    let drops = Drops {
        cut: b.cut - a.cut,
        loss: b.loss - a.loss,
        burst: b.burst - a.burst,
        policer: b.policer - a.policer,
        queue: b.queue - a.queue,
    };
    (drops, after.packets_in - before.packets_in)
}

/// Lengths of the line's queue in ms, while anything passed.
fn queue(seen: &Seen, from: f64, to: f64) -> impl Iterator<Item = f64> {
    let looks = seen.queue.iter().filter(move |(at, _)| (from..to).contains(at));
    looks.filter_map(|(_, queue)| Some(queue.as_ref()?.as_secs_f64() * 1e3))
}

fn settled(stage: &Stage, seen: &Seen, (at, end, mbit): (f64, f64, f64)) -> Settled {
    let options = &stage.options;
    let window = options.window();
    // What arrives was let through half a round trip ago.
    let begin = at + options.path.rtt_ms / 2000.0;
    let enough = |mean: f64| mean >= 0.9 * mbit * PAYLOAD;
    let windows = || stage.ours.arrivals.windows(begin, end, window);
    let last_short = windows().filter(|(_, mean)| !enough(*mean)).last();
    let short_at_end = last_short.is_some_and(|(last, _)| last + 0.02 > end);
    let mut after = (0..).map(|step| at + f64::from(step) * 0.05).take_while(|from| from + window <= end);
    let calm = after.find(|&from| Spread::of(queue(seen, from, from + window).collect()).mean < CALM);
    Settled {
        at_s: at,
        to_mbit: mbit,
        settle_s: first(windows(), enough).map(|time| time - begin),
        held_s: (!short_at_end).then(|| last_short.map_or(0.0, |(last, _)| last - begin)),
        queue_s: calm.map(|from| from - at),
    }
}

fn resumed(stage: &Stage, line: &Line, healed: f64) -> Resumed {
    let options = &stage.options;
    let enough = 0.85 * PAYLOAD * line.mbit(healed, options.for_s);
    let windows = stage.ours.arrivals.windows(healed, options.for_s, options.window());
    Resumed {
        healed_s: healed,
        first_s: stage.ours.arrivals.first_after(healed).map(|first| first - healed),
        full_s: first(windows, |mean| mean >= enough).map(|time| time - healed),
    }
}

fn first(mut windows: impl Iterator<Item = (f64, f64)>, enough: impl Fn(f64) -> bool) -> Option<f64> {
    windows.find(|(_, mean)| enough(*mean)).map(|(end, _)| end)
}

fn void(after: &Mark, seen: &Seen) -> Vec<String> {
    let mut void = Vec::new();
    for (name, way) in [("A to B", &after.wan.a_to_b), ("B to A", &after.wan.b_to_a)] {
        if let Some(why) = &way.failed {
            void.push(format!("the line from {name} ended early: {why}"));
        }
        if way.unread + way.refused > 0 {
            void.push(format!("{} packets from {name} were lost to this machine", way.unread + way.refused));
        }
        if !way.realtime {
            void.push(format!("the line from {name} had to wait for other threads"));
        }
    }
    if seen.overflowed > 0 {
        void.push(format!("{} datagrams found no room at an end", seen.overflowed));
    }
    void
}

fn write_trace(stage: &Stage, seen: &Seen, file: &Path) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    writeln!(
        out,
        "t,ours_mbit,beside_mbit,queue_ms,rtt_ms,cwnd,rate_mbit,min_rtt_ms,queue_estimate_ms,loss_estimate,\
         phase,lost_packets,sent_packets"
    )?;
    for (row, next) in seen.rows.iter().zip(seen.rows.iter().skip(1)) {
        let mbit = |flow: &Arrivals| flow.mbit(row.at, next.at);
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let beside: f64 = stage.beside.iter().map(mbit).fold(0.0, |sum, one| sum + one);
        let queue = row.queue.map_or(f64::NAN, ms);
        write!(out, "{:.2},{:.3},{beside:.3},{queue:.2},", row.at, mbit(&stage.ours.arrivals))?;
        let path = row.stats.map(|stats| stats.path).unwrap_or_default();
        write!(out, "{:.2},{},", ms(path.rtt), path.cwnd)?;
        match &row.estimate {
            Some(now) => write!(
                out,
                "{:.3},{:.2},{:.2},{:.4},{:?},",
                now.rate * 8e-6,
                ms(now.min_rtt),
                ms(now.queue),
                now.loss,
                now.phase
            )?,
            None => write!(out, ",,,,,")?,
        }
        writeln!(out, "{},{}", path.lost_packets, path.sent_packets)?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_middle_and_its_ends() {
        let spread = Spread::of((0..=100).rev().map(f64::from).collect());
        assert_eq!(
            (spread.mean, spread.p50, spread.p95, spread.p99, spread.max),
            (50.0, 50.0, 95.0, 99.0, 100.0)
        );
        assert_eq!(Spread::of(Vec::new()).max, 0.0);
    }
}
