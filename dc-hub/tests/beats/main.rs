//! Beats from real agents to real hub nodes, over loopback: QUIC, TLS, certificates, archives and all.

#![allow(clippy::unwrap_used)] // a test's helpers panic like the test itself

mod drill;
mod parties;

use std::sync::Arc;
use std::time::Duration;

use dc_hub::beats::{Alone, Heard};
use decide::beat::{Arrival, Beat, Bye, CameraState};
use decide::{CameraId, PathId};
use wire::proto;

use parties::{Agent, Authority, Hub, Told, anywhere, until, voter};

fn beat(heard: Heard) -> Option<(Arrival, Beat)> {
    match heard {
        Heard::Beat { site, arrival, beat } => {
            assert_eq!(site.as_str(), "shop-1");
            Some((arrival, beat))
        }
        Heard::Bye { .. } | Heard::Holds { .. } | Heard::Beside { .. } => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beats_arrive_typed_and_numbered() {
    let authority = Authority::new();
    let mut hub = Hub::start(&authority, "hub-1", anywhere(), Arc::new(Alone::new("hub-1")));
    let agent = Agent::start(&authority, "shop-1", hub.address).await;
    let (arrival, first) = hub.hear(beat).await;
    assert_eq!(arrival, Arrival::Direct(PathId::new("wan").unwrap()));
    assert_eq!(first.origin, agent.origin);
    assert_eq!(first.cameras.len(), 1);
    assert_eq!(first.cameras[0].camera, CameraId::new("shop-1/till-1").unwrap());
    // The first may come on both ways, before it is known that QUIC is heard.
    let later = |heard| beat(heard).filter(|(_, beat)| beat.number != first.number);
    let (_, next) = hub.hear(later).await;
    assert!(next.number > first.number, "{} after {}", next.number, first.number);
    // Nobody answers at the camera's address.
    let down = |heard| beat(heard).filter(|(_, beat)| beat.cameras[0].state == CameraState::Down);
    let (_, down) = hub.hear(down).await;
    assert_eq!((down.cameras[0].durable, down.cameras[0].keyframes), (None, 0));
    until("the status tells of the camera", || {
        let sites = hub.sites.snapshot();
        let mut cameras = sites.values().flat_map(|site| &site.cameras);
        cameras.any(|camera| camera.stream == "till-1/main" && camera.state == "down")
    })
    .await;
    agent.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beats_go_on_where_they_were_after_a_restart_of_the_hub() {
    let authority = Authority::new();
    let alone = || Arc::new(Alone::new("hub-1"));
    let mut hub = Hub::start(&authority, "hub-1", anywhere(), alone());
    let address = hub.address;
    let agent = Agent::start(&authority, "shop-1", address).await;
    let (_, before) = hub.hear(beat).await;
    hub.stop().await;
    let mut hub = Hub::start(&authority, "hub-1", address, alone());
    // The newest at the time is told to whoever has just come, whether or not it was told before.
    let (_, after) = hub.hear(|heard| beat(heard).filter(|(_, beat)| beat.number > before.number)).await;
    assert_eq!(after.origin, before.origin);
    agent.stop().await;
    hub.stop().await;
}

/// Two nodes, told to be voters; the first keeps the site's vault.
fn two_nodes(authority: &Authority) -> (Hub, Hub, Arc<Told>) {
    let told = Told::new(proto::Standing { owner: "hub-1".to_owned(), ..Default::default() });
    let hubs = [1, 2].map(|id| Hub::start(authority, &format!("hub-{id}"), anywhere(), told.clone()));
    told.change(|standing| {
        let voter = |(id, hub): (u64, &Hub)| voter(&format!("hub-{id}"), id, hub.address);
        standing.voters = (1..).zip(&hubs).map(voter).collect();
        standing.covered = true;
        standing.epoch = Some(proto::Epoch { generation: 1, salt: 7, n: 1 });
    });
    let [first, second] = hubs;
    (first, second, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_voter_gets_the_same_beats_and_what_sites_are_told_comes_back_in_them() {
    let authority = Authority::new();
    let (mut first, mut second, told) = two_nodes(&authority);
    // The site is configured with the node that doesn't keep its vault.
    let agent = Agent::start(&authority, "shop-1", second.address).await;
    for hub in [&mut first, &mut second] {
        let (_, heard) = hub.hear(beat).await;
        assert_eq!(heard.origin, agent.origin);
    }
    until("the session is where the vault is", || first.has_session()).await;
    assert!(!second.has_session(), "it has none with the other");
    // Whoever may stand by has to know the cameras; the control log is told of them by the vault's node.
    let site = wire::SiteId::new("shop-1").unwrap();
    for hub in [&first, &second] {
        until("every node knows the cameras", || hub.accepted.of(&site).is_some()).await;
    }
    assert_eq!(first.facts.recv().await.unwrap().site, site);
    assert!(second.facts.try_recv().is_err(), "the node without the vault proposes nothing");
    told.change(|standing| standing.epoch = Some(proto::Epoch { generation: 1, salt: 7, n: 2 }));
    for hub in [&mut first, &mut second] {
        hub.hear(|heard| beat(heard).filter(|(_, beat)| beat.epoch.n == 2)).await;
    }
    agent.stop().await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_moves_with_the_vault() {
    let authority = Authority::new();
    let (mut first, second, told) = two_nodes(&authority);
    let agent = Agent::start(&authority, "shop-1", first.address).await;
    first.hear(beat).await;
    told.change(|standing| standing.owner = "hub-2".to_owned());
    until("the session is where the vault is now", || second.has_session()).await;
    // The node that lost it is beaten to all the same.
    while first.heard.try_recv().is_some() {}
    first.hear(beat).await;
    agent.stop().await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_reaches_every_voter_and_recording_goes_on_until_a_standby_does() {
    let authority = Authority::new();
    let (mut first, mut second, told) = two_nodes(&authority);
    let agent = Agent::start(&authority, "shop-1", first.address).await;
    for hub in [&mut first, &mut second] {
        hub.hear(beat).await;
    }
    let beats = agent.beats.clone();
    let stopping = tokio::spawn(async move {
        assert!(beats.goodbye(proto::ByeReason::Shutdown, Duration::ZERO).await, "somebody has it");
        beats.until_taken_over().await;
    });
    for hub in [&mut first, &mut second] {
        let bye = |heard| match heard {
            Heard::Bye { site, origin, bye } => Some((site, origin, bye)),
            Heard::Beat { .. } | Heard::Holds { .. } | Heard::Beside { .. } => None,
        };
        let (site, origin, bye) = hub.hear(bye).await;
        assert_eq!((site.as_str(), origin, bye), ("shop-1", agent.origin, Bye::Shutdown));
        // It still records, and says so.
        hub.hear(beat).await;
    }
    assert!(!stopping.is_finished());
    told.change(|standing| standing.away = true);
    tokio::time::timeout(Duration::from_secs(5), stopping).await.expect("it stops at once now").unwrap();
    agent.stop().await;
    first.stop().await;
    second.stop().await;
}

/// Its vault's node is revoked as lost while the site is away, and is the only one that the site is configured with.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_configured_node_is_gone_for_ever_finds_the_others() {
    let authority = Authority::new();
    let (mut first, mut second, told) = two_nodes(&authority);
    let configured = first.address;
    let agent = Agent::start(&authority, "shop-1", configured).await;
    for hub in [&mut first, &mut second] {
        hub.hear(beat).await;
    }
    until("the session is at its vault's node", || first.has_session()).await;
    agent.stop().await;
    first.stop().await;
    // Nobody keeps the vault yet: whoever gets the session will.
    told.change(|standing| {
        standing.revision += 1;
        standing.owner.clear();
        standing.voters.retain(|voter| voter.node == "hub-2");
        standing.revoked = vec!["hub-1".to_owned()];
    });
    let agent = Agent::start(&authority, "shop-1", configured).await;
    until("the session is at the other node", || second.has_session()).await;
    agent.stop().await;
    second.stop().await;
}
