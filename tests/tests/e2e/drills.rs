//! Drills: a recorder's death over a shadow and for real, and a cut way, each with the operator's own command.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use holdfast_tests::account::merged;
use holdfast_tests::cluster;
use holdfast_tests::scene::{PATIENCE, QUICK, STANDBY, Scene, Side, camera, play, site};
use ops::rig::{Settings, programs, wait_until};
use serde_json::{Value, json};

/// A standby that gives back late by itself: what is rehearsed is given back at once all the same.
const LATE: Settings = Settings { failback_s: QUICK.failback_s, ..STANDBY };
/// Far more than a takeover takes, on a machine that is busy otherwise.
const TAKEOVER_MS: u64 = 20_000;

#[test]
fn a_shadow_drill_of_all_sites_shows_takeovers_and_touches_nothing() {
    let two =
        [site("shop-1", vec![camera("till-1"), camera("door-1")]), site("shop-2", vec![camera("till-1")])];
    play(&two, &LATE, |scene| {
        start(scene)?;
        let began = wire::clock::wall();
        let pictures = scene.file("pictures");
        let told = drill(scene, &["--all", "--shadow", "--for", "12s"], Some(&pictures))?;
        ensure!(told["ok"] == true && told["cameras"] == 3 && told["frames_lost"] == 0, "{told:#}");
        let reports = told["reports"].as_array().cloned().unwrap_or_default();
        ensure!(reports.len() == 2, "{told:#}");
        for report in &reports {
            ensure!(report["course"]["verdict"] == "recorder-lost" && report["shadow"] == true, "{report:#}");
            for camera in report["cameras"].as_array().into_iter().flatten() {
                let gap = camera["gap_ms"].as_u64().context("a camera has a gap")?;
                ensure!((1..TAKEOVER_MS).contains(&gap), "{camera:#}");
                ensure!(camera["frames"]["compared"].as_u64() > Some(50), "{camera:#}");
            }
        }
        let picture = std::fs::read_to_string(pictures.join("shop-1.svg")).context("the picture")?;
        ensure!(picture.starts_with("<svg") && picture.contains("till-1/main"), "{picture}");
        let now = wire::clock::wall();
        for (index, of) in two.iter().enumerate() {
            ensure!(scene.moves(index)? == 2, "authority moved {} times", scene.moves(index)?);
            let known = scene.why(index)?["known"].clone();
            ensure!(known["life"] == "Home" && known["drill"].is_null(), "{known:#}");
            for camera in &of.cameras {
                let coverage = scene.coverage(Side::Site, index, &camera.id, (began, now))?;
                ensure!(coverage["gaps_s"] == 0.0, "{coverage:#}");
            }
            scene.await_acked(index, (began, now))?;
        }
        let metrics = metrics(scene)?;
        let age = metrics
            .lines()
            .find(|line| line.starts_with("holdfast_drill_last_good_age_seconds{site=\"shop-2\"} "));
        let age = age.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        ensure!(age.is_some_and(|age| (12..300).contains(&age)), "{metrics}");
        ensure!(metrics.contains("holdfast_drill_last_ok{site=\"shop-1\",kind=\"recorder\"} 1"), "{metrics}");
        merged(scene)?.iter().try_for_each(|account| {
            ensure!(account.holes.is_empty(), "{}: {:?}", account.camera, account.holes);
            Ok(())
        })
    });
}

#[test]
fn what_is_planned_is_rehearsed() {
    play(&[site("shop-1", vec![camera("till-1")])], &LATE, |scene| {
        let file = scene.file("installation/hub/hub.toml");
        let config = std::fs::read_to_string(&file).context("the hub's configuration")?;
        std::fs::write(&file, config + "\n[[drill]]\nlength_s = 10\n").context("plan a drill")?;
        start(scene)?;
        let mut good = Value::Null;
        wait_until("the planned drill is told of", PATIENCE, || {
            good = scene.rig.hub()?.get("/drills")?["drills"][0].clone();
            Ok(good.is_object())
        })?;
        ensure!(good["ok"] == true && good["by"] == "schedule" && good["shadow"] == true, "{good:#}");
        Ok(())
    });
}

#[test]
fn a_drill_for_real_stops_the_recorder_and_lets_it_come_back_by_itself() {
    play(&[site("shop-1", vec![camera("till-1")])], &LATE, |scene| {
        start(scene)?;
        let began = wire::clock::wall();
        let told = drill(scene, &["shop-1", "--for", "12s"], None)?;
        ensure!(told["ok"] == true && told["reports"][0]["shadow"] == false, "{told:#}");
        let gap = told["gap_ms"]["max"].as_u64().context("there is a gap")?;
        ensure!((1_000..TAKEOVER_MS).contains(&gap), "{told:#}");
        let back = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, back, 3.0)?;
        let coverage = scene.coverage(Side::Site, 0, "till-1", (began, back))?;
        let spans = coverage["spans"].as_array().cloned().unwrap_or_default();
        let drilled = |span: &&Value| span["detail"].as_str().is_some_and(|detail| detail.contains("drill"));
        ensure!(spans.iter().filter(drilled).count() > 0, "the site says nothing of the drill: {coverage:#}");
        scene.await_acked(0, (began, wire::clock::wall()))?;
        for account in merged(scene)? {
            ensure!(account.holes.len() == 1, "{}: {:?}", account.camera, account.holes);
        }
        Ok(())
    });
}

/// Asked of a node that does not keep the site's vault, and dies at once: a drill is in the log, and whoever keeps the vault
/// follows it, measures it, and lets every node know.
#[test]
fn a_drill_outlives_the_node_that_was_asked_for_it() {
    cluster::play(3, 1, |cluster| {
        cluster.await_home(0)?;
        let keeper = cluster.keeper(0)?;
        // Who leads dies in another test: that ends a drill.
        let leader = cluster.leader()?;
        let asked = (0..3).find(|hub| *hub != keeper && *hub != leader).context("a third node")?;
        let wish = json!({ "sites": ["shop-1"], "kind": "recorder", "shadow": true, "length_s": 30, "by": "tester" });
        let came = cluster.hubs[asked].post("/drills", &wish)?;
        let (id, at) = (came["id"].as_str().context("it has a name")?.to_owned(), &came["sites"]["shop-1"]);
        ensure!(at["ok"] == true && at["here"] == false, "{came:#}");
        ensure!(at["vault"] == cluster.hubs[keeper].name.as_str(), "{came:#}");
        cluster.hubs[asked].kill()?;
        let mut told = Value::Null;
        wait_until("the drill is told of", 3 * PATIENCE, || {
            told = cluster.hubs[keeper].get(&format!("/drills/{id}")).unwrap_or_default();
            Ok(told["reports"].as_array().is_some_and(|reports| reports.len() == 1))
        })?;
        ensure!(told["ok"] == true && told["frames_lost"] == 0, "{told:#}");
        for hub in (0..3).filter(|hub| *hub != asked) {
            let good = || {
                let metrics = cluster.hubs[hub].metrics()?;
                Ok(metrics.contains("holdfast_drill_last_ok{site=\"shop-1\",kind=\"recorder\"} 1"))
            };
            wait_until("every node knows that it was good", PATIENCE, good)?;
        }
        cluster.await_known((keeper, 0), "authority is home", |known| known["life"] == "Home").map(drop)
    });
}

#[test]
fn a_drill_of_the_way_activates_nobody() {
    play(&[site("shop-1", vec![camera("till-1")])], &STANDBY, |scene| {
        start(scene)?;
        let began = wire::clock::wall();
        let told = drill(scene, &["shop-1", "--kind", "wan", "--for", "30s"], None)?;
        ensure!(told["ok"] == true, "{told:#}");
        ensure!(told["reports"][0]["course"]["verdict"] == "dark", "{told:#}");
        ensure!(scene.moves(0)? == 0, "authority moved, though the recorder lived");
        scene.await_link(0, true)?;
        scene.await_acked(0, (began, wire::clock::wall()))?;
        let refused = drill(scene, &["shop-1", "--kind", "site"], None).err().map(|error| error.to_string());
        ensure!(refused.is_some_and(|why| why.contains("accept that loss")), "a whole site was lost");
        scene.await_protected(0)?;
        let wish = json!({ "wish": "maintenance", "for_s": 600, "by": "tester" });
        scene.rig.hub()?.post("/sites/shop-1/wishes", &wish)?;
        let asked = json!({ "sites": ["shop-1"], "kind": "wan", "length_s": 30, "by": "tester" });
        let came = scene.rig.hub()?.post("/drills", &asked)?;
        let says = came["sites"]["shop-1"]["says"].as_str().unwrap_or_default().to_owned();
        ensure!(came["ok"] == false && says.contains("maintenance"), "{came:#}");
        scene.rig.hub()?.post("/sites/shop-1/wishes", &json!({ "wish": "maintenance", "by": "tester" }))?;
        scene.await_life(0, "authority is home", |life| life == "Home")?;
        scene.await_acked(0, (began, wire::clock::wall()))?;
        merged(scene)?.iter().try_for_each(|account| {
            ensure!(account.holes.is_empty(), "{}: {:?}", account.camera, account.holes);
            Ok(())
        })
    });
}

fn start(scene: &mut Scene) -> anyhow::Result<()> {
    scene.start()?;
    let began = wire::clock::wall();
    (0..scene.rig.sites.len()).try_for_each(|site| {
        scene.await_protected(site)?;
        scene.await_recorded(Side::Hub, site, began, 3.0)
    })
}

fn metrics(scene: &Scene) -> anyhow::Result<String> {
    let token = std::fs::read_to_string(scene.rig.vault.join("http-token")).context("the hub's token")?;
    let request = ureq::get(format!("http://{}/metrics", scene.rig.hub_http));
    let mut answer = request
        .header("Authorization", format!("Bearer {}", token.trim()))
        .call()
        .context("ask for metrics")?;
    answer.body_mut().read_to_string().context("read metrics")
}

/// `holdfast drill … --json`: the last line of what it says, or what it complains of.
fn drill(scene: &Scene, arguments: &[&str], pictures: Option<&Path>) -> anyhow::Result<Value> {
    let mut command = Command::new(programs::beside_this("holdfast")?);
    command.arg("drill").args(arguments).args(["--json", "--by", "tester"]);
    command.args(["--at", &format!("http://{}", scene.rig.hub_http)]);
    command.arg("--token-file").arg(scene.rig.vault.join("http-token"));
    if let Some(folder) = pictures {
        command.arg("--svg").arg(folder);
    }
    let output = command.output().context("start holdfast drill")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let told: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).with_context(|| {
        format!("holdfast drill said `{said}`, and `{}`", String::from_utf8_lossy(&output.stderr))
    })?;
    ensure!(
        output.status.success() == (told["ok"] == true),
        "its exit status is {:?}: {told:#}",
        output.status
    );
    match told["error"].as_str() {
        Some(error) => anyhow::bail!("{error}"),
        None => Ok(told),
    }
}
