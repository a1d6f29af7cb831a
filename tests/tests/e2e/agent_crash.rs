//! The agent dies in mid-stream.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use holdfast_tests::account::{CameraAccount, settle, still_held};
use holdfast_tests::scene::{EntryName, PATIENCE, QUICK, Scene, Side, camera, ends, play, site, spans};
use ops::oracle;
use ops::rig::wait_until;
use site_agent::coverage::GapCause;
use wire::UnixMicros;

/// A fragment is at most so long, and a frame is on its way for a moment.
const FRAGMENT: Duration = Duration::from_millis(500 + 500);

#[test]
fn a_killed_agent_loses_a_fragment_and_explains_the_rest() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        let (mut acked, mut kills) = (BTreeSet::new(), Vec::new());
        for _ in 0..2 {
            let from = wire::clock::wall();
            scene.await_recorded(Side::Hub, 0, from, 5.0)?;
            acked.extend(scene.acked(0, "till-1", began)?);
            in_mid_segment(scene)?;
            let killed = wire::clock::wall();
            scene.rig.kill_agent(0)?;
            scene.rig.start_agent(0)?;
            kills.push((killed, wire::clock::wall()));
            scene.await_recording(0)?;
        }
        let from = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, from, 3.0)?;
        let accounts = settle(scene)?;
        still_held(&scene.rig, 0, &acked)?;
        accounts.iter().try_for_each(|account| explained_by(account, &kills))
    });
}

#[test]
fn an_agent_killed_behind_a_cut_wan_brings_both_runs() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 3.0)?;
        scene.rig.sites[0].cable.cut()?;
        let cut = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, cut, 4.0)?;
        in_mid_segment(scene)?;
        let killed = wire::clock::wall();
        scene.rig.kill_agent(0)?;
        scene.rig.start_agent(0)?;
        let restarted = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, restarted, 4.0)?;
        scene.rig.sites[0].cable.heal()?;
        let healed = wire::clock::wall();
        scene.await_recording(0)?;
        scene.await_acked(0, (began, healed))?;
        both_runs_are_at_the_hub(scene, (cut, healed))?;
        let accounts = settle(scene)?;
        accounts.iter().try_for_each(|account| explained_by(account, &[(killed, restarted)]))
    });
}

/// Waits until a segment is open that has something to be recovered, and that will not be closed at once.
fn in_mid_segment(scene: &Scene) -> anyhow::Result<()> {
    let open = || {
        let now = wire::clock::wall();
        let coverage = scene.coverage(Side::Site, 0, "till-1", (now - Duration::from_secs(5), now))?;
        let tail = spans(&coverage)?.iter().find(|span| span["state"] == "tail").map(ends);
        Ok(tail.is_some_and(|(start, end)| end.since(start) < Duration::from_secs(1)))
    };
    wait_until("a segment has begun", PATIENCE, open).map(drop)
}

fn both_runs_are_at_the_hub(scene: &Scene, (cut, healed): (UnixMicros, UnixMicros)) -> anyhow::Result<()> {
    let coverage = scene.coverage(Side::Hub, 0, "till-1", (cut, healed))?;
    let origins: BTreeSet<_> = spans(&coverage)?.iter().filter_map(|span| span["origin"].as_str()).collect();
    ensure!(origins.len() == 2, "of the cut the hub has footage of {origins:?}: {coverage:#}");
    ensure!(coverage["unexplained_s"] == 0.0 && coverage["arriving_s"] == 0.0, "{coverage:#}");
    Ok(())
}

/// What is missing is what the kills explain: each cost no more than a fragment and the time of the restart.
fn explained_by(account: &CameraAccount, kills: &[(UnixMicros, UnixMicros)]) -> anyhow::Result<()> {
    // A restarted agent has to find its camera again: a moment, and half a second more if the camera had
    // not noticed that the old one is gone.
    let connect = Duration::from_secs(3);
    let gaps = account.inner_gaps();
    for (start, end, cause) in &gaps {
        let near = |(killed, restarted): &(UnixMicros, UnixMicros)| {
            *killed - FRAGMENT <= *start && *end <= *restarted + connect
        };
        ensure!(kills.iter().any(near), "no kill explains {start} to {end}, {cause:?}: {gaps:#?}, {kills:?}");
        let expected = matches!(cause, GapCause::HostDown | GapCause::CameraDown);
        ensure!(expected, "{cause:?} is none of a killed agent's causes: {gaps:#?}");
    }
    let down = gaps.iter().filter(|(_, _, cause)| *cause == GapCause::HostDown).count();
    ensure!(down == kills.len(), "{} kills, {gaps:#?}", kills.len());
    // The camera's log goes on for a moment after the agent's death. Of what it sent before, a fragment at
    // most may be missing.
    for sent in oracle::sent_after_last(&account.log, &account.at_site)? {
        for (killed, _) in kills {
            let early = sent.iter().filter(|at| **at + FRAGMENT < *killed).count();
            let of_this_run = sent.iter().any(|at| *at + Duration::from_secs(2) > *killed);
            ensure!(early == 0 || !of_this_run, "{early} frames sent before the last fragment are missing");
        }
    }
    recovered(account, kills.len())
}

/// What the killed runs left open was entered by the next, and says so.
fn recovered(account: &CameraAccount, kills: usize) -> anyhow::Result<()> {
    let mut recovered = BTreeSet::new();
    for (EntryName { origin, .. }, segment) in &account.segments {
        if let Some(name) = &segment.recovered_from {
            ensure!(name.origin.as_ref() != origin.0, "a run recovered its own segment");
            recovered.insert(name.origin.clone());
        }
    }
    ensure!(recovered.len() == kills, "{kills} kills, and segments of {} runs recovered", recovered.len());
    Ok(())
}
