//! Every number of the transport, each with its reason, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::congestion::HoldfastConfig;

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Bytes in flight on all streams, all of which may be waiting in memory for a slow disk: 64 streams of
    /// 1 MiB. Enough for 5 Gbit/s at 100 ms.
    pub receive_window: u32,
    /// Bytes written but not yet acknowledged, per connection. As the receive window: less would throttle
    /// it, more would only be a queue the uplink can't see into.
    pub send_window: u64,
    /// Data streams the other side may have open: about 16 for backlog, the rest for live. They are
    /// long-lived, since slots keep their peak buffers.
    pub uni_streams: u32,
    /// Control streams the other side may have open: one is used, the rest is for what is to come.
    pub bidi_streams: u32,
    /// The largest UDP payload tried: what Ethernet's 1,500 leaves of an IPv6 packet. Loopback and jumbo
    /// frames would allow more, and then a measurement would say nothing about a WAN.
    pub udp_payload_max: u16,
    /// Kernel buffers of the socket, both ways. quinn has one task draining it; the default of some 200 KiB
    /// overflows as soon as that task waits 2 ms at 1 Gbit/s. The kernel grants at most
    /// `net.core.rmem_max` and `net.core.wmem_max`.
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
            uni_streams: 64,
            bidi_streams: 4,
            udp_payload_max: 1452,
            socket_buffer_bytes: 8 << 20,
            handshakes_max: 1024,
            handshake_bytes: 64 << 10,
            reset_interval: Duration::from_millis(1),
        }
    }
}

impl Settings {
    /// As quinn wants it.
    pub fn transport(&self) -> Arc<TransportConfig> {
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
            // Nothing we say may be lost, so nothing goes into datagrams.
            .datagram_receive_buffer_size(None);
        match self.congestion {
            Congestion::Cubic => config.congestion_controller_factory(Arc::new(CubicConfig::default())),
            Congestion::Holdfast { ceiling } => {
                config.congestion_controller_factory(Arc::new(HoldfastConfig { ceiling }))
            }
        };
        Arc::new(config)
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
        assert!(settings.uni_streams * settings.stream_receive_window <= settings.receive_window);
    }
}
