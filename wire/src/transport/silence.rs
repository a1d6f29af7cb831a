//! A path that has gone silent: notice at once when it is back.
//!
//! quinn's own probes get rarer the longer nothing is acknowledged: after 10 s of silence the next is up to
//! 10 s away, and until something of ours arrives the other side has nothing to acknowledge. So while we wait
//! for an answer, something small is said four times a second. The first that gets through is acknowledged a
//! round trip later, everything swallowed before is known as lost, and sending goes on.
//!
//! quinn has no `ping` to call. What does the same is to grant the other side one byte more of the
//! connection's window and to take it back (it is taken out of later grants): quinn then owes the other side
//! a frame of ten bytes that asks for an acknowledgement, and looks once more at what else it may send. A full
//! congestion window must let it pass; [`crate::congestion`] does, as often.
//!
//! It costs four packets a second of some 40 bytes in an outage, or as much of what waits as fits into them,
//! and nothing otherwise.

use std::time::{Duration, Instant};

use quinn::{Connection, VarInt};

use super::settings::Settings;
use crate::clock;

/// How often a silent path is looked at. An outage is over at most this, a round trip and one packet's way
/// before it is noticed: far less than a second.
const EVERY: Duration = Duration::from_millis(250);
/// What an answer may take beyond a round trip before the path counts as silent. quinn's first two probes,
/// which need no help, fall into it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Watches `connection`, which was made with `settings`, until it ends.
pub async fn probe_silence(connection: &Connection, settings: &Settings) {
    let mut silence = Silence::new(clock::now());
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let window = settings.receive_window;
    while connection.close_reason().is_none() {
        looks.tick().await;
        let stats = connection.stats();
        if silence.look(clock::now(), stats.udp_rx.datagrams, stats.path.sent_packets, stats.path.rtt) {
            connection.set_receive_window(VarInt::from_u32(window.saturating_add(1)));
            connection.set_receive_window(VarInt::from_u32(window));
        }
    }
}

/// Tells silence from having nothing to say. Pure.
#[derive(Debug)]
struct Silence {
    /// Datagrams heard, and packets sent by then.
    heard: u64,
    sent: u64,
    /// Since when an answer is awaited.
    since: Instant,
}

impl Silence {
    fn new(now: Instant) -> Self {
        Self { heard: 0, sent: 0, since: now }
    }

    /// Is something to be said, to find out whether it gets through?
    fn look(&mut self, now: Instant, heard: u64, sent: u64, rtt: Duration) -> bool {
        if heard != self.heard || sent == self.sent {
            // They speak, or nobody does.
            *self = Self { heard, sent, since: now };
            return false;
        }
        now.saturating_duration_since(self.since) > PATIENCE + rtt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    /// When a path that is as `path` says is probed, looked at for two seconds: `path` gives, for a look's
    /// number, what was heard and sent until then.
    fn probes(path: impl Fn(u64) -> (u64, u64)) -> Vec<u64> {
        let began = clock::now();
        let mut silence = Silence::new(began);
        let at = |look: u64| began + EVERY * u32::try_from(look).unwrap();
        (0..8)
            .filter(|&look| {
                let (heard, sent) = path(look);
                silence.look(at(look), heard, sent, RTT)
            })
            .collect()
    }

    #[test]
    fn a_path_that_answers_is_left_alone() {
        assert!(probes(|look| (3 + look, 4 + 2 * look)).is_empty());
    }

    #[test]
    fn nobody_is_silent_who_was_asked_nothing() {
        assert!(probes(|_| (3, 4)).is_empty());
    }

    #[test]
    fn a_path_that_stops_answering_is_probed_until_it_answers() {
        // Heard until look 2, and again from look 7 on; what is sent grows by the probes alone.
        let heard = |look: u64| if look < 7 { look.min(2) } else { look };
        assert_eq!(probes(|look| (heard(look), 10 + look)), [5, 6]);
    }
}
