//! A hub node that is trusted no more: cut off by the others and by sites, counted by nobody, and every password that it may
//! have had asked for anew.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::cluster::{Cluster, play};
use holdfast_tests::scene::PATIENCE;
use ops::rig::wait_until;
use serde_json::{Value, json};

/// "At once", on a machine that is busy otherwise.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_revoked_node_is_cut_off_and_the_passwords_it_had_are_asked_for_anew() {
    play(3, 1, |cluster| {
        log_in(cluster, None, "secret")?;
        restart(cluster)?;
        let keeper = cluster.keeper(0)?;
        let gone = (0..3)
            .find(|hub| *hub != keeper && Ok(*hub) != cluster.leader().map_err(drop))
            .context("a third")?;
        let (name, asked) = (cluster.hubs[gone].name.clone(), keeper);
        let wish = |dry_run| json!({ "wish": "revoke", "name": name, "by": "tester", "dry_run": dry_run });

        let refused = json!({ "wish": "revoke", "name": cluster.hubs[keeper].name, "by": "tester" });
        let refused =
            cluster.hubs[asked].post("/nodes", &refused).err().context("the vault's keeper was revoked")?;
        ensure!(format!("{refused:#}").contains("keeps the vault"), "{refused:#}");
        let told = cluster.hubs[asked].post("/nodes", &wish(true))?;
        let says = told["says"].as_str().unwrap_or_default();
        ensure!(says.starts_with("would: ") && says.contains("shop-1"), "{told:#}");
        ensure!(
            control(cluster, asked)?["sites"]["shop-1"]["new_passwords"].is_null(),
            "a dry run did something"
        );

        let told = cluster.hubs[asked].post("/nodes", &wish(false))?;
        ensure!(told["says"].as_str().is_some_and(|says| says.contains("shop-1")), "{told:#}");
        let took = wait_until("the site beats to two nodes, and to no third", PATIENCE, || {
            let voters = cluster.sites[0].get("/status")?["voters"].clone();
            let heard =
                voters.as_object().context("voters")?.iter().filter(|(_, voter)| voter["over"].is_string());
            let heard: Vec<_> = heard.map(|(node, _)| node.clone()).collect();
            Ok(heard.len() == 2 && !heard.contains(&name))
        })?;
        ensure!(took < AT_ONCE, "it beat on to it for {took:?}");
        wait_until("nobody talks to it", PATIENCE, || {
            let own = control(cluster, gone)?;
            Ok(own["log"]["leader"].is_null())
        })?;
        for hub in (0..3).filter(|hub| *hub != gone) {
            let control = control(cluster, hub)?;
            ensure!(control["hosts"][&name]["revoked"] == true, "{control:#}");
            ensure!(
                control["quorum"].as_str().is_some_and(|words| words.starts_with("2 voters")),
                "{control:#}"
            );
            let exposed = &control["sites"]["shop-1"]["new_passwords"];
            ensure!(exposed["nodes"] == json!([name]), "{control:#}");
            ensure!(metric(cluster, hub)? == Some(1), "the metric says otherwise");
        }
        let again = json!({
            "wish": "add", "node": 9, "name": name, "address": "198.19.200.9:7443", "by": "tester", "two_voters": true,
        });
        let again = cluster.hubs[asked].post("/nodes", &again).err().context("it was let in again")?;
        ensure!(format!("{again:#}").contains("revoked, for ever"), "{again:#}");

        // Its log hears nothing of what is decided from now on, and a dead recorder is taken over all the same.
        await_protected(cluster, asked, gone)?;
        cluster.sites[0].kill()?;
        let standby = cluster.await_standby((asked, 0))?;
        ensure!(standby != gone, "the revoked node stands by");
        log_in(cluster, Some("secret"), "changed")?;
        cluster.start_site(0)?;
        wait_until("the new passwords are noticed", PATIENCE, || {
            Ok(control(cluster, asked)?["sites"]["shop-1"]["new_passwords"].is_null())
        })?;
        ensure!(metric(cluster, asked)? == Some(0), "the metric says otherwise");
        wait_until("authority is home", PATIENCE, || Ok(cluster.why(asked, 0)?["known"]["life"] == "Home"))?;
        Ok(())
    });
}

/// It can't be asked itself, and all that is decided goes through it: until it is cut off.
#[test]
fn the_node_that_leads_can_be_revoked() {
    play(3, 1, |cluster| {
        let gone = cluster.leader()?;
        let asked = (gone + 1) % 3;
        let name = cluster.hubs[gone].name.clone();
        let wish = json!({ "wish": "revoke", "name": name, "by": "tester", "lost": true });
        let told = cluster.hubs[asked].post("/nodes", &wish)?;
        ensure!(told["says"].as_str().is_some_and(|says| says.contains("no camera's password")), "{told:#}");
        wait_until("both others know", PATIENCE, || {
            let knows = |hub: usize| {
                let control = control(cluster, hub)?;
                let two = control["quorum"].as_str().is_some_and(|words| words.starts_with("2 voters"));
                anyhow::Ok(two && control["hosts"][&name]["revoked"] == true)
            };
            let others = (0..3).filter(|hub| *hub != gone).map(knows);
            Ok(!others.collect::<anyhow::Result<Vec<_>>>()?.contains(&false))
        })?;
        let again = cluster.hubs[asked].post("/nodes", &wish).err().context("it was revoked twice")?;
        ensure!(format!("{again:#}").contains("revoked already"), "{again:#}");
        await_protected(cluster, asked, gone)?;
        cluster.sites[0].kill()?;
        let standby = cluster.await_standby((asked, 0))?;
        ensure!(standby != gone, "the revoked node stands by");
        cluster.start_site(0)?;
        wait_until("authority is home", PATIENCE, || Ok(cluster.why(asked, 0)?["known"]["life"] == "Home"))?;
        Ok(())
    });
}

/// Waits until the site has a standby again, at one of the nodes that are left.
fn await_protected(cluster: &Cluster, asked: usize, gone: usize) -> anyhow::Result<()> {
    let protected = |hub: usize| {
        let cameras = cluster.why(hub, 0)?["protection"].as_object().cloned().unwrap_or_default();
        anyhow::Ok(!cameras.is_empty() && cameras.values().all(|how| how == "Protected"))
    };
    wait_until("the site is at home and protected", PATIENCE, || {
        let why = cluster.why(asked, 0)?;
        let well = why["known"]["life"] == "Home" && why["verdict"]["telling"]["line"] == "Well";
        let left: Vec<_> = (0..cluster.hubs.len()).filter(|hub| *hub != gone).collect();
        Ok(well && left.into_iter().map(protected).collect::<anyhow::Result<Vec<_>>>()?.contains(&true))
    })
    .map(drop)
}

/// The site's agent begins anew, with the configuration as it is now.
fn restart(cluster: &mut Cluster) -> anyhow::Result<()> {
    cluster.sites[0].kill()?;
    cluster.start_site(0)?;
    let known = |site: &Value| site["known"]["log_ins_since"].is_number();
    wait_until("the log knows of the log-in", PATIENCE, || Ok(known(&cluster.why(0, 0)?)))?;
    cluster.await_home(0)
}

/// Writes a log-in into the site's configuration. Its camera asks for none.
fn log_in(cluster: &Cluster, before: Option<&str>, password: &str) -> anyhow::Result<()> {
    let file = cluster.sites[0].config();
    let text = std::fs::read_to_string(file).context("read the configuration")?;
    let line = |password: &str| format!("username = \"viewer\"\npassword = \"{password}\"\n");
    let text = match before {
        Some(before) => text.replace(&line(before), &line(password)),
        None => text + &line(password),
    };
    std::fs::write(file, text).context("write the configuration")
}

fn control(cluster: &Cluster, hub: usize) -> anyhow::Result<Value> {
    cluster.hubs[hub].get("/control")
}

fn metric(cluster: &Cluster, hub: usize) -> anyhow::Result<Option<u64>> {
    let text = cluster.hubs[hub].metrics()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("holdfast_site_needs_new_passwords{site=\"shop-1\"} "));
    Ok(line.and_then(|value| value.parse().ok()))
}
