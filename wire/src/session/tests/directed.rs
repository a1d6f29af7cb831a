//! One rule each, in the order in which a connection meets them.

use std::time::Duration;

use super::link::{GENERATION, Link, PartStream, VAULT};
use super::site_model::SiteModel;
use super::vault_model::VaultModel;
use super::world::{NO_FAULTS, World};
use crate::frame::CONTROL_BYTES_MAX;
use crate::proto::hub_message;
use crate::session::hub::{self, HubSession, VaultView};
use crate::session::site::{LivePart, SiteLimits, told_ledgers};
use crate::{LedgerId, RangeSet, SegmentNumber, Seq, VaultId, proto};

/// A connected world with one committed segment of three parts on stream 0, everything quiet.
fn quiet() -> World {
    let mut world = World::new(7, NO_FAULTS);
    world.connect();
    segment(&mut world, 0);
    world.settle();
    world.check_equal();
    world
}

/// Records and commits a segment of three parts.
pub(super) fn segment(world: &mut World, stream: usize) {
    for _ in 0..3 {
        let recorded = world.site.record(stream);
        world.tell(Some(recorded));
    }
    let committed = world.site.commit_segment(stream);
    world.tell(committed);
}

#[test]
fn a_part_is_live_before_its_segment_is_closed() {
    let mut world = World::new(1, NO_FAULTS);
    world.connect();
    let recorded = world.site.record(0);
    world.tell(Some(recorded));
    world.settle();
    let ledger = world.site.ledger_of(0);
    assert!(world.vault.has(&ledger, SegmentNumber(0), 0));
    assert_eq!(world.link.unwrap().jobs.len(), 0);
}

#[test]
fn a_live_queue_that_is_too_far_behind_is_left_to_the_backlog() {
    let mut world = quiet();
    let ledger = world.site.ledger_of(0);
    for _ in 0..3 {
        let recorded = world.site.record(0);
        world.tell(Some(recorded));
    }
    let link = world.link.as_mut().unwrap();
    while link.follow(&world.site, world.now, false) {}
    let late = world.now + Duration::from_secs(11);
    assert!(!link.send_live(&ledger, &world.site, late), "sent live after 11 s");
    let committed = world.site.commit_segment(0);
    world.tell(committed);
    world.settle();
    world.check_equal();
}

#[test]
fn a_hub_that_never_answers_does_not_make_the_live_queue_grow() {
    let mut world = World::new(2, NO_FAULTS);
    world.connect();
    let ledger = world.site.ledger_of(0);
    let link = world.link.as_mut().unwrap();
    let mut in_line = 0;
    for part in 0..1000 {
        let since = world.now + Duration::from_secs(part.into());
        let taken = link.site.part_recorded(&ledger, LivePart { segment: SegmentNumber(0), part, since });
        in_line = if taken { in_line + 1 } else { 0 };
        assert!(in_line <= 11, "{in_line} s of parts in line");
    }
}

#[test]
fn live_parts_given_up_while_a_job_runs_are_not_forgotten() {
    let mut world = quiet();
    let ledger = world.site.ledger_of(0);
    let parts: Vec<_> = (0..3).map(|_| world.site.record(0)).collect();
    // The first part passed the session by, as parts do when a follower lags; the others are in line.
    world.tell(Some(parts[1].clone()));
    world.tell(Some(parts[2].clone()));
    let committed = world.site.commit_segment(0);
    world.tell(committed);
    let link = world.link.as_mut().unwrap();
    while link.follow(&world.site, world.now, false) || link.poll_site(&mut world.site) {}
    assert_eq!(link.jobs.len(), 1);
    link.step_job(0, &world.site);
    link.send_live(&ledger, &world.site, world.now + Duration::from_secs(11));
    link.step_job(0, &world.site);
    assert_eq!(link.jobs.len(), 0);
    world.settle();
    world.check_equal();
}

#[test]
fn an_ack_of_another_vault_or_generation_frees_nothing() {
    let mut world = quiet();
    let gap = world.site.commit_gap(0);
    world.tell(Some(gap));
    let ledger = world.site.ledger_of(0);
    let link = world.link.as_mut().unwrap();
    while link.follow(&world.site, world.now, false) {}
    let ack = |vault: VaultId, generation| proto::Ack {
        ledger: Some(ledger.to_proto()),
        seqs: RangeSet::from(1..2).to_proto(),
        vault: bytes::Bytes::copy_from_slice(&vault.0),
        generation,
        class: proto::Durability::Node.into(),
    };
    for (vault, generation, unacked) in
        [(VaultId([8; 16]), GENERATION, 1), (VAULT, GENERATION - 1, 1), (VAULT, GENERATION, 0)]
    {
        link.say(hub_message::Kind::Ack(ack(vault, generation)));
        link.deliver_to_site(&world.site);
        assert_eq!(link.site.unacked(), unacked, "{vault:?} {generation}");
    }
}

#[test]
fn heads_that_differ_quarantine_the_ledger_and_nothing_else() {
    let mut world = quiet();
    let (bad, good) = (world.site.ledger_of(0), world.site.ledger_of(1));
    world.cut();
    // Somebody else's entry at the hub where ours was.
    let mut other = SiteModel::new(2);
    other.commit_gap(0);
    let entry = other.ledgers[&bad].entries[0].clone();
    world.vault.ledgers.get_mut(&bad).unwrap().entries[0] = entry;
    world.connect();
    segment(&mut world, 0); // told before the hub has answered, so it stands in line
    segment(&mut world, 1);
    world.settle();
    let link = world.link.as_ref().unwrap();
    assert_eq!(link.quarantined.iter().collect::<Vec<_>>(), [&bad]);
    assert_eq!(link.sent.keys().filter(|(ledger, _, _)| *ledger == bad).count(), 0);
    assert_eq!(world.vault.held(&good), RangeSet::from(0..1));
}

#[test]
fn live_parts_in_line_are_not_sent_once_their_ledger_is_quarantined() {
    let mut world = quiet();
    let ledger = world.site.ledger_of(0);
    world.cut();
    world.vault.ledgers.get_mut(&ledger).unwrap().entries.clear();
    let mut other = SiteModel::new(2);
    other.commit_gap(0);
    world.vault.ledgers.get_mut(&ledger).unwrap().entries.push(other.ledgers[&ledger].entries[0].clone());
    world.connect();
    let recorded = world.site.record(0);
    world.tell(Some(recorded));
    let link = world.link.as_mut().unwrap();
    while link.follow(&world.site, world.now, false) {}
    world.settle(); // the link asserts that no byte of it is sent
    assert!(world.link.unwrap().quarantined.contains(&ledger));
}

#[test]
fn other_bytes_for_a_known_seq_are_refused_and_the_ledger_rests() {
    let mut world = quiet();
    let ledger = world.site.ledger_of(0);
    // The hub has one entry more than it told: as after a cloned disk that went on by itself.
    let mut other = SiteModel::new(2);
    other.commit_gap(0);
    let entry = other.ledgers[&ledger].entries[0].clone();
    world.vault.ledgers.get_mut(&ledger).unwrap().entries.push(entry);
    segment(&mut world, 0);
    world.settle();
    assert!(world.link.as_ref().unwrap().quarantined.contains(&ledger));
    let sent = world.link.as_ref().unwrap().sent.len();
    segment(&mut world, 0);
    world.settle();
    assert_eq!(world.link.as_ref().unwrap().sent.len(), sent, "a quarantined ledger was sent on");
}

#[test]
fn a_hub_ahead_of_a_restored_site_keeps_what_it_has() {
    let mut world = quiet();
    let ledger = world.site.ledger_of(0);
    world.cut();
    // The site comes back from a backup made before that segment.
    world.site = SiteModel::new(2);
    world.connect();
    world.settle();
    let link = world.link.as_ref().unwrap();
    assert!(link.quarantined.is_empty());
    assert_eq!((link.entries_sent, link.sent.len()), (0, 0));
    assert_eq!(world.vault.held(&ledger), RangeSet::from(0..1));
    assert_eq!(link.site.unacked(), 0);
    // Its next run writes a ledger of its own.
    world.cut();
    world.site.restart();
    world.connect();
    segment(&mut world, 0);
    world.settle();
    assert_eq!(world.vault.held(&world.site.ledger_of(0)), RangeSet::from(0..1));
}

#[test]
fn a_ledger_opened_while_connected_is_replicated_like_any_other() {
    let mut world = quiet();
    let opened = world.site.add_stream();
    world.tell(Some(opened));
    let stream = world.site.streams.len() - 1;
    segment(&mut world, stream);
    world.settle();
    world.check_equal();
    assert_eq!(world.vault.held(&world.site.ledger_of(stream)), RangeSet::from(0..1));
}

#[test]
fn a_refused_ledger_is_let_be_and_the_others_go_on() {
    let mut world = World::new(3, NO_FAULTS);
    world.connect();
    let refused = world.site.ledger_of(0);
    world.link.as_mut().unwrap().refused.insert(refused.clone());
    segment(&mut world, 0);
    segment(&mut world, 1);
    world.settle();
    let link = world.link.as_ref().unwrap();
    assert!(link.quarantined.contains(&refused));
    assert!(link.sent.keys().all(|(ledger, _, _)| *ledger != refused));
    assert_eq!(world.vault.held(&world.site.ledger_of(1)), RangeSet::from(0..1));
}

#[test]
fn a_recovered_segment_that_is_all_here_by_its_old_name_is_put_together_after_a_cut() {
    let mut world = World::new(5, NO_FAULTS);
    world.connect();
    world.record_and_settle(3);
    world.cut();
    world.site.restart();
    world.connect();
    // The entry arrives, and the connection is cut before the hub has put the segment together.
    while world.link.as_ref().unwrap().completing.is_empty() {
        assert!((0..1000).any(|_| world.traffic()), "the hub never completed it");
    }
    world.cut();
    world.connect();
    world.settle();
    world.check_equal();
    assert!(world.link.unwrap().sent.is_empty(), "all of it had been there");
}

#[test]
fn a_part_waits_at_the_hub_for_the_message_that_opens_its_ledger() {
    let mut world = quiet();
    let opened = world.site.add_stream();
    let stream = world.site.streams.len() - 1;
    let ledger = world.site.ledger_of(stream);
    world.tell(Some(opened));
    let recorded = world.site.record(stream);
    world.tell(Some(recorded));
    let link = world.link.as_mut().unwrap();
    while link.follow(&world.site, world.now, false) {}
    assert!(link.send_live(&ledger, &world.site, world.now));
    assert!(!link.deliver_part(PartStream::Live(ledger.clone())), "taken before Opened came");
    world.settle();
    assert!(world.vault.has(&ledger, SegmentNumber(0), 0));
}

/// Holds every second seq of every ledger, as after a long outage with many events between the segments.
struct Scattered;

impl VaultView for Scattered {
    fn ledger(&self, ledger: &LedgerId) -> (Seq, crate::chain::Head) {
        (Seq(100_000), crate::chain::Head::genesis(ledger))
    }
    fn held(&self, _: &LedgerId) -> RangeSet {
        (0..50_000).map(|seq| 2 * seq..2 * seq + 1).collect()
    }
    fn segment(&self, _: &LedgerId, _: SegmentNumber) -> Option<hub::KnownSegment> {
        None
    }
    fn tail(&self, _: &LedgerId, _: SegmentNumber) -> RangeSet {
        RangeSet::new()
    }
    fn tails(&self, _: &LedgerId) -> Vec<(SegmentNumber, RangeSet)> {
        Vec::new()
    }
}

#[test]
fn the_answer_to_an_offer_fits_the_frame_limit() {
    use prost::Message;
    let mut session = HubSession::new(VAULT, GENERATION);
    let ledgers: Vec<_> = (0..12)
        .map(|origin| LedgerId {
            origin: crate::OriginId([origin; 16]),
            stream: "cam-0/main".parse().unwrap(),
        })
        .collect();
    let offer = proto::Offer { last: true, ..Default::default() };
    session.offered((&Scattered, &VaultModel::default()), ledgers.clone(), Vec::new(), &offer).unwrap();
    let mut told = Vec::new();
    while let Some(hub::Output::Control(message)) = session.poll_output() {
        assert!(message.encoded_len() <= CONTROL_BYTES_MAX / 2, "{} bytes", message.encoded_len());
        let Some(hub_message::Kind::Have(have)) = message.kind else { panic!("{message:?}") };
        told.extend(told_ledgers(&have).unwrap());
        assert_eq!(have.last, told.len() == ledgers.len());
    }
    assert_eq!(told, ledgers);
}

#[test]
fn a_large_offer_is_split_and_only_its_last_message_says_so() {
    let mut model = SiteModel::new(1);
    for _ in 0..30 {
        model.restart();
        (0..40).for_each(|_| drop(model.add_stream()));
    }
    let mut world = World::new(1, NO_FAULTS);
    world.site = model;
    let mut link = Link::new(&world.site, &VaultModel::default(), SiteLimits::default());
    link.poll_site(&mut world.site);
    link.deliver_to_hub(&mut world.vault);
    link.deliver_to_site(&world.site);
    let mut lasts = Vec::new();
    link.to_hub.clear();
    while link.poll_site(&mut world.site) {}
    for message in &link.to_hub {
        let Some(proto::site_message::Kind::Offer(offer)) = &message.kind else { panic!("{message:?}") };
        assert!(offer.ledgers.len() <= 1000);
        lasts.push(offer.last);
    }
    assert!(lasts.len() > 1);
    assert_eq!(lasts.iter().position(|last| *last), Some(lasts.len() - 1));
}

#[test]
fn what_was_freed_is_not_sent_and_not_waited_for() {
    let mut world = quiet();
    let ledger = world.site.ledger_of(0);
    // Recorded while nobody followed: backlog, until it is freed.
    for _ in 0..3 {
        world.site.record(0);
    }
    world.site.commit_segment(0);
    let facts = world.site.facts_of(&ledger);
    let (next, head) = (facts.next, facts.head);
    let link = world.link.as_mut().unwrap();
    link.site.committed(&ledger, Seq(next.0 - 1), head, Some((SegmentNumber(1), 3)));
    assert_eq!(link.site.unacked(), 1);
    link.site.gone(&ledger, &RangeSet::from(next.0 - 1..next.0));
    assert_eq!(link.site.unacked(), 0);
    while link.poll_site(&mut world.site) {}
    assert_eq!(link.jobs.len(), 0, "nothing is read of it");
}
