//! Drills as real agents take part in them: beats that nobody hears, and a way that is given up and taken again.

use std::time::Duration;

use super::parties::{Agent, Authority};
use super::{beat, two_nodes, until};
use wire::proto::{self, DrillKind};

fn drill(index: u64, kind: DrillKind, shadow: bool, length: Duration) -> proto::Drill {
    let length_ms = u32::try_from(length.as_millis()).unwrap();
    proto::Drill { index, kind: kind.into(), shadow, length_ms }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drilled_recorder_is_heard_by_no_node_and_keeps_its_ways() {
    let authority = Authority::new();
    let (mut first, mut second, told) = two_nodes(&authority);
    let agent = Agent::start(&authority, "shop-1", first.address).await;
    let mut heard = Vec::new();
    for hub in [&mut first, &mut second] {
        heard.push(hub.hear(beat).await.1.number);
    }
    until("the session is there", || first.has_session()).await;
    let since = |hub: &super::parties::Hub| hub.sites.snapshot().values().map(|site| site.since_us).max();
    let before = since(&first);
    // Nobody tells of its end: the site's own clock ends it.
    told.change(|standing| {
        standing.drill = Some(drill(7, DrillKind::Recorder, true, Duration::from_secs(2)));
    });
    for (hub, mut last) in [&mut first, &mut second].into_iter().zip(heard) {
        // Beats are counted on, so what was not heard shows: ten fit into the drill, with a beat each 200 ms.
        let missed = hub.hear(|heard| {
            let (_, beat) = beat(heard)?;
            let missed = beat.number.saturating_sub(std::mem::replace(&mut last, beat.number));
            (missed > 5).then_some(missed)
        });
        assert!(missed.await <= 12, "it came back by itself");
    }
    assert_eq!(since(&first), before, "the session never broke");
    // Told of the same drill again, it does not begin again.
    told.change(|standing| standing.covered = false);
    let mut last = None;
    for _ in 0..10 {
        let (_, heard) = first.hear(beat).await;
        let next = last.replace(heard.number).is_none_or(|last| heard.number <= last + 3);
        assert!(next, "beats are missing again");
    }
    agent.stop().await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drilled_way_is_left_and_taken_again_though_nobody_can_say_so() {
    let authority = Authority::new();
    let (mut first, mut second, told) = two_nodes(&authority);
    let agent = Agent::start(&authority, "shop-1", first.address).await;
    for hub in [&mut first, &mut second] {
        hub.hear(beat).await;
    }
    until("the session is there", || first.has_session()).await;
    told.change(|standing| {
        standing.drill = Some(drill(8, DrillKind::Wan, false, Duration::from_secs(2)));
    });
    until("the site is gone", || !first.has_session()).await;
    until("the site is back", || first.has_session()).await;
    for hub in [&mut first, &mut second] {
        while hub.heard.try_recv().is_some() {}
        hub.hear(beat).await;
    }
    agent.stop().await;
    first.stop().await;
    second.stop().await;
}
