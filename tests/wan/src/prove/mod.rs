//! The WAN proves itself, on this machine, between two namespaces made for it.

mod lab;
mod measure;

use serde::Serialize;

pub use lab::Lab;
pub use measure::{Goodput, blast, echo, lost, tcp};

use crate::settings::{GilbertElliott, Headroom, PathSettings, Queue, Settings};
use crate::wan::{Wan, WanError};
use std::time::Duration;

/// How far a measured figure may be from the one asked for.
pub const TOLERANCE: f64 = 0.03;

/// What was measured against what was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Of what.
    pub name: String,
    /// Asked for.
    pub asked: f64,
    /// Measured.
    pub measured: f64,
    /// In what.
    pub unit: &'static str,
    /// Processor time of the WAN's threads in percent of one core.
    pub cpu_percent: f64,
    /// How late it was, of 99 in 100 packets.
    pub late_us_p99: u64,
    /// Did it hold?
    pub ok: bool,
}

/// What a proof says.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Each figure.
    pub checks: Vec<Check>,
    /// Full-size packets carried in one direction.
    pub carried_packets_per_s: u64,
    /// Did all hold?
    pub ok: bool,
}

/// Measures everything; `tell` hears of each figure when it is there. About 20 s.
pub fn run(mut tell: impl FnMut(&Check)) -> anyhow::Result<Proof> {
    let lab = Lab::new()?;
    let mut checks = Vec::new();
    let mut keep = |check: Check| {
        tell(&check);
        checks.push(check);
    };
    let carried_packets_per_s = carried(&lab)?;
    let mut wan = lab.start(&settings(PathSettings::default()))?;
    for rtt_ms in [20, 100, 600] {
        keep(rtt(&lab, &mut wan, rtt_ms)?);
    }
    for mbit in [5, 100, 500] {
        keep(udp_rate(&lab, &mut wan, mbit)?);
        keep(tcp_rate(&lab, &mut wan, mbit)?);
    }
    keep(drops(&lab, &mut wan)?);
    drop(wan);
    keep(refusal(&lab)?);
    let ok = checks.iter().all(|check| check.ok);
    Ok(Proof { checks, carried_packets_per_s, ok })
}

/// The median round trip of an echo.
pub fn rtt(lab: &Lab, wan: &mut Wan, rtt_ms: u64) -> anyhow::Result<Check> {
    let delay = Duration::from_micros(rtt_ms * 500);
    wan.restart(&settings(PathSettings { delay, ..PathSettings::default() }))?;
    let measured = echo(lab, 40)?.as_secs_f64() * 1e3;
    check(wan, "round trip", rtt_ms as f64, measured, "ms")
}

/// What comes through of too many datagrams.
pub fn udp_rate(lab: &Lab, wan: &mut Wan, mbit: u64) -> anyhow::Result<Check> {
    wan.restart(&settings(limited(mbit)))?;
    let measured = blast(lab, mbit * 1_300_000, Duration::from_millis(1200))?;
    check(wan, "UDP", mbit as f64, measured / 1e6, "Mbit/s")
}

/// What TCP gets through, its headers counted.
pub fn tcp_rate(lab: &Lab, wan: &mut Wan, mbit: u64) -> anyhow::Result<Check> {
    wan.restart(&settings(limited(mbit)))?;
    let Goodput { wire_bps, .. } = tcp(lab, Duration::from_millis(1000), Duration::from_millis(1500))?;
    check(wan, "TCP", mbit as f64, wire_bps / 1e6, "Mbit/s")
}

/// Which of 20,000 datagrams are lost, against what the seed says. The figure is how many.
pub fn drops(lab: &Lab, wan: &mut Wan) -> anyhow::Result<Check> {
    let burst = Some(GilbertElliott::bursts(0.02, 6.0));
    let path = PathSettings { loss: 0.01, burst, delay: Duration::from_millis(5), ..PathSettings::default() };
    let wanted = Settings { seed: 42, ..settings(path) };
    wan.restart(&wanted)?;
    let (expected, found) = lost(lab, &wanted, 20_000)?;
    let check = check(wan, "seeded drops", expected.len() as f64, found.len() as f64, "packets")?;
    Ok(Check { ok: expected == found && check.ok, ..check })
}

/// A rate no machine carries must be refused. The figure is 1 if it was.
pub fn refusal(lab: &Lab) -> anyhow::Result<Check> {
    let wanted = Settings { headroom: Headroom::Measure, ..settings(limited(1_000_000)) };
    let refused = matches!(lab.start(&wanted), Err(WanError::TooFast { .. }));
    let measured = f64::from(u8::from(refused));
    let name = "1 Tbit/s refused".to_owned();
    Ok(Check { name, asked: 1.0, measured, unit: "", cpu_percent: 0.0, late_us_p99: 0, ok: refused })
}

/// Full-size packets per second from A to B.
pub fn carried(lab: &Lab) -> anyhow::Result<u64> {
    let slow = PathSettings { rate_bps: Some(1_000_000), ..PathSettings::default() };
    let wan = lab.start(&Settings { headroom: Headroom::Measure, ..settings(slow) })?;
    Ok(wan.report()?.carried_packets_per_s.unwrap_or(0))
}

/// 20 ms there and back, a queue of 50 ms.
fn limited(mbit: u64) -> PathSettings {
    PathSettings {
        delay: Duration::from_millis(10),
        rate_bps: Some(mbit * 1_000_000),
        queue: Queue::Time(Duration::from_millis(50)),
        ..PathSettings::default()
    }
}

/// In both directions, without measuring the machine.
fn settings(path: PathSettings) -> Settings {
    Settings { headroom: Headroom::Trust, ..Settings::symmetric(path) }
}

fn check(wan: &Wan, name: &str, asked: f64, measured: f64, unit: &'static str) -> anyhow::Result<Check> {
    let report = wan.report()?;
    let ways = [&report.a_to_b, &report.b_to_a];
    let cpu_ms: u64 = ways.iter().map(|way| way.cpu_ms).sum();
    let sound = ways.iter().all(|way| way.unread == 0 && way.refused == 0 && way.failed.is_none());
    Ok(Check {
        name: name.to_owned(),
        asked,
        measured,
        unit,
        cpu_percent: cpu_ms as f64 / report.seconds / 10.0,
        late_us_p99: ways.iter().map(|way| way.late_us_p99).max().unwrap_or(0),
        ok: sound && (measured - asked).abs() <= asked * TOLERANCE,
    })
}
