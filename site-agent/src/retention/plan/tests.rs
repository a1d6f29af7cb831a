use proptest::prelude::*;
use wire::OriginId;

use super::*;

const NOW: UnixMicros = UnixMicros(1_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn camera(index: u8) -> Camera {
    Camera { site: SiteId::new("shop-1").unwrap(), id: format!("c-{index}") }
}

/// Ten seconds that ended so many seconds ago.
fn segment(camera_index: u8, run: u8, seq: u64, ago_s: u64, bytes: u64, acked: bool) -> Segment {
    let end = NOW - Duration::from_secs(ago_s);
    let stream = format!("c-{camera_index}/main").parse().unwrap();
    Segment {
        ledger: LedgerId { origin: OriginId([run; 16]), stream },
        seq: Seq(seq),
        from: Seq(seq),
        camera: camera(camera_index),
        start: end - Duration::from_secs(10),
        end,
        bytes,
        acked,
        age: Age { own: true, current: run == 9, end },
        disk: 0,
        in_order: true,
    }
}

fn state(segments: &[Segment], free_bytes: u64) -> State {
    let mut held = BTreeMap::new();
    for one in segments {
        *held.entry(one.camera.clone()).or_default() += one.bytes;
    }
    let room = DiskRoom { free_bytes, making_room: false };
    let disks = segments.iter().map(|one| one.disk).chain([0]).map(|disk| (disk, room)).collect();
    State { now: NOW, clock_good: true, disks, held, kept: BTreeMap::new() }
}

fn making_room(state: State, making: bool) -> State {
    let disks = state.disks.into_iter().map(|(disk, room)| (disk, DiskRoom { making_room: making, ..room }));
    State { disks: disks.collect(), ..state }
}

fn freed(state: &mut State, one: &Segment) {
    state.disks.get_mut(&one.disk).unwrap().free_bytes += one.bytes;
}

/// Likewise, with what holds keep measured.
fn measured(segments: &[Segment], rules: &Rules, free_bytes: u64, clock_good: bool) -> State {
    let mut state = State { clock_good, ..state(segments, free_bytes) };
    for one in segments {
        if rules.keeps(state.holds_now(), &one.camera, one.start, one.end) {
            let kept = state.kept.entry(one.camera.clone()).or_insert(Some(0));
            *kept = kept.map(|bytes| bytes + one.bytes);
        }
    }
    state
}

fn rules() -> Rules {
    Rules { marks: Some(Marks { low: 100, high: 200 }), acked_by_hub: true, ..Rules::default() }
}

fn seqs(plan: &Plan) -> Vec<u64> {
    plan.free.iter().map(|(one, _)| one.seq.0).collect()
}

#[test]
fn while_it_is_not_known_what_holds_keep_nothing_goes_for_being_too_much() {
    let rules = Rules { policy: Policy { bytes_max: Some(0), ..Policy::default() }, ..Rules::default() };
    let segments = [segment(0, 1, 0, 100, 30, true), segment(1, 1, 1, 90, 30, true)];
    let unknown = State { kept: [(camera(0), None)].into(), ..state(&segments, 1000) };
    assert_eq!(seqs(&plan(&rules, &unknown, segments.to_vec(), 9)), [1]);
}

#[test]
fn room_is_made_of_what_is_acked_up_to_the_high_mark_and_of_the_rest_to_the_low_one() {
    let segments: Vec<_> = (0..10).map(|n| segment(0, 1, n, 1000 - 10 * n, 30, n >= 4)).collect();
    let plan_with = |free, making_room, segments: &[Segment]| {
        plan(&rules(), &self::making_room(state(segments, free), making_room), segments.to_vec(), 99)
    };
    assert_eq!(plan_with(100, false, &segments), Plan::default(), "enough");
    assert_eq!(seqs(&plan_with(99, false, &segments)), [4, 5, 6, 7], "219 are free then");
    assert_eq!(seqs(&plan_with(150, true, &segments)), [4, 5], "it was begun");
    let one_acked = &segments[..5];
    let first = plan_with(0, false, one_acked);
    assert_eq!(
        (seqs(&first), first.making_room.contains(&0)),
        (vec![4], true),
        "what isn't acked waits for the next step"
    );
    assert_eq!(seqs(&plan_with(30, true, &segments[..4])), [0, 1, 2], "only what must be");
    let none = plan_with(0, false, &[]);
    assert!(none.stuck.contains(&0) && none.making_room.is_empty());
}

#[test]
fn a_vault_makes_room_of_copies_that_another_vault_has_and_of_nothing_else() {
    let segments: Vec<_> = (0..6).map(|n| segment(0, 1, n, 1000 - 10 * n, 30, n >= 4)).collect();
    let vault = Rules { unacked: Unacked::Vaulted, acked_by_hub: false, ..rules() };
    let step = plan(&vault, &state(&segments, 0), segments.to_vec(), 99);
    assert_eq!(seqs(&step), [4, 5], "though others are older");
    assert_eq!(cause(&vault, &segments[4]), GapCause::Expired);
    let own = plan(&vault, &state(&segments[..4], 0), segments[..4].to_vec(), 99);
    assert!(
        own.free.is_empty() && own.stuck.contains(&0),
        "a full vault takes nothing more, frees nothing, and says so"
    );
}

#[test]
fn what_is_not_acked_stays_if_the_site_says_so() {
    let segments = [segment(0, 1, 0, 100, 30, false)];
    let keep = Rules { unacked: Unacked::Keep, ..rules() };
    let kept = plan(&keep, &state(&segments, 0), segments.to_vec(), 9);
    assert!(kept.free.is_empty() && kept.stuck.contains(&0));
    let alone = Rules { acked_by_hub: false, ..keep };
    let freed = plan(&alone, &state(&segments, 0), segments.to_vec(), 9);
    assert_eq!(freed.free.len(), 1, "without a hub nobody waits for it");
    assert_eq!(cause(&alone, &segments[0]), GapCause::Expired);
    assert_eq!(cause(&rules(), &segments[0]), GapCause::LostBeforeReplication);
}

#[test]
fn the_run_that_goes_on_is_newest_whatever_its_clock_said() {
    let segments = [segment(0, 9, 0, 90_000, 150, true), segment(0, 1, 7, 10, 150, true)];
    assert_eq!(seqs(&plan(&rules(), &state(&segments, 99), segments.to_vec(), 9)), [7]);
}

#[test]
fn what_came_back_from_the_hub_goes_before_anything_recorded_here() {
    let mut segments = [segment(0, 1, 0, 90_000, 150, true), segment(0, 2, 7, 10, 150, true)];
    assert_eq!(seqs(&plan(&rules(), &state(&segments, 99), segments.to_vec(), 9)), [0], "the oldest");
    segments[1].age.own = false;
    assert_eq!(seqs(&plan(&rules(), &state(&segments, 99), segments.to_vec(), 9)), [7]);
}

#[test]
fn each_camera_has_its_own_policy() {
    let old = |camera| segment(camera, 1, u64::from(camera), 2 * 3600, 10, false);
    let segments: Vec<_> = (0..3).map(old).collect();
    let mut rules = rules();
    rules.policy = Policy { age_max: Some(HOUR), bytes_max: None };
    rules.cameras.insert(camera(1), Policy { age_max: Some(3 * HOUR), bytes_max: None });
    rules.cameras.insert(camera(2), Policy { age_max: None, bytes_max: Some(5) });
    let done = plan(&rules, &state(&segments, 1000), segments.to_vec(), 9);
    let whys: Vec<_> = done.free.iter().map(|(one, why)| (one.seq.0, *why)).collect();
    assert_eq!(whys, [(0, Why::Age), (2, Why::Camera)]);
    let doubtful = State { clock_good: false, ..state(&segments, 1000) };
    assert_eq!(seqs(&plan(&rules, &doubtful, segments.clone(), 9)), [2], "bytes need no clock");
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let one =
        (0u8..3, prop_oneof![Just(1u8), Just(2), Just(9)], 1u64..20_000, 1u64..50, any::<bool>(), 0u32..2);
    proptest::collection::vec(one, 0..40).prop_map(|made| {
        let seqs = 0u64..;
        let all = made.into_iter().zip(seqs);
        let one = |((camera, run, ago, bytes, acked, disk), seq)| Segment {
            disk,
            ..segment(camera, run, seq, ago, bytes, acked)
        };
        all.map(one).collect()
    })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let policy = || {
        let age = proptest::option::of((1u64..20_000).prop_map(Duration::from_secs));
        (age, proptest::option::of(0u64..400)).prop_map(|(age_max, bytes_max)| Policy { age_max, bytes_max })
    };
    let marks =
        proptest::option::of((0u64..500, 1u64..500).prop_map(|(low, more)| Marks { low, high: low + more }));
    let hold = (0u8..3, 0u64..20_000, 0u64..9_000, any::<bool>()).prop_map(|(index, ago, length, over)| {
        let to = NOW - Duration::from_secs(ago);
        let until = if over { NOW } else { NOW + HOUR };
        // Two of three name a camera; the third is of all.
        let cameras = if index < 2 { [camera(index).id].into() } else { BTreeSet::new() };
        Hold {
            site: camera(index).site,
            cameras,
            from: to - Duration::from_secs(length),
            to,
            until,
            reason: String::new(),
        }
    });
    (policy(), policy(), marks, any::<[bool; 2]>(), proptest::collection::vec(hold, 0..3)).prop_map(
        |(policy, special, marks, [keep, acked_by_hub], holds)| Rules {
            policy,
            cameras: [(camera(1), special)].into(),
            marks,
            unacked: if keep { Unacked::Keep } else { Unacked::Free },
            acked_by_hub,
            holds,
            withheld: wire::Policies::default(),
        },
    )
}

/// Steps until nothing more is to be done, as the shell does; what was freed in each.
fn run(
    rules: &Rules,
    mut state: State,
    mut left: Vec<Segment>,
    most: usize,
) -> (Vec<Plan>, State, Vec<Segment>) {
    let mut plans = Vec::new();
    loop {
        let done = plan(rules, &state, left.clone(), most);
        if done.free.is_empty() {
            plans.push(done);
            return (plans, state, left);
        }
        for (one, _) in &done.free {
            let before = left.len();
            left.retain(|other| other != one);
            assert_eq!(left.len() + 1, before, "freed once, and only what was there");
            *state.held.get_mut(&one.camera).unwrap() -= one.bytes;
            freed(&mut state, one);
        }
        for (disk, room) in &mut state.disks {
            room.making_room = done.making_room.contains(disk);
        }
        plans.push(done);
    }
}

proptest! {
    #[test]
    fn what_a_hold_names_never_goes(segments in segments(), rules in any_rules(), free in 0u64..500) {
        let (plans, ..) = run(&rules, measured(&segments, &rules, free, true), segments, 5);
        for (one, _) in plans.iter().flat_map(|plan| &plan.free) {
            prop_assert!(!rules.keeps(NOW, &one.camera, one.start, one.end));
        }
    }

    /// Holds that are over by a clock that nobody believes go on.
    #[test]
    fn a_clock_in_doubt_ends_no_hold(segments in segments(), rules in any_rules(), free in 0u64..500) {
        let (plans, ..) = run(&rules, measured(&segments, &rules, free, false), segments, 5);
        for (one, _) in plans.iter().flat_map(|plan| &plan.free) {
            prop_assert!(!rules.keeps(UnixMicros::MIN, &one.camera, one.start, one.end));
        }
    }

    /// What is held is beside a camera's most: what isn't held is freed as if nothing else were there.
    #[test]
    fn a_hold_takes_no_other_footage_with_it(segments in segments(), rules in any_rules()) {
        let rules = Rules { marks: None, ..rules };
        let (_, _, left) = run(&rules, measured(&segments, &rules, 0, true), segments.clone(), 5);
        let keeps = |one: &&Segment| rules.keeps(NOW, &one.camera, one.start, one.end);
        let others: Vec<_> = segments.iter().filter(|one| !keeps(one)).cloned().collect();
        let (_, _, alone) = run(&Rules { holds: Vec::new(), ..rules.clone() }, state(&others, 0), others, 5);
        let left: Vec<_> = left.iter().filter(|one| !keeps(one)).cloned().collect();
        prop_assert_eq!(left, alone);
    }

    #[test]
    fn in_the_end_every_rule_holds_or_nothing_more_may_go(
        segments in segments(), rules in any_rules(), free in 0u64..500, good in any::<bool>(), most in 1usize..20,
    ) {
        let begin = measured(&segments, &rules, free, good);
        let now = begin.holds_now();
        let (plans, end, left) = run(&rules, begin, segments, most);
        let may = |one: &&Segment| !rules.keeps(now, &one.camera, one.start, one.end);
        let may_for_room = |one: &&Segment| may(one) && (rules.unacked == Unacked::Free || rules.is_safe(one));
        for one in left.iter().filter(may) {
            let old = rules.of(&one.camera).age_max.is_some_and(|age| one.end + age < NOW);
            prop_assert!(!old || !good, "{one:?} is too old");
        }
        for (camera, held) in &end.held {
            let beside = end.kept.get(camera).copied().flatten().unwrap_or(0);
            if rules.of(camera).bytes_max.is_some_and(|most| held - beside > most) {
                prop_assert!(!left.iter().filter(|one| one.camera == *camera).any(|one| may_for_room(&one)));
            }
        }
        for (disk, room) in &end.disks {
            let short = rules.marks.is_some_and(|marks| room.free_bytes < marks.low);
            let mut here = left.iter().filter(|one| one.disk == *disk);
            prop_assert!(!short || !here.any(|one| may_for_room(&one)), "{room:?} of {:?}", rules.marks);
            prop_assert_eq!(plans.last().unwrap().stuck.contains(disk), short, "it says so, and only then");
        }
    }

    #[test]
    fn nothing_goes_without_a_reason(
        segments in segments(), rules in any_rules(), free in 0u64..500, good in any::<bool>(), most in 1usize..20,
    ) {
        let mut state = measured(&segments, &rules, free, good);
        let now = state.holds_now();
        let mut left = segments;
        loop {
            let done = plan(&rules, &state, left.clone(), most);
            prop_assert!(done.free.len() <= most);
            for (one, why) in &done.free {
                let policy = rules.of(&one.camera);
                match why {
                    Why::Age => prop_assert!(good && policy.age_max.is_some_and(|age| one.end + age < NOW)),
                    Why::Camera => prop_assert!(policy.bytes_max.is_some_and(|most| state.held[&one.camera] > most)),
                    Why::Room => {
                        let marks = rules.marks.unwrap();
                        let enough = if rules.is_safe(one) { marks.high } else { marks.low };
                        prop_assert!(state.disks[&one.disk].free_bytes < enough, "of its own disk");
                    }
                }
                if *why != Why::Age {
                    let rivals = left.iter().filter(|other| {
                        let of_camera = match why {
                            Why::Room => other.disk == one.disk,
                            _ => other.camera == one.camera,
                        };
                        of_camera && !rules.keeps(now, &other.camera, other.start, other.end)
                    });
                    for other in rivals {
                        prop_assert!(rules.is_safe(one) || !rules.is_safe(other), "{other:?} is safer than {one:?}");
                        let same = rules.is_safe(one) == rules.is_safe(other);
                        prop_assert!(!same || one.age <= other.age, "{other:?} is older than {one:?}");
                    }
                }
                left.retain(|other| other != one);
                *state.held.get_mut(&one.camera).unwrap() -= one.bytes;
                freed(&mut state, one);
            }
            if done.free.is_empty() {
                break;
            }
            for (disk, room) in &mut state.disks {
                room.making_room = done.making_room.contains(disk);
            }
        }
    }
}

#[test]
fn each_disk_makes_its_own_room() {
    let on = |disk, one: Segment| Segment { disk, ..one };
    let segments: Vec<_> =
        (0..8).map(|n| on(u32::from(n >= 4), segment(0, 1, n, 1000 - 10 * n, 30, true))).collect();
    let mut state = state(&segments, 1000);
    state.disks.get_mut(&1).unwrap().free_bytes = 99;
    let done = plan(&rules(), &state, segments.clone(), 99);
    assert_eq!(seqs(&done), [4, 5, 6, 7], "the older ones are on a disk with room");
    state.disks.get_mut(&1).unwrap().free_bytes = 0;
    let only_first = plan(&rules(), &state, segments[..4].to_vec(), 99);
    assert_eq!((only_first.free.len(), only_first.stuck), (0, [1].into()), "nothing to be had there");
}

#[test]
fn what_is_not_in_order_goes_for_room_and_for_its_age_only() {
    let behind = Segment { disk: 1, in_order: false, ..segment(0, 1, 5, 5, 30, true) };
    let segments = vec![segment(0, 1, 0, 100, 30, true), behind];
    let rules = Rules { policy: Policy { bytes_max: Some(0), ..Policy::default() }, ..rules() };
    assert_eq!(seqs(&plan(&rules, &state(&segments, 1000), segments.clone(), 99)), [0]);
    assert_eq!(seqs(&plan(&rules, &state(&segments, 99), segments.clone(), 99)), [0, 5]);
}
