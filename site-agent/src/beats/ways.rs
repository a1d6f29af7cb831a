//! On which way a beat goes to one voter. Pure: it is told what happened and when.
//!
//! Ways come in an order: paths as they are configured, and on each QUIC before TCP. A beat goes on the first way
//! that is heard and on all before it, since that is how their return is seen. The ways behind stand by, for
//! networks that let packets through until they don't: they take over as soon as nothing before them was acked for
//! a second, and are tried out by one beat now and then until then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Beats not acked for so long go on the ways behind too: two of them, at half a second each. A voter hears again
/// well before its shortest timer (2 s, `docs/design/quorum.md`) is over.
const PATIENCE_MIN: Duration = Duration::from_secs(1);
/// Beyond the time between two beats.
const PATIENCE_MORE: Duration = Duration::from_millis(500);
/// A way that isn't needed carries a beat so often, as QUIC does a packet: it keeps routers' memories of it, and
/// shows that it stands.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// A way on which nothing is acked for so long is given up, as QUIC does.
const IDLE_MAX: Duration = Duration::from_secs(12);
/// A session whose own way was not acked for so long moves to a path that is heard: long enough for QUIC to make a
/// few losses good, and a third of what it takes QUIC to give the path up.
const MOVE_AFTER: Duration = Duration::from_secs(4);
/// A preferred path that was heard for so long without a break is taken for mended.
const MENDED_AFTER: Duration = Duration::from_secs(10);

/// A path's place among those configured; the first is the preferred one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PathPlace(pub(crate) usize);

/// How a beat travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Carrier {
    /// A stream of a QUIC connection.
    Quic,
    /// A TLS connection of its own.
    Tcp,
}

/// Where a beat goes, and how. The lesser is the preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    /// Over which path.
    pub(crate) path: PathPlace,
    /// How.
    pub(crate) carrier: Carrier,
}

/// Why a session goes to another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It is not heard, and another path is.
    Lost,
    /// A preferred path has mended.
    Mended,
}

/// One opening of a way: a later one replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Clone, Copy, Debug)]
struct Open {
    ticket: Ticket,
    /// When the hub last acked, or the way was opened.
    acked: Instant,
    /// Since when it is acked without a break; `None` until it first was.
    heard_since: Option<Instant>,
    /// When a beat last went.
    said: Option<Instant>,
}

/// The ways to one voter.
#[derive(Debug)]
pub(super) struct Ways {
    patience: Duration,
    open: BTreeMap<Way, Open>,
    tickets: u64,
    /// The highest number this voter has acked, on whatever way.
    acked: u64,
}

impl Ways {
    /// No way yet to a voter that is told something `every` so often.
    pub(super) fn new(every: Duration) -> Self {
        let patience = PATIENCE_MIN.max(every + PATIENCE_MORE);
        Self { patience, open: BTreeMap::new(), tickets: 0, acked: 0 }
    }

    pub(super) fn opened(&mut self, way: Way, now: Instant) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.open.insert(way, Open { ticket, acked: now, heard_since: None, said: None });
        ticket
    }

    pub(super) fn closed(&mut self, way: Way, ticket: Ticket) {
        if self.open.get(&way).is_some_and(|open| open.ticket == ticket) {
            self.open.remove(&way);
        }
    }

    /// The voter has read what had this number.
    pub(super) fn acked(&mut self, way: Way, ticket: Ticket, number: u64, now: Instant) {
        self.acked = self.acked.max(number);
        let break_after = 2 * self.patience;
        if let Some(open) = self.open.get_mut(&way).filter(|open| open.ticket == ticket) {
            if now.saturating_duration_since(open.acked) >= break_after {
                open.heard_since = None;
            }
            open.heard_since.get_or_insert(now);
            open.acked = now;
        }
    }

    /// The highest number this voter has acked.
    pub(super) fn highest_acked(&self) -> u64 {
        self.acked
    }

    /// A beat went on this way.
    pub(super) fn said(&mut self, way: Way, now: Instant) {
        if let Some(open) = self.open.get_mut(&way) {
            open.said = Some(now);
        }
    }

    /// Does a beat that is new to this way go on it now?
    pub(super) fn takes(&self, way: Way, now: Instant) -> bool {
        let due =
            |open: &Open| open.said.is_none_or(|said| now.saturating_duration_since(said) >= KEEP_ALIVE);
        let needed = !self.before(way).any(|open| self.is_fresh(open, now));
        needed || self.open.get(&way).is_some_and(due)
    }

    /// When a way that takes no beat now may have to, though there is no newer one.
    pub(super) fn next_look(&self, way: Way, now: Instant) -> Option<Instant> {
        let last = self.before(way).map(|open| open.acked).max()?;
        Some(last + self.patience).filter(|at| *at > now)
    }

    /// Is this way of no use any more?
    pub(super) fn is_dead(&self, way: Way, now: Instant) -> bool {
        self.open.get(&way).is_some_and(|open| now.saturating_duration_since(open.acked) >= IDLE_MAX)
    }

    /// The first way on which the voter hears us, as far as is known: all beats, or at least those that try it out.
    pub(super) fn heard_over(&self, now: Instant) -> Option<Way> {
        let kept = |open: &Open| now.saturating_duration_since(open.acked) < KEEP_ALIVE + self.patience;
        let first =
            |is: &dyn Fn(&Open) -> bool| self.open.iter().find(|(_, open)| is(open)).map(|(way, _)| *way);
        first(&|open| self.is_fresh(open, now)).or_else(|| first(&kept))
    }

    /// Should a session on this path go to another?
    pub(super) fn leaves(&self, path: PathPlace, now: Instant) -> Option<Leave> {
        let own = self.open.get(&Way { path, carrier: Carrier::Quic });
        let lost = own.is_some_and(|open| now.saturating_duration_since(open.acked) >= MOVE_AFTER);
        let mended = |open: &Open| {
            let since = open.heard_since.map(|since| now.saturating_duration_since(since));
            self.is_fresh(open, now) && since.is_some_and(|since| since >= MENDED_AFTER)
        };
        let mut ways = self.open.iter();
        if lost && ways.clone().any(|(way, open)| way.path != path && self.is_fresh(open, now)) {
            return Some(Leave::Lost);
        }
        ways.any(|(way, open)| way.path < path && mended(open)).then_some(Leave::Mended)
    }

    /// Was something acked so lately that nothing says it wouldn't be now?
    fn is_fresh(&self, open: &Open, now: Instant) -> bool {
        now.saturating_duration_since(open.acked) < self.patience
    }

    /// Ways that are preferred to this one.
    fn before(&self, way: Way) -> impl Iterator<Item = &Open> {
        self.open.range(..way).map(|(_, open)| open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(500);
    const QUIC: Way = Way { path: PathPlace(0), carrier: Carrier::Quic };
    const TCP: Way = Way { path: PathPlace(0), carrier: Carrier::Tcp };
    const TCP_BESIDE: Way = Way { path: PathPlace(1), carrier: Carrier::Tcp };
    const QUIC_BESIDE: Way = Way { path: PathPlace(1), carrier: Carrier::Quic };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Both ways stand since `now`, and QUIC's first beat was acked then.
    fn standing(now: Instant) -> (Ways, Ticket, Ticket) {
        let mut ways = Ways::new(BEAT);
        let quic = ways.opened(QUIC, now);
        let tcp = ways.opened(TCP, now);
        ways.said(TCP, now);
        ways.acked(QUIC, quic, 1, now);
        (ways, quic, tcp)
    }

    #[test]
    fn tcp_takes_over_a_second_after_the_last_ack_and_hands_back_at_the_next() {
        let began = wire::clock::now();
        let (mut ways, quic, _) = standing(began);
        assert!(!ways.takes(TCP, began + ms(999)));
        assert_eq!(ways.next_look(TCP, began), Some(began + ms(1000)));
        assert!(ways.takes(TCP, began + ms(1000)));
        assert_eq!(ways.next_look(TCP, began + ms(1000)), None, "beats are all it waits for now");
        assert!(ways.takes(QUIC, began + ms(5000)), "QUIC is always tried: that is how its return is seen");
        ways.acked(QUIC, quic, 9, began + ms(5000));
        ways.said(TCP, began + ms(4500));
        assert!(!ways.takes(TCP, began + ms(5001)));
    }

    #[test]
    fn without_quic_tcp_takes_every_beat() {
        let began = wire::clock::now();
        let (mut ways, quic, _) = standing(began);
        ways.closed(QUIC, quic);
        assert!(ways.takes(TCP, began));
    }

    #[test]
    fn a_replaced_way_neither_closes_nor_acks_for_the_later_one() {
        let began = wire::clock::now();
        let (mut ways, first, _) = standing(began);
        let second = ways.opened(QUIC, began);
        ways.closed(QUIC, first);
        ways.acked(QUIC, first, 7, began + ms(2000));
        assert_eq!(ways.highest_acked(), 7, "the voter has read it all the same");
        assert_eq!(ways.heard_over(began + ms(6000)), None);
        ways.acked(QUIC, second, 8, began + ms(2000));
        assert_eq!(ways.heard_over(began + ms(2000)), Some(QUIC));
    }

    #[test]
    fn a_tcp_way_that_is_not_needed_is_tried_out_every_four_seconds_and_given_up_after_twelve() {
        let began = wire::clock::now();
        let (mut ways, quic, tcp) = standing(began);
        ways.acked(QUIC, quic, 8, began + ms(4000));
        assert!(ways.takes(TCP, began + ms(4000)));
        ways.said(TCP, began + ms(4000));
        ways.acked(TCP, tcp, 8, began + ms(4100));
        assert!(!ways.takes(TCP, began + ms(4500)));
        assert!(!ways.is_dead(TCP, began + ms(16_000)));
        assert!(ways.is_dead(TCP, began + ms(16_100)));
    }

    #[test]
    fn rare_beats_are_not_taken_for_lost_ones() {
        let began = wire::clock::now();
        let mut ways = Ways::new(ms(10_000));
        let quic = ways.opened(QUIC, began);
        ways.opened(TCP, began);
        ways.acked(QUIC, quic, 1, began);
        assert!(!ways.takes(QUIC_BESIDE, began + ms(10_400)));
        assert!(ways.takes(QUIC_BESIDE, began + ms(10_500)));
    }

    #[test]
    fn a_second_path_takes_over_with_the_first_ones_tcp_and_stands_by_again_with_either() {
        let began = wire::clock::now();
        let (mut ways, _, tcp) = standing(began);
        let beside = ways.opened(TCP_BESIDE, began);
        ways.said(TCP_BESIDE, began);
        assert!(!ways.takes(TCP_BESIDE, began + ms(999)));
        assert!(ways.takes(TCP, began + ms(1000)) && ways.takes(TCP_BESIDE, began + ms(1000)));
        ways.acked(TCP_BESIDE, beside, 3, began + ms(1050));
        assert_eq!(ways.heard_over(began + ms(1100)), Some(TCP_BESIDE));
        assert!(ways.takes(TCP, began + ms(1500)), "a preferred way is tried all the time");
        ways.said(TCP_BESIDE, began + ms(1500));
        ways.acked(TCP, tcp, 4, began + ms(1600));
        assert!(!ways.takes(TCP_BESIDE, began + ms(2000)));
    }

    #[test]
    fn a_session_leaves_a_path_that_is_silent_for_one_that_is_heard() {
        let began = wire::clock::now();
        let (mut ways, _, _) = standing(began);
        let later = began + ms(4000);
        assert_eq!(ways.leaves(PathPlace(0), later), None, "there is no other");
        let beside = ways.opened(TCP_BESIDE, began);
        assert_eq!(ways.leaves(PathPlace(0), later), None, "the other is silent, too");
        ways.acked(TCP_BESIDE, beside, 7, began + ms(3500));
        assert_eq!(ways.leaves(PathPlace(0), began + ms(3999)), None);
        assert_eq!(ways.leaves(PathPlace(0), later), Some(Leave::Lost));
    }

    #[test]
    fn a_session_goes_back_once_the_preferred_path_was_heard_for_ten_seconds() {
        let began = wire::clock::now();
        let mut ways = Ways::new(BEAT);
        let own = ways.opened(QUIC_BESIDE, began);
        let tcp = ways.opened(TCP, began);
        let mut number = 0;
        let mut beats = |ways: &mut Ways, from: u64, to: u64| {
            for at in (from..=to).step_by(500) {
                number += 1;
                ways.acked(QUIC_BESIDE, own, number, began + ms(at));
                ways.acked(TCP, tcp, number, began + ms(at));
            }
        };
        beats(&mut ways, 0, 5000);
        // A break: it counts from anew.
        beats(&mut ways, 7000, 16_500);
        assert_eq!(ways.leaves(PathPlace(1), began + ms(16_999)), None);
        beats(&mut ways, 17_000, 17_000);
        assert_eq!(ways.leaves(PathPlace(1), began + ms(17_000)), Some(Leave::Mended));
        assert_eq!(ways.leaves(PathPlace(0), began + ms(17_000)), None);
    }
}
