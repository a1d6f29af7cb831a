//! Ended ledgers that are equal are one digest; whatever makes one of them unequal is found.

use prost::Message;

use super::directed::segment;
use super::link::Link;
use super::vault_model::Blind;
use super::world::{NO_FAULTS, World};
use crate::entry::Entry;
use crate::proto::{hub_message, site_message};
use crate::session::hub::VaultView;
use crate::{LedgerId, RangeSet, SegmentNumber, Seq, proto};

/// Runs that ended, and a present one; all of it equal, and cut.
fn after_runs(runs: usize) -> World {
    let mut world = World::new(3, NO_FAULTS);
    for _ in 0..runs {
        world.connect();
        (0..2).for_each(|stream| segment(&mut world, stream));
        world.settle();
        world.cut();
        world.site.restart();
    }
    world.connect();
    (0..2).for_each(|stream| segment(&mut world, stream));
    world.settle();
    world.check_equal();
    world.cut();
    world
}

fn ended(world: &World) -> Vec<LedgerId> {
    world.site.ledgers.iter().filter(|(_, ledger)| ledger.ended).map(|(id, _)| id.clone()).collect()
}

/// Becomes equal again; tells which ledgers were offered one by one, and how often the site asked for parts.
pub(super) fn reconnect(world: &mut World) -> (usize, usize) {
    world.connect();
    let (mut offered, mut asked) = (0, 0);
    let mut seen = 0;
    let mut idle = 0;
    while idle < 400 {
        idle = if world.traffic() { 0 } else { idle + 1 };
        // Messages leave the line as they arrive, one in a step.
        let line = &world.link.as_ref().unwrap().to_hub;
        for message in line.iter().skip(seen) {
            if let Some(site_message::Kind::Offer(offer)) = &message.kind {
                offered += offer.ledgers.len();
                asked += offer.split.len();
            }
        }
        seen = line.len();
    }
    (offered, asked)
}

#[test]
fn equal_archives_are_equal_in_one_round_and_few_bytes() {
    let mut world = after_runs(100);
    world.connect();
    let link = world.link.as_mut().unwrap();
    while exchange(link, &mut world.vault, &mut world.site) {}
    assert!(link.site.is_running() && link.hub.is_offer_complete());
    assert_eq!(link.site.unacked(), 0);
    let (up, down) = bytes(&mut after_runs(100));
    let (few_up, few_down) = bytes(&mut after_runs(2));
    assert_eq!(down, few_down, "the answer does not depend on what has ended");
    assert!(up - few_up <= 1 && up < 250 && down < 250, "{up} bytes up, {down} down");
}

fn exchange(
    link: &mut Link,
    vault: &mut super::vault_model::VaultModel,
    site: &mut super::site_model::SiteModel,
) -> bool {
    let sent = link.poll_site(site) | link.deliver_to_hub(vault);
    sent | link.poll_hub(vault) | link.deliver_to_site(site)
}

/// What the offer and the answer to it have.
fn bytes(world: &mut World) -> (usize, usize) {
    world.connect();
    let link = world.link.as_mut().unwrap();
    let (mut up, mut down) = (0, 0);
    loop {
        let moved = link.poll_site(&mut world.site);
        up += link
            .to_hub
            .iter()
            .filter(|m| matches!(m.kind, Some(site_message::Kind::Offer(_))))
            .map(len)
            .sum::<usize>();
        while link.deliver_to_hub(&mut world.vault) {}
        while link.poll_hub(&world.vault) {}
        let is_have = |m: &&proto::HubMessage| matches!(m.kind, Some(hub_message::Kind::Have(_)));
        down += link.to_site.iter().filter(is_have).map(Message::encoded_len).sum::<usize>();
        while link.deliver_to_site(&world.site) {}
        if !moved {
            return (up, down);
        }
    }
}

fn len(message: &proto::SiteMessage) -> usize {
    message.encoded_len()
}

#[test]
fn bytes_that_the_vault_lost_of_an_ended_ledger_are_found_and_sent_again() {
    let mut world = after_runs(60);
    let lost = ended(&world)[37].clone();
    world.vault.ledgers.get_mut(&lost).unwrap().held.remove(0..1);
    assert!(world.vault.files.remove(&(lost.clone(), SegmentNumber(0))).is_some());
    let (offered, asked) = reconnect(&mut world);
    world.check_equal();
    assert!(offered < 2 + 10 && asked == 0, "{offered} offered, {asked} asked");
}

/// Does the site hear that the vault lost bytes, and of what it freed that it is done with?
fn hears(blind: Option<Blind>) -> [bool; 2] {
    let mut world = after_runs(20);
    world.vault.blind = blind;
    let ended = ended(&world);
    let freed = world.vault.ledgers.get_mut(&ended[3]).unwrap();
    freed.gone = std::mem::replace(&mut freed.held, RangeSet::new());
    let quick = reconnect(&mut world).0 == 2;
    world.cut();
    world.vault.ledgers.get_mut(&ended[9]).unwrap().held.remove(0..1);
    world.vault.files.remove(&(ended[9].clone(), SegmentNumber(0)));
    reconnect(&mut world);
    [world.vault.held(&ended[9]) == RangeSet::from(0..1), quick]
}

#[test]
fn a_digest_that_leaves_something_out_is_noticed() {
    assert_eq!(hears(None), [true, true]);
    assert_eq!(hears(Some(Blind::Held)), [false, true], "what is lost stays lost");
    assert_eq!(hears(Some(Blind::Gone)), [true, false], "what is freed costs a round at every connection");
    assert_eq!(hears(Some(Blind::Head)), [true, false], "two that are equal don't look it");
}

#[test]
fn a_ledger_that_the_vault_lost_altogether_is_sent_again() {
    let mut world = after_runs(60);
    let lost = ended(&world)[11].clone();
    world.vault.ledgers.remove(&lost);
    world.vault.files.retain(|(ledger, _), _| *ledger != lost);
    reconnect(&mut world);
    world.check_equal();
}

#[test]
fn a_new_vault_gets_everything() {
    let mut world = after_runs(60);
    world.vault = Default::default();
    let (offered, asked) = reconnect(&mut world);
    world.check_equal();
    assert_eq!((offered, asked), (122, 0));
}

#[test]
fn an_ended_ledger_with_another_past_is_quarantined_though_it_has_as_many_entries() {
    let mut world = after_runs(20);
    let other = ended(&world)[5].clone();
    let entry = Entry::write(crate::UnixMicros(7), proto::entry::Kind::Gap(proto::Gap::default()));
    world.vault.ledgers.get_mut(&other).unwrap().entries[0] = entry;
    reconnect(&mut world);
    assert!(world.link.unwrap().quarantined.contains(&other));
}

#[test]
fn what_the_vault_freed_is_equal_and_costs_no_further_round() {
    let mut world = after_runs(60);
    for id in ended(&world) {
        let ledger = world.vault.ledgers.get_mut(&id).unwrap();
        ledger.gone = std::mem::replace(&mut ledger.held, RangeSet::new());
    }
    let (offered, asked) = reconnect(&mut world);
    assert_eq!((offered, asked), (2, 0));
    assert!(world.link.unwrap().sent.is_empty());
}

#[test]
fn what_the_site_has_no_acks_of_is_offered_and_what_only_the_vault_has_is_not_waited_for() {
    let mut world = after_runs(20);
    let mut ended = ended(&world);
    let (unacked, restored) = (ended.pop().unwrap(), ended.pop().unwrap());
    world.site.ledgers.get_mut(&unacked).unwrap().acked = RangeSet::new();
    world.site.ledgers.remove(&restored);
    let (offered, _) = reconnect(&mut world);
    // The present run's two, the one in doubt, and those in the bucket of the one that only the vault has: the few
    // that there are, all.
    assert!((3..=42).contains(&offered), "{offered}");
    world.check_equal();
    assert!(world.link.unwrap().sent.is_empty());
    assert_eq!(world.vault.ledger(&restored).0, Seq(1));
}

#[test]
fn the_hub_hears_that_a_site_has_nothing_to_say_to_a_difference() {
    let mut world = after_runs(60);
    let mut nothing = 0;
    for id in ended(&world).into_iter().take(20) {
        let ledger = world.site.ledgers.remove(&id).unwrap();
        nothing += usize::from(reconnect(&mut world).0 == 2);
        assert!(world.link.as_ref().unwrap().hub.is_offer_complete());
        world.cut();
        world.site.ledgers.insert(id, ledger);
    }
    assert!(nothing > 0, "there was always another ledger in the same bucket");
}
