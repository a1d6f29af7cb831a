//! A week at a line of half the cameras' rate, by the pure plans of retention and of reconciliation: what is lost is what
//! the policy says, each segment of it was announced long before, and none of it is held footage.
//!
//! Two cameras of 2 Mbit/s, a line of 2 Mbit/s, so live takes all of it and half of what is recorded never crosses; a
//! disk of a day's recordings. A step is ten seconds, a forecast is made every three hours.

#![allow(clippy::unwrap_used)] // a test's helpers panic like the test itself

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use site_agent::reconcile::plan::{Facts, Waiting, plan as forecast};
use site_agent::reconcile::road::Hours;
use site_agent::retention::plan::{
    Age, Camera, DiskRoom, Hold, Marks, Rules, Segment, State, Unacked, Why, cause, plan as retain,
};
use wire::proto::GapCause;
use wire::{LedgerId, OriginId, Seq, SiteId, UnixMicros};

const BEGAN: UnixMicros = UnixMicros(1_750_000_000_000_000);
const STEP: Duration = Duration::from_secs(10);
const STEPS: u64 = 7 * 8640;
const HOUR: u64 = 360;
const SEGMENT_BYTES: u64 = 2_500_000;
const LINE_BYTES_PER_S: f64 = 250_000.0;
const DISK_BYTES: u64 = 43_200_000_000;
const MARKS: Marks = Marks { low: 2_000_000_000, high: 4_000_000_000 };
/// The steps whose segments touch the two hours of [`hold`].
const HELD: std::ops::Range<u64> = 50 * HOUR..52 * HOUR;
/// Segments that retention is shown of each kind, and frees in a step.
const WINDOW: usize = 64;

/// Step and camera: the segment of that camera that ended with that step.
type Name = (u64, u8);

fn camera(index: u8) -> Camera {
    Camera { site: SiteId::new("shop-1").unwrap(), id: format!("till-{index}") }
}

fn end_of(step: u64) -> UnixMicros {
    BEGAN + STEP * u32::try_from(step + 1).unwrap()
}

/// Two hours of the first camera, in the third night.
fn hold() -> Hold {
    Hold {
        site: camera(0).site,
        cameras: BTreeSet::from([camera(0).id]),
        from: BEGAN + Duration::from_secs(50 * 3600),
        to: BEGAN + Duration::from_secs(52 * 3600),
        until: UnixMicros::MAX,
        reason: "the night that matters".to_owned(),
    }
}

#[derive(Default)]
struct Site {
    acked: BTreeSet<Name>,
    unacked: BTreeSet<Name>,
    lost: BTreeMap<Name, u64>,
    /// When a segment was first announced to be lost.
    announced: BTreeMap<Name, u64>,
    making_room: bool,
}

impl Site {
    fn rules() -> Rules {
        Rules {
            marks: Some(MARKS),
            unacked: Unacked::Free,
            acked_by_hub: true,
            holds: vec![hold()],
            ..Rules::default()
        }
    }

    fn free_bytes(&self) -> u64 {
        DISK_BYTES - SEGMENT_BYTES * (self.acked.len() + self.unacked.len()) as u64
    }

    /// As [`hold`] has it, without asking it a million times.
    fn is_held((step, index): Name) -> bool {
        index == 0 && HELD.contains(&step)
    }

    fn segment(&self, (step, index): Name) -> Segment {
        let (end, camera) = (end_of(step), camera(index));
        let stream = format!("{}/main", camera.id).parse().unwrap();
        Segment {
            ledger: LedgerId { origin: OriginId([1; 16]), stream },
            seq: Seq(step),
            from: Seq(step),
            camera,
            start: end - STEP,
            end,
            bytes: SEGMENT_BYTES,
            acked: self.acked.contains(&(step, index)),
            age: Age { own: true, current: true, end },
            disk: 0,
            in_order: true,
        }
    }

    /// As the survey shows them: the oldest of each kind that no hold keeps.
    fn shown(&self) -> Vec<Segment> {
        let oldest = |of: &BTreeSet<Name>| -> Vec<Name> {
            of.iter().copied().filter(|name| !Self::is_held(*name)).take(WINDOW).collect()
        };
        let names = oldest(&self.acked).into_iter().chain(oldest(&self.unacked));
        names.map(|name| self.segment(name)).collect()
    }

    fn make_room(&mut self, now: u64) {
        loop {
            let state = State {
                now: end_of(now),
                clock_good: true,
                disks: [(0, DiskRoom { free_bytes: self.free_bytes(), making_room: self.making_room })]
                    .into(),
                held: BTreeMap::new(),
                kept: BTreeMap::new(),
            };
            let plan = retain(&Self::rules(), &state, self.shown(), WINDOW);
            self.making_room = !plan.making_room.is_empty();
            assert!(plan.stuck.is_empty(), "recording would stop");
            if plan.free.is_empty() {
                return;
            }
            for (segment, why) in plan.free {
                assert_eq!(why, Why::Room);
                self.free(now, &segment);
            }
        }
    }

    fn free(&mut self, now: u64, segment: &Segment) {
        let name =
            (segment.seq.0, segment.ledger.stream.camera().trim_start_matches("till-").parse().unwrap());
        let end = end_of(name.0);
        assert!(!hold().keeps(end, &camera(name.1), end - STEP, end), "held footage was freed");
        if self.acked.remove(&name) {
            assert_eq!(cause(&Self::rules(), segment), GapCause::Expired);
            return;
        }
        assert_eq!(cause(&Self::rules(), segment), GapCause::LostBeforeReplication);
        let safe = self.acked.iter().any(|name| !Self::is_held(*name));
        assert!(!safe, "the hub had others, that could have gone before");
        let oldest = self.unacked.iter().find(|name| !Self::is_held(**name)).unwrap();
        assert_eq!(oldest.0, name.0, "not the oldest");
        self.unacked.remove(&name);
        self.lost.insert(name, now);
    }

    /// What the operator is told now.
    fn announce(&mut self, now: u64) {
        let waiting: Vec<Waiting> =
            self.unacked.iter().map(|name| Self::waiting(self.segment(*name), *name)).collect();
        let kept = SEGMENT_BYTES
            * (0..2)
                .flat_map(|index| (0..now).map(move |step| (step, index)))
                .filter(|name| {
                    Self::is_held(*name) && (self.acked.contains(name) || self.unacked.contains(name))
                })
                .count() as u64;
        let acked = SEGMENT_BYTES * self.acked.len() as u64;
        let unkept = (self.free_bytes() - MARKS.low.min(self.free_bytes()) + acked).saturating_sub(kept);
        let facts = Facts {
            now: end_of(now),
            waiting,
            carried: Some(LINE_BYTES_PER_S),
            hours: Hours::always(None, true),
            room: Some(unkept),
        };
        for lost in forecast(facts).lost {
            let index = u8::from(lost.piece.stream.camera() == "till-1");
            let step = |at: UnixMicros| at.since(BEGAN).as_secs() / STEP.as_secs();
            for name in (step(lost.piece.from)..step(lost.piece.to)).map(|step| (step, index)) {
                if self.unacked.contains(&name) {
                    assert!(!Self::is_held(name), "held footage was announced to be lost");
                    self.announced.entry(name).or_insert(now);
                }
            }
        }
    }

    fn waiting(segment: Segment, name: Name) -> Waiting {
        Waiting {
            ledger: segment.ledger,
            seq: segment.seq,
            priority: 100,
            scheduled: false,
            ended: false,
            start: segment.start,
            end: segment.end,
            bytes: segment.bytes,
            expires: None,
            kept: Self::is_held(name),
        }
    }
}

#[test]
fn a_week_at_half_the_rate_loses_what_the_policy_says_and_what_was_announced() {
    let mut site = Site::default();
    for step in 0..STEPS {
        // Live takes the whole line: one camera's segment crosses in ten seconds.
        site.acked.insert((step, u8::from(step % 2 == 0)));
        site.unacked.insert((step, u8::from(step % 2 == 1)));
        if step % (3 * HOUR) == 0 {
            site.announce(step);
        }
        site.make_room(step);
    }
    let lost = site.lost.len() as u64;
    assert_eq!(lost + site.unacked.len() as u64, STEPS, "half of what was recorded");
    assert!(lost > STEPS / 2, "{lost} lost");
    for (name, at) in &site.lost {
        let told =
            site.announced.get(name).unwrap_or_else(|| panic!("{name:?} was lost, and nobody had been told"));
        assert!(told + 12 * HOUR <= *at, "{name:?} was announced {} s before", (at - told) * 10);
    }
    for name in site.announced.keys() {
        assert!(
            site.lost.contains_key(name) || site.unacked.contains(name),
            "{name:?} was announced, and crossed"
        );
    }
    let held = (0..STEPS).filter(|step| Site::is_held((*step, 0))).count();
    assert_eq!(held, 720, "two hours of it");
    assert!(
        (0..STEPS)
            .filter(|step| Site::is_held((*step, 0)))
            .all(|step| { site.acked.contains(&(step, 0)) || site.unacked.contains(&(step, 0)) })
    );
}
