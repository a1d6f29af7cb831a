//! An installation that runs, and what can be waited for in it.
//!
//! Every wait is for something to happen and has an end; a fault that is to last for a while lasts until
//! that much has been recorded, or missed, meanwhile.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use ops::client::Client;
use ops::rig::{CameraPlan, Rig, Settings, SiteSpec, programs, wait_until};
use serde_json::Value;
use wire::{OriginId, Seq, SiteId, StreamId, UnixMicros};

/// What any wait may take: far more than is ever needed, so that a busy machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Segments and fragments as short as tests want them, and no standby: what it records is in no site's archive.
pub const QUICK: Settings = Settings { segment_s: 2, fragment_ms: 500, failback_s: (300, 600), tier: "none" };

/// Likewise, with a standby that soon gives back.
pub const STANDBY: Settings = Settings { failback_s: (2, 2), tier: "warm", ..QUICK };

/// One scene at a time, also where tests share a process.
static ALONE: Mutex<()> = Mutex::new(());

/// A running installation.
pub struct Scene {
    /// Its parts.
    pub rig: Rig,
    dir: tempfile::TempDir,
    done: bool,
    _alone: MutexGuard<'static, ()>,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The site itself.
    Site,
    /// The hub.
    Hub,
}

/// An entry, by its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName {
    /// Of which run.
    pub origin: OriginId,
    /// Of which stream.
    pub stream: StreamId,
    /// At which place.
    pub seq: Seq,
}

/// A camera that costs little.
pub fn camera(id: &str) -> CameraPlan {
    CameraPlan::new(id, "codec=h264,size=320x180,kbit=300")
}

/// A site with these cameras.
pub fn site(id: &str, cameras: Vec<CameraPlan>) -> SiteSpec {
    SiteSpec { id: SiteId::new(id).unwrap_or_else(|error| panic!("{error}")), cameras }
}

/// Makes an installation and tells `story` in it. What went wrong ends the test, with what the daemons
/// logged last; then everything stays on disk.
pub fn play(sites: &[SiteSpec], settings: &Settings, story: impl FnOnce(&mut Scene) -> anyhow::Result<()>) {
    try_play(sites, settings, story).unwrap_or_else(|error| panic!("{error:#}"));
}

/// Likewise; what went wrong is the caller's.
pub fn try_play<T>(
    sites: &[SiteSpec],
    settings: &Settings,
    story: impl FnOnce(&mut Scene) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut scene = Scene::new(sites, settings, alone).context("make the scene")?;
    let told = story(&mut scene)?;
    scene.done = true;
    Ok(told)
}

impl Scene {
    fn new(sites: &[SiteSpec], settings: &Settings, alone: MutexGuard<'static, ()>) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("holdfast-test-").tempdir().context("make a folder")?;
        Ok(Self { rig: Rig::new(dir.path(), sites, settings)?, dir, done: false, _alone: alone })
    }

    /// Starts everything and waits until the hub knows that every camera is recorded.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.rig.start()?;
        (0..self.rig.sites.len()).try_for_each(|site| self.await_recording(site))
    }

    /// Waits until the hub knows that every camera of a site is recorded.
    pub fn await_recording(&self, site: usize) -> anyhow::Result<()> {
        let expected = self.rig.sites[site].cameras.len();
        self.await_states(site, |states| {
            states.iter().filter(|state| *state == "recording").count() == expected
        })
    }

    /// Waits until the hub knows a site's streams in these states.
    pub fn await_states(&self, site: usize, right: impl Fn(&[String]) -> bool) -> anyhow::Result<()> {
        let id = self.rig.sites[site].id.clone();
        let holds = || {
            let status = self.rig.hub()?.get("/status")?;
            let state = &status["sites"][id.as_str()];
            let cameras = state["cameras"].as_array().map(Vec::as_slice).unwrap_or_default();
            let states: Vec<_> = cameras.iter().map(|one| text(&one["state"])).collect();
            Ok(state["connected"] == true && right(&states))
        };
        wait_until("the hub knows the cameras' states", PATIENCE, holds).map(drop)
    }

    /// Waits until so many seconds since `from` are recorded of a site's first camera.
    pub fn await_recorded(
        &self,
        side: Side,
        site: usize,
        from: UnixMicros,
        seconds: f64,
    ) -> anyhow::Result<()> {
        let camera = self.first_camera(site)?;
        let enough = || {
            let coverage = self.coverage(side, site, &camera, (from, wire::clock::wall()))?;
            Ok(coverage["recorded_s"].as_f64().unwrap_or(0.0) >= seconds)
        };
        let what = format!("{seconds} s of {camera} are recorded ({side:?})");
        wait_until(&what, PATIENCE + Duration::from_secs_f64(seconds), enough).map(drop)
    }

    /// Waits until everything a site has recorded of a time is committed and acked.
    pub fn await_acked(&self, site: usize, (from, to): (UnixMicros, UnixMicros)) -> anyhow::Result<Duration> {
        let safe = |span: &Value| match span["state"].as_str() {
            Some("recorded") => !span["seq"].is_null() && span["acked"] == true,
            Some(state) => state == "gap",
            None => false,
        };
        let all = || {
            for camera in &self.rig.sites[site].cameras {
                let coverage = self.coverage(Side::Site, site, &camera.id, (from, to))?;
                if !spans(&coverage)?.iter().all(safe) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        wait_until("the hub has acked everything", PATIENCE, all)
    }

    /// Who has authority over a site, and why, as the hub tells.
    pub fn why(&self, site: usize) -> anyhow::Result<Value> {
        self.rig.hub()?.get(&format!("/sites/{}/why", self.rig.sites[site].id))
    }

    /// Waits until the hub could take over every camera of a site, and has no reason to.
    pub fn await_protected(&self, site: usize) -> anyhow::Result<()> {
        let cameras = self.rig.sites[site].cameras.len();
        let protected = || {
            let Ok(why) = self.why(site) else { return Ok(false) };
            let protection = why["protection"].as_object().cloned().unwrap_or_default();
            let all = protection.len() == cameras && protection.values().all(|how| how == "Protected");
            Ok(all && why["known"]["placement"].is_string() && why["verdict"]["telling"]["line"] == "Well")
        };
        wait_until("the site is protected", PATIENCE, protected).map(drop)
    }

    /// Waits until the life of a site's virtual server is so.
    pub fn await_life(
        &self,
        site: usize,
        what: &str,
        right: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Duration> {
        wait_until(what, PATIENCE, || Ok(right(&self.why(site)?["known"]["life"])))
    }

    /// How often authority over a site has moved since the hub started.
    pub fn moves(&self, site: usize) -> anyhow::Result<usize> {
        let why = self.why(site)?;
        let decided = why["decided"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(decided.iter().filter(|was| was["event"].get("Authority").is_some()).count())
    }

    /// Waits until the link of a site is up, or down.
    pub fn await_link(&self, site: usize, up: bool) -> anyhow::Result<Duration> {
        let what = format!("the link of {} is {}", self.rig.sites[site].id, if up { "up" } else { "down" });
        wait_until(&what, PATIENCE, || Ok(self.uplink(site)?["connected"] == up))
    }

    /// How a site sees its link.
    pub fn uplink(&self, site: usize) -> anyhow::Result<Value> {
        Ok(self.rig.site(site)?.get("/status")?["uplink"].clone())
    }

    /// The timeline of a camera, as one side tells it.
    pub fn coverage(
        &self,
        side: Side,
        site: usize,
        camera: &str,
        (from, to): (UnixMicros, UnixMicros),
    ) -> anyhow::Result<Value> {
        let to = to.0.max(from.0 + 1); // both may be the same microsecond
        let path = format!("{}/coverage?from={}&to={to}", self.camera_path(site, camera), from.0);
        self.client(side, site)?.get(&path)
    }

    /// Every segment of a camera that a site knows as acked.
    pub fn acked(&self, site: usize, camera: &str, from: UnixMicros) -> anyhow::Result<BTreeSet<EntryName>> {
        let coverage = self.coverage(Side::Site, site, camera, (from, wire::clock::wall()))?;
        named(&coverage, camera, |span| span["acked"] == true)
    }

    /// Every segment of a camera that the hub holds.
    pub fn held_at_hub(
        &self,
        site: usize,
        camera: &str,
        from: UnixMicros,
    ) -> anyhow::Result<BTreeSet<EntryName>> {
        let coverage = self.coverage(Side::Hub, site, camera, (from, wire::clock::wall()))?;
        named(&coverage, camera, |span| span["state"] == "recorded")
    }

    /// Below `/api/v1`.
    pub fn camera_path(&self, site: usize, camera: &str) -> String {
        format!("/sites/{}/cameras/{camera}", self.rig.sites[site].id)
    }

    /// A whole address at the hub, token and all, for players.
    pub fn hub_url(&self, path: &str) -> anyhow::Result<String> {
        let token =
            std::fs::read_to_string(self.rig.vault.join("http-token")).context("read the hub's token")?;
        let joint = if path.contains('?') { '&' } else { '?' };
        Ok(format!("http://{}/api/v1{path}{joint}token={}", self.rig.hub_http, token.trim()))
    }

    /// Runs `holdfast`, asking one side: the last line of what it says with `--json`.
    pub fn holdfast(&self, side: Side, site: usize, arguments: &[&str]) -> anyhow::Result<Value> {
        let (at, archive) = match side {
            Side::Site => (self.rig.site_http(site), &self.rig.sites[site].archive),
            Side::Hub => (format!("http://{}", self.rig.hub_http), &self.rig.vault),
        };
        let mut command = Command::new(programs::beside_this("holdfast")?);
        command
            .args(arguments)
            .args(["--json", "--at", &at])
            .arg("--token-file")
            .arg(archive.join("http-token"));
        let output = command.output().context("start holdfast")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let told: Value =
            serde_json::from_str(said.lines().last().unwrap_or_default()).with_context(|| {
                format!("holdfast said `{said}`, and `{}`", String::from_utf8_lossy(&output.stderr))
            })?;
        let right = output.status.success() == (told["ok"] == true);
        ensure!(right, "its exit status is {:?}: {told:#}", output.status);
        Ok(told)
    }

    /// A place for a test's own files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Speaks to one side.
    pub fn client(&self, side: Side, site: usize) -> anyhow::Result<Client> {
        match side {
            Side::Site => self.rig.site(site),
            Side::Hub => self.rig.hub(),
        }
    }

    fn first_camera(&self, site: usize) -> anyhow::Result<String> {
        Ok(self.rig.sites[site].cameras.first().context("the site has a camera")?.id.clone())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.dir.disable_cleanup(true);
        eprintln!("everything is kept in {}", self.dir.path().display());
        let logs = std::fs::read_dir(self.dir.path().join("logs")).into_iter().flatten().flatten();
        for log in logs.map(|log| log.path()) {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            eprintln!("--- the end of {}", log.display());
            lines.iter().skip(lines.len().saturating_sub(25)).for_each(|line| eprintln!("{line}"));
        }
    }
}

/// The spans of a timeline.
pub fn spans(coverage: &Value) -> anyhow::Result<&Vec<Value>> {
    coverage["spans"].as_array().context("a timeline has spans")
}

/// A span's two ends.
pub fn ends(span: &Value) -> (UnixMicros, UnixMicros) {
    let instant = |value: &Value| UnixMicros(value.as_i64().unwrap_or_default());
    (instant(&span["from_us"]), instant(&span["to_us"]))
}

/// A number that must be there.
pub fn number(value: &Value) -> anyhow::Result<u64> {
    value.as_u64().with_context(|| format!("`{value}` is no number"))
}

fn named(
    coverage: &Value,
    camera: &str,
    wanted: impl Fn(&Value) -> bool,
) -> anyhow::Result<BTreeSet<EntryName>> {
    let stream = StreamId::new(camera, "main")?;
    let committed = spans(coverage)?.iter().filter(|span| !span["seq"].is_null() && wanted(span));
    committed
        .map(|span| {
            let origin = text(&span["origin"]).parse().context("origin")?;
            Ok(EntryName { origin, stream: stream.clone(), seq: Seq(number(&span["seq"])?) })
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
