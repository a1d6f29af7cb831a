//! On which way a beat goes to one voter. Pure: it is told what happened and when.
//!
//! QUIC carries every beat. TCP stands beside it, for networks that let UDP through until they don't: it takes
//! over as soon as beats were not acked for a second, and is tried out by one beat now and then until then.

use std::time::{Duration, Instant};

/// Beats not acked for so long go over TCP too: two of them, at half a second each. A voter hears again well
/// before its shortest timer (2 s, `docs/design/quorum.md`) is over.
const PATIENCE_MIN: Duration = Duration::from_secs(1);
/// Beyond the time between two beats.
const PATIENCE_MORE: Duration = Duration::from_millis(500);
/// A way that isn't needed carries a beat so often, as QUIC does a packet: it keeps routers' memories of it, and
/// shows that it stands.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// A way on which nothing is acked for so long is given up, as QUIC does.
const IDLE_MAX: Duration = Duration::from_secs(12);

/// How a beat travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A stream of a QUIC connection.
    Quic,
    /// A TLS connection of its own.
    Tcp,
}

/// One opening of a way: a later one replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Clone, Copy, Debug)]
struct Open {
    ticket: Ticket,
    /// When the hub last acked, or the way was opened.
    acked: Instant,
    /// When a beat last went.
    said: Option<Instant>,
}

/// The ways to one voter.
#[derive(Debug)]
pub(super) struct Ways {
    patience: Duration,
    quic: Option<Open>,
    tcp: Option<Open>,
    tickets: u64,
    /// The highest number this voter has acked, on whatever way.
    acked: u64,
}

impl Ways {
    /// No way yet to a voter that is told something `every` so often.
    pub(super) fn new(every: Duration) -> Self {
        let patience = PATIENCE_MIN.max(every + PATIENCE_MORE);
        Self { patience, quic: None, tcp: None, tickets: 0, acked: 0 }
    }

    pub(super) fn opened(&mut self, way: Way, now: Instant) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        *self.way(way) = Some(Open { ticket, acked: now, said: None });
        ticket
    }

    pub(super) fn closed(&mut self, way: Way, ticket: Ticket) {
        let open = self.way(way);
        if open.is_some_and(|open| open.ticket == ticket) {
            *open = None;
        }
    }

    /// The voter has read what had this number.
    pub(super) fn acked(&mut self, way: Way, ticket: Ticket, number: u64, now: Instant) {
        self.acked = self.acked.max(number);
        if let Some(open) = self.way(way).as_mut().filter(|open| open.ticket == ticket) {
            open.acked = now;
        }
    }

    /// The highest number this voter has acked.
    pub(super) fn highest_acked(&self) -> u64 {
        self.acked
    }

    /// A beat went on this way.
    pub(super) fn said(&mut self, way: Way, now: Instant) {
        if let Some(open) = self.way(way) {
            open.said = Some(now);
        }
    }

    /// Does a beat that is new to this way go on it now?
    pub(super) fn takes(&self, way: Way, now: Instant) -> bool {
        let due = |open: Open| open.said.is_none_or(|said| now.saturating_duration_since(said) >= KEEP_ALIVE);
        match way {
            Way::Quic => true,
            Way::Tcp => !self.is_quic_heard(now) || self.tcp.is_some_and(due),
        }
    }

    /// When a way that takes no beat now may have to, though there is no newer one.
    pub(super) fn next_look(&self, way: Way, now: Instant) -> Option<Instant> {
        match (way, self.quic) {
            (Way::Tcp, Some(quic)) => Some(quic.acked + self.patience).filter(|at| *at > now),
            _ => None,
        }
    }

    /// Is this way of no use any more?
    pub(super) fn is_dead(&self, way: Way, now: Instant) -> bool {
        let open = match way {
            Way::Quic => self.quic,
            Way::Tcp => self.tcp,
        };
        open.is_some_and(|open| now.saturating_duration_since(open.acked) >= IDLE_MAX)
    }

    /// Does the voter hear us over QUIC, as far as is known?
    pub(super) fn is_quic_heard(&self, now: Instant) -> bool {
        self.quic.is_some_and(|quic| now.saturating_duration_since(quic.acked) < self.patience)
    }

    /// Does the voter hear us at all?
    pub(super) fn is_heard(&self, now: Instant) -> bool {
        let heard = |open: Option<Open>| {
            open.is_some_and(|open| now.saturating_duration_since(open.acked) < KEEP_ALIVE + self.patience)
        };
        self.is_quic_heard(now) || heard(self.tcp)
    }

    fn way(&mut self, way: Way) -> &mut Option<Open> {
        match way {
            Way::Quic => &mut self.quic,
            Way::Tcp => &mut self.tcp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(500);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Both ways stand since `now`, and QUIC's first beat was acked then.
    fn standing(now: Instant) -> (Ways, Ticket, Ticket) {
        let mut ways = Ways::new(BEAT);
        let quic = ways.opened(Way::Quic, now);
        let tcp = ways.opened(Way::Tcp, now);
        ways.said(Way::Tcp, now);
        ways.acked(Way::Quic, quic, 1, now);
        (ways, quic, tcp)
    }

    #[test]
    fn tcp_takes_over_a_second_after_the_last_ack_and_hands_back_at_the_next() {
        let began = wire::clock::now();
        let (mut ways, quic, _) = standing(began);
        assert!(!ways.takes(Way::Tcp, began + ms(999)));
        assert_eq!(ways.next_look(Way::Tcp, began), Some(began + ms(1000)));
        assert!(ways.takes(Way::Tcp, began + ms(1000)));
        assert_eq!(ways.next_look(Way::Tcp, began + ms(1000)), None, "beats are all it waits for now");
        assert!(
            ways.takes(Way::Quic, began + ms(5000)),
            "QUIC is always tried: that is how its return is seen"
        );
        ways.acked(Way::Quic, quic, 9, began + ms(5000));
        ways.said(Way::Tcp, began + ms(4500));
        assert!(!ways.takes(Way::Tcp, began + ms(5001)));
    }

    #[test]
    fn without_quic_tcp_takes_every_beat() {
        let began = wire::clock::now();
        let (mut ways, quic, _) = standing(began);
        ways.closed(Way::Quic, quic);
        assert!(ways.takes(Way::Tcp, began));
    }

    #[test]
    fn a_replaced_way_neither_closes_nor_acks_for_the_later_one() {
        let began = wire::clock::now();
        let (mut ways, first, _) = standing(began);
        let second = ways.opened(Way::Quic, began);
        ways.closed(Way::Quic, first);
        ways.acked(Way::Quic, first, 7, began + ms(2000));
        assert_eq!(ways.highest_acked(), 7, "the voter has read it all the same");
        assert!(!ways.is_quic_heard(began + ms(2000)));
        ways.acked(Way::Quic, second, 8, began + ms(2000));
        assert!(ways.is_quic_heard(began + ms(2000)));
    }

    #[test]
    fn a_tcp_way_that_is_not_needed_is_tried_out_every_four_seconds_and_given_up_after_twelve() {
        let began = wire::clock::now();
        let (mut ways, quic, tcp) = standing(began);
        ways.acked(Way::Quic, quic, 8, began + ms(4000));
        assert!(ways.takes(Way::Tcp, began + ms(4000)));
        ways.said(Way::Tcp, began + ms(4000));
        ways.acked(Way::Tcp, tcp, 8, began + ms(4100));
        assert!(!ways.takes(Way::Tcp, began + ms(4500)));
        assert!(!ways.is_dead(Way::Tcp, began + ms(16_000)));
        assert!(ways.is_dead(Way::Tcp, began + ms(16_100)));
    }

    #[test]
    fn rare_beats_are_not_taken_for_lost_ones() {
        let began = wire::clock::now();
        let mut ways = Ways::new(ms(10_000));
        let quic = ways.opened(Way::Quic, began);
        ways.opened(Way::Tcp, began);
        ways.acked(Way::Quic, quic, 1, began);
        assert!(ways.is_quic_heard(began + ms(10_400)));
        assert!(!ways.is_quic_heard(began + ms(10_500)));
    }
}
