//! Paths that mislead: jitter, acknowledgements in lumps, policers, queues of a few packets.

use super::alone;
use super::path::{Policer, Spec};

#[test]
fn jitter_and_lumps_do_not_look_like_a_queue() {
    for (mbit, rtt_ms) in [(5.0, 50.0), (100.0, 20.0), (100.0, 100.0)] {
        for (jitter, aggregation) in [(5.0, 0.0), (20.0, 0.0), (0.0, 5.0), (0.0, 20.0), (0.0, 50.0)] {
            let mut spec = Spec::new(mbit, rtt_ms, 100.0).loss(0.5);
            (spec.jitter, spec.aggregation) = (jitter / 1e3, aggregation / 1e3);
            let got = alone(spec, 5.0, 30.0);
            println!("| {mbit} Mbit/s, {rtt_ms} ms | jitter {jitter} ms, lumps {aggregation} ms | {got} |");
            // Beyond half a round trip it is out of reach, and the document says so.
            if jitter.max(aggregation) <= rtt_ms / 2.0 && aggregation < 50.0 {
                assert!(got.goodput >= 0.88 && got.queue_mean_ms < 45.0, "{got}");
            }
        }
    }
}

#[test]
fn a_policer_is_not_hammered() {
    for (mbit, rtt_ms) in [(5.0, 50.0), (100.0, 20.0), (100.0, 100.0)] {
        for burst in [32e3, 128e3, 1e6] {
            let mut spec = Spec::new(mbit, rtt_ms, 100.0);
            spec.policer = Some(Policer { rate: mbit * 125e3 / 2.0, burst });
            let got = alone(spec, 5.0, 30.0);
            println!("| {mbit} Mbit/s, {rtt_ms} ms | policed to half, {} kB | {got} |", burst / 1e3);
            assert!(got.goodput >= 0.36, "{got}");
            assert!(got.retransmitted <= 0.08, "{got}");
        }
    }
}

#[test]
fn a_short_queue_is_found_out() {
    for (mbit, rtt_ms) in [(5.0, 50.0), (100.0, 20.0), (100.0, 100.0)] {
        for queue_ms in [1.0, 3.0, 10.0] {
            for loss in [0.0, 1.0] {
                let got = alone(Spec::new(mbit, rtt_ms, queue_ms).loss(loss), 5.0, 30.0);
                println!("| {mbit} Mbit/s, {rtt_ms} ms | queue {queue_ms} ms, {loss} % | {got} |");
                assert!(got.goodput >= 0.75, "{got}");
                // quinn sends ten packets, or what fits into 2 ms, in one go: shorter queues lose some of them.
                let bursts = mbit < 50.0 && queue_ms < 10.0;
                assert!(got.retransmitted <= if bursts { 0.30 } else { 0.10 }, "{got}");
            }
        }
    }
}

#[test]
fn much_loss_is_survived() {
    for (loss, least) in [(10.0, 0.70), (15.0, 0.60), (25.0, 0.45)] {
        let got = alone(Spec::new(100.0, 100.0, 100.0).loss(loss), 5.0, 30.0);
        println!("| 100 Mbit/s, 100 ms | {loss} % | {got} |");
        assert!(got.goodput >= least, "{got}");
    }
}
