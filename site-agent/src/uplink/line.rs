//! The line to the hub as status shows it.

use std::time::Duration;

use serde::Serialize;
use wire::congestion::{Estimate, Phase};
use wire::transport::Settings;

/// What is measured of the line, and what is held down on purpose. Rates are in bits a second.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Line {
    /// `holdfast` or `cubic`: whose figures these are.
    pub congestion: &'static str,
    /// What it carries, packets' headers and all. `cubic` does not measure it; then it is a guess.
    pub rate_bps: u64,
    /// Round trip, smoothed.
    pub rtt_us: u64,
    /// The shortest of late: without a queue.
    pub min_rtt_us: u64,
    /// What queues on the way add to it.
    pub queue_us: u64,
    /// Packets lost of a million, lately with `holdfast`, since the connection began with `cubic`.
    pub loss_ppm: u64,
    /// Bytes that may be in flight.
    pub window_bytes: u64,
    /// What the controller is doing; empty with `cubic`.
    pub phase: &'static str,
    /// What a limit of the configuration lets live parts have at this hour; null without one.
    pub live_bps_max: Option<u64>,
    /// Likewise, of backlog.
    pub backlog_bps_max: Option<u64>,
}

impl Line {
    /// `measured` is in bytes of UDP payload a second; `live` and `backlog` are in bytes of parts.
    pub(super) fn new(
        path: &quinn::PathStats,
        measured: f64,
        estimate: Option<&Estimate>,
        live: Option<f64>,
        backlog: Option<f64>,
    ) -> Self {
        let settings = Settings::default();
        let limit = |parts: f64| settings.line_bits(parts / settings.stream_rate(1.0)).round() as u64;
        let lost = path.lost_packets as f64 / path.sent_packets.max(1) as f64;
        Self {
            congestion: if estimate.is_some() { "holdfast" } else { "cubic" },
            rate_bps: settings.line_bits(measured) as u64,
            rtt_us: micros(path.rtt),
            min_rtt_us: micros(estimate.map_or(path.min_rtt, |estimate| estimate.min_rtt)),
            queue_us: micros(
                estimate.map_or(path.rtt.saturating_sub(path.min_rtt), |estimate| estimate.queue),
            ),
            loss_ppm: (estimate.map_or(lost, |estimate| estimate.loss) * 1e6) as u64,
            window_bytes: path.cwnd,
            phase: estimate.map_or("", |estimate| phase(estimate.phase)),
            live_bps_max: live.map(limit),
            backlog_bps_max: backlog.map(limit),
        }
    }
}

impl Line {
    /// Bytes of UDP payload a second that fit into so many bits a second on the line.
    pub fn udp(bits: u64) -> f64 {
        Settings::default().udp_rate(bits as f64)
    }

    /// Bytes of parts a second that fit into so many bits a second on the line.
    pub fn parts(bits: u64) -> f64 {
        let settings = Settings::default();
        settings.stream_rate(settings.udp_rate(bits as f64))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Startup => "startup",
        Phase::Drain => "drain",
        Phase::Cruise => "cruise",
        Phase::Probe => "probe",
        Phase::Compete => "compete",
    }
}
