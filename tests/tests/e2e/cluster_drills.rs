//! Drills of a hub of several nodes: asked for anywhere, known everywhere, interrupted by another leader, and refused by the
//! operator of a site.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::cluster::{Cluster, play};
use holdfast_tests::scene::PATIENCE;
use ops::rig::wait_until;
use serde_json::{Value, json};

#[test]
fn drills_of_several_nodes_are_known_everywhere_and_interrupted_by_another_leader() {
    play(3, 1, |cluster| {
        let (keeper, leader) = (cluster.keeper(0)?, cluster.leader()?);
        let asked = (0..3).find(|hub| *hub != keeper && *hub != leader).context("a third")?;
        let good = begin(cluster, asked, 8)?;
        let known = cluster.hubs[asked].get(&format!("/drills/{good}"))?;
        ensure!(known["running"] == json!(["shop-1"]), "who was asked knows it at once: {known:#}");
        for hub in 0..3 {
            let told = await_told(cluster, hub, &good)?;
            ensure!(told["ok"] == true && told["sites"]["shop-1"] == true, "{told:#}");
            let elsewhere = &told["elsewhere"]["shop-1"]["node"];
            let (report, node) = (&told["reports"][0]["ok"], json!(cluster.hubs[keeper].name));
            ensure!(if hub == keeper { *report == true } else { *elsewhere == node }, "{told:#}");
            let listed = cluster.hubs[hub].get("/drills")?;
            ensure!(listed["drills"][0]["id"] == json!(good), "{listed:#}");
            ensure!((8..300).contains(&age(cluster, hub)?), "the age of the last good one is wrong");
        }

        // Who leads dies in the middle of the next: another ends it, and it counts for nothing.
        cluster.await_home(0)?;
        let asked = (leader + 1) % 3;
        let cut_short = begin(cluster, asked, 120)?;
        let began = wire::clock::wall();
        cluster.await_standby((asked, 0))?;
        cluster.hubs[leader].kill()?;
        wait_until("the drill has ended, and authority is home", PATIENCE, || {
            let known = cluster.why(asked, 0)?["known"].clone();
            Ok(known["life"] == "Home" && known["drill"].is_null())
        })?;
        let took = wire::clock::wall().since(began);
        ensure!(took < Duration::from_secs(110), "it went on for {took:?}");
        cluster.start_hub(leader)?;
        for hub in 0..3 {
            let told = await_told(cluster, hub, &cut_short)?;
            ensure!(told["ok"] == false, "{told:#}");
            let problem = told["reports"][0]["problems"][0].as_str().unwrap_or_default();
            let interrupted = told["elsewhere"]["shop-1"]["interrupted"] == true;
            ensure!(interrupted || problem.starts_with("interrupted: "), "{told:#}");
            let after = wire::clock::wall().since(began).as_secs();
            ensure!(age(cluster, hub)? > after, "what was interrupted counts as good");
        }
        Ok(())
    });
}

#[test]
fn drills_that_a_sites_operator_refuses_do_not_begin_and_the_others_do() {
    play(1, 2, |cluster| {
        let file = cluster.sites[0].config();
        let text = std::fs::read_to_string(file).context("read the configuration")?;
        let changed = text.replace("\n[standby]\n", "\n[standby]\ndrills = \"shadow\"\n");
        ensure!(changed != text, "there is no [standby]");
        std::fs::write(file, changed).context("write the configuration")?;
        cluster.sites[0].kill()?;
        cluster.start_site(0)?;
        cluster.await_known((0, 0), "the log knows it", |known| known["drills"] == "shadow")?;
        (0..2).try_for_each(|site| cluster.await_home(site))?;
        let real = json!({ "sites": [], "kind": "recorder", "length_s": 8, "by": "tester" });
        let came = cluster.hubs[0].post("/drills", &real)?;
        let id = came["id"].as_str().context("it has a name")?.to_owned();
        let says = came["sites"]["shop-1"]["says"].as_str().unwrap_or_default();
        ensure!(came["sites"]["shop-1"]["ok"] == false && says.contains("standby.drills"), "{came:#}");
        ensure!(came["ok"] == false && came["sites"]["shop-2"]["ok"] == true, "{came:#}");
        let shadow = json!({ "sites": ["shop-1"], "kind": "recorder", "shadow": true, "length_s": 8, "by": "tester", "dry_run": true });
        let came = cluster.hubs[0].post("/drills", &shadow)?;
        ensure!(came["ok"] == true, "{came:#}");
        let told = await_told(cluster, 0, &id)?;
        ensure!(
            told["ok"] == true && told["sites"].as_object().is_some_and(|sites| sites.len() == 1),
            "{told:#}"
        );
        Ok(())
    });
}

/// Begins one over a shadow, as a node is asked; its name.
fn begin(cluster: &Cluster, hub: usize, length_s: u64) -> anyhow::Result<String> {
    let asked = json!({ "sites": ["shop-1"], "kind": "recorder", "shadow": true, "length_s": length_s, "by": "tester" });
    let came = cluster.hubs[hub].post("/drills", &asked)?;
    ensure!(came["ok"] == true, "{came:#}");
    Ok(came["id"].as_str().context("it has a name")?.to_owned())
}

/// Waits until a node knows how a drill went.
fn await_told(cluster: &Cluster, hub: usize, id: &str) -> anyhow::Result<Value> {
    let told = || cluster.hubs[hub].get(&format!("/drills/{id}"));
    let known = || {
        let all = told().ok().and_then(|told| told["sites"].as_object().cloned()).unwrap_or_default();
        Ok(!all.is_empty() && all.values().all(Value::is_boolean))
    };
    wait_until("it is known how the drill went", 3 * PATIENCE, known)?;
    told()
}

/// How old the last good drill is, as a node tells Prometheus.
fn age(cluster: &Cluster, hub: usize) -> anyhow::Result<u64> {
    let text = cluster.hubs[hub].metrics()?;
    let name = "holdfast_drill_last_good_age_seconds{site=\"shop-1\"} ";
    let age = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(age.context("no drill was good")?.parse()?)
}
