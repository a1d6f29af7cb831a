//! [`Model`] as quinn wants it, and what it believes as status wants it.
//!
//! Thin on purpose: it turns instants into durations since the connection began, and publishes the model's
//! estimate after every acknowledgement. All decisions are the model's.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics};

use super::model::{Estimate, INITIAL_PACKETS, Model, Phase};
use super::pace::Pace;
use crate::clock;

/// Makes a controller for every connection and path; `TransportConfig::congestion_controller_factory` takes
/// it.
#[derive(Clone, Debug, Default)]
pub struct HoldfastConfig {
    /// Bytes a second (of UDP payload) that are never exceeded over a round trip: a contracted rate.
    pub ceiling: Option<u64>,
    /// Where it says how far apart packets are to leave.
    pub pace: Arc<Pace>,
}

impl ControllerFactory for HoldfastConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Holdfast {
            model: Model::new(u64::from(current_mtu), self.ceiling),
            began: now,
            metrics: Arc::default(),
            pace: Arc::clone(&self.pace),
        })
    }
}

/// The controller of one path.
#[derive(Clone, Debug)]
pub struct Holdfast {
    model: Model,
    began: Instant,
    metrics: Arc<Metrics>,
    pace: Arc<Pace>,
}

impl Holdfast {
    /// What it believes, now and later: the handle stays good, and up to date, while the path lives.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    fn publish(&self) {
        self.metrics.publish(&self.model.estimate());
        self.pace.set(self.model.pace());
    }

    fn since(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.began)
    }
}

/// The handle of `connection`'s current path; None if another controller is in use. After a migration or
/// `path_changed` ask again.
pub fn metrics(connection: &quinn::Connection) -> Option<Arc<Metrics>> {
    let ours = connection.congestion_state().into_any().downcast::<Holdfast>().ok()?;
    Some(ours.metrics())
}

impl Controller for Holdfast {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        self.model.on_sent(self.since(now), bytes);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        _rtt: &quinn_proto::RttEstimator,
    ) {
        self.model.on_ack(self.since(now), self.since(sent), bytes, app_limited);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, _largest: Option<u64>) {
        self.model.on_end_acks(self.since(now), in_flight, app_limited);
        self.publish();
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost_bytes: u64) {
        if lost_bytes == 0 {
            self.model.on_mark(self.since(now));
        } else {
            self.model.on_loss(self.since(now), self.since(sent), lost_bytes, persistent);
        }
        self.publish();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.model.set_packet(u64::from(new_mtu));
    }

    /// quinn does not say what time it is here, and silence must be noticed here: nothing else is called
    /// while nothing arrives.
    fn window(&self) -> u64 {
        self.model.window_at(self.since(clock::now()))
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.model.window();
        metrics.pacing_rate = Some((self.model.estimate().rate * 8.0) as u64);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_PACKETS as u64 * 1200
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// A path's estimate, written by its connection's driver and read by anybody.
///
/// The numbers are stored one by one: a reader may see some of one acknowledgement and some of the next.
#[derive(Debug, Default)]
pub struct Metrics {
    rate: AtomicU64,
    min_rtt_us: AtomicU64,
    queue_us: AtomicU64,
    loss_ppm: AtomicU64,
    window: AtomicU64,
    phase: AtomicU8,
}

impl Metrics {
    fn publish(&self, estimate: &Estimate) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.rate.store(estimate.rate as u64, Relaxed);
        self.min_rtt_us.store(micros(estimate.min_rtt), Relaxed);
        self.queue_us.store(micros(estimate.queue), Relaxed);
        self.loss_ppm.store((estimate.loss * 1e6) as u64, Relaxed);
        self.window.store(estimate.window, Relaxed);
        self.phase.store(estimate.phase as u8, Relaxed);
    }

    /// What was published last; all zero before the first acknowledgement.
    pub fn get(&self) -> Estimate {
        Estimate {
            rate: self.rate.load(Relaxed) as f64,
            min_rtt: Duration::from_micros(self.min_rtt_us.load(Relaxed)),
            queue: Duration::from_micros(self.queue_us.load(Relaxed)),
            loss: self.loss_ppm.load(Relaxed) as f64 / 1e6,
            window: self.window.load(Relaxed),
            phase: phase(self.phase.load(Relaxed)),
        }
    }
}

fn phase(number: u8) -> Phase {
    let all = [Phase::Startup, Phase::Drain, Phase::Cruise, Phase::Probe, Phase::Compete];
    all.into_iter().find(|&phase| phase as u8 == number).unwrap_or(Phase::Startup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quinn_can_drive_it_and_status_can_read_it() {
        let now = clock::now();
        let factory = Arc::new(HoldfastConfig { ceiling: Some(1_000_000), ..HoldfastConfig::default() });
        let mut controller = factory.build(now, 1200);
        assert_eq!(controller.window(), controller.initial_window());
        let handle = controller.clone_box().into_any().downcast::<Holdfast>().unwrap().metrics();
        controller.on_sent(now, 12_000, 9);
        controller.on_end_acks(now + Duration::from_millis(50), 0, false, Some(9));
        controller.on_congestion_event(now + Duration::from_millis(60), now, false, 1200);
        controller.on_mtu_update(1452);
        assert_eq!(handle.get().window, controller.window());
        assert!(handle.get().loss > 0.0);
        assert_eq!(handle.get().phase, Phase::Startup);
    }
}
