//! What happens when parts don't hash to their entry.

use super::directed::segment;
use super::world::{Faults, NO_FAULTS, World};
use crate::session::hub::VaultView;
use crate::{LedgerId, RangeSet, SegmentNumber, Seq};

/// Lets the hub find, the first so many times, that what it has is rotten.
fn settle_with_rot(world: &mut World, times: u32) {
    for _ in 0..times {
        world.faults = Faults { rot: 1000, ..NO_FAULTS };
        let sent = resends(world);
        for _ in 0..200_000 {
            if resends(world) > sent {
                break;
            }
            world.traffic();
        }
    }
    world.faults = NO_FAULTS;
    world.settle();
}

fn resends(world: &World) -> u32 {
    world.link.as_ref().unwrap().again.values().sum()
}

#[test]
fn what_does_not_hash_is_asked_for_again_and_comes() {
    let mut world = World::new(11, NO_FAULTS);
    world.connect();
    segment(&mut world, 0);
    settle_with_rot(&mut world, 1);
    assert_eq!(resends(&world), 1);
    world.check_equal();
    let link = world.link.as_ref().unwrap();
    assert!(link.sent.values().all(|times| *times == 2), "all parts once more: {:?}", link.sent);
}

#[test]
fn a_recovered_segment_is_asked_for_again_whole_though_parts_came_by_its_old_name() {
    let mut world = World::new(12, NO_FAULTS);
    world.connect();
    world.record_and_settle(3);
    world.cut();
    // One part more that the hub has not got, so that a part comes by the new name and can rot.
    let _ = world.site.record(0);
    world.site.restart();
    world.connect();
    settle_with_rot(&mut world, 1);
    world.check_equal();
}

#[test]
fn a_segment_committed_before_the_connection_is_sent_again_too() {
    let mut world = World::new(13, NO_FAULTS);
    segment(&mut world, 0);
    segment(&mut world, 0);
    world.connect();
    settle_with_rot(&mut world, 1);
    world.check_equal();
}

#[test]
fn a_resend_while_its_job_runs_is_not_forgotten() {
    let mut world = World::new(14, NO_FAULTS);
    segment(&mut world, 0);
    let ledger = world.site.ledger_of(0);
    world.connect();
    while world.link.as_ref().unwrap().jobs.is_empty() {
        world.traffic();
    }
    let link = world.link.as_mut().unwrap();
    let resend = crate::proto::Resend { ledger: Some(ledger.to_proto()), segment: 0 };
    link.again.insert((ledger, SegmentNumber(0)), 1);
    link.to_site.clear();
    link.say(crate::proto::hub_message::Kind::Resend(resend));
    link.step_job(0, &world.site);
    link.deliver_to_site(&world.site);
    let sent = link.sent.len();
    world.settle();
    assert_eq!(sent, 1);
    assert_eq!(
        world.link.as_ref().unwrap().sent.values().sum::<u32>(),
        6,
        "three parts, and all of them again"
    );
    world.check_equal();
}

#[test]
fn a_file_that_never_hashes_does_not_fill_the_uplink_for_ever() {
    let mut world = World::new(15, NO_FAULTS);
    // The site's own file has rotted since it was committed.
    segment(&mut world, 0);
    let ledger = world.site.ledger_of(0);
    let parts = world.site.ledgers.get_mut(&ledger).unwrap().segments.get_mut(&SegmentNumber(0)).unwrap();
    parts[1] = bytes::Bytes::from_static(b"rotten");
    world.connect();
    segment(&mut world, 0);
    world.settle();
    let link = world.link.as_ref().unwrap();
    assert!(link.sent.values().all(|times| *times <= 4), "{:?}", link.sent);
    assert_eq!(link.site.unacked(), 1, "never acked");
    assert_eq!(world.site.ledgers[&ledger].acked, RangeSet::from(1..2), "the next one is not held up");
}

#[test]
fn a_resend_of_one_segment_does_not_send_its_neighbours_again() {
    let mut world = World::new(16, NO_FAULTS);
    segment(&mut world, 0);
    segment(&mut world, 0);
    let ledger = world.site.ledger_of(0);
    world.connect();
    // Both were committed before the connection, so the session does not know which entry has which number.
    while !world.link.as_ref().unwrap().site.is_running() {
        world.traffic();
    }
    let link = world.link.as_mut().unwrap();
    while link.poll_site(&mut world.site) || !link.jobs.is_empty() {
        if !link.jobs.is_empty() {
            link.step_job(0, &world.site);
        }
    }
    let resend = crate::proto::Resend { ledger: Some(ledger.to_proto()), segment: 0 };
    link.again.insert((ledger, SegmentNumber(0)), 1);
    link.to_site.clear();
    link.say(crate::proto::hub_message::Kind::Resend(resend));
    world.settle();
    let sent = &world.link.as_ref().unwrap().sent;
    assert!(
        sent.iter().all(|((_, number, _), times)| *times == if number.0 == 0 { 2 } else { 1 }),
        "{sent:?}"
    );
    world.check_equal();
}

/// Parts arrive, their entry too; then the site's disk is replaced by a copy from before the entry, and what was
/// open in it is recovered by a new run.
fn rolled_back(world: &mut World) -> LedgerId {
    world.connect();
    world.record_and_settle(3);
    world.cut();
    let before = world.site.ledger_of(0);
    world.site.commit_segment(0);
    let ledger = world.site.ledgers.get_mut(&before).unwrap();
    world.vault.take_entries(&before, Seq(0), &ledger.entries).unwrap();
    ledger.entries.clear();
    ledger.heads.truncate(1);
    let parts = ledger.segments.remove(&SegmentNumber(0)).unwrap();
    ledger.open = Some((SegmentNumber(0), parts));
    world.site.restart();
    before
}

#[test]
fn what_a_restored_site_recovers_comes_though_its_parts_were_used_up_meanwhile() {
    let mut world = World::new(17, NO_FAULTS);
    let before = rolled_back(&mut world);
    // The vault tells of the parts, puts their own segment together with them, and has them no more.
    world.connect();
    world.settle();
    let after = world.site.ledger_of(0);
    assert_eq!(world.vault.held(&before), RangeSet::from(0..1));
    assert_eq!(world.vault.held(&after), RangeSet::from(0..1), "it takes the parts for being there");
    assert_eq!(world.site.ledgers[&after].acked, RangeSet::from(0..1));
}

#[test]
fn what_a_restored_site_recovers_comes_though_its_parts_were_used_up_before_its_entry_came() {
    let mut world = World::new(18, NO_FAULTS);
    rolled_back(&mut world);
    world.connect();
    // Their own segment is complete before the entry of the recovered one is sent.
    while !world.link.as_ref().unwrap().site.is_running() {
        let link = world.link.as_mut().unwrap();
        link.poll_site(&mut world.site);
        link.deliver_to_hub(&mut world.vault);
        link.poll_hub(&world.vault);
        while !link.completing.is_empty() {
            link.complete(0, &mut world.vault, false);
        }
        link.deliver_to_site(&world.site);
    }
    world.settle();
    assert_eq!(world.vault.held(&world.site.ledger_of(0)), RangeSet::from(0..1));
}
