//! A site with two paths to the hub: when the first is cut, beats and footage go over the second, and back.

use std::time::Duration;

use anyhow::ensure;
use holdfast_tests::cluster::{Cluster, Parts, play_with};
use holdfast_tests::scene::PATIENCE;
use ops::rig::wait_until;

/// Longer than any timer of silence alone.
const LONG_S: f64 = 20.0;
/// From a cut until footage goes over the other path: 4 s without an ack, a dial of which the first path has a second,
/// and a noisy machine.
const MOVED: Duration = Duration::from_secs(15);

#[test]
fn a_cut_wan_costs_nothing_where_there_is_a_second_path() {
    play_with(Parts { hubs: 3, sites: 1, second_path: true, ..Parts::default() }, |cluster| {
        await_path(cluster, "wan")?;
        let cut = wire::clock::wall();
        cluster.hubs.iter().try_for_each(|hub| hub.cut(&cluster.sites[0]))?;
        let took = await_path(cluster, "lte")?;
        ensure!(took < MOVED, "it took {took:?} until footage went over the other path");
        cluster.await_recorded(&cluster.sites[0], 0, cut, LONG_S)?;
        wait_until("the footage of the cut is at the hub", PATIENCE, || {
            let seconds = cluster.hubs.iter().map(|hub| cluster.recorded_s(hub, 0, cut));
            Ok(seconds.collect::<anyhow::Result<Vec<_>>>()?.into_iter().any(|seconds| seconds >= LONG_S))
        })?;
        for hub in 0..3 {
            let why = cluster.why(hub, 0)?;
            ensure!(cluster.moves(hub, 0)? == 0 && why["known"]["life"] == "Home", "{why:#}");
        }
        cluster.hubs.iter().chain(&cluster.sites).try_for_each(|machine| machine.heal())?;
        await_path(cluster, "wan")?;
        cluster.await_home(0)?;
        let account = cluster.account()?;
        let holes: Vec<_> = account.values().flat_map(|account| &account.holes).collect();
        ensure!(holes.is_empty(), "{holes:?}");
        Ok(())
    });
}

/// Waits until every voter is beaten to, and footage sent, over this path.
fn await_path(cluster: &Cluster, path: &str) -> anyhow::Result<Duration> {
    wait_until(&format!("everything goes over {path}"), PATIENCE, || {
        let status = cluster.sites[0].get("/status")?;
        let voters = status["voters"].as_object().cloned().unwrap_or_default();
        let uplink = &status["uplink"];
        Ok(voters.len() == 3
            && voters.values().all(|voter| voter["path"] == path)
            && uplink["connected"] == true
            && uplink["path"] == path)
    })
}
