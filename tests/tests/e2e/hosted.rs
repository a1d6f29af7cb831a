//! A standby on a node that does not keep the site's vault: what it recorded reaches the vault, and from there the site,
//! whatever happens to the host on the way.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::cluster::{CAMERA, Cluster, Machine, Parts, play_with};
use holdfast_tests::scene::PATIENCE;
use ops::rig::wait_until;
use serde_json::Value;
use site_agent::serve::verify_export;
use wire::UnixMicros;

/// A dead recorder is taken over in less.
const TAKEOVER: Duration = Duration::from_secs(20);

#[test]
fn what_a_standby_records_elsewhere_is_in_the_vault_at_once_and_comes_back_to_the_site() {
    play_with(APART, |cluster| {
        let began = wire::clock::wall();
        let (keeper, host) = apart(cluster)?;
        let killed = cluster.sites[0].kill()?;
        ensure!(cluster.await_standby((keeper, 0))? == host, "another host has authority");
        let taken = wire::clock::wall();
        // While the standby goes on, unfinished segments among it.
        cluster.await_recorded(&cluster.hubs[keeper], 0, taken, 6.0)?;
        let shown = cluster.hubs[keeper].get("/status")?["standbys"]["brought"].clone();
        ensure!(shown[0]["host"] == *cluster.hubs[host].name, "{shown:#}");
        let third = 3 - keeper - host;
        ensure!(cluster.recorded_s(&cluster.hubs[third], 0, taken)? == 0.0, "it went to a third node");

        // Its vault's timeline and export have the standby's recording, with proof.
        let file = export(&cluster.hubs[keeper], taken, 4)?;
        ensure!(file > 0, "an empty export");
        cluster.start_site(0)?;
        cluster.await_home(0)?;
        let home = wire::clock::wall();
        cluster.await_recorded(&cluster.sites[0], 0, home, 3.0)?;
        await_brought(cluster, host)?;
        await_restored(cluster, (began, home))?;
        export(&cluster.sites[0], taken, 4)?;

        // The host could be thrown away now: the vault alone has all of it, and so has the site.
        cluster.stop()?;
        let (keeper, site) = (cluster.hubs[keeper].name.clone(), cluster.sites[0].name.clone());
        for alone in [keeper, site] {
            has_all(cluster, |machine| machine.name == alone, killed).context(alone.clone())?;
        }
        Ok(())
    });
}

#[test]
fn a_host_that_is_cut_off_and_dies_brings_everything_once_it_is_back() {
    play_with(APART, |cluster| {
        let (keeper, host) = apart(cluster)?;
        let killed = cluster.sites[0].kill()?;
        ensure!(cluster.await_standby((keeper, 0))? == host, "another host has authority");
        let taken = wire::clock::wall();
        cluster.await_recorded(&cluster.hubs[keeper], 0, taken, 3.0)?;
        cluster.hubs[keeper].cut(&cluster.hubs[host])?;
        let cut = wire::clock::wall();
        cluster.await_recorded(&cluster.hubs[host], 0, cut, 8.0)?;
        // In the middle of a segment of which the vault has a part at most.
        let died = cluster.hubs[host].kill()?;
        cluster.hubs.iter().try_for_each(Machine::heal)?;
        cluster.start_hub(host)?;
        // What was recorded while it was cut off, but for the fragment it died in.
        let cut_off = died.since(cut).as_secs_f64() - 1.0;
        cluster.await_recorded(&cluster.hubs[keeper], 0, cut, cut_off)?;
        cluster.start_site(0)?;
        cluster.await_home(0)?;
        let home = wire::clock::wall();
        cluster.await_recorded(&cluster.sites[0], 0, home, 2.0)?;
        (0..3).try_for_each(|hub| await_brought(cluster, hub))?;
        cluster.stop()?;
        let keeper = cluster.hubs[keeper].name.clone();
        // The site's own recording may be on its way; the vault has all that any host recorded.
        has_all(cluster, |machine| machine.name == keeper || machine.name.starts_with("shop"), killed)
    });
}

const APART: Parts = Parts {
    hubs: 3,
    sites: 1,
    own_disks: false,
    second_path: false,
    apart: true,
    neighbour: None,
    roomy: false,
};

/// The node that keeps the vault, and another one that stands by.
fn apart(cluster: &Cluster) -> anyhow::Result<(usize, usize)> {
    let (keeper, host) = (cluster.keeper(0)?, cluster.placed(0)?);
    ensure!(keeper != host, "the node without room has the place");
    Ok((keeper, host))
}

/// Waits until nothing that standbys recorded at a node is left to be brought.
fn await_brought(cluster: &Cluster, hub: usize) -> anyhow::Result<()> {
    let nothing_left = || {
        let status = cluster.hubs[hub].get("/status")?;
        let sites = status["standbys"]["bring"].as_object().context("what is brought")?;
        Ok(sites.values().all(|site| site["connected"] == true && site["unacked"] == 0))
    };
    wait_until("all that standbys recorded is at the vault", 2 * PATIENCE, nothing_left).map(drop)
}

/// Waits until the site lacks nothing that the hub has of a time.
fn await_restored(cluster: &Cluster, (from, to): (UnixMicros, UnixMicros)) -> anyhow::Result<()> {
    let site = &cluster.sites[0];
    let path = format!("/sites/{}/cameras/{CAMERA}/coverage?from={}&to={}", site.name, from.0, to.0);
    let restored = || {
        let spans = site.get(&path)?["spans"].as_array().cloned().context("coverage has spans")?;
        let here = |span: &Value| span["state"] == "recorded" || span["state"] == "gap";
        Ok(spans.iter().all(here) && site.get("/status")?["uplink"]["restore"]["segments"] == 0)
    };
    wait_until("all that the hub has is at the site", 2 * PATIENCE, restored).map(drop)
}

/// Exports some seconds, without a gap and proven throughout; how many bytes that are.
fn export(machine: &Machine, from: UnixMicros, seconds: u64) -> anyhow::Result<usize> {
    let (from, to) = (from + Duration::from_secs(1), from + Duration::from_secs(1 + seconds));
    let path = format!("/sites/shop-1/cameras/{CAMERA}/export.mp4?from={}&to={}", from.0, to.0);
    let file = machine.download(&path)?;
    let report = verify_export(file.as_slice());
    ensure!(
        report.ok && report.gaps.is_empty() && report.proven == report.fragments && report.fragments > 0,
        "{}: {report:?}",
        machine.name
    );
    Ok(file.len())
}

/// Some machines have every frame the camera sent, but for the time in which nobody recorded.
fn has_all(cluster: &Cluster, chosen: impl Fn(&Machine) -> bool, killed: UnixMicros) -> anyhow::Result<()> {
    for account in cluster.account_in(chosen)?.into_values() {
        let short = account.holes.iter().all(|(from, to)| to.since(*from) < TAKEOVER);
        let first = account.holes.first().is_none_or(|(from, _)| *from + Duration::from_secs(3) > killed);
        ensure!(short && first && account.holes.len() <= 2, "{account:?}");
    }
    Ok(())
}
