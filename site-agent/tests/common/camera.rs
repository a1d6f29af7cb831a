//! The camera server of `ops/camera`, as a child of the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use url::Url;

/// Starting Python and GStreamer on a busy machine takes seconds.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running camera server; killed when dropped.
pub(crate) struct CameraServer {
    child: Child,
    logs: tempfile::TempDir,
    cameras: Vec<String>,
    port: u16,
    /// ONVIF device services, of the cameras that have one.
    services: Vec<Url>,
}

/// A line of a camera's log: a frame that went out.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Logged {
    pub(crate) t: String,
    pub(crate) run: u32,
    pub(crate) n: u32,
    pub(crate) wall_us: i64,
    pub(crate) pts_ns: i64,
    pub(crate) key: bool,
    pub(crate) sha256: String,
}

impl CameraServer {
    /// Starts cameras, each given as `NAME=SPEC` (see `ops/camera/README.md`), on a free port.
    pub(crate) fn start(cameras: &[&str]) -> Self {
        let logs = tempfile::tempdir().expect("make a folder for logs");
        let cameras: Vec<_> = cameras.iter().map(|&camera| camera.to_owned()).collect();
        let (child, urls) = spawn(logs.path(), &cameras, 0);
        let port = urls[0].port().expect("a port");
        let services = urls.into_iter().filter(|url| url.scheme() == "http").collect();
        Self { child, logs, cameras, port, services }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, name: &str) -> Url {
        url(self.port, name)
    }

    /// The ONVIF device service of camera `name`, if it has one.
    pub(crate) fn onvif(&self, name: &str) -> Option<Url> {
        self.services.iter().find(|url| url.path().starts_with(&format!("/{name}/"))).cloned()
    }

    /// What the ONVIF service of camera `name` was asked, and what it answered, in order.
    pub(crate) fn onvif_log(&self, name: &str) -> Vec<(String, Option<u16>)> {
        let text =
            std::fs::read_to_string(self.logs.path().join(format!("{name}.onvif.log"))).unwrap_or_default();
        let line = |line: &str| {
            let asked: serde_json::Value = serde_json::from_str(line).expect("a line of the log");
            let status = asked["status"].as_u64().map(|status| u16::try_from(status).expect("a status"));
            (asked["asked"].as_str().expect("what was asked").to_owned(), status)
        };
        text.lines().map(line).collect()
    }

    /// Kills it at once, as if the power had gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill the camera server");
        self.child.wait().expect("reap the camera server");
    }

    /// Starts it again after [`CameraServer::kill`], at the same port.
    pub(crate) fn restart(&mut self) {
        (self.child, _) = spawn(self.logs.path(), &self.cameras, self.port);
    }

    /// The frames of kind `t` (`video` or `audio`) that camera `name` sent in `run`.
    pub(crate) fn log(&self, name: &str, t: &str, run: u32) -> Vec<Logged> {
        let text = std::fs::read_to_string(self.logs.path().join(format!("{name}.log"))).unwrap_or_default();
        let complete = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let lines =
            complete.lines().map(|line| serde_json::from_str::<Logged>(line).expect("a line of the log"));
        lines.filter(|frame| frame.t == t && frame.run == run).collect()
    }
}

impl Drop for CameraServer {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be dead already
        let _ = self.child.wait();
    }
}

/// Where camera `name` is when its server, or a proxy before it, listens at `port`.
pub(crate) fn url(port: u16, name: &str) -> Url {
    Url::parse(&format!("rtsp://127.0.0.1:{port}/{name}")).expect("a camera's URL")
}

/// The digest the camera logs of a picture: of its coded slices, `data` having four-byte lengths.
pub(crate) fn slices_sha256(data: &[u8], h265: bool) -> String {
    let mut rest = data;
    let mut hash = Sha256::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (nal, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        let slice = if h265 { (nal[0] >> 1) & 0x3f <= 31 } else { (1..=5).contains(&(nal[0] & 0x1f)) };
        if slice {
            hash.update(nal);
        }
        rest = after;
    }
    assert!(rest.is_empty(), "a picture ends within a length");
    hex(hash)
}

/// The digest the camera logs of sound.
pub(crate) fn sha256(data: &[u8]) -> String {
    hex(Sha256::new_with_prefix(data))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spawn(logs: &Path, cameras: &[String], port: u16) -> (Child, Vec<Url>) {
    let script: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "ops", "camera", "camera_server.py"].iter().collect();
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).args(["--address", "127.0.0.1", "--die-with-parent", "--port"]).arg(port.to_string());
    command.arg("--log-dir").arg(logs);
    for camera in cameras {
        command.args(["--camera", camera]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().expect("start the camera server");
    let stdout = child.stdout.take().expect("its output");
    let (told, ready) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(stdout).read_line(&mut line); // an empty line says as much as an error
        let _ = told.send(line);
    });
    let line = ready.recv_timeout(READY_WITHIN).unwrap_or_default();
    let urls = line.strip_prefix("ready ").into_iter().flat_map(str::split_whitespace);
    let urls: Vec<_> = urls.map_while(|url| Url::parse(url).ok()).collect();
    if urls.first().is_none_or(|url| url.port().is_none()) {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the camera server did not start; it said {line:?}");
    }
    (child, urls)
}
