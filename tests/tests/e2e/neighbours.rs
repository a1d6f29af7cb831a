//! Two machines of one place that record for each other: what one recorded of the other's cameras is in that site's
//! vault, and comes back to it.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::cluster::{Account, CAMERA, Cluster, Machine, Parts, play_with, recorder};
use holdfast_tests::scene::PATIENCE;
use ops::rig::wait_until;
use site_agent::serve::verify_export;
use wire::UnixMicros;

/// Some 2 s of silence, a round, an order and a camera; silence alone would be waited for 15 s.
const NOTICED: Duration = Duration::from_secs(12);

fn parts(when: &'static str) -> Parts {
    Parts { hubs: 1, sites: 2, neighbour: Some(when), ..Parts::default() }
}

#[test]
fn a_machine_that_records_anothers_cameras_all_the_time_leaves_no_gap() {
    play_with(parts("always"), |cluster| {
        let began = wire::clock::wall();
        cluster.await_recorded(&cluster.hubs[0], 0, began, 4.0)?;
        await_two_runs(cluster, began)?;
        let killed = cluster.sites[0].kill()?;
        cluster.await_recorded(&cluster.hubs[0], 0, killed, 8.0)?;
        let lost = wire::clock::wall();
        // The host is restarted in the middle: what it had open is taken into a run of its own.
        cluster.sites[1].kill()?;
        let died = wire::clock::wall();
        cluster.start_site(1)?;
        cluster.await_recorded(&cluster.hubs[0], 0, died, 4.0)?;
        let file = cluster.hubs[0].download(&format!(
            "/sites/shop-1/cameras/{CAMERA}/export.mp4?from={}&to={}",
            (killed + Duration::from_secs(1)).0,
            (lost - Duration::from_secs(1)).0
        ))?;
        let report = verify_export(file.as_slice());
        ensure!(report.ok && report.gaps.is_empty() && report.proven == report.fragments, "{report:?}");
        come_home(cluster, began)?;
        let accounts = settled(cluster, |machine| machine.name == "hub-1")?;
        // Nobody recorded while the host restarted.
        let holes = holes(&accounts);
        for (from, to) in &holes {
            ensure!(
                *from + Duration::from_secs(2) > lost && *to < died + Duration::from_secs(15),
                "{accounts:?}"
            );
        }
        ensure!(holes.len() <= 1, "{accounts:?}");
        settled(cluster, |machine| machine.name == "shop-1").map(drop)
    });
}

#[test]
fn where_no_node_has_room_the_machine_beside_a_lost_recorder_takes_over_and_records_nothing_before() {
    play_with(parts("lost"), |cluster| {
        let began = wire::clock::wall();
        cluster.await_recorded(&cluster.hubs[0], 0, began, 4.0)?;
        ensure!(cluster.origins(&cluster.hubs[0], 0, began)?.len() == 1, "two record a site that is well");
        let told = cluster.hubs[0].get("/sites/shop-1/why")?;
        ensure!(told["known"]["neighbours"] == serde_json::json!(["shop-2"]), "{told:#}");
        ensure!(told["beside"]["shop-2"]["recording"] == 0, "{told:#}");
        let killed = cluster.sites[0].kill()?;
        cluster.await_recorded(&cluster.hubs[0], 0, killed + Duration::from_secs(2), 5.0)?;
        let known = cluster.why(0, 0)?["known"].clone();
        ensure!(recorder(&known) == Some("shop-2") && cluster.moves(0, 0)? == 1, "{known:#}");
        let told = cluster.hubs[0].get("/sites/shop-1/why")?["beside"]["shop-2"].clone();
        let all = told["recording"] == told["cameras"] && told["recording"].as_u64() > Some(0);
        ensure!(all && told["last_durable_us"].as_i64() > Some(killed.0), "{told:#}");
        come_home(cluster, began)?;
        let back = wire::clock::wall();
        let rests = || Ok(cluster.sites[1].get("/status")?["hosted"][0]["recording"] == false);
        wait_until("the host has let go", PATIENCE, rests)?;
        ensure!(wire::clock::wall().since(back) < Duration::from_secs(30), "it went on for long");
        for alone in ["hub-1", "shop-1"] {
            let account = settled(cluster, |machine| machine.name == alone)?;
            let holes = holes(&account);
            let [(from, to)] = holes.as_slice() else { anyhow::bail!("{alone}: {account:?}") };
            ensure!(
                *from < killed + Duration::from_secs(2) && to.since(*from) < NOTICED,
                "{alone}: {account:?}"
            );
        }
        Ok(())
    });
}

#[test]
fn a_machine_that_is_preferred_stands_by_takes_over_with_authority_and_gives_it_back() {
    play_with(Parts { hubs: 3, roomy: true, ..parts("lost") }, |cluster| {
        let began = wire::clock::wall();
        let keeper = cluster.keeper(0)?;
        cluster.await_recorded(&cluster.hubs[keeper], 0, began, 4.0)?;
        cluster.await_known((0, 0), "the hub knows its neighbour", |known| {
            known["neighbours"] == serde_json::json!(["shop-2"])
        })?;
        ensure!(
            cluster.why(0, 0)?["known"]["placement"] != "shop-2",
            "it is lost with its place, and comes last"
        );
        let wish = serde_json::json!({ "wish": "prefer", "hosts": ["shop-2"], "by": "tester" });
        let came = cluster.hubs[0].post("/sites/shop-1/wishes", &wish)?;
        ensure!(
            came["says"].as_str().is_some_and(|says| says.contains("shop-2 stands by for it")),
            "{came:#}"
        );
        let seen = || {
            let why = cluster.why(1, 0)?;
            let protection = why["protection"].as_object().cloned().unwrap_or_default();
            let all = !protection.is_empty() && protection.values().all(|how| how == "Protected");
            Ok(all && why["known"]["placement"] == "shop-2")
        };
        wait_until("every node knows that the machine beside it sees its cameras", PATIENCE, seen)?;
        // A way that has just opened accuses nobody for 12 s.
        cluster.await_recorded(&cluster.hubs[keeper], 0, wire::clock::wall(), 13.0)?;

        let killed = cluster.sites[0].kill()?;
        cluster.await_known((0, 0), "the machine beside it has authority", |known| {
            recorder(known) == Some("shop-2")
        })?;
        let took = wire::clock::wall().since(killed);
        // Its cameras answer on the way on which it fell silent: nobody waits for silence alone.
        ensure!(took < Duration::from_secs(10), "it took {took:?}");
        cluster.await_recorded(&cluster.hubs[keeper], 0, killed + Duration::from_secs(1), 6.0)?;
        ensure!(cluster.moves(0, 0)? == 1, "authority moved more than once");

        // Whoever leads may die: the others hear the machine as well.
        let leader = cluster.leader()?;
        cluster.hubs[leader].kill()?;
        cluster.start_hub(leader)?;
        cluster.start_site(0)?;
        wait_until("the site has its authority back", 2 * PATIENCE, || {
            Ok(cluster.why(0, 0).is_ok_and(|why| why["known"]["life"] == "Home"))
        })?;
        let back = wire::clock::wall();
        cluster.await_recorded(&cluster.sites[0], 0, back, 3.0)?;
        cluster.await_recorded(&cluster.hubs[keeper], 0, began, (back.since(began)).as_secs_f64() - 10.0)?;
        let name = cluster.hubs[keeper].name.clone();
        let account = settled(cluster, |machine| machine.name == name)?;
        let holes = holes(&account);
        let [(from, to)] = holes.as_slice() else { anyhow::bail!("{account:?}") };
        let gap = to.since(*from);
        ensure!(
            *from < killed + Duration::from_secs(2) && gap < Duration::from_secs(10),
            "{gap:?} {account:?}"
        );
        Ok(())
    });
}

/// Waits until two runs' recordings of the first site's camera are in the vault.
fn await_two_runs(cluster: &Cluster, from: UnixMicros) -> anyhow::Result<()> {
    let brought = || {
        let status = cluster.hubs[0].get("/status")?;
        Ok(status["standbys"]["brought"].as_array().is_some_and(|hosts| hosts.len() == 1))
    };
    wait_until("the host brings what it records", PATIENCE, brought)?;
    cluster.await_recorded(&cluster.hubs[0], 0, from, 6.0)
}

/// The site's recorder comes back, and has what the hub has.
fn come_home(cluster: &mut Cluster, began: UnixMicros) -> anyhow::Result<()> {
    cluster.start_site(0)?;
    cluster.await_home(0)?;
    let home = wire::clock::wall();
    cluster.await_recorded(&cluster.sites[0], 0, home, 3.0)?;
    let path = format!("/sites/shop-1/cameras/{CAMERA}/coverage?from={}&to={}", began.0, home.0);
    let restored = || {
        let spans =
            cluster.sites[0].get(&path)?["spans"].as_array().cloned().context("coverage has spans")?;
        Ok(spans.iter().all(|span| span["state"] == "recorded" || span["state"] == "gap"))
    };
    wait_until("all that the hub has is at the site", 2 * PATIENCE, restored).map(drop)
}

/// Stops everything, and what became of the first site's camera in some machines' stores.
fn settled(cluster: &mut Cluster, chosen: impl Fn(&Machine) -> bool) -> anyhow::Result<Account> {
    cluster.stop()?;
    cluster.account_of("shop-1", chosen)
}

/// Times in which nobody recorded. Where one recorder ends and another goes on, the time between two frames is none.
fn holes(account: &Account) -> Vec<(UnixMicros, UnixMicros)> {
    let long = |(from, to): &&(UnixMicros, UnixMicros)| to.since(*from) > Duration::from_millis(300);
    account.holes.iter().filter(long).copied().collect()
}
