//! The goals, over a model of the path.
mod flow;
mod path;
mod rivals;

use flow::{Control, Flow, Load, run};
use path::Spec;

fn alone(name: &str, spec: Spec, from: f64, end: f64) {
    let mbit = spec.rate[0].1 / 125e3;
    let mut flows = [Flow::ours(Load::Bulk, 0.0, end)];
    let start = std::time::Duration::ZERO; let _ = start;
    let link = run(spec, &mut flows, from, end);
    let mut q = link.queue.clone();
    q.sort_by(f32::total_cmp);
    let stats = &flows[0].stats;
    let mean = q.iter().map(|x| *x as f64).sum::<f64>() / q.len() as f64;
    println!("{name:40} good {:5.1} % cold {:5.1} % queue mean {:5.1} p50 {:5.1} p95 {:5.1} ms retrans {:5.2} %", 
      stats.rate(from, end) / 125e3 / mbit * 100.0, stats.rate(0.0, end) / 125e3 / mbit * 100.0, mean*1e3, q[q.len()/2]*1e3, q[q.len()*95/100]*1e3,
      stats.lost as f64 / stats.sent as f64 * 100.0);
    if let Control::Ours(m) = &flows[0].control { println!("      {}", m.trace()); }
}


#[test]
fn explore() {
    for mbit in [5.0, 100.0, 500.0] { for rtt in [20.0, 100.0, 200.0] { for loss in [0.0, 0.1, 1.0, 5.0] {
        let end = if mbit > 200.0 { 12.0 } else { 30.0 };
        alone(&format!("{mbit} Mbit/s {rtt} ms {loss} %"), Spec::new(mbit, rtt, 100.0).loss(loss), 5.0, end);
    }}}
    for loss in [0.0, 0.5, 1.0, 5.0] {
        alone(&format!("50 Mbit/s 600 ms {loss} %"), Spec::new(50.0, 600.0, 100.0).loss(loss), 20.0, 80.0);
    }
}

fn rival(kind: &str) -> Control {
    match kind { "cubic" => Control::Cubic(rivals::Cubic::new()), "bbr" => Control::Bbr(rivals::Bbr::new()), _ => Control::Ours(Box::new(super::model::Model::new(1452, None))) }
}

fn beside(kind: &str, spec: Spec, rival_at: f64, ours_at: f64) {
    let mbit = spec.rate[0].1 / 125e3;
    let name = format!("{mbit} M {} ms queue {:.0} ms {kind} at {rival_at}, ours at {ours_at}", spec.rtt*1e3, spec.queue_bytes/spec.rate[0].1*1e3);
    let end = 60.0;
    let mut flows = [Flow::ours(Load::Bulk, ours_at, 90.0), Flow::new(rival(kind), Load::Bulk, rival_at, end)];
    let link = run(spec, &mut flows, 20.0, 90.0);
    let q = link.queue.iter().take(8000).map(|x| *x as f64).sum::<f64>() / 8000.0;
    let (a, b) = (flows[0].stats.rate(20.0, end), flows[1].stats.rate(20.0, end));
    let after = flows[0].stats.rate(70.0, 90.0)/125e3/mbit;
    let qa = link.queue.iter().skip(10000).map(|x| *x as f64).sum::<f64>() / 4000.0;
    let by10: Vec<String> = (0..9).map(|i| format!("{:.0}", flows[0].stats.rate(i as f64*10.0, i as f64*10.0+10.0)/125e3)).collect();
    println!("{name:50} share {:4.0} % used {:4.1} % queue {:.0} retrans {:.2}/{:.2} % | after {:.1} % q {:.1} | {}", a/(a+b)*100.0, (a+b)/125e3/mbit*100.0, q*1e3, flows[0].stats.lost as f64/flows[0].stats.sent as f64*100.0,flows[1].stats.lost as f64/flows[1].stats.sent as f64*100.0, after*100.0, qa*1e3, by10.join(" "));
    if let Control::Ours(m) = &flows[0].control { println!("      {}", m.trace()); }
}

#[test]
fn explore_rivals() {
  for kind in ["cubic", "bbr", "ours"] {
    for (mbit, rtt) in [(100.0, 50.0), (20.0, 50.0), (100.0, 20.0), (50.0, 100.0)] {
    for queue in [25.0, 50.0, 100.0, 250.0] {
        beside(kind, Spec::new(mbit, rtt, queue), 5.0, 0.0);
        beside(kind, Spec::new(mbit, rtt, queue), 0.0, 5.0);
    }}
  }
}

fn change(name: &str, spec: Spec, at: f64, to: f64, back: f64) {
    let rtt = spec.rtt; let mbit = spec.rate[0].1/125e3;
    let spec = spec.then(at, to).then(back, mbit);
    let end = back + 30.0;
    let mut flows = [Flow::ours(Load::Bulk, 0.0, end)];
    let link = run(spec, &mut flows, 0.0, end);
    let s = &flows[0].stats;
    let settle = |from: f64, until: f64, target: f64| {
        let w = (2.0*rtt).max(0.3);
        let mut t = from;
        while t < until { if s.rate(t, t + w) >= 0.9*0.954*target*125e3 {
            return t + w - from; } t += 0.1; }
        f64::NAN };
    let qs = |from: f64, to: f64| { let v: Vec<f32> = link.queue[(from/0.005) as usize..(to/0.005) as usize].to_vec(); v.iter().sum::<f32>()/v.len() as f32*1e3 };
    // the queue gone
    let mut tq = at; while tq < back && qs(tq, tq+0.1) > 30.0 { tq += 0.1 }
    println!("{name:30} limit {:.1} down: rate in {:.2} s, queue gone in {:.2} s; up in {:.2} s; steady down {:.1} % q {:.1}; steady up {:.1} % q {:.1} retrans {:.2} %", (20.0*rtt).max(2.0), settle(at, back, to), tq - at, settle(back, end, mbit),
      s.rate(back-10.0, back)/125e3/to*100.0, qs(back-10.0, back), s.rate(end-10.0,end)/125e3/mbit*100.0, qs(end-10.0,end), s.lost as f64/s.sent as f64*100.0);
    if let Control::Ours(m) = &flows[0].control { println!("      {}", m.trace()); }
}

#[test]
fn explore_change() {
    for mbit in [5.0, 100.0, 500.0] { for rtt in [20.0, 100.0, 200.0, 600.0] { for loss in [0.0, 1.0] {
      if mbit < 200.0 || rtt < 600.0 {
      change(&format!("{mbit} M {rtt} ms {loss} %"), Spec::new(mbit, rtt, 100.0).loss(loss), 20.0, mbit/5.0, 40.0); }
    }}}
}

#[test]
fn explore_odd() {
    for (mbit, rtt) in [(5.0, 50.0), (100.0, 20.0), (100.0, 100.0)] {
    for j in [5.0, 20.0] { let mut s = Spec::new(mbit, rtt, 100.0).loss(0.5); s.jitter = j/1e3; alone(&format!("{mbit} M {rtt} jitter {j}"), s, 5.0, 30.0); }
    for j in [5.0, 20.0, 50.0] { let mut s = Spec::new(mbit, rtt, 100.0).loss(0.5); s.aggregation = j/1e3; alone(&format!("{mbit} M {rtt} aggregation {j}"), s, 5.0, 30.0); }
    for b in [32e3, 128e3, 1e6] { let mut s = Spec::new(mbit, rtt, 100.0); s.policer = Some(path::Policer { rate: 125e3*mbit/2.0, burst: b }); alone(&format!("{mbit} M {rtt} policer half, burst {b}"), s, 5.0, 30.0); }
    for q in [1.0, 3.0, 10.0] { alone(&format!("{mbit} M {rtt} queue {q} ms"), Spec::new(mbit, rtt, q), 5.0, 30.0); 
       alone(&format!("{mbit} M {rtt} queue {q} ms 1 %"), Spec::new(mbit, rtt, q).loss(1.0), 5.0, 30.0); }
    { let mut s = Spec::new(mbit, rtt, 100.0); s.bursts = Some(path::Bursts { to_bad: 0.001, to_good: 0.05, loss: 0.5 }); alone(&format!("{mbit} M {rtt} bursts 1%"), s, 5.0, 30.0); }
    { let mut s = Spec::new(mbit, rtt, 100.0); s.bursts = Some(path::Bursts { to_bad: 0.001, to_good: 0.01, loss: 0.5 }); alone(&format!("{mbit} M {rtt} bursts 5%"), s, 5.0, 30.0); }
    for l in [15.0, 25.0] { alone(&format!("{mbit} M {rtt} loss {l}"), Spec::new(mbit, rtt, 100.0).loss(l), 5.0, 30.0); }
    }
    for rtt in [20.0, 100.0, 600.0] { for live in [false, true] {
        let mut s = Spec::new(50.0, rtt, 100.0); s.outages = vec![(10.0, 20.0)];
        let mut flows = [if live { Flow::ours(Load::LiveUntil(250e3, 20.01), 0.0, 40.0) } else { Flow::ours(Load::Bulk, 0.0, 40.0) }];
        run(s, &mut flows, 0.0, 40.0);
        let st = &flows[0].stats;
        let first = (200..400).find(|&b| st.rate(b as f64*0.1, b as f64*0.1+0.1) > 0.0).unwrap() as f64*0.1 - 20.0;
        let full = (200..400).find(|&b| st.rate(b as f64*0.1, b as f64*0.1+0.3) > 0.85*6.25e6).map_or(f64::NAN, |b| b as f64*0.1 - 20.0);
        println!("outage {rtt} ms live {live}: first {first:.1} s, full {full:.1} s");
    }}
    for rtt in [20.0, 100.0] {
        let mut flows = [Flow::ours(Load::Bulk, 0.0, 5.0)];
        flows[0] = Flow::ours(Load::LiveUntil(125e3, 30.0), 0.0, 60.0);
        let link = run(Spec::new(100.0, rtt, 100.0), &mut flows, 0.0, 60.0);
        let st = &flows[0].stats; let _ = link;
        println!("camera then bulk {rtt}: live {:.2} then {:.1} {:.1} {:.1} after 1,2,3 s", st.rate(5.0, 29.0)/125e3, st.rate(30.0,31.0)/125e3, st.rate(31.0,32.0)/125e3, st.rate(32.0, 33.0)/125e3);
    }
    for c in [20.0, 80.0] {
        let mut flows = [Flow::new(Control::Ours(Box::new(super::model::Model::new(1452, Some((c * 125e3) as u64)))), Load::Bulk, 0.0, 60.0)];
        let link = run(Spec::new(100.0, 50.0, 100.0), &mut flows, 0.0, 30.0);
        println!("ceiling {c}: {:.2} q {:.2}", flows[0].stats.rate(5.0, 30.0)/125e3, link.queue.iter().sum::<f32>()/link.queue.len() as f32*1e3);
    }
}
