//! The goals of `docs/design/congestion.md`, over a path in virtual time. `--nocapture` prints the tables.

mod change;
mod flow;
mod loss;
mod odd;
mod path;
mod rivals;
mod share;

use flow::{Flow, Load, run};
use path::Spec;

/// How a lone flow of ours fared.
struct Alone {
    /// Of the link, in stream bytes, once started.
    goodput: f64,
    /// The same from the first packet on.
    cold: f64,
    queue_mean_ms: f64,
    queue_p95_ms: f64,
    retransmitted: f64,
}

/// A bulk flow alone for `end` seconds; steady from `from` on.
fn alone(spec: Spec, from: f64, end: f64) -> Alone {
    let rate = spec.rate[0].1;
    let mut flows = [Flow::ours(Load::Bulk, 0.0, end)];
    let link = run(spec, &mut flows, from, end);
    let mut queue = link.queue;
    queue.sort_by(f32::total_cmp);
    let mean = queue.iter().map(|&delay| f64::from(delay)).sum::<f64>() / queue.len() as f64;
    Alone {
        goodput: flows[0].stats.rate(from, end) / rate,
        cold: flows[0].stats.rate(0.0, end) / rate,
        queue_mean_ms: mean * 1e3,
        queue_p95_ms: f64::from(queue[queue.len() * 95 / 100]) * 1e3,
        retransmitted: flows[0].retransmitted(),
    }
}

impl std::fmt::Display for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:5.1} % | {:5.1} % | {:4.1} ms | {:4.1} ms | {:5.2} %",
            self.goodput * 100.0,
            self.cold * 100.0,
            self.queue_mean_ms,
            self.queue_p95_ms,
            self.retransmitted * 100.0
        )
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let bytes = || {
        let mut flows = [Flow::ours(Load::Bulk, 0.0, 5.0)];
        run(Spec::new(20.0, 50.0, 100.0).loss(1.0), &mut flows, 0.0, 5.0);
        (flows[0].stats.sent, flows[0].stats.lost, flows[0].stats.goodput.clone())
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn trace_tmp() {
    let g = |k: &str, d: f64| std::env::var(k).ok().and_then(|v| v.parse().ok()).unwrap_or(d);
    let mut spec = Spec::new(g("MBIT", 100.0), g("RTT", 100.0), g("QUEUE", 100.0)).loss(g("LOSS", 0.0));
    (spec.jitter, spec.aggregation) = (g("JITTER", 0.0) / 1e3, g("LUMPS", 0.0) / 1e3);
    if g("POLICE", 0.0) > 0.0 { spec.policer = Some(path::Policer { rate: g("POLICE", 0.0) * 125e3, burst: g("BURST", 32e3) }); }
    if g("STEP", 0.0) > 0.0 { spec = spec.then(12.0, g("STEP", 0.0)); if g("BACK", 0.0) > 0.0 { spec = spec.then(24.0, g("BACK", 0.0)); } }
    spec.seed = g("SEED", 1.0) as u64;
    let mut flows = vec![Flow::ours(Load::Bulk, g("OURS", 0.0), 90.0)];
    match g("RIVAL", 0.0) as u32 { 1 => flows.push(Flow::new(flow::Control::Bbr(rivals::Bbr::new()), Load::Bulk, g("RIVALAT", 0.0), g("RIVALEND", 90.0))), 2 => flows.push(Flow::new(flow::Control::Cubic(rivals::Cubic::new()), Load::Bulk, g("RIVALAT", 0.0), g("RIVALEND", 90.0))), _ => {} }
    let mut link = path::Link::new(spec, 0.0);
    let step = g("DT", 0.2);
    let mut t = g("FROM", 0.0);
    while t < g("TO", 10.0) {
        flow::run_on(&mut link, &mut flows, t);
        let flow::Control::Ours(m) = &flows[0].control else { panic!() };
        let q = link.queue.iter().rev().take((step / 0.005) as usize).map(|x| x * 1e3).fold((1e9f32, 0f32), |a, x| (a.0.min(x), a.1.max(x)));
        let e = m.estimate();
        println!("{t:.2} q {:.0}..{:.0} {:.1} {:?} rate {:.1} min {:.1} q {:.1} loss {:.3} w {} limit {:?} cap {:.1} trains {:.1} noise {:.4} stuck {:.2} srtt {:.1}", q.0, q.1, flows[0].stats.rate((t - 3.0 * step).max(0.0), t)/125e3, e.phase, e.rate/125e3, e.min_rtt.as_secs_f64()*1e3, e.queue.as_secs_f64()*1e3, e.loss, e.window, m.limit, m.capacity/125e3, m.trains.rate()/125e3, m.noise.get(), m.stuck, m.srtt*1e3);
        t += step;
    }
}
