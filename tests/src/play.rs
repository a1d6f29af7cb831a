//! What players make of a file: ffmpeg counts and decodes it, VLC and a browser play it to its end.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ops::rig::wait_until;

use crate::web::Server;

/// A player that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Debian's `nobody`: VLC does not run as root.
const NOBODY: &str = "65534";

/// How many pictures ffmpeg decodes of a file or an address; anything it complains of is an error.
pub fn decoded_frames(input: &str) -> anyhow::Result<u64> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-count_frames", "-select_streams", "v:0"]);
    ffprobe.args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", input]);
    let output = quiet(ffprobe, "ffprobe")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A playlist's stream is listed once more below its program.
    let count = text.lines().next().unwrap_or_default().trim_end_matches(',');
    count.parse().with_context(|| format!("ffprobe counted `{text}`"))
}

/// Decodes so much of a stream that has no end; anything ffmpeg complains of is an error.
pub fn decodes(input: &str, seconds: u32) -> anyhow::Result<()> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-i", input, "-t", &seconds.to_string(), "-f", "null", "-"]);
    quiet(ffmpeg, "ffmpeg").map(drop)
}

/// VLC plays a file to its end without a complaint of a decoder or demuxer.
pub fn vlc_plays(file: &Path, seconds: f64) -> anyhow::Result<()> {
    let home = tempfile::tempdir().context("make a home for VLC")?;
    open_to_nobody(home.path())?;
    let copy = home.path().join("video.mp4");
    std::fs::copy(file, &copy).context("copy the video")?;
    open_to_nobody(&copy)?;
    let mut vlc = Command::new("setpriv");
    vlc.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--pdeathsig", "KILL", "vlc"]);
    vlc.args(["-I", "dummy", "--vout", "dummy", "--aout", "dummy", "--no-audio", "--rate", "4", "-vv"]);
    vlc.args(["--play-and-exit", "--no-plugins-cache"]).arg(&copy).arg("vlc://quit");
    vlc.env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path());
    let output = finish(vlc, "VLC", PATIENCE + Duration::from_secs_f64(seconds))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "VLC ended with {}: {said}", output.status);
    ensure!(
        said.contains("video.mp4") && said.contains("EOF reached"),
        "VLC did not play to the end: {said}"
    );
    let decoding = ["[h264 @", "[hevc @", "avcodec", "mp4 demux", "mp4 stream", "packetizer"];
    let wrong = said.lines().filter(|line| {
        let line = line.to_lowercase();
        line.contains("error") && decoding.iter().any(|part| line.contains(part))
    });
    let wrong: Vec<_> = wrong.collect();
    ensure!(wrong.is_empty(), "VLC complains: {wrong:#?}");
    Ok(())
}

/// What a browser says of a video that it has played.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Played {
    /// How long the browser takes the video to be.
    pub duration_s: f64,
    /// Its width in the end.
    pub width: u32,
    /// Its height in the end.
    pub height: u32,
}

/// Chromium plays a file: from the start to its end, and again from the middle after seeking.
pub fn chromium_plays(file: &Path) -> anyhow::Result<Played> {
    let server = Server::start(PAGE, file)?;
    let profile = tempfile::tempdir().context("make a profile for Chromium")?;
    let mut chromium = Command::new("setpriv");
    chromium.args([
        "--pdeathsig",
        "KILL",
        "/usr/bin/chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
    ]);
    chromium.args(["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]);
    chromium.args(["--disable-component-update", "--disable-dev-shm-usage", "--mute-audio"]);
    chromium.args(["--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"]);
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.arg(format!("http://{}/", server.address));
    chromium.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _browser = Running(chromium.spawn().context("start Chromium: run ops/setup.sh --tests")?);
    match server.said.recv_timeout(PATIENCE) {
        Ok(said) => played(&said),
        Err(RecvTimeoutError::Timeout) => bail!("Chromium played nothing to its end within {PATIENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => bail!("the web server is gone"),
    }
}

/// Says once how it went.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><video id="v" muted src="video.mp4"></video><script>
const v = document.getElementById("v");
const say = (what) => { say.once ??= fetch("/said?" + new URLSearchParams(what)); };
let ends = 0;
v.onerror = () => say({ error: v.error.code + " " + v.error.message });
v.onended = () => {
  ends += 1;
  if (ends == 1) {
    v.currentTime = v.duration / 2;
    v.play();
  } else {
    say({ duration: v.duration, width: v.videoWidth, height: v.videoHeight });
  }
};
v.onloadedmetadata = () => { v.playbackRate = 4; v.play().catch((error) => say({ error })); };
</script>"#;

fn played(said: &str) -> anyhow::Result<Played> {
    let mut played = Played::default();
    for (key, value) in said.split('&').filter_map(|pair| pair.split_once('=')) {
        let context = || format!("Chromium said {said}");
        match key {
            "duration" => played.duration_s = value.parse().with_context(context)?,
            "width" => played.width = value.parse().with_context(context)?,
            "height" => played.height = value.parse().with_context(context)?,
            _ => bail!("{}", context()),
        }
    }
    Ok(played)
}

/// Ends with its handle.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quiet(command: Command, name: &str) -> anyhow::Result<Output> {
    let output = finish(command, name, PATIENCE)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{name} ended with {}: {said}", output.status);
    Ok(output)
}

/// Runs a command to its end, within a time; both its outputs are kept.
fn finish(mut command: Command, name: &str, limit: Duration) -> anyhow::Result<Output> {
    let (out, err) = (tempfile::NamedTempFile::new()?, tempfile::NamedTempFile::new()?);
    command.stdin(Stdio::null()).stdout(out.reopen()?).stderr(err.reopen()?);
    let child = command.spawn().with_context(|| format!("start {name}: run ops/setup.sh --tests"))?;
    let mut child = Running(child);
    let mut ended = None;
    let over = || {
        ended = child.0.try_wait().with_context(|| format!("wait for {name}"))?;
        Ok(ended.is_some())
    };
    wait_until(&format!("{name} has ended"), limit, over)?;
    let status = ended.context("it has ended")?;
    Ok(Output { status, stdout: std::fs::read(out.path())?, stderr: std::fs::read(err.path())? })
}

fn open_to_nobody(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown};
    let nobody = NOBODY.parse().ok();
    chown(path, nobody, nobody).with_context(|| format!("give {} to nobody", path.display()))?;
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}
