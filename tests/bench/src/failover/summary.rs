//! What came of all samples.

use std::time::Duration;

use ops::oracle::Comparison;
use serde_json::{Value, json};

use super::sample::Sample;
use super::{Args, By, Tier};

const P50_MAX: Duration = Duration::from_secs(4);
const WARM_P50_MAX: Duration = Duration::from_millis(3_500);
const LONG: Duration = Duration::from_secs(6);
/// From the death of the leader to authority.
const LEADERLESS_MAX: Duration = Duration::from_secs(10);

/// Says it; true if what is promised holds.
pub(super) fn conclude(args: &Args, samples: &[Sample], frames: &Comparison) -> bool {
    let of = |what: fn(&Sample) -> Duration| {
        let mut times: Vec<Duration> = samples.iter().map(what).collect();
        times.sort_unstable();
        times
    };
    let gaps = of(Sample::gap);
    let over = gaps.iter().filter(|gap| **gap > LONG).count();
    let p50 = permille(&gaps, 500);
    let p50_max = if args.tier == Tier::Warm { WARM_P50_MAX } else { P50_MAX };
    let mut problems = Vec::new();
    if p50 > p50_max {
        problems.push(format!("half of the gaps are longer than {:.1} s", p50_max.as_secs_f64()));
    }
    if args.by != By::Leader && over * 100 > samples.len().max(100) {
        problems.push(format!("{over} of {} gaps are longer than 6 s", samples.len()));
    }
    if frames.lost + frames.foreign > 0 {
        problems.push(format!("frames lost outside the gaps, or altered: {frames:?}"));
    }
    if (args.by.is_planned() || args.tier == Tier::Hot) && frames.explained > 0 {
        problems.push(format!("{} frames are missing, and none was to be", frames.explained));
    }
    // Without its leader the hub may take longer.
    let leaderless = of(Sample::without_a_leader);
    if leaderless.last().is_some_and(|longest| *longest > LEADERLESS_MAX) {
        problems.push("without its leader the hub took more than 10 s".to_owned());
    }
    for (name, times) in [
        ("gap", &gaps),
        ("detect", &of(Sample::detect)),
        ("decide", &of(Sample::decide)),
        ("record", &of(Sample::record)),
        ("leaderless", &leaderless),
    ] {
        let [half, most, all] = [500, 990, 1000].map(|share| permille(times, share).as_secs_f64());
        eprintln!("{name:>10}: p50 {half:.2} s, p99 {most:.2} s, at most {all:.2} s");
    }
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    if args.json {
        let line = json!({
            "tier": args.tier.word(), "by": args.by.word(), "times": samples.len(), "voters": args.voters, "rtt_ms": args.rtt_ms,
            "gap_ms": percentiles(&gaps), "over_6s": over,
            "frames_lost": frames.lost + frames.foreign, "frames_sent": frames.sent, "frames_in_gaps": frames.explained,
            "detect_ms": percentiles(&of(Sample::detect)), "decide_ms": percentiles(&of(Sample::decide)),
            "record_ms": percentiles(&of(Sample::record)), "leaderless_ms": percentiles(&leaderless), "ok": problems.is_empty(),
        });
        println!("{line}");
    }
    problems.is_empty()
}

fn percentiles(sorted: &[Duration]) -> Value {
    let [p50, p99, max] = [500, 990, 1000].map(|share| permille(sorted, share).as_millis());
    json!({ "p50": p50, "p99": p99, "max": max })
}

/// So many of a thousand are at most this.
fn permille(sorted: &[Duration], share: usize) -> Duration {
    let place = (sorted.len() * share).div_ceil(1000).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}
