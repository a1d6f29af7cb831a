//! The site's disk runs full, is filled by others, and is emptied.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use holdfast_tests::scene::{PATIENCE, QUICK, Scene, Side, camera, number, play, site};
use ops::rig::{CameraPlan, programs, wait_until};
use serde_json::Value;
use site_agent::archive::Room;

/// What the rig's sites call low, and high.
const LOW: u64 = 16_000_000;
const HIGH: u64 = 24_000_000;

/// A small disk; away with the test.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn mount(at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at).context("make the folder of the disk")?;
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(at).status();
        ensure!(done.context("start mount")?.success(), "mount a disk at {}", at.display());
        Ok(Self(at.to_owned()))
    }

    fn free(&self) -> anyhow::Result<u64> {
        Room::new(&self.0).free_bytes().context("ask for free space")
    }

    /// Somebody else's file, as large as leaves so much free.
    pub(crate) fn fill(&self, free: u64) -> anyhow::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.0.join("filler"))?;
        let block = vec![0; 64 << 10];
        while self.free()? > free {
            if let Err(error) = file.write_all(&block) {
                ensure!(error.kind() == std::io::ErrorKind::StorageFull, "fill the disk: {error}");
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn empty(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.0.join("filler")).context("delete the filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status(); // what stays mounted is in a test's folder
    }
}

#[test]
fn recording_goes_on_when_the_disk_is_full_and_says_so_when_it_cannot() {
    let till = CameraPlan { spec: "codec=h264,size=640x360,kbit=4000".to_owned(), ..camera("till-1") };
    play(&[site("shop-1", vec![till])], &QUICK, |scene| {
        let disk = Disk::mount(&scene.rig.sites[0].archive)?;
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 4.0)?;

        disk.fill(LOW + 2_000_000)?;
        await_kept(scene, "room is made twice", |kept| {
            Ok(number(&kept["freed_bytes"])? > HIGH - LOW + 2_000_000)
        })?;
        let until = wire::clock::wall();
        let kept = kept(scene)?;
        ensure!(kept["lost_segments"] == 0 && kept["stuck"] == false, "{kept:#}");
        let site = scene.coverage(Side::Site, 0, "till-1", (began, until))?;
        ensure!(causes(&site)?.iter().all(|cause| cause == "expired"), "at the site: {site:#}");
        scene.await_recorded(Side::Hub, 0, until, 2.0)?;
        let hub = scene.coverage(Side::Hub, 0, "till-1", (began, until))?;
        ensure!(causes(&hub)?.is_empty(), "the hub has all: {hub:#}");

        disk.fill(0)?;
        let full = wire::clock::wall();
        await_kept(scene, "nothing may be freed any more", |kept| Ok(kept["stuck"] == true))?;
        let says = || {
            let status = scene.rig.site(0)?.get("/status")?;
            let detail = status["streams"]["till-1/main"]["detail"].as_str().unwrap_or_default().to_owned();
            Ok(detail.contains("full"))
        };
        wait_until("the stream says that the disk is full", PATIENCE, says)?;
        let seen = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, seen, 3.0)?; // as a tail
        disk.empty()?;
        let emptied = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, emptied, 3.0)?;
        let site = scene.coverage(Side::Site, 0, "till-1", (full, wire::clock::wall()))?;
        ensure!(causes(&site)?.iter().any(|cause| cause == "disk_full"), "{site:#}");
        ensure!(site["unexplained_s"] == 0.0, "{site:#}");
        ensure!(
            scene.rig.site(0)?.get("/status")?["archive"]["stopped"].is_null(),
            "the archive is poisoned"
        );

        scene.rig.stop()?;
        verify(&disk.0)
    });
}

fn kept(scene: &Scene) -> anyhow::Result<Value> {
    Ok(scene.rig.site(0)?.get("/status")?["archive"]["retention"].clone())
}

fn await_kept(
    scene: &Scene,
    what: &str,
    right: impl Fn(&Value) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    wait_until(what, 2 * PATIENCE, || right(&kept(scene)?)).map(drop)
}

/// Why anything is missing.
pub(crate) fn causes(coverage: &Value) -> anyhow::Result<Vec<String>> {
    let spans = coverage["spans"].as_array().context("a timeline has spans")?;
    let gaps = spans.iter().filter(|span| span["state"] == "gap");
    Ok(gaps.map(|span| span["cause"].as_str().unwrap_or_default().to_owned()).collect())
}

/// What is left is whole, and what is gone is no damage.
pub(crate) fn verify(archive: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(programs::beside_this("site-agent")?);
    let output = command.args(["verify", "--json"]).arg(archive).output().context("start verify")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(text.lines().last().context("verify says something")?)?;
    ensure!(report["ok"] == true && report["orphans"] == 0, "{report:#}");
    ensure!(number(&report["without_bytes"])? > 0 && number(&report["segments"])? > 0, "{report:#}");
    Ok(())
}
