//! What a run says.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use quinn::ConnectionStats;
use serde::Serialize;
use wan::{Drops, WayReport};

use crate::line::Line;
use crate::ours::locked;
use crate::reactions::{Reactions, Resumed, Settled, queue_ms};
use crate::run::Stage;
use crate::spread::Spread;
use crate::trace;
use crate::watch::{Mark, Seen};

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
    /// Our datagrams that did not arrive, of those sent; but for what was on its way at the interval's ends.
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
    /// Cores that the machine's host took away meanwhile. Much of it makes the line late.
    pub stolen_cores: f64,
    /// How late the line was, of 99 in 100 packets, since the start.
    pub late_us_p99: u64,
    /// How late it was at worst.
    pub late_us_max: u64,
    /// Why the run must not be used; empty if it may.
    pub void: Vec<String>,
}

/// From when a piece was made to when all of it was read.
#[derive(Clone, Debug, Serialize)]
pub struct LiveLatency {
    /// Pieces made in the steady interval that arrived.
    pub pieces: usize,
    /// Those that did not; one may have been on its way.
    pub missing: usize,
    /// How long they took.
    pub ms: Spread,
}

/// From all that was counted.
pub(crate) fn judge(stage: &Stage, line: &Line, seen: &Seen) -> Result<Outcome> {
    let options = &stage.options;
    if let Some(file) = &options.trace {
        trace::write(stage, seen, file).with_context(|| format!("write {}", file.display()))?;
    }
    let (from, to) = (options.from_s, options.for_s);
    let [before, after] = &seen.marks;
    let ours = &stage.ours.arrivals;
    let goodput_mbit = ours.mbit(from, to);
    let line_mbit = line.mbit(from, to);
    let cold = ours.first_after(0.0).filter(|first| *first < to);
    let beside_mbit: Vec<f64> = stage.beside.iter().map(|flow| flow.mbit(from, to)).collect();
    let both = goodput_mbit + beside_mbit.iter().sum::<f64>();
    let near = |count| grown(&before.near, &after.near, count);
    let (bytes, datagrams) = (near(|stats| stats.udp_tx.bytes), near(|stats| stats.udp_tx.datagrams));
    let thought_lost = near(|stats| stats.path.lost_bytes);
    let arrived = grown(&before.far, &after.far, |stats| stats.udp_rx.datagrams);
    let (path_drops, packets) = drops(&before.wan.a_to_b, &after.wan.a_to_b);
    let cpu = |name: &String| before.threads.get(name).copied().unwrap_or(0.0);
    let threads = after.threads.iter().map(|(name, cpu_s)| (name.clone(), (cpu_s - cpu(name)) / (to - from)));
    let reactions = Reactions { arrivals: ours, queue: &seen.queue, line, options };
    Ok(Outcome {
        share: goodput_mbit / line_mbit,
        cold_share: cold.map(|first| ours.mbit(first, to) / line.mbit(first, to)),
        goodput_mbit,
        line_mbit,
        queue_ms: Spread::of(queue_ms(&seen.queue, from, to).collect()),
        retransmitted_share: share(thought_lost, bytes),
        lost_share: share(datagrams.saturating_sub(arrived), datagrams),
        path_loss: share(path_drops.total(), packets),
        path_drops,
        ours_of_both: (!beside_mbit.is_empty()).then(|| goodput_mbit / both),
        beside_mbit,
        steps: line.steps(options).into_iter().map(|step| reactions.to_step(step)).collect(),
        outages: line.outages().iter().map(|(_, healed)| reactions.to_heal(*healed)).collect(),
        live: options.live_kbit.map(|_| live(stage)),
        cores: (after.cpu - before.cpu) / (to - from),
        stolen_cores: (after.stolen - before.stolen) / (to - from),
        threads: threads.filter(|(_, cores)| *cores >= 0.001).collect(),
        late_us_p99: after.wan.a_to_b.late_us_p99.max(after.wan.b_to_a.late_us_p99),
        late_us_max: after.wan.a_to_b.late_us_max.max(after.wan.b_to_a.late_us_max),
        void: void(after, seen),
    })
}

/// By how much a counter has grown.
fn grown(
    before: &Option<ConnectionStats>,
    after: &Option<ConnectionStats>,
    count: fn(&ConnectionStats) -> u64,
) -> u64 {
    let counted = |stats: &Option<ConnectionStats>| stats.as_ref().map_or(0, count);
    counted(after).saturating_sub(counted(before))
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

fn live(stage: &Stage) -> LiveLatency {
    let (from, to) = (stage.options.from_s, stage.options.for_s);
    let delivered = locked(&stage.ours.live);
    let begun = delivered.first().map_or(from, |(made, _)| made.as_secs_f64()).max(from);
    let delivered = delivered.iter().filter(|(made, _)| made.as_secs_f64() >= from);
    let took: Vec<f64> = delivered.map(|(_, took)| took.as_secs_f64() * 1e3).collect();
    let made = ((to - begun) * 1e3 / stage.options.live_chunk_ms) as usize;
    LiveLatency { pieces: took.len(), missing: made.saturating_sub(took.len()), ms: Spread::of(took) }
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
    for (name, overflowed) in ["sending", "receiving"].into_iter().zip(seen.overflowed) {
        if overflowed > 0 {
            void.push(format!("{overflowed} datagrams found no room in the {name} end's socket"));
        }
    }
    void
}
