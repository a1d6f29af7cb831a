//! What crosses to the hub, how long that takes, and what retention frees before its turn. Pure: no clock, no disk.
//!
//! It is a forecast by what is known now: recording goes on at the rate at which what waits was recorded and goes
//! first, the line carries what it was last seen to carry, limits and windows come and go with the hours. Room is made as
//! [`crate::retention::plan`] makes it: what is acked before what is not, oldest first.
//!
//! And it is an order: what holds keep first, then the higher priority, then what is freed first *and can still arrive*.
//! What can't is left for when nothing else waits.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use wire::{LedgerId, Seq, StreamId, UnixMicros};

use super::road::{EVER, Hours, Road};

/// A segment that is an entry and not acked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// In which ledger.
    pub ledger: LedgerId,
    /// Its entry.
    pub seq: Seq,
    /// Its camera's priority.
    pub priority: u8,
    /// Does it wait for a window?
    pub scheduled: bool,
    /// Has its run ended?
    pub ended: bool,
    /// Its first instant.
    pub start: UnixMicros,
    /// The first instant after it.
    pub end: UnixMicros,
    /// Its length.
    pub bytes: u64,
    /// When it is freed for its age; never, without.
    pub expires: Option<UnixMicros>,
    /// Does a hold keep it? Then it isn't freed for room either.
    pub kept: bool,
}

/// What the plan is made from.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The wall clock.
    pub now: UnixMicros,
    /// All that waits.
    pub waiting: Vec<Waiting>,
    /// Bytes of parts a second that the line carries, as far as was seen.
    pub carried: Option<f64>,
    /// What limits leave to backlog of it, and when windows are open: one stretch after the other.
    pub hours: Vec<Hours>,
    /// Bytes that can be recorded before something that is not acked is freed for room; never, without.
    pub room: Option<u64>,
}

/// Why something is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It gets too old.
    Age,
    /// There is no room left.
    Room,
}

/// Segments of one stream that follow each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// Of which stream.
    pub stream: StreamId,
    /// From this instant.
    pub from: UnixMicros,
    /// To before this one.
    pub to: UnixMicros,
    /// How many.
    pub segments: u64,
    /// How long.
    pub bytes: u64,
}

/// Segments that are freed before they could cross.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Which.
    #[serde(flatten)]
    pub piece: Piece,
    /// When the first of them is freed.
    pub at: UnixMicros,
    /// Why.
    pub why: Why,
}

/// What will happen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// All that waits: how many segments.
    pub segments: u64,
    /// And bytes.
    pub bytes: u64,
    /// The same, by stream and time.
    pub pieces: Vec<Piece>,
    /// Bytes a second that are left for it; none if nothing is known of the line.
    pub rate: Option<f64>,
    /// Until the last of it that is not lost has crossed; none if that is not known, or never.
    pub duration: Option<Duration>,
    /// What is lost, if nothing changes.
    pub lost: Vec<Lost>,
    /// How long the oldest has been waiting.
    pub lag: Duration,
    /// What should go next, the first first; not all, and nothing that could not arrive.
    pub turns: Vec<(LedgerId, Seq)>,
}

/// What [`Plan::turns`] lists: more than crosses between two plans.
const TURNS_MAX: usize = 4096;

/// A gap between two segments of a stream that is none.
const SEAM: Duration = Duration::from_secs(1);

/// When something is freed, and why.
type End = Option<(UnixMicros, Why)>;

/// Makes the plan.
pub fn plan(facts: Facts) -> Plan {
    let ends = ends(&facts);
    let mut order: Vec<(&Waiting, End)> = facts.waiting.iter().zip(ends).collect();
    order.sort_by_key(|(one, end)| {
        let freed = end.map_or(UnixMicros::MAX, |(at, _)| at);
        (Reverse(one.kept), Reverse(one.priority), freed, !one.ended, one.start)
    });
    let live = recorded(facts.waiting.iter().filter(|one| !one.scheduled));
    let mut road = facts.carried.map(|carried| Road::new(facts.now, (carried - live).max(0.0), &facts.hours));
    let mut plan = Plan { rate: road.as_ref().map(Road::rate), ..Plan::default() };
    let mut last = road.as_ref().map(|_| Duration::ZERO);
    for (one, end) in order {
        plan.count(facts.now, one);
        let Some(road) = &mut road else {
            // Without a known rate nothing is foretold.
            plan.goes(one);
            continue;
        };
        let within = end.map(|(at, _)| since(at, facts.now));
        match (road.cross(one.bytes, one.scheduled, within), end) {
            (None, Some((at, why))) => lose(&mut plan.lost, one, at, why),
            (crossed, _) => {
                last = last.zip(crossed).map(|(last, crossed)| last.max(crossed));
                plan.goes(one);
            }
        }
    }
    plan.duration = last;
    plan
}

impl Plan {
    fn count(&mut self, now: UnixMicros, one: &Waiting) {
        self.segments += 1;
        self.bytes += one.bytes;
        self.lag = self.lag.max(since(now, one.start));
        grow(&mut self.pieces, one);
    }

    fn goes(&mut self, one: &Waiting) {
        if self.turns.len() < TURNS_MAX {
            self.turns.push((one.ledger.clone(), one.seq));
        }
    }
}

/// When each is freed, by age or for room, whichever comes first.
fn ends(facts: &Facts) -> Vec<End> {
    let recorded = recorded(&facts.waiting);
    let end = |(one, before): (&Waiting, u64)| {
        let room = facts.room.filter(|_| !one.kept);
        let full = room.and_then(|room| seconds((room + before) as f64 / recorded));
        let full = full.map(|after| (facts.now + after, Why::Room));
        one.expires.map(|at| (at, Why::Age)).into_iter().chain(full).min()
    };
    facts.waiting.iter().zip(older(&facts.waiting)).map(end).collect()
}

/// Of each, the bytes of those that retention frees before it: whatever goes first, the oldest is freed first.
fn older(waiting: &[Waiting]) -> Vec<u64> {
    let mut by_age: Vec<usize> = (0..waiting.len()).collect();
    by_age.sort_by_key(|at| (!waiting[*at].ended, waiting[*at].start));
    let (mut older, mut before) = (vec![0; waiting.len()], 0);
    for at in by_age {
        older[at] = before;
        before += if waiting[at].kept { 0 } else { waiting[at].bytes };
    }
    older
}

/// Bytes a second, by what waits.
fn recorded<'a>(waiting: impl IntoIterator<Item = &'a Waiting>) -> f64 {
    let mut streams: BTreeMap<&StreamId, (u64, Duration)> = BTreeMap::new();
    for one in waiting {
        let (bytes, length) = streams.entry(&one.ledger.stream).or_default();
        *bytes += one.bytes;
        *length += one.end.since(one.start);
    }
    let rates = streams.values().filter(|(_, length)| !length.is_zero());
    rates.map(|(bytes, length)| *bytes as f64 / length.as_secs_f64()).sum()
}

/// A time that is one, and not for ever.
fn seconds(seconds: f64) -> Option<Duration> {
    (seconds < EVER).then(|| Duration::from_secs_f64(seconds.max(0.0)))
}

fn since(later: UnixMicros, then: UnixMicros) -> Duration {
    if then < later { later.since(then) } else { Duration::ZERO }
}

fn grow(pieces: &mut Vec<Piece>, one: &Waiting) {
    let last = pieces.iter_mut().rev().find(|piece| piece.stream == one.ledger.stream);
    if let Some(piece) = last.filter(|piece| one.start <= piece.to + SEAM && one.start >= piece.from) {
        piece.to = piece.to.max(one.end);
        piece.segments += 1;
        piece.bytes += one.bytes;
        return;
    }
    let &Waiting { ref ledger, start, end, bytes, .. } = one;
    pieces.push(Piece { stream: ledger.stream.clone(), from: start, to: end, segments: 1, bytes });
}

fn lose(lost: &mut Vec<Lost>, one: &Waiting, at: UnixMicros, why: Why) {
    let last = lost.iter_mut().rev().find(|lost| lost.piece.stream == one.ledger.stream);
    if let Some(lost) = last.filter(|lost| lost.why == why && one.start <= lost.piece.to + SEAM) {
        let mut pieces = vec![lost.piece.clone()];
        grow(&mut pieces, one);
        if let [piece] = pieces.as_slice() {
            lost.piece = piece.clone();
            lost.at = lost.at.min(at);
            return;
        }
    }
    let mut pieces = Vec::new();
    grow(&mut pieces, one);
    lost.extend(pieces.into_iter().map(|piece| Lost { piece, at, why }));
}

#[cfg(test)]
mod tests {
    use wire::OriginId;

    use super::*;

    const NOW: UnixMicros = UnixMicros(1_750_000_000_000_000);
    const SEGMENT: Duration = Duration::from_secs(10);
    const BYTES: u64 = 1_000_000;

    /// Segments of 100 kB/s that end so many seconds ago, one after the other up to now.
    fn waiting(stream: &str, count: u32) -> Vec<Waiting> {
        let segment = |back: u32| {
            let end = NOW - SEGMENT * back;
            Waiting {
                ledger: LedgerId { origin: OriginId([1; 16]), stream: stream.parse().unwrap() },
                seq: Seq(u64::from(count - back)),
                priority: 100,
                scheduled: false,
                ended: false,
                start: end - SEGMENT,
                end,
                bytes: BYTES,
                expires: None,
                kept: false,
            }
        };
        (0..count).rev().map(segment).collect()
    }

    fn facts(waiting: Vec<Waiting>, carried: f64) -> Facts {
        let hours = Hours::always(None, true);
        Facts { now: NOW, waiting, carried: Some(carried), hours, room: None }
    }

    #[test]
    fn nothing_waits() {
        let plan = plan(facts(Vec::new(), 1e6));
        assert_eq!((plan.segments, plan.bytes, plan.duration), (0, 0, Some(Duration::ZERO)));
        assert!(plan.pieces.is_empty() && plan.lost.is_empty());
    }

    #[test]
    fn backlog_has_what_recording_leaves_of_the_line() {
        let mut all = waiting("till-1/main", 60);
        all.extend(waiting("till-2/main", 60));
        // Two streams of 100 kB/s leave 300 of 500 kB/s.
        let plan = plan(facts(all, 500e3));
        assert_eq!((plan.segments, plan.bytes), (120, 120 * BYTES));
        assert_eq!(plan.rate, Some(300e3));
        assert_eq!(plan.duration, Some(Duration::from_secs(400)));
        assert_eq!(plan.lag, SEGMENT * 60);
        assert_eq!(plan.pieces.len(), 2, "{:?}", plan.pieces);
        assert!(plan.pieces.iter().all(|piece| piece.segments == 60 && piece.to == NOW));
        assert!(plan.lost.is_empty());
    }

    #[test]
    fn a_limit_holds_and_an_unknown_line_foretells_nothing() {
        let hours = Hours::always(Some(100e3), true);
        let limited = Facts { hours, ..facts(waiting("till-1/main", 30), 1e6) };
        assert_eq!(plan(limited).duration, Some(Duration::from_secs(300)));
        let unknown = Facts { carried: None, room: Some(1), ..facts(waiting("till-1/main", 30), 0.0) };
        let plan = plan(unknown);
        assert_eq!((plan.rate, plan.duration), (None, None));
        assert!(plan.lost.is_empty());
    }

    #[test]
    fn what_gets_too_old_before_its_turn_is_lost_and_costs_no_time() {
        let mut all = waiting("till-1/main", 100);
        // 200 kB/s leave 100 kB/s: the n-th crosses at 10 n s. All are freed 1,300 s after their end.
        all.iter_mut().for_each(|one| one.expires = Some(one.end + Duration::from_secs(1300)));
        assert!(plan(facts(all.clone(), 200e3)).lost.is_empty());
        // Half the time: the oldest are gone at once, and the others have their turn earlier.
        all.iter_mut().for_each(|one| one.expires = Some(one.end + Duration::from_secs(600)));
        let plan = plan(facts(all, 200e3));
        let [lost] = plan.lost.as_slice() else { panic!("{:?}", plan.lost) };
        assert_eq!(lost.why, Why::Age);
        assert_eq!(lost.piece.from, NOW - SEGMENT * 100);
        assert_eq!(lost.piece.segments, 40);
        assert_eq!(plan.duration, Some(Duration::from_secs(600)));
    }

    #[test]
    fn what_has_less_priority_goes_last_and_is_freed_no_earlier_for_it() {
        let (mut low, high) = (waiting("till-1/main", 20), waiting("till-2/main", 20));
        low.iter_mut().for_each(|one| one.priority = 7);
        let all = || low.iter().chain(&high).cloned().collect();
        // 200 of 300 kB/s are recorded: one segment crosses in ten seconds, so that all of one camera takes 200 s. As
        // much time passes until the first is freed, and 10 s more until the next of each camera is.
        let facts = Facts { room: Some(40 * BYTES), ..facts(all(), 300e3) };
        let plan = plan(facts);
        assert!(!plan.lost.is_empty());
        assert!(plan.lost.iter().all(|lost| lost.piece.stream.camera() == "till-1"), "{:?}", plan.lost);
        let lost: u64 = plan.lost.iter().map(|lost| lost.piece.segments).sum();
        // The n-th of the low ones is freed at 200 + 10 n s; its turn ends at 210 s and 10 s later for each before it
        // that was not lost.
        assert_eq!(lost, 1, "{:?}", plan.lost);
    }

    #[test]
    fn a_line_that_carries_less_than_is_recorded_loses_all_that_has_an_end() {
        let facts = Facts { room: Some(5 * BYTES), ..facts(waiting("till-1/main", 20), 90e3) };
        let plan = plan(facts);
        let [lost] = plan.lost.as_slice() else { panic!("{:?}", plan.lost) };
        assert_eq!((lost.why, lost.piece.segments), (Why::Room, 20));
        // Five segments fit: the oldest goes after 50 s.
        assert_eq!(lost.at, NOW + Duration::from_secs(50));
        assert_eq!(plan.rate, Some(0.0));
    }

    #[test]
    fn what_is_freed_first_goes_first_and_what_can_not_arrive_goes_last_of_all() {
        let (mut short, long) = (waiting("till-1/main", 20), waiting("till-2/main", 20));
        // 100 kB/s are left: a segment crosses in 10 s. Of the first camera, each is freed 250 s after its end.
        short.iter_mut().for_each(|one| one.expires = Some(one.end + Duration::from_secs(250)));
        let plan = plan(facts(long.iter().chain(&short).cloned().collect(), 300e3));
        let turns: Vec<_> = plan.turns.iter().map(|(ledger, seq)| (ledger.stream.camera(), seq.0)).collect();
        // By room alone the older of both would take turns; by age the first camera's must go.
        let lost: u64 = plan.lost.iter().map(|lost| lost.piece.segments).sum();
        assert_eq!(lost, 0, "{:?}", plan.lost);
        let first: Vec<_> = (1..=20).map(|seq| ("till-1", seq)).collect();
        assert_eq!(turns[..20], first[..]);
        assert_eq!(turns.len(), 40);
    }

    #[test]
    fn what_can_not_arrive_takes_nothing_from_what_can() {
        let mut all = waiting("till-1/main", 30);
        all.iter_mut().for_each(|one| one.expires = Some(one.end + Duration::from_secs(200)));
        let plan = plan(facts(all, 200e3));
        // The oldest ten have expired, or do before they could cross.
        let [lost] = plan.lost.as_slice() else { panic!("{:?}", plan.lost) };
        let seqs: Vec<_> = plan.turns.iter().map(|(_, seq)| seq.0).collect();
        assert_eq!(seqs, (lost.piece.segments + 1..=30).collect::<Vec<_>>());
    }

    #[test]
    fn what_holds_keep_goes_before_a_higher_priority() {
        let (mut held, mut high) = (waiting("till-1/main", 3), waiting("till-2/main", 3));
        held.iter_mut().for_each(|one| one.kept = true);
        high.iter_mut().for_each(|one| one.priority = 200);
        let plan = plan(facts(high.into_iter().chain(held).collect(), 1e6));
        let cameras: Vec<_> = plan.turns.iter().map(|(ledger, _)| ledger.stream.camera()).collect();
        assert_eq!(cameras, ["till-1", "till-1", "till-1", "till-2", "till-2", "till-2"]);
    }

    #[test]
    fn a_window_that_opens_too_late_is_announced() {
        let mut all = waiting("till-1/main", 10);
        all.iter_mut().for_each(|one| {
            one.scheduled = true;
            one.expires = Some(one.end + Duration::from_secs(3600));
        });
        let opens = |after: u64| {
            let opens = NOW + Duration::from_secs(after);
            let shut = Hours { until: opens, backlog_max: None, window: false };
            let hours = vec![shut, Hours { until: UnixMicros::MAX, backlog_max: None, window: true }];
            plan(Facts { hours, ..facts(all.clone(), 1e6) })
        };
        let soon = opens(1800);
        assert!(soon.lost.is_empty());
        // The line is all theirs, since they are not sent as they are recorded.
        assert_eq!(soon.duration, Some(Duration::from_secs(1810)));
        assert_eq!(opens(4000).lost.iter().map(|lost| lost.piece.segments).sum::<u64>(), 10);
    }

    #[test]
    fn recordings_apart_in_time_are_pieces_of_their_own() {
        let mut all = waiting("till-1/main", 30);
        all.remove(10);
        let plan = plan(facts(all, 1e6));
        assert_eq!(plan.pieces.iter().map(|piece| piece.segments).collect::<Vec<_>>(), [10, 19]);
    }
}
