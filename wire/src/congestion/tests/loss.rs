//! Random loss: the matrix of rates, round trips and losses.

use super::alone;
use super::path::Spec;

#[test]
fn random_loss_costs_little_more_than_what_is_lost() {
    println!(
        "| path | loss | goodput | from cold | queue, mean | 95 % | retransmitted |\n|---|---|---|---|---|---|---|"
    );
    for mbit in [5.0, 100.0, 500.0] {
        for rtt_ms in [20.0, 100.0, 200.0] {
            for loss in [0.0, 0.1, 1.0, 5.0] {
                let end = if mbit > 200.0 { 12.0 } else { 30.0 };
                let got = alone(Spec::new(mbit, rtt_ms, 100.0).loss(loss), 5.0, end);
                let name = format!("{mbit} Mbit/s, {rtt_ms} ms | {loss} %");
                println!("| {name} | {got} |");
                let least = if loss > 1.0 { 0.75 } else { 0.90 };
                assert!(got.goodput >= least, "{name}: {got}");
                assert!(got.queue_mean_ms < 25.0, "{name}: {got}");
                assert!(got.retransmitted <= loss / 100.0 + 0.03, "{name}: {got}");
            }
        }
    }
}

#[test]
fn a_satellite_link_is_filled_too() {
    for loss in [0.0, 0.5, 1.0, 5.0] {
        let got = alone(Spec::new(50.0, 600.0, 100.0).loss(loss), 20.0, 60.0);
        println!("| 50 Mbit/s, 600 ms | {loss} % | {got} |");
        if loss <= 1.0 {
            assert!(got.cold >= 0.80, "{loss} %: {got}");
        }
        assert!(got.goodput >= 0.75, "{loss} %: {got}");
        assert!(got.queue_mean_ms < 25.0 && got.retransmitted <= loss / 100.0 + 0.03, "{loss} %: {got}");
    }
}

#[test]
fn loss_in_bursts_is_random_loss_too() {
    for (to_good, share) in [(0.05, 0.01), (0.01, 0.05)] {
        let mut spec = Spec::new(100.0, 100.0, 100.0);
        spec.bursts = Some(super::path::Bursts { to_bad: 0.001, to_good, loss: 0.5 });
        let got = alone(spec, 5.0, 30.0);
        println!("| 100 Mbit/s, 100 ms | bursts, {} % | {got} |", share * 100.0);
        assert!(got.goodput >= if share > 0.01 { 0.75 } else { 0.88 }, "{got}");
        assert!(got.queue_mean_ms < 25.0 && got.retransmitted <= share + 0.03, "{got}");
    }
}
