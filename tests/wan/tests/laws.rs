//! What holds for a path whatever comes: its laws, on random traffic in virtual time.

use std::time::Duration;

use proptest::prelude::*;
use wan::{
    CapacityStep, Cause, GilbertElliott, Jitter, Losses, Outage, Path, PathSettings, Policer, Queue, Reorder,
    Verdict,
};

/// A packet: when, how large.
type Traffic = Vec<(Duration, u32)>;

/// What came out: which, when.
type Out = Vec<(usize, Duration)>;

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn traffic() -> impl Strategy<Value = Traffic> {
    // Bursts and pauses: gaps from nothing to 5 ms.
    let gap = prop_oneof![3 => Just(0), 3 => 0..200_u64, 1 => 0..5_000_u64];
    prop::collection::vec((gap, 20..=1500_u32), 1..400).prop_map(|packets| {
        let mut now = 0;
        let arrive = |(gap, bytes)| {
            now += gap;
            (micros(now), bytes)
        };
        packets.into_iter().map(arrive).collect()
    })
}

prop_compose! {
    fn ordered()(
        delay_us in 0..50_000_u64,
        jitter_us in prop::option::of(0..30_000_u64),
        rate in 100_000..200_000_000_u64,
        steps in prop::collection::vec((1..20_000_u64, prop_oneof![1 => Just(0), 4 => 100_000..200_000_000_u64]), 0..6),
        queue in prop_oneof![(0..200_000_u64).prop_map(Queue::Bytes), (0..100_000_u64).prop_map(|us| Queue::Time(micros(us)))],
        loss in 0.0..0.3,
        burst in prop::option::of((0.001..0.2, 1.0..10.0).prop_map(|(share, length)| GilbertElliott::bursts(share, length))),
        policer in prop::option::of((100_000..50_000_000_u64, 1500..50_000_u64)),
        outage in prop::option::of((0..50_000_u64, 0..50_000_u64)),
    ) -> PathSettings {
        let mut at = 0;
        let mut capacity: Vec<_> = steps.into_iter().map(|(gap, rate_bps)| {
            at += gap;
            CapacityStep { at: micros(at), rate_bps }
        }).collect();
        if !capacity.is_empty() {
            // So that everything comes out in the end.
            capacity.push(CapacityStep { at: micros(at + 10_000), rate_bps: rate });
        }
        PathSettings {
            delay: micros(delay_us),
            jitter: jitter_us.map(|us| Jitter { max: micros(us), reorders: false }),
            rate_bps: Some(rate),
            capacity,
            queue,
            loss,
            burst,
            reorder: None,
            policer: policer.map(|(rate_bps, burst_bytes)| Policer { rate_bps, burst_bytes }),
            outages: outage.map(|(at, length)| Outage { at: micros(at), length: micros(length) }).into_iter().collect(),
        }
    }
}

/// Runs the traffic through, asking at the times the path names.
fn run(settings: &PathSettings, seed: u64, traffic: &Traffic) -> (Vec<Verdict>, Out) {
    let mut path = Path::new(settings.clone(), seed);
    let (mut verdicts, mut out) = (Vec::new(), Vec::new());
    for (number, (at, bytes)) in traffic.iter().enumerate() {
        while let Some(due) = path.poll_timeout().filter(|due| due < at) {
            out.extend(
                std::iter::from_fn(|| path.pop(due)).map(|departure| (departure.packet, departure.due)),
            );
        }
        verdicts.push(path.push(*at, *bytes, number));
    }
    while let Some(due) = path.poll_timeout() {
        out.extend(std::iter::from_fn(|| path.pop(due)).map(|departure| (departure.packet, departure.due)));
    }
    assert_eq!(path.packets_inside(), 0);
    (verdicts, out)
}

/// Bits that the settings allow between two times.
fn allowed_bits(settings: &PathSettings, from: Duration, to: Duration) -> f64 {
    let mut edges: Vec<_> =
        settings.capacity.iter().map(|step| step.at).filter(|at| *at > from && *at < to).collect();
    edges.insert(0, from);
    edges.push(to);
    let rate = |at| {
        let step = settings.capacity.iter().rev().find(|step| step.at <= at);
        step.map_or(settings.rate_bps.expect("a rate"), |step| step.rate_bps) as f64
    };
    edges.windows(2).map(|edge| rate(edge[0]) * edge[1].saturating_sub(edge[0]).as_secs_f64()).sum()
}

fn taken(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| **verdict == Verdict::Taken).count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn order_is_kept_and_nothing_vanishes(settings in ordered(), traffic in traffic(), seed: u64) {
        settings.check().unwrap();
        let (verdicts, out) = run(&settings, seed, &traffic);
        prop_assert_eq!(out.len(), taken(&verdicts));
        prop_assert!(out.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1));
    }

    #[test]
    fn nothing_is_early(settings in ordered(), traffic in traffic(), seed: u64) {
        for (number, due) in run(&settings, seed, &traffic).1 {
            let (at, bytes) = traffic[number];
            prop_assert!(due >= at + settings.delay);
            let bits = allowed_bits(&settings, at, due - settings.delay);
            prop_assert!(bits >= f64::from(bytes * 8) - 1.0, "{} bits in the time of {}", bits, bytes * 8);
        }
    }

    #[test]
    fn the_rate_is_never_exceeded(mut settings in ordered(), traffic in traffic(), seed: u64) {
        // With a constant delay, packets leave the path as they left the link.
        settings.jitter = None;
        let (_, out) = run(&settings, seed, &traffic);
        for (first, (_, from)) in out.iter().enumerate() {
            let mut bits = 0.0;
            for (number, until) in &out[first + 1..] {
                bits += f64::from(traffic[*number].1 * 8);
                let allowed = allowed_bits(&settings, *from - settings.delay, *until - settings.delay);
                prop_assert!(bits <= allowed + 1.0, "{} bits where {} are allowed", bits, allowed);
            }
        }
    }

    #[test]
    fn the_rate_is_used_while_packets_wait(rate in 100_000..1_000_000_000_u64, sizes in prop::collection::vec(20..=1500_u32, 1..300)) {
        let settings = PathSettings { rate_bps: Some(rate), queue: Queue::Bytes(u64::MAX), ..PathSettings::default() };
        let traffic: Traffic = sizes.iter().map(|bytes| (Duration::ZERO, *bytes)).collect();
        let (_, out) = run(&settings, 0, &traffic);
        let bits: u32 = sizes.iter().map(|bytes| bytes * 8).sum();
        let ideal = f64::from(bits) / rate as f64;
        let took = out.last().unwrap().1.as_secs_f64();
        prop_assert!(took >= ideal - 1e-9 && took <= ideal + 1e-9 * (sizes.len() as f64 + 1.0), "{} s, ideally {}", took, ideal);
    }

    #[test]
    fn the_queue_is_never_longer_than_stated(mut settings in ordered(), traffic in traffic(), seed: u64) {
        settings.capacity.clear();
        settings.jitter = None;
        let rate = settings.rate_bps.unwrap();
        let limit = match settings.queue {
            Queue::Bytes(bytes) => Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64),
            Queue::Time(time) => time,
        };
        let packet = Duration::from_secs_f64(1500.0 * 8.0 / rate as f64);
        let rounding = Duration::from_nanos(traffic.len() as u64 + 2);
        for (number, due) in run(&settings, seed, &traffic).1 {
            // Behind a full queue and the packet that is being sent, then itself.
            prop_assert!(due <= traffic[number].0 + limit + 2 * packet + settings.delay + rounding);
        }
    }

    #[test]
    fn the_queue_is_what_a_packet_waits(rate in 100_000..200_000_000_u64, traffic in traffic()) {
        let settings = PathSettings { rate_bps: Some(rate), queue: Queue::Bytes(u64::MAX), ..PathSettings::default() };
        let mut path = Path::new(settings, 0);
        let told: Vec<_> = traffic.iter().enumerate().map(|(number, (at, bytes))| {
            let queue = path.queue(*at).unwrap();
            path.push(*at, *bytes, number);
            queue
        }).collect();
        let sending = |bytes: u32| Duration::from_secs_f64(f64::from(bytes) * 8.0 / rate as f64);
        let rounding = Duration::from_nanos(traffic.len() as u64 + 2);
        while let Some(out) = path.poll_timeout().and_then(|due| path.pop(due)) {
            let (at, bytes) = traffic[out.packet];
            let waited = out.due - at;
            let least = told[out.packet] + sending(bytes);
            // Besides, the rest of the packet that was being sent.
            prop_assert!(waited + rounding >= least && waited <= least + sending(1500) + rounding, "{:?} {:?}", waited, least);
        }
        prop_assert_eq!(path.queue(Duration::from_secs(1000)), Some(Duration::ZERO));
    }

    #[test]
    fn the_same_seed_does_the_same(mut settings in ordered(), traffic in traffic(), seed: u64, late_us in 1..20_000_u64) {
        settings.reorder = Some(Reorder { share: 0.1, by: micros(3000) });
        let (verdicts, out) = run(&settings, seed, &traffic);
        prop_assert_eq!((&verdicts, &out), (&run(&settings, seed, &traffic).0, &run(&settings, seed, &traffic).1));
        // And asking late, at the arrivals only and long after, changes nothing but the time of asking.
        let mut path = Path::new(settings, seed);
        let mut lazily = Vec::new();
        for (number, (at, bytes)) in traffic.iter().enumerate() {
            prop_assert_eq!(path.push(*at, *bytes, number), verdicts[number]);
        }
        let mut now = traffic.last().unwrap().0;
        while path.packets_inside() > 0 {
            now += micros(late_us);
            lazily.extend(std::iter::from_fn(|| path.pop(now)).map(|departure| (departure.packet, departure.due)));
        }
        prop_assert_eq!(lazily, out);
    }

    #[test]
    fn chance_looks_at_the_number_of_a_packet_only(settings in ordered(), traffic in traffic(), seed: u64) {
        let mut losses = Losses::new(seed);
        for verdict in run(&settings, seed, &traffic).0 {
            let lost = losses.next(&settings);
            match verdict {
                Verdict::Dropped(Cause::Loss | Cause::Burst) => prop_assert!(lost),
                Verdict::Dropped(Cause::Cut) => {}
                _ => prop_assert!(!lost),
            }
        }
    }

    #[test]
    fn a_policer_passes_its_burst_and_its_rate(rate in 100_000..50_000_000_u64, burst in 1500..50_000_u64, traffic in traffic()) {
        let settings = PathSettings { policer: Some(Policer { rate_bps: rate, burst_bytes: burst }), ..PathSettings::default() };
        let (verdicts, _) = run(&settings, 0, &traffic);
        let passed: Vec<_> = traffic.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Taken).map(|(packet, _)| *packet).collect();
        for (first, (from, _)) in passed.iter().enumerate() {
            let mut bits = 0;
            for (at, bytes) in &passed[first..] {
                bits += u64::from(bytes * 8);
                let allowed = burst as f64 * 8.0 + rate as f64 * (*at - *from).as_secs_f64();
                prop_assert!(bits as f64 <= allowed + 1.0);
            }
        }
    }

    #[test]
    fn what_is_inside_survives_a_change(before in ordered(), after in ordered(), traffic in traffic(), seed: u64, without_rate: bool) {
        let after = if without_rate { PathSettings { rate_bps: None, capacity: Vec::new(), ..after } } else { after };
        let mut path = Path::new(before, seed);
        let middle = traffic.len() / 2;
        let mut verdicts = Vec::new();
        let mut out = Vec::new();
        for (number, (at, bytes)) in traffic.iter().enumerate() {
            if number == middle {
                path.reconfigure(*at, after.clone());
            }
            verdicts.push(path.push(*at, *bytes, number));
        }
        while let Some(due) = path.poll_timeout() {
            out.extend(std::iter::from_fn(|| path.pop(due)).map(|departure| departure.packet));
        }
        prop_assert_eq!(out.len(), taken(&verdicts));
        prop_assert!(out.is_sorted());
    }
}

#[test]
fn outages_and_cuts_take_what_arrives_and_nothing_else() {
    let outages = [(10, 5), (20, 1)].map(|(at, length)| Outage { at: micros(at), length: micros(length) });
    let settings = PathSettings { outages: outages.into(), delay: micros(100), ..PathSettings::default() };
    let traffic: Traffic = (0..30).map(|at| (micros(at), 100)).collect();
    let (_, out) = run(&settings, 0, &traffic);
    let expected: Vec<usize> = (0..10).chain(15..20).chain(21..30).collect();
    assert_eq!(out.iter().map(|(number, _)| *number).collect::<Vec<_>>(), expected);

    let mut path = Path::new(settings, 0);
    assert_eq!(path.push(micros(1), 100, 1), Verdict::Taken);
    path.cut();
    assert_eq!(path.push(micros(2), 100, 2), Verdict::Dropped(Cause::Cut));
    path.heal();
    assert_eq!(path.push(micros(3), 100, 3), Verdict::Taken);
    assert_eq!(path.pop(micros(101)).map(|out| out.packet), Some(1));
    assert_eq!(path.pop(micros(200)).map(|out| out.packet), Some(3));
}

#[test]
fn a_line_that_stands_still_has_no_queue_in_time() {
    let stop = CapacityStep { at: Duration::from_secs(1), rate_bps: 0 };
    let settings =
        PathSettings { rate_bps: Some(1_000_000), capacity: vec![stop], ..PathSettings::default() };
    let mut path = Path::new(settings, 0);
    for number in 0..3 {
        path.push(Duration::from_millis(999), 1250, number);
    }
    assert_eq!(path.queue(Duration::from_millis(999)), Some(Duration::from_millis(20)));
    assert_eq!(path.queue(Duration::from_secs(2)), None);
}

#[test]
fn reordering_is_as_asked() {
    let reorder = Some(Reorder { share: 0.02, by: micros(500) });
    let settings = PathSettings { delay: micros(1000), reorder, ..PathSettings::default() };
    let traffic: Traffic = (0..10_000).map(|number| (micros(number * 100), 1000)).collect();
    let (_, out) = run(&settings, 3, &traffic);
    let late = out.iter().filter(|(number, due)| *due == traffic[*number].0 + micros(1500)).count();
    let punctual = out.iter().filter(|(number, due)| *due == traffic[*number].0 + micros(1000)).count();
    assert_eq!(late + punctual, 10_000);
    assert!((150..250).contains(&late), "{late} fell back");
    assert!(!out.is_sorted_by_key(|(number, _)| *number));
}

#[test]
fn jitter_fills_its_range() {
    for reorders in [false, true] {
        let jitter = Some(Jitter { max: micros(20_000), reorders });
        let settings = PathSettings { delay: micros(10_000), jitter, ..PathSettings::default() };
        let traffic: Traffic = (0..40_000).map(|number| (micros(number * 100), 1000)).collect();
        let (_, out) = run(&settings, 3, &traffic);
        let mut delays: Vec<_> = out.iter().map(|(number, due)| *due - traffic[*number].0).collect();
        delays.sort();
        let at = |share: usize| delays[share * (delays.len() - 1) / 100].as_secs_f64() * 1e3;
        assert!(at(0) >= 10.0 && at(100) <= 30.0, "{} to {}", at(0), at(100));
        assert!(at(5) < 16.0 && at(95) > 24.0, "{} to {}", at(5), at(95));
        assert!((at(50) - 20.0).abs() < 2.5, "median {}", at(50));
        assert_eq!(out.is_sorted_by_key(|(number, _)| *number), !reorders);
    }
}

#[test]
fn senseless_settings_are_told() {
    let told = |settings: PathSettings, text: &str| {
        let said = settings.check().unwrap_err().to_string();
        assert!(said.contains(text), "{said}");
    };
    told(PathSettings { loss: 1.5, ..Default::default() }, "loss is 1.5");
    told(PathSettings { rate_bps: Some(0), ..Default::default() }, "rate is 0");
    told(
        PathSettings { policer: Some(Policer { rate_bps: 1, burst_bytes: 10 }), ..Default::default() },
        "burst",
    );
    let step = CapacityStep { at: micros(1), rate_bps: 1 };
    told(PathSettings { rate_bps: Some(1), capacity: vec![step, step], ..Default::default() }, "ascend");
    told(PathSettings { capacity: vec![step], ..Default::default() }, "needs a rate");
}
