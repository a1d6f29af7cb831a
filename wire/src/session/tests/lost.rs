//! What happens when bytes that the hub has acked are found damaged there.

use super::directed::segment;
use super::world::{NO_FAULTS, World};
use crate::session::hub::VaultView;
use crate::{LedgerId, RangeSet, SegmentNumber, Seq};

/// Two segments that are acked.
fn acked(seed: u64) -> (World, LedgerId) {
    let mut world = World::new(seed, NO_FAULTS);
    world.connect();
    segment(&mut world, 0);
    segment(&mut world, 0);
    world.settle();
    let ledger = world.site.ledger_of(0);
    assert_eq!(world.site.ledgers[&ledger].acked, RangeSet::from(0..2));
    (world, ledger)
}

/// The hub finds the first segment damaged and says so, if anybody is there.
fn lose(world: &mut World, ledger: &LedgerId) {
    world.vault.lose(ledger, SegmentNumber(0), Seq(0));
    if let Some(link) = &mut world.link {
        if !link.hub.knows(ledger) {
            *link.again.entry((ledger.clone(), SegmentNumber(0))).or_default() += 1;
        }
        link.hub.lost(&world.vault, ledger, SegmentNumber(0), Seq(0));
    }
}

#[test]
fn what_is_lost_counts_as_acked_no_more_and_comes_again() {
    let (mut world, ledger) = acked(31);
    lose(&mut world, &ledger);
    let link = world.link.as_mut().unwrap();
    while link.poll_hub(&world.vault) {}
    while link.deliver_to_site(&world.site) {}
    assert_eq!(link.site.unacked(), 1);
    while link.poll_site(&mut world.site) {}
    assert_eq!(world.site.ledgers[&ledger].acked, RangeSet::from(1..2), "nothing may free it now");
    world.settle();
    world.check_equal();
    assert_eq!(world.site.ledgers[&ledger].acked, RangeSet::from(0..2));
    let sent = &world.link.as_ref().unwrap().sent;
    let right = |number: u64, times: u32| times == if number == 0 { 2 } else { 1 };
    assert!(sent.iter().all(|((_, number, _), times)| right(number.0, *times)), "{sent:?}");
}

#[test]
fn what_an_earlier_connection_brought_comes_again_too() {
    let (mut world, ledger) = acked(32);
    world.cut();
    world.connect();
    world.settle();
    lose(&mut world, &ledger);
    world.settle();
    world.check_equal();
    // And what is found while nobody is there, by the next connection.
    world.cut();
    lose(&mut world, &ledger);
    world.connect();
    world.settle();
    world.check_equal();
}

#[test]
fn what_is_lost_of_a_ledger_that_was_equal_and_not_offered_comes_again() {
    let (mut world, ledger) = acked(36);
    world.cut();
    world.site.restart();
    world.connect();
    segment(&mut world, 0);
    world.settle();
    lose(&mut world, &ledger);
    assert_eq!(world.vault.held(&ledger), RangeSet::from(1..2));
    world.settle();
    world.check_equal();
    assert_eq!(world.vault.held(&ledger), RangeSet::from(0..2), "without a new connection");
}

#[test]
fn a_recovered_segment_comes_again_whole() {
    let mut world = World::new(33, NO_FAULTS);
    world.connect();
    world.record_and_settle(3);
    world.cut();
    world.site.restart();
    world.connect();
    world.settle();
    let ledger = world.site.ledger_of(0);
    assert_eq!(world.vault.held(&ledger), RangeSet::from(0..1));
    lose(&mut world, &ledger);
    world.settle();
    world.check_equal();
}

#[test]
fn what_the_site_has_freed_does_not_come() {
    let (mut world, ledger) = acked(34);
    world.link.as_mut().unwrap().site.gone(&ledger, &RangeSet::from(0..1));
    let before = world.link.as_ref().unwrap().sent.clone();
    lose(&mut world, &ledger);
    world.settle();
    let link = world.link.as_ref().unwrap();
    assert_eq!(link.sent, before);
    assert_eq!(link.site.unacked(), 0, "it waits for nothing");
}

#[test]
fn what_was_never_told_is_passed_over() {
    let (mut world, ledger) = acked(35);
    let link = world.link.as_mut().unwrap();
    let lost = crate::proto::Lost { ledger: Some(ledger.to_proto()), seq: 99, segment: 99 };
    link.say(crate::proto::hub_message::Kind::Lost(lost));
    world.settle();
    world.check_equal();
    assert_eq!(world.site.ledgers[&ledger].acked, RangeSet::from(0..2));
}
