//! Who is who.

use super::*;
use crate::control::{
    Exposed, HostKind, Ineligible, Membership, NotAHost, Refusal, Role, SiteSpec, TakeOverGround,
};
use crate::fixtures::{Log, host, host_spec, site_spec};

fn refused_for(log: &mut Log, n: u64, to: HostId) -> Ineligible {
    match log.apply(Command::Place { site: site(n), host: Some(to) }) {
        Err(Refusal::NotEligible { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_id_is_given_once() {
    let mut log = Log::fleet(0);
    for used in [3, 1] {
        let again = log.apply(Command::AddNode { node: NodeId(used), role: Role::Full });
        assert_eq!(again, Err(Refusal::NodeIdUsed(NodeId(used))));
    }
    // After a restore from an older backup: 2 may have been given by the history that was lost.
    let mut log = Log::default();
    log.must(Command::AddNode { node: NodeId(3), role: Role::Full });
    assert!(log.apply(Command::AddNode { node: NodeId(2), role: Role::Full }).is_err());
}

#[test]
fn the_next_best_node_watches_too() {
    let mut log = Log::fleet(2);
    assert_eq!(log.state.reserve(&site(1)), Some(&hub(2)), "beside hub-1, which has the place");
    let spec = SiteSpec { prefer: vec![hub(3)], ..site_spec(1) };
    log.must(Command::SetSite { site: site(1), spec });
    assert_eq!(log.state.reserve(&site(1)), Some(&hub(3)));
    log.must(Command::Place { site: site(1), host: Some(hub(3)) });
    assert_eq!(log.state.reserve(&site(1)), Some(&hub(1)));
    assert_eq!(
        log.state.watched_by(&hub(1)),
        [&site(2), &site(1)],
        "its place first, then the other's reserve"
    );
    assert_eq!(log.state.watched_by(&hub(2)), [&site(2)]);
    assert!(!log.state.watches(&site(1), &home(1)), "a site's own machine is no node");
    log.must(Command::RevokeHost { host: hub(1) });
    assert_eq!(log.state.reserve(&site(1)), Some(&hub(2)));
    log.must(Command::RevokeSite { site: site(1) });
    assert_eq!(log.state.reserve(&site(1)), None);
}

#[test]
fn a_host_stands_by_only_where_it_may() {
    let mut log = Log::fleet(2);
    assert_eq!(refused_for(&mut log, 1, home(2)), Ineligible::OtherSite);
    assert_eq!(refused_for(&mut log, 1, home(1)), Ineligible::Holder);
    log.must(Command::AddNode { node: NodeId(9), role: Role::Witness });
    log.must(Command::SetHost {
        host: host("witness"),
        spec: host_spec(HostKind::Node(NodeId(9)), "dc-9", 9),
    });
    assert_eq!(refused_for(&mut log, 1, host("witness")), Ineligible::Witness);
    log.must(Command::SetHost { host: hub(2), spec: host_spec(HostKind::Node(NodeId(2)), "dc-2", 1) });
    assert_eq!(refused_for(&mut log, 1, hub(2)), Ineligible::Full, "two cameras");
    log.must(Command::SetHost {
        host: host("beside"),
        spec: host_spec(HostKind::Site(site(1)), "place-1", 2),
    });
    log.must(Command::Place { site: site(1), host: Some(host("beside")) });
    log.must(Command::RevokeHost { host: host("beside") });
    assert_eq!(log.state.site(&site(1)).unwrap().placement, None);
    assert_eq!(refused_for(&mut log, 1, host("beside")), Ineligible::Revoked);
}

#[test]
fn a_node_that_lost_its_disk_comes_back_under_its_name_and_nobody_else_takes_it() {
    let mut log = Log::fleet(1);
    let as_node =
        |n| Command::SetHost { host: hub(1), spec: host_spec(HostKind::Node(NodeId(n)), "dc-1", 20) };
    let taken = Err(Refusal::HostTaken(hub(1)));
    log.must(Command::AddNode { node: NodeId(4), role: Role::Full });
    assert_eq!(log.apply(as_node(4)), taken, "the node of that name votes");
    log.must(Command::Membership(Membership::of([2, 3, 4].map(NodeId))));
    assert_eq!(log.apply(as_node(5)), taken, "nobody knows that one");
    let site_of_its_name =
        Command::SetHost { host: hub(1), spec: host_spec(HostKind::Site(site(1)), "x", 0) };
    assert_eq!(log.apply(site_of_its_name), taken);
    log.must(as_node(4));
    assert_eq!(log.apply(as_node(1)), taken, "it was taken out");
    assert_eq!(log.state.site(&site(1)).unwrap().placement, Some(hub(1)));
    log.must(Command::Membership(Membership::of([2, 3].map(NodeId))));
    log.must(Command::RevokeHost { host: hub(1) });
    assert_eq!(log.apply(as_node(3)), Err(Refusal::HostRevoked(hub(1))), "for ever");
}

#[test]
fn places_are_admitted_within_capacity_and_kept_while_a_standby_is_at_work() {
    let mut log = Log::fleet(1);
    log.must(Command::SetHost { host: hub(1), spec: host_spec(HostKind::Node(NodeId(1)), "dc-1", 2) });
    log.add_site(2);
    assert_eq!(refused_for(&mut log, 2, hub(1)), Ineligible::Full, "reserved for site 1");
    activate(&mut log, 1);
    assert_eq!(refused_for(&mut log, 2, hub(1)), Ineligible::Full, "used by site 1");
    assert_eq!(refused_for(&mut log, 1, hub(1)), Ineligible::Holder);
    let (round, epoch) = (suspect(&mut log, 2), log.epoch(2));
    log.must(silent(2, round, 1));
    log.must(silent(2, round, 2));
    assert!(matches!(log.apply(lost(2, round, epoch)), Err(Refusal::NotEligible { .. })));
    log.must(lost_to(2, round, epoch, hub(3)));
}

#[test]
fn a_draining_host_keeps_what_it_has_and_gets_nothing_new() {
    let mut log = Log::fleet(1);
    log.add_site(2);
    let mut spec = host_spec(HostKind::Node(NodeId(1)), "dc-1", 20);
    spec.draining = true;
    log.must(Command::SetHost { host: hub(1), spec });
    assert_eq!(refused_for(&mut log, 2, hub(1)), Ineligible::Draining);
    assert_eq!(log.state.eligible(&site(1), &hub(1)), Ok(()));
}

#[test]
fn a_revoked_site_or_host_stays_so() {
    let mut log = Log::fleet(2);
    let round = suspect(&mut log, 1);
    let events = log.must(Command::RevokeSite { site: site(1) });
    assert!(events.contains(&Event::SiteRevoked(site(1))));
    assert_eq!(log.apply(silent(1, round, 1)), Err(Refusal::SiteRevoked(site(1))));
    assert_eq!(
        log.apply(Command::SetSite { site: site(1), spec: site_spec(1) }),
        Err(Refusal::SiteRevoked(site(1)))
    );
    log.must(Command::RevokeHost { host: hub(1) });
    let spec = host_spec(HostKind::Node(NodeId(1)), "dc-1", 20);
    assert_eq!(log.apply(Command::SetHost { host: hub(1), spec }), Err(Refusal::HostRevoked(hub(1))));
}

#[test]
fn a_configuration_only_gets_newer_and_a_home_never_moves() {
    let mut log = Log::fleet(2);
    let cameras = log.state.site(&site(1)).unwrap().cameras.clone();
    let old = log.apply(Command::Config { site: site(1), revision: 1, cameras, log_ins_since: None });
    assert!(matches!(old, Err(Refusal::OldRevision { have: 1, offered: 1, .. })));
    let moved = crate::control::SiteSpec { home: home(2), ..site_spec(1) };
    let refused = log.apply(Command::SetSite { site: site(1), spec: moved });
    assert!(matches!(refused, Err(Refusal::HomeIsFixed { .. })));
}

#[test]
fn a_witness_keeps_no_vault() {
    let mut log = Log::fleet(1);
    log.must(Command::AddNode { node: NodeId(4), role: Role::Witness });
    let refused = log.apply(Command::SetVault { site: site(1), node: NodeId(4) });
    assert_eq!(refused, Err(Refusal::IsWitness(NodeId(4))));
    log.must(Command::SetVault { site: site(1), node: NodeId(2) });
}

#[test]
fn a_hosts_name_stays_one_machines() {
    let mut log = Log::fleet(1);
    let taken =
        log.apply(Command::SetHost { host: home(1), spec: host_spec(HostKind::Node(NodeId(1)), "dc-1", 9) });
    assert_eq!(taken, Err(Refusal::HostTaken(home(1))));
}

#[test]
fn only_who_ever_stood_by_for_a_site_brings_what_it_recorded() {
    let mut log = Log::fleet(2);
    let node = |n: u64| move |kind: &HostKind| *kind == HostKind::Node(NodeId(n));
    let bring = |log: &Log, n: u64| log.state.may_bring(&site(1), &hub(n), node(n));
    assert_eq!(bring(&log, 1), Ok(()), "it has the place");
    let never = |n: u64| Err(NotAHost::Never { host: hub(n), site: site(1) });
    assert_eq!(bring(&log, 2), never(2), "it has none, though it is a host like the other");
    log.must(Command::Place { site: site(1), host: Some(hub(2)) });
    assert_eq!((bring(&log, 1), bring(&log, 2), bring(&log, 3)), (Ok(()), Ok(()), never(3)));
    // A person may send it to a host without a place.
    let by = "tester".to_owned();
    let ground = TakeOverGround::Person { by, reason: "a test".to_owned() };
    let expected = log.epoch(1);
    log.must(Command::TakeOver { site: site(1), expected, host: hub(3), ground });
    assert_eq!(bring(&log, 3), Ok(()));
    // The name is not enough: it has to be the machine that the log knows by it.
    let unknown = Err(NotAHost::Unknown(hub(1)));
    assert_eq!(log.state.may_bring(&site(1), &hub(1), |kind| matches!(kind, HostKind::Site(_))), unknown);
    assert_eq!(log.state.may_bring(&site(9), &hub(1), node(1)), Err(NotAHost::Site(site(9))));
    log.must(Command::RevokeHost { host: hub(1) });
    assert_eq!(bring(&log, 1), Err(NotAHost::Revoked(hub(1))));
}

fn configured(log: &mut Log, n: u64, revision: u64, log_ins_since: Option<u64>) -> Vec<Event> {
    let cameras = log.state.site(&site(n)).unwrap().cameras.clone();
    log.must(Command::Config { site: site(n), revision, cameras, log_ins_since })
}

#[test]
fn a_revoked_nodes_word_counts_for_nothing() {
    let mut log = Log::fleet(1);
    let (round, epoch) = (suspect(&mut log, 1), log.epoch(1));
    log.must(silent(1, round, 1));
    log.must(silent(1, round, 2));
    log.must(Command::RevokeHost { host: hub(2) });
    assert!(
        matches!(log.apply(lost(1, round, epoch)), Err(Refusal::NoMajority(_))),
        "said before it was revoked"
    );
    assert_eq!(log.apply(silent(1, round, 2)), Err(Refusal::NodeRemoved(NodeId(2))));
    assert_eq!(refused_for(&mut log, 1, hub(2)), Ineligible::Revoked);
    log.must(silent(1, round, 3));
    log.must(lost(1, round, epoch));
    // Two of three configured voters are left, and then two of two: neither can be spared.
    assert_eq!(log.apply(Command::RevokeHost { host: hub(3) }), Err(Refusal::NoMajorityLeft(hub(3))));
    log.must(Command::Membership(Membership::of([1, 3].map(NodeId))));
    assert_eq!(log.apply(Command::RevokeHost { host: hub(3) }), Err(Refusal::NoMajorityLeft(hub(3))));
    assert_eq!(log.state.revoked_nodes().collect::<Vec<_>>(), [&hub(2)]);
}

#[test]
fn sites_whose_passwords_a_revoked_node_may_have_need_new_ones_until_all_are_changed() {
    let mut log = Log::fleet(2);
    configured(&mut log, 1, 5, Some(0));
    let events = log.must(Command::RevokeHost { host: hub(2) });
    let needed = |needed| Event::NewPasswords { site: site(1), needed };
    assert!(events.contains(&needed(true)), "{events:?}");
    assert!(log.state.site(&site(2)).unwrap().exposed.is_none(), "its cameras ask for no password");
    let exposed = |log: &Log| log.state.site(&site(1)).unwrap().exposed.clone();
    assert_eq!(exposed(&log), Some(Exposed { hosts: [hub(2)].into(), revision: 5 }));
    // Some log-in is as old as that, or older, or the site can't tell.
    for (revision, since) in [(6, 0), (7, 3), (8, 5)] {
        assert_eq!(configured(&mut log, 1, revision, Some(since)), []);
        assert!(exposed(&log).is_some());
    }
    assert_eq!(configured(&mut log, 1, 9, Some(8)), [needed(false)]);
    assert_eq!(exposed(&log), None);
}

#[test]
fn a_witness_never_had_a_password() {
    let mut log = Log::fleet(1);
    configured(&mut log, 1, 2, Some(0));
    log.must(Command::AddNode { node: NodeId(9), role: Role::Witness });
    log.must(Command::SetHost {
        host: host("witness"),
        spec: host_spec(HostKind::Node(NodeId(9)), "dc-9", 0),
    });
    assert_eq!(
        log.must(Command::RevokeHost { host: host("witness") }),
        [Event::HostRevoked(host("witness"))]
    );
}

#[test]
fn a_neighbour_that_the_site_names_brings_too_and_may_stand_by() {
    let mut log = Log::fleet(2);
    let by_machine = |n: u64| move |kind: &HostKind| *kind == HostKind::Site(site(n));
    let bring = |log: &Log| log.state.may_bring(&site(1), &home(2), by_machine(2));
    assert_eq!(bring(&log), Err(NotAHost::Never { host: home(2), site: site(1) }));
    let named = |hosts: &[u64]| Command::SetNeighbours {
        site: site(1),
        hosts: hosts.iter().map(|n| home(*n)).collect(),
    };
    log.must(named(&[2]));
    assert_eq!(log.apply(named(&[2])), Err(Refusal::AlreadySo));
    assert_eq!(bring(&log), Ok(()));
    // A hub node of that name is not that machine.
    let as_node = log.state.may_bring(&site(1), &home(2), |kind| matches!(kind, HostKind::Node(_)));
    assert_eq!(as_node, Err(NotAHost::Unknown(home(2))));
    assert_eq!(refused_for(&mut log, 2, home(1)), Ineligible::OtherSite, "nobody named that one");
    let wanted = |log: &Log| log.state.site(&site(1)).unwrap().wants_recorded_by(&home(2));
    let mut placed = log.clone();
    placed.must(Command::Place { site: site(1), host: Some(home(2)) });
    assert!(placed.state.watches(&site(1), &home(2)) && !wanted(&placed));
    let camera = crate::fixtures::camera(&site(1), 1);
    placed.must(Command::Assist { site: site(1), cameras: [camera].into() });
    assert!(wanted(&placed), "a standby helps a recorder that does not progress");
    let expected = log.epoch(1);
    let ground = TakeOverGround::Person { by: "tester".to_owned(), reason: "a test".to_owned() };
    placed.must(Command::TakeOver { site: site(1), expected, host: home(2), ground });
    assert_eq!(placed.state.site(&site(1)).unwrap().holder(), &home(2));
    assert!(placed.state.site(&site(1)).unwrap().asked_at() > 0);
    assert!(!wanted(&log));
    suspect(&mut log, 1);
    assert!(wanted(&log), "there is a doubt");
    let many: Vec<u64> = (2..=10).collect();
    assert_eq!(log.apply(named(&many)), Err(Refusal::TooManyNeighbours(9)));
    log.must(named(&[]));
    assert!(bring(&log).is_err());
}
