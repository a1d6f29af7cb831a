//! A control log whose disk is lost, begun anew from its backup.

use std::process::{Command, Output};

use anyhow::{Context, ensure};
use holdfast_tests::scene::{PATIENCE, STANDBY, Scene, camera, play, site};
use ops::rig::{programs, wait_until};
use serde_json::{Value, json};

#[test]
fn a_lost_control_log_is_begun_anew_from_its_backup_and_stands_by_again() {
    play(&[site("shop-1", vec![camera("till-1")])], &STANDBY, |scene| {
        scene.start()?;
        scene.await_protected(0)?;
        let generation = |known: &Value| known["epoch"]["generation"]["count"].as_u64();
        let before = generation(&scene.why(0)?["known"]);
        let backup = scene.file("backup.json");
        let saved = Command::new(programs::beside_this("holdfast")?)
            .args(["node", "backup", "--at", &format!("http://{}", scene.rig.hub_http), "--token-file"])
            .arg(scene.rig.vault.join("http-token"))
            .arg(&backup)
            .output()?;
        ensure!(saved.status.success() && said(&saved).contains("1 sites"), "{}", said(&saved));

        scene.rig.stop_hub()?;
        std::fs::rename(scene.file("control"), scene.file("control-lost")).context("lose the control log")?;
        let again = restore(scene, &backup)?;
        ensure!(!again.status.success() && said(&again).contains("never in the log"), "{}", said(&again));
        let config = scene.rig.hub_config();
        let text = std::fs::read_to_string(config).context("read the hub's configuration")?;
        let changed = text.replace("\nnode = 1\n", "\nnode = 2\n");
        ensure!(changed != text, "its id is written otherwise");
        std::fs::write(config, changed).context("give it a new id")?;
        let restored = restore(scene, &backup)?;
        ensure!(restored.status.success() && said(&restored).contains("of 1 sites"), "{}", said(&restored));
        let twice = restore(scene, &backup)?;
        ensure!(
            !twice.status.success() && said(&twice).contains("has a control log already"),
            "{}",
            said(&twice)
        );

        scene.rig.start_hub()?;
        wait_until("the restored log is known, above every epoch before", PATIENCE, || {
            Ok(scene.why(0).is_ok_and(|why| generation(&why["known"]) > before && why["known"]["vault"] == 2))
        })?;
        scene.await_protected(0)?;
        ensure!(scene.rig.hub()?.get("/control")?["deletion_suspended"] == true, "vaults may delete");
        scene.rig.hub()?.post("/confirm-deletion", &json!({ "by": "tester" }))?;
        ensure!(scene.rig.hub()?.get("/control")?["deletion_suspended"] == false, "it was confirmed");
        scene.rig.kill_agent(0)?;
        let away = |life: &Value| life["Standby"]["mode"] == "Recording";
        scene.await_life(0, "the standby records", away)?;
        Ok(())
    });
}

/// `dc-hub restore`, as the hub's operator runs it.
fn restore(scene: &Scene, backup: &std::path::Path) -> anyhow::Result<Output> {
    let mut command = Command::new(programs::beside_this("dc-hub")?);
    command.arg("restore").arg("--config").arg(scene.rig.hub_config()).arg("--from").arg(backup);
    command.output().context("start dc-hub restore")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
