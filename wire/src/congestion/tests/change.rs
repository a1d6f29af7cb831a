//! A path that changes: capacity to a fifth and back, outages, a source that pauses.

use super::flow::{Flow, Load, run};
use super::path::{STREAM_BYTES, Spec, WIRE_BYTES};

/// Seconds after `from` until goodput over a few round trips is 90 % of what `mbit` can carry.
fn settles(flow: &Flow, from: f64, until: f64, mbit: f64, rtt: f64, kept: f64) -> Option<f64> {
    let span = (2.0 * rtt).max(0.3);
    let enough = 0.9 * mbit * 125e3 * kept * STREAM_BYTES / WIRE_BYTES;
    let steps = ((until - from) / 0.1) as usize;
    (0..steps)
        .map(|step| step as f64 * 0.1)
        .find(|after| flow.stats.rate(from + after, from + after + span) >= enough)
        .map(|after| after + span)
}

#[test]
fn capacity_to_a_fifth_and_back_is_followed() {
    println!(
        "| path | loss | limit | queue gone after drop | back after rise | queue while narrow |\n|---|---|---|---|---|---|"
    );
    for mbit in [5.0, 100.0, 500.0] {
        for rtt_ms in [20.0, 100.0, 200.0] {
            for loss in [0.0, 1.0] {
                let (down, back, end) = (12.0, 24.0, 34.0);
                let spec = Spec::new(mbit, rtt_ms, 100.0).loss(loss).then(down, mbit / 5.0).then(back, mbit);
                let mut flows = [Flow::ours(Load::Bulk, 0.0, end)];
                let link = run(spec, &mut flows, 0.0, end);
                let queue_ms = |from: f64, to: f64| {
                    let of = &link.queue[(from * 200.0) as usize..(to * 200.0) as usize];
                    of.iter().map(|&delay| f64::from(delay)).sum::<f64>() / of.len() as f64 * 1e3
                };
                let (rtt, kept) = (rtt_ms / 1e3, 1.0 - loss / 100.0);
                let limit = (20.0 * rtt).max(2.0);
                // The smallest window is four packets, whatever they take to pass.
                let least_ms = 4.0 * WIRE_BYTES / (mbit / 5.0 * 125.0);
                let name = format!("{mbit} Mbit/s, {rtt_ms} ms | {loss} %");
                let gone = (0..120)
                    .map(|step| f64::from(step) * 0.1)
                    .find(|after| queue_ms(down + after, down + after + 0.1) < 35.0 + least_ms)
                    .expect("the queue of the drop goes");
                let narrow =
                    settles(&flows[0], down + gone, back, mbit / 5.0, rtt, kept).expect(&name) + gone;
                let up = settles(&flows[0], back, end, mbit, rtt, kept).expect(&name);
                let standing = queue_ms(back - 5.0, back);
                println!("| {name} | {limit} s | {gone:.1} s | {up:.1} s | {standing:.0} ms |");
                assert!(
                    gone <= limit && narrow <= limit + 1.0 && up <= limit,
                    "{name}: {gone} {narrow} {up}"
                );
                assert!(standing < 35.0 + least_ms, "{name}: {standing} ms stand in the queue");
            }
        }
    }
}

/// Seconds from the heal of a 10 s outage to the first delivery, and to 85 % of the link.
fn after_outage(rtt_ms: f64, wakes: f64) -> (f64, f64) {
    let mut spec = Spec::new(50.0, rtt_ms, 100.0);
    spec.outages = vec![(10.0, 20.0)];
    let mut flows = [Flow::ours(Load::Bulk, 0.0, 40.0)];
    flows[0].wakes = wakes;
    run(spec, &mut flows, 0.0, 40.0);
    let reaches = |rate: f64| {
        let after = |bin: &i32| f64::from(*bin) * 0.1 - 20.0;
        let full = |bin: &i32| flows[0].stats.rate(f64::from(*bin) * 0.1, f64::from(*bin) * 0.1 + 0.1) > rate;
        (200..400).find(full).as_ref().map_or(f64::INFINITY, after) + 0.1
    };
    (reaches(0.0), reaches(0.85 * 50.0 * 125e3))
}

#[test]
fn after_an_outage_sending_resumes_within_a_second() {
    println!(
        "| round trip | first, full while the application writes | first, full on probe timeouts alone |\n|---|---|---|"
    );
    for rtt_ms in [20.0, 100.0, 600.0] {
        let (first, full) = after_outage(rtt_ms, 0.1);
        let (first_alone, full_alone) = after_outage(rtt_ms, f64::INFINITY);
        println!("| {rtt_ms} ms | {first:.1} s, {full:.1} s | {first_alone:.1} s, {full_alone:.1} s |");
        assert!(first <= 1.0 && full <= 3.0, "{rtt_ms} ms: {first} {full}");
    }
}

#[test]
fn a_camera_does_not_make_us_forget_the_line() {
    for rtt_ms in [20.0, 100.0] {
        let live = Load::Live { rate: 125e3, from: 8.0, until: 68.0 };
        let mut flows = [Flow::ours(live, 0.0, 72.0)];
        let link = run(Spec::new(100.0, rtt_ms, 100.0), &mut flows, 8.5, 72.0);
        let stats = &flows[0].stats;
        assert!(stats.rate(30.0, 60.0) > 0.95 * 125e3, "the camera gets through");
        assert!(stats.rate(69.0, 70.0) > 0.88 * 12.5e6, "{rtt_ms}: {}", stats.rate(69.0, 70.0) / 125e3);
        let queued = link.queue.iter().fold(0.0f32, |longest, &delay| longest.max(delay));
        println!(
            "camera, {rtt_ms} ms: {:.1} Mbit/s in the second second, queue at most {:.0} ms",
            stats.rate(69.0, 70.0) / 125e3,
            queued * 1e3
        );
        assert!(queued < 0.1, "the backlog after it overflows nothing");
        assert!(flows[0].estimate().is_some_and(|estimate| estimate.rate > 0.9 * 12.0e6));
    }
}

#[test]
fn the_ceiling_holds() {
    for mbit in [20.0, 80.0] {
        let ceiling = Some((mbit * 125e3) as u64);
        let mut flows = [Flow::limited(ceiling, Load::Bulk, 0.0, 30.0)];
        let link = run(Spec::new(100.0, 50.0, 100.0).loss(0.5), &mut flows, 5.0, 30.0);
        let got = flows[0].stats.rate(5.0, 30.0) / 125e3;
        let queue_ms = link.queue.iter().sum::<f32>() / link.queue.len() as f32 * 1e3;
        println!("ceiling {mbit} Mbit/s: {got:.1} Mbit/s of stream, queue {queue_ms:.1} ms");
        assert!(got <= mbit && got > 0.92 * mbit && queue_ms < 1.0);
    }
}
