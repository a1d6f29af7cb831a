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
