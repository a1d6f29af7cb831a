//! Streams that replicate live, on demand and never: what the hub knows of each, what `holdfast fetch` brings, and what
//! stays where it is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use holdfast_tests::rot::names;
use holdfast_tests::scene::{PATIENCE, QUICK, Scene, Side, camera, ends, number, play, site, spans};
use ops::rig::{CameraPlan, programs, wait_until};
use serde_json::Value;
use wire::{Replicate, UnixMicros};

fn with(id: &str, replicate: Replicate) -> CameraPlan {
    CameraPlan { replicate, ..camera(id) }
}

#[test]
fn entries_of_all_go_bytes_by_policy_and_a_fetch_brings_its_range() {
    let cameras = vec![
        with("live-1", Replicate::Live),
        with("asked-1", Replicate::OnDemand),
        with("never-1", Replicate::Never),
    ];
    play(&[site("shop-1", cameras)], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 20.0)?;
        let until = wire::clock::wall();
        for (camera, word) in [("asked-1", "on_demand"), ("never-1", "never")] {
            await_known(scene, camera, (began, until))?;
            let coverage = scene.coverage(Side::Hub, 0, camera, (began, until))?;
            let whole =
                spans(&coverage)?.iter().all(|span| span["state"] == "at_site" && span["replicate"] == word);
            ensure!(whole && coverage["recorded_s"] == 0.0, "{camera}: {coverage:#}");
        }
        ensure!(
            at_hub(scene, &["asked-1", "never-1"])?.is_empty(),
            "bytes of what is to stay are at the hub"
        );
        // All of the live camera is there: then nothing is left, whatever the others have.
        nothing_waits(scene, (began, until))?;

        let (from, to) =
            (began + std::time::Duration::from_secs(4), began + std::time::Duration::from_secs(10));
        let fetched = fetch(scene, "asked-1", (from, to))?;
        ensure!(fetched["ok"] == true && fetched["done"] == true, "{fetched:#}");
        let coverage = scene.coverage(Side::Hub, 0, "asked-1", (from, to))?;
        ensure!(spans(&coverage)?.iter().all(|span| span["state"] == "recorded"), "{coverage:#}");
        let expected = segments_of(scene, "asked-1", (from, to))?;
        ensure!(expected.len() as u64 == number(&fetched["held"]["segments"])?, "{expected:?}: {fetched:#}");
        let brought = at_hub(scene, &["asked-1", "never-1"])?;
        ensure!(
            brought.len() == expected.len(),
            "{} segments came, {} were asked for",
            brought.len(),
            expected.len()
        );
        for name in &brought {
            let read = |dir: &PathBuf| {
                std::fs::read(dir.join(name)).with_context(|| format!("read {}", name.display()))
            };
            ensure!(
                read(&scene.rig.vault)? == read(&scene.rig.sites[0].archive)?,
                "{} differs",
                name.display()
            );
        }
        let outside = scene.coverage(Side::Hub, 0, "asked-1", (to + SEGMENT * 2, until))?;
        ensure!(spans(&outside)?.iter().all(|span| span["state"] == "at_site"), "{outside:#}");

        let refused = fetch(scene, "never-1", (from, to))?;
        let why = refused["error"].as_str().unwrap_or_default();
        ensure!(refused["ok"] == false && why.contains("replicate = \"never\""), "{refused:#}");
        let unknown = fetch(scene, "nobody-1", (from, to))?;
        ensure!(
            unknown["error"].as_str().is_some_and(|why| why.contains("no camera `shop-1/nobody-1`")),
            "{unknown:#}"
        );

        // Runs that ended are known by their digest, and what stays at the site is part of it: it can be asked for.
        scene.rig.stop_agent(0)?;
        let stopped = wire::clock::wall();
        let away = fetch(scene, "asked-1", (to + SEGMENT * 2, to + SEGMENT * 4))?;
        let why = away["error"].as_str().unwrap_or_default();
        ensure!(why.contains("not connected") && why.contains("as soon as the site connects"), "{away:#}");
        // As it said, and a hub that restarts in between has not forgotten it.
        scene.rig.kill_hub()?;
        scene.rig.start_hub()?;
        scene.rig.start_agent(0)?;
        wait_until("the hub has asked by itself", PATIENCE, || {
            let coverage = scene.coverage(Side::Hub, 0, "asked-1", (to + SEGMENT * 2, to + SEGMENT * 4))?;
            Ok(spans(&coverage)?.iter().all(|span| span["state"] == "recorded"))
        })?;
        scene.await_recorded(Side::Hub, 0, stopped, 4.0)?;
        nothing_waits(scene, (began, stopped))?;
        scene.rig.stop()?;
        verify(scene)
    });
}

#[test]
fn another_policy_holds_after_a_reload_and_brings_what_stayed() {
    let cameras = vec![with("live-1", Replicate::Live), with("never-1", Replicate::Never)];
    play(&[site("shop-1", cameras)], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 8.0)?;
        let until = wire::clock::wall();
        await_known(scene, "never-1", (began, until))?;
        // A file that makes no sense changes nothing.
        rewrite(scene, "replicate = \"never\"", "replicate = \"nevre\"")?;
        let before = connects(scene)?;
        scene.rig.reload_agent(0)?;
        wait_until("the agent refuses the file", PATIENCE, || {
            Ok(log(scene)?.contains("the configuration is not usable; the old one holds"))
        })?;
        ensure!(connects(scene)? == before, "it connected anew for nothing");
        rewrite(scene, "replicate = \"nevre\"", "replicate = \"live\"")?;
        scene.rig.reload_agent(0)?;
        wait_until("what stayed has come", PATIENCE, || {
            let coverage = scene.coverage(Side::Hub, 0, "never-1", (began, until))?;
            Ok(spans(&coverage)?.iter().all(|span| span["state"] == "recorded"))
        })?;
        let live = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, live, 4.0)?;
        nothing_waits(scene, (began, live))?;
        // And back: what is recorded from now on stays.
        rewrite(scene, "replicate = \"live\"", "replicate = \"never\"")?;
        scene.rig.reload_agent(0)?;
        wait_until("the hub hears of it", PATIENCE, || {
            let now = wire::clock::wall();
            let coverage = scene.coverage(Side::Hub, 0, "never-1", (live, now))?;
            Ok(spans(&coverage)?.iter().any(|span| span["state"] == "at_site"))
        })?;
        scene.rig.stop()?;
        verify(scene)
    });
}

#[test]
fn scheduled_streams_wait_for_their_window_and_the_forecast_knows_when_it_opens() {
    // The plan's configuration has no window yet, without which `scheduled` is refused.
    let cameras = vec![with("live-1", Replicate::Live), with("night-1", Replicate::OnDemand)];
    play(&[site("shop-1", cameras)], &QUICK, |scene| {
        rewrite(scene, "#time_zone = \"Europe/Berlin\"", "time_zone = \"UTC\"")?;
        rewrite(scene, "replicate = \"on_demand\"", "replicate = \"scheduled\"")?;
        // What is older than 2.4 h is deleted.
        rewrite(scene, "#keep_days_max = 30", "keep_days_max = 0.1")?;
        let now = wire::clock::wall();
        let window = |from_h: i64, to_h: i64| {
            let time = |hours: i64| {
                let minute = (now.0 / 60_000_000 + hours * 60).rem_euclid(24 * 60);
                format!("{:02}:{:02}", minute / 60, minute % 60)
            };
            format!("[[uplink.window]]\nfrom = \"{}\"\nto = \"{}\"\n", time(from_h), time(to_h))
        };
        let text = std::fs::read_to_string(&scene.rig.sites[0].config).context("read the configuration")?;
        let file = scene.rig.sites[0].config.clone();
        let with = |window: String| std::fs::write(&file, format!("{text}\n{window}"));
        with(window(1, 3))?;
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 12.0)?;
        let until = wire::clock::wall();
        await_known(scene, "night-1", (began, until))?;
        ensure!(at_hub(scene, &["night-1"])?.is_empty(), "bytes went before the window opened");
        wait_until("the forecast speaks of the window", PATIENCE, || {
            let plan = scene.client(Side::Site, 0)?.get("/sites/shop-1/reconcile")?;
            let hours = plan["duration_s"].as_f64().unwrap_or_default() / 3600.0;
            Ok(plan["to_hub"]["segments"].as_u64() > Some(0) && (0.9..2.0).contains(&hours))
        })?;
        let nothing = scene.holdfast(Side::Hub, 0, &["events", "night-1", "--kind", "replication"])?;
        ensure!(nothing["events"] == serde_json::json!([]), "{nothing:#}");
        with(window(3, 5))?;
        scene.rig.reload_agent(0)?;
        it_is_said_what_will_be_lost(scene, (began, until))?;
        with(window(-1, 1))?;
        scene.rig.reload_agent(0)?;
        wait_until("what waited has come", PATIENCE, || {
            let coverage = scene.coverage(Side::Hub, 0, "night-1", (began, until))?;
            Ok(spans(&coverage)?.iter().all(|span| span["state"] == "recorded"))
        })?;
        nothing_waits(scene, (began, until))?;
        scene.rig.stop()?;
        verify(scene)
    });
}

/// By `status` at the site, and by an event that the hub has as well.
fn it_is_said_what_will_be_lost(scene: &Scene, (from, to): (UnixMicros, UnixMicros)) -> anyhow::Result<()> {
    let foreseen = || scene.holdfast(Side::Hub, 0, &["events", "night-1", "--kind", "replication.forecast"]);
    let events = wait_until("the hub has the event", PATIENCE, || {
        let told = foreseen()?;
        ensure!(told["ok"] == true, "{told:#}");
        Ok(told["events"].as_array().is_some_and(|events| !events.is_empty()))
    });
    events.map(drop)?;
    let told = foreseen()?;
    let lost = &told["events"][0]["json"]["lost"][0];
    let at = UnixMicros(lost["at"].as_i64().context("it says when")?);
    let hours = at.since(from).as_secs_f64() / 3600.0;
    ensure!(lost["stream"] == "night-1/main" && lost["why"] == "age", "{told:#}");
    ensure!((2.3..2.5).contains(&hours) && lost["bytes"].as_u64() > Some(0), "{told:#}");
    let none = scene.holdfast(Side::Hub, 0, &["events", "live-1", "--kind", "replication"])?;
    ensure!(none["events"] == serde_json::json!([]), "{none:#}");
    let status = scene.client(Side::Site, 0)?.get("/status")?;
    ensure!(status["forecast"][0]["stream"] == "night-1/main", "{}", status["forecast"]);
    let first = UnixMicros(status["forecast"][0]["from"].as_i64().context("it says from when")?);
    ensure!(first < to, "{}", status["forecast"]);
    Ok(())
}

const SEGMENT: std::time::Duration = std::time::Duration::from_secs(2);

/// Waits until the hub's timeline of a camera has an entry for every instant.
fn await_known(scene: &Scene, camera: &str, range: (UnixMicros, UnixMicros)) -> anyhow::Result<()> {
    let known = || {
        let coverage = scene.coverage(Side::Hub, 0, camera, range)?;
        Ok(spans(&coverage)?.iter().all(|span| span["state"] != "pending"))
    };
    wait_until("the hub knows what stays at the site", PATIENCE, known).map(drop)
}

/// On neither side anything of a time counts as backlog.
fn nothing_waits(scene: &Scene, (_, until): (UnixMicros, UnixMicros)) -> anyhow::Result<()> {
    for side in [Side::Site, Side::Hub] {
        let client = scene.client(side, 0)?;
        wait_until("nothing waits", PATIENCE, || {
            let plan = client.get(&format!("/sites/shop-1/reconcile?before_us={}", until.0))?;
            Ok(plan["to_hub"]["segments"] == 0 && plan["equal"] == true)
        })?;
    }
    // Of the live camera the newest may always be under way.
    wait_until("few entries are not acked", PATIENCE, || Ok(number(&scene.uplink(0)?["unacked"])? <= 4))
        .map(drop)
}

/// Segment files at the hub of these cameras.
fn at_hub(scene: &Scene, cameras: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut names = names(&scene.rig.vault)?;
    let of = |name: &PathBuf| cameras.iter().any(|camera| name.to_string_lossy().contains(camera));
    names.retain(of);
    Ok(names)
}

/// Numbers of the segments that the site has of a time.
fn segments_of(
    scene: &Scene,
    camera: &str,
    (from, to): (UnixMicros, UnixMicros),
) -> anyhow::Result<BTreeSet<u64>> {
    let coverage = scene.coverage(Side::Site, 0, camera, (from, to))?;
    let within = spans(&coverage)?.iter().filter(|span| ends(span).0 < to && ends(span).1 > from);
    within.map(|span| number(&span["segment"])).collect()
}

/// `holdfast fetch …` at the hub.
fn fetch(scene: &Scene, camera: &str, (from, to): (UnixMicros, UnixMicros)) -> anyhow::Result<Value> {
    // The timeline tells its ends as the command reads them.
    let range = scene.coverage(Side::Hub, 0, "live-1", (from, to))?;
    let end = |name: &str| range[name].as_str().context("a timeline has ends");
    let (camera, from, to) = (format!("shop-1/{camera}"), end("from")?, end("to")?);
    scene.holdfast(Side::Hub, 0, &["fetch", &camera, "--timeout", "60", "--from", from, "--to", to])
}

fn rewrite(scene: &Scene, from: &str, to: &str) -> anyhow::Result<()> {
    let file = &scene.rig.sites[0].config;
    let text = std::fs::read_to_string(file).context("read the configuration")?;
    // The template has the words in comments as well.
    let lines = text.lines().map(|line| if line == from { to } else { line });
    let text: Vec<_> = lines.collect();
    ensure!(text.contains(&to), "there is no line `{from}`");
    std::fs::write(file, text.join("\n") + "\n").context("write the configuration")
}

fn log(scene: &Scene) -> anyhow::Result<String> {
    std::fs::read_to_string(scene.rig.dir().join("logs/shop-1.log")).context("read the agent's log")
}

fn connects(scene: &Scene) -> anyhow::Result<u64> {
    number(&scene.uplink(0)?["connects"])
}

/// Both archives are what they claim to be, with what is only at the site as with what is gone.
fn verify(scene: &Scene) -> anyhow::Result<()> {
    for (daemon, archive) in [("site-agent", &scene.rig.sites[0].archive), ("dc-hub", &scene.rig.vault)] {
        let mut command = Command::new(programs::beside_this(daemon)?);
        let output = command.args(["verify", "--json"]).arg(archive).output().context("start verify")?;
        let told = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{daemon} verify: {told}");
    }
    Ok(())
}
