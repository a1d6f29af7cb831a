//! Nodes that join and leave a hub that works: sites are told, and taken over as before.

use anyhow::{Context, ensure};
use holdfast_tests::cluster::play;
use holdfast_tests::scene::PATIENCE;
use ops::rig::wait_until;

#[test]
fn a_node_joins_another_leaves_and_a_dead_recorder_is_taken_over() {
    play(3, 1, |cluster| {
        let added = cluster.add_hub()?;
        let name = cluster.hubs[added].name.clone();
        wait_until("the site beats to the new node", PATIENCE, || {
            let status = cluster.sites[0].get("/status")?;
            Ok(status["voters"][&name]["over"].is_string())
        })?;
        cluster.await_home(0)?;
        let keeper = cluster.keeper(0)?;
        let refused =
            cluster.remove_hub(keeper).err().context("the node that keeps the vault was removed")?;
        ensure!(format!("{refused:#}").contains("keeps the vault"), "{refused:#}");
        // Neither the keeper nor the new one: a node that was there from the beginning.
        let leaves = (0..3).find(|hub| *hub != keeper).context("there are three")?;
        let gone = cluster.hubs[leaves].name.clone();
        cluster.remove_hub(leaves)?;
        wait_until("the site beats to three nodes", PATIENCE, || {
            let status = cluster.sites[0].get("/status")?;
            Ok(status["voters"][&gone]["over"].is_null() && status["voters"][&name]["over"].is_string())
        })?;
        cluster.await_home(0)?;
        cluster.sites[0].kill()?;
        let standby = cluster.await_standby((cluster.leader()?, 0))?;
        cluster.await_recorded(&cluster.hubs[standby], 0, wire::clock::wall(), 2.0)?;
        cluster.start_site(0)?;
        cluster.await_home(0)
    });
}
