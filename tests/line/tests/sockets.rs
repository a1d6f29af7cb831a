//! On real sockets, over the WAN in a box: the controller does what it is for, and the line's queue is
//! measured, long or short. Needs root, for the namespaces.

#![allow(clippy::unwrap_used)] // a test's helpers panic like the test itself

use line::{Options, Outcome};

fn run(words: &str) -> Outcome {
    let outcome = line::run(&Options::parse(words.split_whitespace()).unwrap()).unwrap();
    assert!(outcome.void.is_empty(), "{:?}", outcome.void);
    outcome
}

#[test]
fn holdfast_fills_a_lossy_line_and_keeps_its_queue_short() {
    let outcome = run("--congestion holdfast --mbit 20 --rtt-ms 50 --loss-percent 1 --for 11 --from 4");
    assert!(outcome.share >= 0.85, "{outcome:?}");
    assert!(outcome.queue_ms.mean < 25.0, "{outcome:?}");
    assert!((0.005..0.015).contains(&outcome.path_loss), "{outcome:?}");
    assert!(outcome.retransmitted_share <= outcome.path_loss + 0.03, "{outcome:?}");
}

#[test]
fn cubic_and_tcp_share_a_clean_line_and_keep_its_queue_long() {
    let words = "--congestion cubic --beside cubic --live-kbit 400 --mbit 20 --rtt-ms 20 --for 9 --from 3";
    let outcome = run(words);
    let all = outcome.goodput_mbit + outcome.beside_mbit[0];
    assert!((0.9..0.97).contains(&(all / outcome.line_mbit)), "{outcome:?}");
    let ours = outcome.ours_of_both.unwrap();
    assert!((0.1..0.9).contains(&ours), "{outcome:?}");
    assert!(outcome.queue_ms.mean > 40.0 && outcome.queue_ms.max <= 100.0, "{outcome:?}");
    // Live data waits for the line's queue, not for the bulk's.
    let live = outcome.live.unwrap();
    assert!(live.pieces >= 4 && live.ms.p50 < 400.0, "{live:?}");
}
