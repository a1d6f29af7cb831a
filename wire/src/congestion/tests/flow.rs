//! A sender and its receiver over a [`Link`], in virtual time: what quinn (or a kernel) does around a
//! congestion controller. Pacing, acknowledging every second packet, packet- and time-threshold loss
//! detection and probe timeouts follow quinn-proto 0.11.19.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::model::{Estimate, Model};
use super::path::{Fate, Link, PACKET_BYTES, STREAM_BYTES, Spec, WIRE_BYTES};
use super::rivals::{Bbr, Cubic};

/// Who decides how much may be in flight.
pub(super) enum Control {
    Ours(Box<Model>),
    Cubic(Cubic),
    Bbr(Bbr),
}

/// What there is to send.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Load {
    /// More than the path can take.
    Bulk,
    /// Bulk, but from one time to the other only this many bytes a second: a camera.
    Live { rate: f64, from: f64, until: f64 },
}

/// A camera's frame interval.
const FRAME: f64 = 0.04;

/// A packet on its way.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: f64,
    received: bool,
    /// Delivered bytes, and when they were, as it was sent: a rate sample of BBR.
    pub(super) delivered: f64,
    pub(super) delivered_at: f64,
}

struct Ack {
    at: f64,
    largest: u64,
}

/// One connection.
pub(super) struct Flow {
    pub(super) control: Control,
    load: Load,
    from: f64,
    until: f64,
    /// Packets of `first..`, None when settled.
    packets: VecDeque<Option<Sent>>,
    first: u64,
    largest_acked: Option<u64>,
    acks: VecDeque<Ack>,
    /// Received but not yet acknowledged: how many, when the delay runs out, the largest.
    unacked: (u32, f64, u64),
    in_flight: u64,
    srtt: f64,
    rttvar: f64,
    latest_rtt: f64,
    last_sent: f64,
    pto_count: u32,
    probes: u32,
    tokens: f64,
    tokens_at: f64,
    pacer_window: u64,
    capacity: f64,
    paced_until: f64,
    app_limited: bool,
    app_credit: f64,
    app_at: f64,
    frames: u32,
    delivered: f64,
    delivered_at: f64,
    /// The application writes something at least this often, which makes quinn look at the window.
    pub(super) wakes: f64,
    pub(super) stats: Stats,
}

/// What is counted.
#[derive(Default)]
pub(super) struct Stats {
    pub(super) sent: u64,
    pub(super) lost: u64,
    /// Stream bytes that reached the other side for the first time, by 100 ms of arrival of their ack.
    pub(super) goodput: Vec<f64>,
}

pub(super) const BIN: f64 = 0.1;

impl Stats {
    fn credit(&mut self, now: f64, bytes: f64) {
        let bin = (now / BIN) as usize;
        if self.goodput.len() <= bin {
            self.goodput.resize(bin + 1, 0.0);
        }
        self.goodput[bin] += bytes;
    }

    /// Stream bytes a second from `from` to `to`.
    pub(super) fn rate(&self, from: f64, to: f64) -> f64 {
        let bins = (from / BIN).round() as usize..(to / BIN).round() as usize;
        self.goodput.iter().take(bins.end).skip(bins.start).sum::<f64>() / (to - from)
    }
}

impl Flow {
    pub(super) fn new(control: Control, load: Load, from: f64, until: f64) -> Self {
        Self {
            control,
            load,
            from,
            until,
            packets: VecDeque::new(),
            first: 0,
            largest_acked: None,
            acks: VecDeque::new(),
            unacked: (0, f64::INFINITY, 0),
            in_flight: 0,
            srtt: 0.333,
            rttvar: 0.166,
            latest_rtt: 0.0,
            last_sent: from,
            pto_count: 0,
            probes: 0,
            tokens: 10.0 * PACKET_BYTES as f64,
            tokens_at: from,
            pacer_window: 0,
            capacity: 10.0 * PACKET_BYTES as f64,
            paced_until: from,
            app_limited: false,
            app_credit: 0.0,
            app_at: from,
            frames: 0,
            delivered: 0.0,
            delivered_at: from,
            wakes: f64::INFINITY,
            stats: Stats::default(),
        }
    }

    pub(super) fn ours(load: Load, from: f64, until: f64) -> Self {
        Self::limited(None, load, from, until)
    }

    /// Ours, with a ceiling.
    pub(super) fn limited(ceiling: Option<u64>, load: Load, from: f64, until: f64) -> Self {
        Self::new(Control::Ours(Box::new(Model::new(PACKET_BYTES, ceiling))), load, from, until)
    }

    /// What our model believes.
    pub(super) fn estimate(&self) -> Option<Estimate> {
        if let Control::Ours(model) = &self.control { Some(model.estimate()) } else { None }
    }

    /// The share of what was sent that was given up as lost.
    pub(super) fn retransmitted(&self) -> f64 {
        self.stats.lost as f64 / self.stats.sent.max(1) as f64
    }

    fn window(&self, now: f64) -> u64 {
        match &self.control {
            Control::Ours(model) => model.window_at(at(now)),
            Control::Cubic(cubic) => cubic.window(),
            Control::Bbr(bbr) => bbr.window(now),
        }
    }

    fn has_data(&self) -> bool {
        !self.live(self.app_at) || self.app_credit >= PACKET_BYTES as f64
    }

    /// When this flow next has something to do.
    pub(super) fn next(&self, spec: &Spec) -> f64 {
        let mut next = f64::INFINITY;
        if let Some(ack) = self.acks.front() {
            next = next.min(ack.at);
        } else if self.unacked.0 > 0 {
            next = next.min(return_at(spec, self.unacked.1));
        }
        if let Some(timer) = self.timer() {
            next = next.min(timer);
        }
        if self.last_event_is_start() {
            return next.min(self.from);
        }
        if self.paced_until > self.app_at {
            next = next.min(self.paced_until);
        }
        if self.load != Load::Bulk {
            next = next.min(f64::from(self.frames + 1) * FRAME);
        }
        next.min(self.app_at + self.wakes)
    }

    fn live(&self, now: f64) -> bool {
        matches!(self.load, Load::Live { from, until, .. } if (from..until).contains(&now))
    }

    fn last_event_is_start(&self) -> bool {
        self.stats.sent == 0 && !self.live(self.from)
    }

    fn oldest(&self) -> Option<(u64, &Sent)> {
        self.packets.iter().enumerate().find_map(|(i, sent)| Some((self.first + i as u64, sent.as_ref()?)))
    }

    /// Loss timer if a packet older than the largest acknowledged waits, else the probe timeout.
    fn timer(&self) -> Option<f64> {
        let (number, oldest) = self.oldest()?;
        if self.largest_acked.is_some_and(|largest| number < largest) {
            return Some(oldest.at + self.loss_delay());
        }
        Some(self.last_sent + self.pto() * f64::from(1u32 << self.pto_count.min(16)))
    }

    fn loss_delay(&self) -> f64 {
        (self.srtt.max(self.latest_rtt) * 9.0 / 8.0).max(0.001)
    }

    fn pto(&self) -> f64 {
        self.srtt + (4.0 * self.rttvar).max(0.001) + 0.025
    }

    /// Does what is due at `now`.
    pub(super) fn run(&mut self, now: f64, link: &mut Link) {
        self.app(now);
        if self.unacked.0 > 0 && self.acks.is_empty() && return_at(link.spec(), self.unacked.1) <= now {
            self.flush(self.unacked.1, link);
        }
        while self.acks.front().is_some_and(|ack| ack.at <= now) {
            let ack = self.acks.pop_front().expect("just seen");
            if !link.out(now) {
                self.on_ack(now, ack.largest);
            }
        }
        if self.timer().is_some_and(|timer| timer <= now) {
            let (number, _) = self.oldest().expect("the timer is of a packet");
            if self.largest_acked.is_some_and(|largest| number < largest) {
                self.detect_losses(now);
            } else {
                self.probes = 2;
                self.pto_count += 1;
            }
        }
        self.send(now, link);
    }

    fn app(&mut self, now: f64) {
        while f64::from(self.frames + 1) * FRAME <= now {
            self.frames += 1;
            if let Load::Live { rate, .. } = self.load
                && self.live(now)
            {
                self.app_credit += FRAME * rate;
            }
        }
        self.app_at = now;
    }

    fn send(&mut self, now: f64, link: &mut Link) {
        if now < self.from || now >= self.until {
            return;
        }
        let mut blocked = false;
        while self.has_data() || self.probes > 0 {
            if self.probes > 0 {
                self.probes -= 1;
            } else if self.in_flight + PACKET_BYTES >= self.window(now) || !self.paced(now) {
                blocked = true;
                break;
            }
            self.transmit(now, link);
        }
        self.app_limited = !blocked;
    }

    /// Whether the pacer lets a packet go; else it sets when.
    fn paced(&mut self, now: f64) -> bool {
        let rate = match &self.control {
            // A kernel's CUBIC is not paced.
            Control::Cubic(_) => return true,
            Control::Bbr(bbr) => bbr.pacing_rate(),
            Control::Ours(_) => 1.25 * self.window(now) as f64 / self.srtt,
        };
        let window = self.window(now);
        if window != self.pacer_window {
            let packet = PACKET_BYTES as f64;
            self.capacity = (window as f64 * 0.002 / self.srtt).clamp(10.0 * packet, 256.0 * packet);
            self.tokens = self.tokens.min(self.capacity);
            self.pacer_window = window;
        }
        let packet = PACKET_BYTES as f64;
        if self.tokens >= packet {
            return true;
        }
        self.tokens = (self.tokens + rate * (now - self.tokens_at)).min(self.capacity);
        self.tokens_at = now;
        if self.tokens >= packet {
            return true;
        }
        self.paced_until = now + (packet.max(self.capacity) - self.tokens) / rate;
        false
    }

    fn transmit(&mut self, now: f64, link: &mut Link) {
        let number = self.first + self.packets.len() as u64;
        let fate = link.offer(now, WIRE_BYTES);
        let sent = Sent {
            at: now,
            received: fate != Fate::Lost,
            delivered: self.delivered,
            delivered_at: self.delivered_at.max(if self.in_flight == 0 { now } else { 0.0 }),
        };
        self.packets.push_back(Some(sent));
        self.in_flight += PACKET_BYTES;
        self.tokens = (self.tokens - PACKET_BYTES as f64).max(0.0);
        self.app_credit = (self.app_credit - PACKET_BYTES as f64).max(0.0);
        self.last_sent = now;
        self.stats.sent += 1;
        if let Control::Ours(model) = &mut self.control {
            model.on_sent(at(now), PACKET_BYTES);
        }
        if let Fate::Received(time) = fate {
            self.receive(time, number, link);
        }
    }

    /// The receiver's side: an acknowledgement for every second packet, at a gap at once, else after 25 ms.
    fn receive(&mut self, time: f64, number: u64, link: &Link) {
        let (count, deadline, largest) = self.unacked;
        if count > 0 && deadline < time {
            self.flush(deadline, link);
        }
        let gap = count > 0 && largest + 1 != number;
        let waiting = self.unacked.0;
        self.unacked =
            (waiting + 1, if waiting == 0 { time + 0.025 } else { self.unacked.1.min(time + 0.025) }, number);
        // Two, or what one receive call of a busy socket brings.
        let enough = if link.spec().rate[0].1 > 30e6 { 8 } else { 2 };
        if gap || self.unacked.0 >= enough {
            self.flush(time, link);
        }
    }

    fn flush(&mut self, time: f64, link: &Link) {
        self.acks.push_back(Ack { at: return_at(link.spec(), time), largest: self.unacked.2 });
        self.unacked = (0, f64::INFINITY, 0);
    }

    fn on_ack(&mut self, now: f64, largest: u64) {
        if self.largest_acked.is_some_and(|before| before >= largest) {
            return;
        }
        let mut newest = None;
        let mut acked = 0u64;
        for number in self.first.max(self.largest_acked.unwrap_or(0))..=largest {
            let index = (number - self.first) as usize;
            let Some(sent) = self.packets[index] else { continue };
            if !sent.received {
                continue;
            }
            self.packets[index] = None;
            acked += 1;
            newest = Some(sent);
            self.in_flight -= PACKET_BYTES;
            if let Control::Ours(model) = &mut self.control {
                model.on_ack(at(now), at(sent.at), PACKET_BYTES, self.app_limited);
            }
        }
        self.largest_acked = Some(largest);
        let Some(newest) = newest else { return };
        self.stats.credit(now, acked as f64 * STREAM_BYTES);
        self.delivered += (acked * PACKET_BYTES) as f64;
        self.delivered_at = now;
        self.update_rtt(now - newest.at);
        let rate = (self.delivered - newest.delivered) / (now - newest.delivered_at).max(1e-6);
        match &mut self.control {
            Control::Ours(model) => model.on_end_acks(at(now), self.in_flight, self.app_limited),
            Control::Cubic(cubic) => cubic.on_ack(now, newest.at, acked as f64, self.srtt, now - newest.at),
            Control::Bbr(bbr) => bbr.on_ack(now, &newest, rate, self.delivered, self.in_flight),
        }
        self.detect_losses(now);
        self.pto_count = 0;
    }

    fn update_rtt(&mut self, rtt: f64) {
        if self.latest_rtt == 0.0 {
            (self.srtt, self.rttvar) = (rtt, rtt / 2.0);
        } else {
            self.rttvar = 0.75 * self.rttvar + 0.25 * (self.srtt - rtt).abs();
            self.srtt = 0.875 * self.srtt + 0.125 * rtt;
        }
        self.latest_rtt = rtt;
    }

    fn detect_losses(&mut self, now: f64) {
        let Some(largest) = self.largest_acked else { return };
        let delay = self.loss_delay();
        let persistent_after = self.pto() * 3.0;
        let (mut lost, mut first_at, mut last_at) = (0u64, f64::INFINITY, 0.0f64);
        for index in 0..(largest - self.first) as usize {
            let Some(sent) = self.packets[index] else { continue };
            if self.first + index as u64 + 3 > largest && now - sent.at < delay - 1e-9 {
                continue;
            }
            self.packets[index] = None;
            lost += 1;
            (first_at, last_at) = (first_at.min(sent.at), last_at.max(sent.at));
            if sent.received {
                // Given up although it arrived: what is sent again arrives twice.
                self.stats.credit(now, -STREAM_BYTES);
            }
        }
        while self.packets.front().is_some_and(Option::is_none) {
            self.packets.pop_front();
            self.first += 1;
        }
        if lost == 0 {
            return;
        }
        self.stats.lost += lost;
        self.in_flight -= lost * PACKET_BYTES;
        self.app_credit += (lost * PACKET_BYTES) as f64;
        let persistent = last_at - first_at > persistent_after && lost > 10;
        match &mut self.control {
            Control::Ours(model) => model.on_loss(at(now), at(last_at), lost * PACKET_BYTES, persistent),
            Control::Cubic(cubic) => cubic.on_loss(now, last_at),
            // It does not answer to losses.
            Control::Bbr(_) => {}
        }
    }
}

fn return_at(spec: &Spec, received: f64) -> f64 {
    let at = received + spec.rtt;
    if spec.aggregation > 0.0 { (at / spec.aggregation).ceil() * spec.aggregation } else { at }
}

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Runs all flows over one link until `end`; the queue is sampled from `sample_from` on.
pub(super) fn run(spec: Spec, flows: &mut [Flow], sample_from: f64, end: f64) -> Link {
    let mut link = Link::new(spec, sample_from);
    run_on(&mut link, flows, end);
    link
}

/// Goes on until `end`.
pub(super) fn run_on(link: &mut Link, flows: &mut [Flow], end: f64) {
    loop {
        let (now, index) = flows
            .iter()
            .enumerate()
            .map(|(index, flow)| (flow.next(link.spec()), index))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .expect("somebody sends");
        if now >= end {
            link.advance(end);
            return;
        }
        flows[index].run(now, link);
    }
}
