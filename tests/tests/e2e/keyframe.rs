//! A recorder dies just after a keyframe of cameras that make one every ten seconds: the standby asks one of them, and
//! can begin; of the other it has to wait for the next.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::account::merged;
use holdfast_tests::scene::{PATIENCE, STANDBY, Scene, Side, play, site};
use ops::rig::{CameraPlan, Process, wait_until};
use serde_json::Value;
use wire::UnixMicros;

const LONG: &str = "codec=h264,size=320x180,kbit=300,gop=250";
/// More than a takeover takes; the next keyframe is later.
const SOONER: Duration = Duration::from_secs(2);

#[test]
fn a_standby_that_asks_for_a_keyframe_begins_sooner() {
    let cameras = vec![
        CameraPlan::new("plain", LONG),
        CameraPlan {
            credentials: Some(("recorder".to_owned(), "secret".to_owned())),
            ..CameraPlan::new(
                "asked",
                format!("{LONG},onvif=wsse,onvif_ahead=-90,user=recorder,password=secret"),
            )
        },
    ];
    play(&[site("shop-1", cameras)], &STANDBY, |scene| {
        scene.start()?;
        // Somebody watches both all the time: otherwise a camera's encoder begins anew with each recorder.
        let _watching = ["plain", "recorder:secret@asked"].map(|camera| watch(scene, camera));
        let began = wire::clock::wall();
        scene.await_protected(0)?;
        scene.await_recorded(Side::Hub, 0, began, 3.0)?;
        let asked = keyframes_asked(scene)?;
        ensure!(asked > 0, "the site's own recorder asked for none as it began");
        await_keyframe(scene, "plain")?;
        scene.rig.kill_agent(0)?;
        let killed = wire::clock::wall();
        scene.await_life(0, "the standby has authority", |life| life["Standby"]["mode"] == "Recording")?;
        scene.await_recorded(Side::Hub, 0, killed, 14.0)?;
        ensure!(keyframes_asked(scene)? > asked, "the standby asked for none");
        scene.rig.start_agent(0)?;
        scene.await_life(0, "authority is back home", |life| life == "Home")?;
        let back = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, back, 3.0)?;
        scene.await_acked(0, (began, back))?;
        let gaps: Vec<_> =
            merged(scene)?.into_iter().map(|account| (account.gap_around(killed), account.camera)).collect();
        println!("gaps at activation: {gaps:?}");
        ensure!(gaps[0].1 == "plain" && gaps[0].0 > gaps[1].0 + SOONER, "{gaps:?}");
        Ok(())
    });
}

fn watch(scene: &Scene, camera: &str) -> anyhow::Result<Process> {
    let (log_in, name) =
        camera.split_once('@').map_or((String::new(), camera), |(log_in, name)| (format!("{log_in}@"), name));
    let cable = &scene.rig.sites[0].cable;
    let url = format!("rtsp://{log_in}{}:8554/{name}", cable.site_address);
    let command = ["ffmpeg", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", &url, "-f", "null", "-"];
    let log = scene.file(&format!("watch-{name}.log"));
    Process::start("ffmpeg", &command.map(String::from), Some(&cable.namespace), &log)
}

/// Waits for a keyframe that the camera sent a moment ago.
fn await_keyframe(scene: &Scene, camera: &str) -> anyhow::Result<()> {
    let log = scene.rig.sites[0].camera_logs.join(format!("{camera}.log"));
    wait_until("a keyframe", PATIENCE, || {
        let text = std::fs::read_to_string(&log).context("read the camera's log")?;
        let last = text
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["key"] == true);
        let at = last.and_then(|line| line["wall_us"].as_i64()).map(UnixMicros).context("a keyframe")?;
        Ok(wire::clock::wall().since(at) < Duration::from_millis(700))
    })?;
    Ok(())
}

/// How many the camera was asked for, and gave.
fn keyframes_asked(scene: &Scene) -> anyhow::Result<usize> {
    let log = scene.rig.sites[0].camera_logs.join("asked.onvif.log");
    let text = std::fs::read_to_string(log).context("the camera's ONVIF log")?;
    let given = |line: &&str| line.contains("SetSynchronizationPoint") && line.contains("\"status\": 200");
    Ok(text.lines().filter(given).count())
}
