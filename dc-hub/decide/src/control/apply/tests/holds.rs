//! Holds: what is refused, what a site is told, and what its word confirms.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use wire::UnixMicros;
use wire::holds::{Digest, HOLDS_MAX};

use super::*;
use crate::control::{BadHold, Hold, HoldChange, HoldId, HoldOrder, HoldStage, Refusal};
use crate::fixtures::camera;

fn second(at: i64) -> UnixMicros {
    UnixMicros(at * 1_000_000)
}

fn order(reason: &str) -> HoldOrder {
    HoldOrder {
        cameras: BTreeSet::new(),
        from: second(100),
        to: second(200),
        until: second(10_000),
        reason: reason.into(),
        by: "ada".into(),
    }
}

fn place(n: u64, order: HoldOrder) -> Command {
    Command::PlaceHold { site: site(n), order }
}

fn release(n: u64, hold: u64) -> Command {
    Command::ReleaseHold { site: site(n), hold: HoldId(hold), by: "bob".into() }
}

fn kept(n: u64, digest: Digest) -> Command {
    Command::HoldsKept { site: site(n), digest: digest.0 }
}

fn digest(log: &Log, n: u64) -> Digest {
    log.state.holds_digest(log.state.site(&site(n)).unwrap())
}

fn holds(log: &Log, n: u64) -> Vec<(u64, HoldStage)> {
    let shown = |(id, hold): (&HoldId, &Hold)| (id.0, hold.stage());
    log.state.site(&site(n)).unwrap().holds.iter().map(shown).collect()
}

#[test]
fn a_hold_is_pending_until_its_site_has_said_that_it_keeps_it_and_likewise_when_it_is_lifted() {
    let mut log = Log::fleet(2);
    log.time = second(7);
    let events = log.must(place(1, order("theft")));
    let id = log.index;
    let change = HoldChange::Placed { by: "ada".into() };
    assert_eq!(events, [Event::Hold { site: site(1), hold: HoldId(id), change }]);
    assert_eq!(holds(&log, 1), [(id, HoldStage::Pending)]);
    assert_eq!(log.apply(kept(1, digest(&log, 2))), Err(Refusal::OtherHolds(site(1))), "another site's word");
    log.time = second(8);
    log.must(kept(1, digest(&log, 1)));
    assert_eq!(holds(&log, 1), [(id, HoldStage::Confirmed)]);
    let known = &log.state.site(&site(1)).unwrap().holds[&HoldId(id)];
    assert_eq!((known.placed, known.confirmed), (second(7), Some(second(8))));
    assert_eq!(log.apply(kept(1, digest(&log, 1))), Err(Refusal::AlreadySo));

    let before = digest(&log, 1);
    log.must(release(1, id));
    assert_eq!(holds(&log, 1), [(id, HoldStage::Releasing)], "the site may keep it still");
    assert!(log.state.told_holds(log.state.site(&site(1)).unwrap()).holds.is_empty());
    assert_eq!(log.apply(release(1, id)), Err(Refusal::NoHold { site: site(1), hold: HoldId(id) }));
    assert_eq!(log.apply(kept(1, before)), Err(Refusal::OtherHolds(site(1))), "a beat that was under way");
    log.must(kept(1, digest(&log, 1)));
    assert_eq!(holds(&log, 1), []);
    assert_eq!(holds(&log, 2), []);
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let mut log = Log::fleet(2);
    let mut refused = |spoil: &dyn Fn(&mut HoldOrder), why: BadHold| {
        let mut order = order("theft");
        spoil(&mut order);
        assert_eq!(log.apply(place(1, order)), Err(Refusal::BadHold(why)));
    };
    refused(&|order| order.to = order.from, BadHold::Empty);
    refused(&|order| order.to = order.from + Duration::from_secs(367 * 86_400), BadHold::TooLong);
    refused(&|order| order.until = order.from, BadHold::EndsAtOnce);
    refused(&|order| order.until = order.to + Duration::from_secs(3_654 * 86_400), BadHold::EndsTooLate);
    refused(&|order| order.until = UnixMicros::MAX, BadHold::EndsTooLate);
    refused(&|order| order.reason = " ".into(), BadHold::NoReason);
    refused(&|order| order.reason = "x".repeat(201), BadHold::LongReason(201));
    let many: BTreeSet<_> = (0..17).map(|n| camera(&site(1), n)).collect();
    refused(&|order| order.cameras.clone_from(&many), BadHold::TooManyCameras(17));
    let foreign = camera(&site(2), 1);
    refused(&|order| order.cameras = [foreign.clone()].into(), BadHold::ForeignCamera(foreign.clone()));
    assert_eq!(log.apply(place(9, order("theft"))), Err(Refusal::NoSite(site(9))));
    assert_eq!(holds(&log, 1), []);
}

#[test]
fn asked_for_twice_it_is_one_and_there_are_no_more_than_may_be() {
    let mut log = Log::fleet(1);
    log.must(place(1, order("0")));
    let first = log.index;
    let again = HoldOrder { by: "bob".into(), ..order("0") };
    assert_eq!(log.apply(place(1, again)), Err(Refusal::HeldAlready { site: site(1), hold: HoldId(first) }));
    for n in 1..HOLDS_MAX {
        log.must(place(1, order(&n.to_string())));
    }
    assert_eq!(log.apply(place(1, order("more"))), Err(Refusal::TooManyHolds(site(1))));
    log.must(release(1, first));
    log.must(place(1, order("more")));
}

#[test]
fn a_hold_ends_by_no_single_clock() {
    let mut log = Log::fleet(1);
    log.must(place(1, order("theft")));
    let id = log.index;
    let over = Command::HoldOver { site: site(1), hold: HoldId(id) };
    log.time = second(9_999);
    assert_eq!(log.apply(over.clone()), Err(Refusal::HoldGoesOn { site: site(1), hold: HoldId(id) }));
    log.time = second(10_000);
    log.must(over.clone());
    assert_eq!(holds(&log, 1), []);
    assert_eq!(log.apply(over), Err(Refusal::NoHold { site: site(1), hold: HoldId(id) }));
}

/// A revoked site's footage is evidence like any other's; nobody is left to confirm.
#[test]
fn what_the_hub_has_of_a_revoked_site_can_be_held_and_let_go() {
    let mut log = Log::fleet(1);
    log.must(Command::RevokeSite { site: site(1) });
    log.must(place(1, order("theft")));
    let id = log.index;
    assert!(!log.state.site(&site(1)).unwrap().awaits_holds());
    log.must(release(1, id));
    assert_eq!(holds(&log, 1), []);
}

#[test]
fn what_a_new_history_tells_stands_above_what_an_earlier_one_told() {
    let mut log = Log::fleet(1);
    log.must(place(1, order("theft")));
    let told = |log: &Log| log.state.told_holds(log.state.site(&site(1)).unwrap());
    let before = told(&log);
    log.must(Command::Recover { seen: Default::default(), salt: 5 });
    let after = told(&log);
    assert_eq!(after.holds, before.holds);
    assert!(wire::holds::order(&after) > wire::holds::order(&before));
}

#[derive(Clone, Debug)]
enum Act {
    Place(u8),
    Release(u8),
    Over(u8),
    /// The site confirms what it was told so many tellings ago.
    Keep(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..40u8).prop_map(Act::Place),
        3 => any::<u8>().prop_map(Act::Release),
        1 => any::<u8>().prop_map(Act::Over),
        4 => (0..3usize).prop_map(Act::Keep),
    ]
}

proptest! {
    /// Whatever happens in whatever order: what is told is what is in force; a hold is confirmed only by a word that
    /// was of it; each change of what is told has a higher revision; the bounds hold.
    #[test]
    fn a_site_confirms_only_what_it_was_told(acts in proptest::collection::vec(act(), 1..120)) {
        let mut log = Log::fleet(1);
        let mut told = vec![digest(&log, 1)];
        let mut revision = 0;
        let mut confirmed_by = BTreeSet::new();
        for act in acts {
            log.time = second(20_000);
            let some = |n: u8| {
                let known = holds(&log, 1);
                known.get(usize::from(n) % known.len().max(1)).map_or(1, |(id, _)| *id)
            };
            let before = digest(&log, 1);
            let done = match act {
                Act::Place(n) => log.apply(place(1, order(&n.to_string()))),
                Act::Release(n) => { let id = some(n); log.apply(release(1, id)) }
                Act::Over(n) => {
                    let hold = HoldId(some(n));
                    log.apply(Command::HoldOver { site: site(1), hold })
                }
                Act::Keep(ago) => {
                    let word = told[told.len().saturating_sub(1 + ago)];
                    let done = log.apply(kept(1, word));
                    prop_assert!(done.is_err() || word == before, "an old word confirmed something");
                    if done.is_ok() {
                        confirmed_by.extend(holds(&log, 1).into_iter().map(|(id, _)| id));
                    }
                    done
                }
            };
            let known = log.state.site(&site(1)).unwrap();
            let tells = log.state.told_holds(known);
            let in_force: Vec<_> = known.holds.iter().filter(|(_, hold)| hold.is_in_force()).map(|(id, _)| id.0).collect();
            prop_assert_eq!(tells.holds.iter().map(|hold| hold.id).collect::<Vec<_>>(), in_force);
            prop_assert!(tells.holds.len() <= HOLDS_MAX && known.holds.len() <= 2 * HOLDS_MAX + 1);
            prop_assert!(wire::holds::check(&tells).is_ok());
            let after = digest(&log, 1);
            if after != before {
                prop_assert!(done.is_ok() && tells.revision > revision);
                revision = tells.revision;
                told.push(after);
            }
            for (id, stage) in holds(&log, 1) {
                prop_assert!(stage != HoldStage::Confirmed || confirmed_by.contains(&id), "hold {id}");
            }
        }
    }
}
