//! Which bytes go, when, and whose first. That nothing goes against a stream's policy is checked at every job and every
//! live part ([`super::link`]).

use super::directed::segment;
use super::settled::reconnect;
use super::world::{NO_FAULTS, World};
use crate::policy::{PRIORITY, Policy, Replicate};
use crate::proto::hub_message;
use crate::session::hub::VaultView;
use crate::session::site::Output;
use crate::{LedgerId, RangeSet, SegmentNumber, Seq, proto};

fn set(world: &mut World, stream: usize, replicate: Replicate) {
    set_with(world, stream, Policy { replicate, priority: PRIORITY });
}

fn set_with(world: &mut World, stream: usize, policy: Policy) {
    let stream = world.site.streams[stream].clone();
    world.site.policies.set(stream, policy);
}

/// A connected world whose first stream has this policy; so many segments of both, all quiet.
fn recorded(replicate: Replicate, segments: usize) -> (World, LedgerId) {
    let mut world = World::new(51, NO_FAULTS);
    set(&mut world, 0, replicate);
    world.connect();
    for _ in 0..segments {
        (0..2).for_each(|stream| segment(&mut world, stream));
    }
    world.settle();
    let ledger = world.site.ledger_of(0);
    (world, ledger)
}

/// Ends the runs, which leaves their ledgers to the digest.
fn restart(world: &mut World) {
    world.cut();
    world.site.restart();
}

#[test]
fn entries_go_and_bytes_stay_and_nobody_waits() {
    for replicate in [Replicate::OnDemand, Replicate::Never] {
        let (world, ledger) = recorded(replicate, 3);
        world.check_equal();
        assert_eq!(world.vault.ledger(&ledger).0, Seq(3), "its timeline is known");
        assert!(world.vault.held(&ledger).is_empty());
        assert!(world.vault.unfinished().is_empty(), "no tail of it that nobody will close");
        assert_eq!(world.link.unwrap().site.unacked(), 0);
    }
}

#[test]
fn what_is_asked_for_comes_and_nothing_else() {
    let (mut world, ledger) = recorded(Replicate::OnDemand, 5);
    world.ask(&ledger, 1..3);
    world.settle();
    assert_eq!(world.vault.held(&ledger), RangeSet::from(1..3));
    assert_eq!(world.site.ledgers[&ledger].acked, RangeSet::from(1..3));
    world.check_equal();
    world.check_thrift();
}

#[test]
fn never_is_never_whoever_asks() {
    let (mut world, ledger) = recorded(Replicate::Never, 2);
    world.ask(&ledger, 0..2);
    world.settle();
    assert!(world.vault.held(&ledger).is_empty());
    assert_eq!(world.link.as_ref().unwrap().site.unacked(), 0, "nor does anybody wait for it");
    world.check_equal();
}

#[test]
fn ended_ledgers_of_which_bytes_stay_are_part_of_the_digest() {
    for replicate in [Replicate::OnDemand, Replicate::Never] {
        let (mut world, _) = recorded(replicate, 2);
        for _ in 0..50 {
            restart(&mut world);
            world.connect();
            (0..2).for_each(|stream| segment(&mut world, stream));
            world.settle();
        }
        restart(&mut world);
        let (offered, asked) = reconnect(&mut world);
        world.check_equal();
        assert_eq!((offered, asked), (2, 0), "only the present run's");
    }
}

#[test]
fn entries_that_a_crash_kept_from_the_hub_are_found_though_their_bytes_stay() {
    let (mut world, ledger) = recorded(Replicate::Never, 2);
    world.cut();
    segment(&mut world, 0);
    world.site.restart();
    let (offered, _) = reconnect(&mut world);
    assert!(offered > 2, "the digests differ");
    assert_eq!(world.vault.ledger(&ledger).0, Seq(3));
    world.check_equal();
}

#[test]
fn what_a_digest_hides_can_be_asked_for() {
    let (mut world, ledger) = recorded(Replicate::OnDemand, 4);
    restart(&mut world);
    let (offered, _) = reconnect(&mut world);
    assert_eq!(offered, 2);
    world.ask(&ledger, 2..3);
    world.settle();
    assert_eq!(world.vault.held(&ledger), RangeSet::from(2..3));
    world.check_equal();
    // And again in the next connection, of which the digest has it still.
    world.cut();
    assert_eq!(reconnect(&mut world), (2, 0));
    world.ask(&ledger, 0..4);
    world.settle();
    assert_eq!(world.vault.held(&ledger), RangeSet::from(0..4));
    world.check_thrift();
}

#[test]
fn another_policy_holds_from_the_next_connection_on() {
    let (mut world, ledger) = recorded(Replicate::Never, 3);
    restart(&mut world);
    world.connect();
    world.settle();
    world.cut();
    // What stayed is wanted now, that of ended runs too.
    set(&mut world, 0, Replicate::Live);
    world.connect();
    segment(&mut world, 0);
    world.settle();
    world.check_equal();
    assert_eq!(world.vault.held(&ledger), RangeSet::from(0..3));
    // And what is recorded from now on stays; what went before is acked, and stays acked.
    world.cut();
    set(&mut world, 0, Replicate::Never);
    world.connect();
    let running = world.site.ledger_of(0);
    let before = world.vault.held(&running);
    segment(&mut world, 0);
    world.settle();
    assert_eq!(world.vault.held(&running), before);
    assert_eq!(world.vault.ledger(&running).0.0, before.len() + 1);
    assert_eq!(world.link.as_ref().unwrap().site.unacked(), 0);
}

#[test]
fn a_tail_that_a_policy_cut_short_is_completed_when_asked_for() {
    let mut world = World::new(52, NO_FAULTS);
    world.connect();
    world.record_and_settle(2);
    world.cut();
    set(&mut world, 0, Replicate::OnDemand);
    world.connect();
    world.record_and_settle(2);
    let committed = world.site.commit_segment(0);
    world.tell(committed);
    world.settle();
    let ledger = world.site.ledger_of(0);
    assert!(world.vault.held(&ledger).is_empty());
    assert!(!world.vault.has(&ledger, SegmentNumber(0), 2));
    world.ask(&ledger, 0..1);
    world.settle();
    world.check_equal();
    world.check_thrift();
}

#[test]
fn scheduled_goes_within_its_window_and_when_asked_for() {
    let (mut world, ledger) = recorded(Replicate::Scheduled, 4);
    assert!(world.vault.held(&ledger).is_empty());
    assert_eq!(world.link.as_ref().unwrap().site.unacked(), 4, "it waits");
    world.ask(&ledger, 3..4);
    world.settle();
    assert_eq!(world.vault.held(&ledger), RangeSet::from(3..4));
    world.link.as_mut().unwrap().set_window(true);
    world.settle();
    world.check_equal();
    assert_eq!(world.vault.held(&ledger), RangeSet::from(0..4));
}

#[test]
fn what_the_hub_held_on_demand_and_lost_comes_again() {
    let (mut world, ledger) = recorded(Replicate::OnDemand, 3);
    world.ask(&ledger, 0..2);
    world.settle();
    world.vault.lose(&ledger, SegmentNumber(1), Seq(1));
    let link = world.link.as_mut().unwrap();
    link.hub.lost(&world.vault, &ledger, SegmentNumber(1), Seq(1));
    world.settle();
    assert_eq!(world.vault.held(&ledger), RangeSet::from(0..2));
    world.check_equal();
}

/// The jobs that come out, in their order, while none is carried out.
fn jobs(world: &mut World) -> Vec<(LedgerId, u64, bool)> {
    let link = world.link.as_mut().unwrap();
    while link.deliver_to_site(&world.site) {}
    let outputs = std::iter::from_fn(|| link.site.poll_output());
    let jobs = outputs.filter_map(|output| match output {
        Output::Backlog { ledger, seq, asked } => Some((ledger, seq.0, asked)),
        _ => None,
    });
    jobs.collect()
}

/// Two streams with a backlog of so many segments each, which has begun.
fn backlog(segments: usize, priorities: [u8; 2]) -> (World, [LedgerId; 2]) {
    let mut world = World::new(53, NO_FAULTS);
    for (stream, priority) in priorities.into_iter().enumerate() {
        set_with(&mut world, stream, Policy { replicate: Replicate::Live, priority });
    }
    world.connect();
    world.settle();
    world.cut();
    for _ in 0..segments {
        (0..2).for_each(|stream| segment(&mut world, stream));
    }
    world.connect();
    let link = world.link.as_mut().unwrap();
    link.events.clear();
    // Up to the hub's answer to the offer, which is not delivered yet.
    for _ in 0..2 {
        while link.deliver_to_site(&world.site) {}
        while link.poll_site(&mut world.site) {}
        while link.deliver_to_hub(&mut world.vault) {}
        while link.poll_hub(&world.vault) {}
    }
    let ledgers = [0, 1].map(|stream| world.site.ledger_of(stream));
    (world, ledgers)
}

#[test]
fn what_was_given_a_turn_goes_first_and_the_rest_as_ever() {
    let (mut world, [low, high]) = backlog(6, [10, 200]);
    // The last two never were, or have gone by the time it is their turn.
    let turns = [(&low, 3), (&high, 2), (&low, 1), (&low, 99), (&low, 3)];
    let turns = turns.map(|(ledger, seq)| (ledger.clone(), Seq(seq)));
    world.link.as_mut().unwrap().site.set_turns(turns);
    let expected = [(&low, 3), (&high, 2), (&low, 1), (&high, 0)];
    assert_eq!(jobs(&mut world), expected.map(|(ledger, seq)| (ledger.clone(), seq, false)));
}

#[test]
fn the_higher_priority_goes_first_and_equal_ones_take_turns() {
    let (mut world, [low, high]) = backlog(6, [10, 200]);
    assert_eq!(jobs(&mut world), [0, 1, 2, 3].map(|seq| (high.clone(), seq, false)));
    for seq in 0..4 {
        world.link.as_mut().unwrap().site.backlog_sent(&high, Seq(seq));
    }
    let next = jobs(&mut world);
    let expected =
        [(&high, 4), (&high, 5), (&low, 0), (&low, 1)].map(|(ledger, seq)| (ledger.clone(), seq, false));
    assert_eq!(next, expected);
    let (mut world, [a, b]) = backlog(6, [PRIORITY, PRIORITY]);
    let expected = [(&a, 0), (&b, 0), (&a, 1), (&b, 1)].map(|(ledger, seq)| (ledger.clone(), seq, false));
    assert_eq!(jobs(&mut world), expected);
}

#[test]
fn what_is_asked_for_overtakes_all_that_waits() {
    let (mut world, [low, high]) = backlog(9, [10, 200]);
    assert_eq!(jobs(&mut world).len(), 4, "no more are under way at once");
    let want = proto::Want { ledger: Some(low.to_proto()), seqs: RangeSet::from(5..8).to_proto() };
    let link = world.link.as_mut().unwrap();
    link.say(hub_message::Kind::Want(want));
    assert_eq!(jobs(&mut world), [5, 6, 7].map(|seq| (low.clone(), seq, true)), "beside those under way");
    let link = world.link.as_mut().unwrap();
    link.site.backlog_sent(&low, Seq(5));
    assert_eq!(jobs(&mut world), [], "its place is for what is asked for");
    let link = world.link.as_mut().unwrap();
    link.site.backlog_sent(&high, Seq(0));
    assert_eq!(jobs(&mut world), [(high.clone(), 4, false)]);
}
