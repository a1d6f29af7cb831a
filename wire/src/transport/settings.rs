//! Every number of the transport, each with its reason, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::congestion::{HoldfastConfig, Pace};

/// Which congestion controller paces a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// Our delivery-rate model; see `docs/design/congestion.md`.
    Holdfast {
        /// Bytes a second (of UDP payload) that are never exceeded over a round trip: a contracted rate.
        ceiling: Option<u64>,
    },
    /// quinn's own CUBIC, for lines that lose nothing.
    Cubic,
}

impl Default for Congestion {
    /// Ours, as fast as the line allows. At 100 Mbit/s, 100 ms and 0.1 % loss CUBIC keeps 5 % of the line.
    fn default() -> Self {
        Self::Holdfast { ceiling: None }
    }
}

/// How a connection behaves. Both sides use the same; [`Settings::default`] is what is measured and shipped.
///
/// What is left at quinn's default, and why:
/// * segmentation offload both ways (GSO, GRO): quinn uses it where the kernel has it, and gives it up where
///   a network card refuses it;
/// * the round trip assumed before one is measured (333 ms): the first handshake packet is repeated after a
///   second, and dials overlap anyway;
/// * MTU discovery from 1,200 bytes on, anew every 10 min, and back to 1,200 when larger packets vanish;
/// * fairness among streams of one priority: without it quinn does not interrupt a stream that has data, not
///   even for a higher priority, and live would wait for backlog;
/// * acknowledgements as the receiver likes (every second packet, or once for what the kernel delivers
///   together, and within 25 ms): asking for fewer would blind the congestion controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Who decides how much may be in flight.
    pub congestion: Congestion,
    /// A packet at least this often. It keeps NAT bindings open (some forget UDP after 30 s, the worst
    /// after 10 s) and lets a lost one or two of them not look like the end: idle timeout ÷ 3.
    pub keep_alive: Duration,
    /// Silence after which the connection is given up. Long enough for a router's reboot of a few seconds
    /// or a line that re-synchronises; short enough that redialling begins before anybody asks.
    pub idle_timeout: Duration,
    /// Bytes in flight on one stream. quinn kills the whole connection when a stream has more than 1,024
    /// chunks out of order; 1 MiB is at most about 900 packets, so a queue overflow can't get there.
    /// Throughput over long paths comes from many streams, not from a larger window.
    pub stream_receive_window: u32,
    /// Bytes in flight on all streams, all of which may be waiting in memory for a slow disk. Twice what the
    /// backlog's streams can have, so that they leave room for live ones. Enough for 5 Gbit/s at 100 ms.
    pub receive_window: u32,
    /// Bytes written but not yet acknowledged, per connection. As the receive window: less would throttle
    /// it, more would only be a queue the uplink can't see into.
    pub send_window: u64,
    /// Streams that a site's backlog may use. Each loss stops its stream's window until it is made good:
    /// at the earliest 1.3 round trips after it was sent (`time_threshold`), so a stream carries 1 MiB in
    /// 2.3 round trips, and where a retransmission is lost too, in 3.6. 500 Mbit/s at 200 ms with 1 % loss,
    /// where every stream loses something in every round trip, takes 28 streams; 32 carry 75 % of it even if
    /// every other loss were double. How many are used depends on the line: see the uplink's backlog.
    pub backlog_streams: u16,
    /// Data streams the other side may have open: 32 for backlog, the rest for live, one for each stream of
    /// each camera. They are long-lived, since slots keep their peak buffers.
    pub uni_streams: u32,
    /// Control streams the other side may have open: one is used, the rest is for what is to come.
    pub bidi_streams: u32,
    /// The largest UDP payload tried: what Ethernet's 1,500 leaves of an IPv6 packet. Loopback and jumbo
    /// frames would allow more, and then a measurement would say nothing about a WAN.
    pub udp_payload_max: u16,
    /// How many later packets must have arrived before one that is missing counts as lost. Not three, as the
    /// RFCs begin with: a line that lets one packet in a hundred arrive 5 ms late does so over 43 others at
    /// 100 Mbit/s, and 215 at 500, and sending those again is bytes and, to CUBIC, half the rate. So time
    /// decides; this is for lines faster than we know.
    pub packet_threshold: u32,
    /// …and how long after it was sent, in round trips, if a later one has arrived: a little over RFC 8985's
    /// quarter of a round trip. 5 ms of disorder are no loss from 20 ms on. It costs a sixth of a round trip more than
    /// quinn's 9/8 until a real loss is made good, and where few packets are in flight (5 Mbit/s at 20 ms: 9)
    /// less than waiting for three more.
    pub time_threshold: f32,
    /// Kernel buffers of the socket, both ways. quinn has one task draining it; the default of some 200 KiB
    /// overflows as soon as that task waits 2 ms at 1 Gbit/s. `buffers` asks for them as root if it can.
    pub socket_buffer_bytes: usize,
    /// Handshakes the hub holds that it has neither accepted nor refused yet. A site dials once; more than
    /// this many at once is a flood, and the surplus is refused unheard.
    pub handshakes_max: usize,
    /// Bytes held for each and for all of those handshakes; a ClientHello is under 2 KiB.
    pub handshake_bytes: u64,
    /// The least time between two resets a hub sends for connections it does not know. A hub that restarts
    /// has one for each site to send; at quinn's 20 ms the last of 1,000 sites would be told after 20 s, and
    /// has waited out its idle timeout by then. A reset is shorter than what it answers, and what it answers
    /// must carry an id of ours: a thousand a second are of no use to an attacker.
    pub reset_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            congestion: Congestion::default(),
            keep_alive: Duration::from_secs(4),
            idle_timeout: Duration::from_secs(12),
            stream_receive_window: 1 << 20,
            receive_window: 64 << 20,
            send_window: 64 << 20,
            backlog_streams: 32,
            uni_streams: 256,
            bidi_streams: 4,
            udp_payload_max: 1452,
            packet_threshold: 1024,
            time_threshold: 1.3,
            socket_buffer_bytes: 8 << 20,
            handshakes_max: 1024,
            handshake_bytes: 64 << 10,
            reset_interval: Duration::from_millis(1),
        }
    }
}

/// What IPv6 and UDP add to a packet; over IPv4 it is 28. DSL and tunnels add their own, which nobody here knows.
const PACKET_HEADERS: f64 = 48.0;
/// What QUIC adds to a stream's bytes in a packet: header, frame and authentication.
const QUIC_OVERHEAD: f64 = 36.0;

impl Settings {
    /// Bytes of UDP payload a second that fill a line of `bits` a second, if packets are full.
    pub fn udp_rate(&self, bits: f64) -> f64 {
        let payload = f64::from(self.udp_payload_max);
        bits / 8.0 * payload / (payload + PACKET_HEADERS)
    }

    /// Bits a second on the line, headers and all, of so many bytes of UDP payload a second.
    pub fn line_bits(&self, udp: f64) -> f64 {
        let payload = f64::from(self.udp_payload_max);
        udp * 8.0 * (payload + PACKET_HEADERS) / payload
    }

    /// What streams carry in so many bytes of UDP payload.
    pub fn stream_rate(&self, udp: f64) -> f64 {
        let payload = f64::from(self.udp_payload_max);
        udp * (payload - QUIC_OVERHEAD) / payload
    }

    /// As quinn wants it; a controller of ours says at `pace` how far apart packets are to leave.
    pub fn transport(&self, pace: &Arc<Pace>) -> TransportConfig {
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(self.udp_payload_max);
        let idle_ms = u32::try_from(self.idle_timeout.as_millis()).unwrap_or(u32::MAX);
        let mut config = TransportConfig::default();
        config
            .keep_alive_interval(Some(self.keep_alive))
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_ms))))
            .stream_receive_window(VarInt::from_u32(self.stream_receive_window))
            .receive_window(VarInt::from_u32(self.receive_window))
            .send_window(self.send_window)
            .max_concurrent_uni_streams(VarInt::from_u32(self.uni_streams))
            .max_concurrent_bidi_streams(VarInt::from_u32(self.bidi_streams))
            .mtu_discovery_config(Some(mtu))
            .packet_threshold(self.packet_threshold)
            .time_threshold(self.time_threshold)
            // Nothing we say may be lost, so nothing goes into datagrams.
            .datagram_receive_buffer_size(None);
        match self.congestion {
            Congestion::Cubic => config.congestion_controller_factory(Arc::new(CubicConfig::default())),
            Congestion::Holdfast { ceiling } => config
                .congestion_controller_factory(Arc::new(HoldfastConfig { ceiling, pace: Arc::clone(pace) })),
        };
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_fit_each_other() {
        let settings = Settings::default();
        // The smallest packet QUIC sends in bulk carries some 1,150 bytes of a stream.
        assert!(settings.stream_receive_window / 1150 < 1024, "a stream could gather too many gaps");
        assert!(settings.keep_alive * 3 <= settings.idle_timeout, "two lost packets would end a connection");
        let backlog = u32::from(settings.backlog_streams);
        assert!(backlog * settings.stream_receive_window * 2 <= settings.receive_window);
        assert!(u64::from(settings.receive_window) <= settings.send_window);
        assert!(settings.uni_streams >= backlog + 128, "64 cameras with two streams each");
    }

    /// What the backlog's streams carry, in Mbit/s, if each one's window is filled once in so many round trips.
    fn carried_mbit(settings: &Settings, rtt_ms: f64, round_trips: f64) -> f64 {
        let window = f64::from(settings.backlog_streams) * f64::from(settings.stream_receive_window);
        window * 8.0 / 1e6 / (round_trips * rtt_ms / 1e3)
    }

    #[test]
    fn long_fast_lossy_lines_are_not_limited_by_windows() {
        let settings = Settings::default();
        let mended = 1.0 + f64::from(settings.time_threshold);
        // Without loss, and with a loss in every stream's every window.
        assert!(carried_mbit(&settings, 200.0, 1.0) >= 500.0 * 1.25);
        assert!(carried_mbit(&settings, 200.0, mended) >= 500.0);
        // With every other of these lost twice.
        assert!(carried_mbit(&settings, 200.0, mended + 1.3 / 2.0) >= 500.0 * 0.75);
        // The slow ends of what is promised.
        assert!(carried_mbit(&settings, 600.0, mended + 1.3) >= 50.0);
    }

    #[test]
    fn a_contracted_rate_is_not_passed() {
        let settings = Settings::default();
        // 1,500 bytes of each packet are on the line, 1,452 of them UDP's payload, and 1,416 ours.
        assert!((settings.udp_rate(12e6) - 1.452e6).abs() < 1.0);
        assert!((settings.line_bits(1.452e6) - 12e6).abs() < 10.0);
        assert!((settings.stream_rate(1.452e6) - 1.416e6).abs() < 1.0);
    }

    #[test]
    fn a_little_disorder_is_no_loss() {
        let settings = Settings::default();
        let late = Duration::from_millis(5);
        for (mbit, rtt_ms) in [(100.0, 20), (500.0, 20), (100.0, 100), (500.0, 200)] {
            let overtaking = mbit * 1e6 / 8.0 / f64::from(settings.udp_payload_max) * late.as_secs_f64();
            assert!(overtaking < f64::from(settings.packet_threshold), "{overtaking} packets overtake");
            let rtt = Duration::from_millis(rtt_ms);
            assert!(rtt + late < rtt.mul_f32(settings.time_threshold), "at {rtt:?}");
        }
    }
}
