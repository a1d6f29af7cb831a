//! Beside somebody else: a TCP of the kinds there are, or another flow of ours.

use super::flow::{Control, Flow, Load, run};
use super::path::Spec;
use super::rivals::{Bbr, Cubic};

const END: f64 = 50.0;

/// Our share of what both got, and what of the link we have 10 s after the other is gone.
fn share(rival: Control, spec: Spec, ours_from: f64, rival_from: f64) -> (f64, f64, f64) {
    let rate = spec.rate[0].1;
    let until = END + 20.0;
    let mut flows = [Flow::ours(Load::Bulk, ours_from, until), Flow::new(rival, Load::Bulk, rival_from, END)];
    run(spec, &mut flows, until, until);
    let (ours, other) = (flows[0].stats.rate(15.0, END), flows[1].stats.rate(15.0, END));
    (ours / (ours + other), (ours + other) / rate, flows[0].stats.rate(END + 10.0, until) / rate)
}

fn beside(name: &str, rival: impl Fn() -> Control) {
    println!("| beside {name} | first or late | share | both use | alone again |\n|---|---|---|---|---|");
    for (mbit, rtt_ms) in [(100.0, 50.0), (20.0, 50.0), (50.0, 100.0), (100.0, 20.0)] {
        for queue_ms in [25.0, 100.0] {
            for late in [false, true] {
                let (ours_from, rival_from) = if late { (5.0, 0.0) } else { (0.0, 5.0) };
                let spec = Spec::new(mbit, rtt_ms, queue_ms);
                let (ours, used, after) = share(rival(), spec, ours_from, rival_from);
                let when = if late { "late" } else { "first" };
                let path = format!("{mbit} Mbit/s, {rtt_ms} ms, queue {queue_ms} ms | {when}");
                println!(
                    "| {path} | {:.0} % | {:.1} % | {:.1} % |",
                    ours * 100.0,
                    used * 100.0,
                    after * 100.0
                );
                assert!((0.25..=0.75).contains(&ours), "{name}, {path}: {ours}");
                assert!(after > 0.88, "{name}, {path}: {after} when alone again");
            }
        }
    }
}

#[test]
fn beside_cubic() {
    beside("TCP CUBIC", || Control::Cubic(Cubic::new()));
}

#[test]
fn beside_bbr() {
    beside("TCP BBR", || Control::Bbr(Bbr::new()));
}

#[test]
fn beside_one_of_us() {
    for (mbit, rtt_ms) in [(100.0, 50.0), (20.0, 50.0), (50.0, 100.0)] {
        let other = Flow::ours(Load::Bulk, 0.0, END).control;
        let (ours, used, _) = share(other, Spec::new(mbit, rtt_ms, 100.0), 5.0, 0.0);
        println!(
            "beside ours, {mbit} Mbit/s, {rtt_ms} ms: {:.0} %, both {:.1} %",
            ours * 100.0,
            used * 100.0
        );
        assert!((0.25..=0.75).contains(&ours) && used > 0.9);
    }
}
