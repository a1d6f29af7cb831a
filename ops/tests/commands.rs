//! The real `holdfast` against a real archive with real video, served as the daemons serve it.

#![allow(clippy::unwrap_used)] // also in what the tests share

#[path = "../../site-agent/tests/serve/clip.rs"]
#[allow(dead_code)]
mod clip;
#[path = "../../site-agent/tests/serve/scene.rs"]
#[allow(dead_code)]
mod scene;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};
use site_agent::config::defaults;
use site_agent::retention::Writer;
use site_agent::scrub::{self, Scrub};
use site_agent::serve::{self, CameraInfo, Cameras, NoTails, Role, Served, StreamInfo, Token};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use wire::SiteId;

use scene::{BEGIN_S, Scene, site, stream};

/// How a run of `holdfast` ended.
struct Ran {
    ok: bool,
    out: String,
    err: String,
}

impl Ran {
    /// The last line of the output.
    fn json(&self) -> Value {
        let last = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| panic!("no JSON: {}{}", self.out, self.err))
    }
}

fn holdfast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(arguments).env("TZ", "UTC").env_remove("HOLDFAST_AT").env_remove("HOLDFAST_TOKEN");
    command
}

async fn run(arguments: &[&str]) -> Ran {
    let output = holdfast(arguments).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) };
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    ran
}

/// The scene, served as a hub with two sites that have cameras of one name. Only one has ever recorded.
struct Hub {
    scene: Scene,
    at: String,
    token: PathBuf,
    stop: CancellationToken,
    _scrub: Scrub,
}

struct TwoSites;

impl Cameras for TwoSites {
    fn cameras(&self) -> Vec<CameraInfo> {
        let camera = |site, name: &str| CameraInfo {
            site,
            camera: name.to_owned(),
            name: String::new(),
            streams: vec![StreamInfo {
                stream: format!("{name}/main").parse().unwrap(),
                state: "recording".into(),
                detail: String::new(),
                not_recording: None,
            }],
        };
        let other = SiteId::new("shop-8").unwrap();
        vec![camera(site(), stream().camera()), camera(site(), "door"), camera(other, "door")]
    }
}

impl Hub {
    async fn new() -> Self {
        let scene = Scene::new().await;
        let token = Token::load_or_make(scene.dir.path()).unwrap();
        let status = json!({
            "role": "hub", "name": "hub-1", "software": "holdfast dc-hub", "quorum": "one node: it decides alone",
            "vault": { "ledgers": 3, "bytes": 1, "open_segments": 0, "stopped": null }, "sites": {},
        });
        let status_of_scrub = Arc::<scrub::Status>::default();
        let rules = scrub::plan::Rules { period: None, rate_max: 1e9 };
        let nobody = scrub::Elsewhere::Nobody(Writer::Vault(site_agent::archive::new_origin()));
        let settings = scrub::Settings { rules, elsewhere: nobody };
        let scrub = Scrub::start(&scene.archive, settings, status_of_scrub.clone()).unwrap();
        let served = Served {
            archive: scene.archive.clone(),
            live: scene.live.clone(),
            tails: Arc::new(NoTails),
            status: Arc::new(move || status.clone()),
            metrics: Arc::new(String::new),
            scrub: status_of_scrub,
            cameras: Arc::new(TwoSites),
            role: Role::Hub,
        };
        let listener = serve::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(serve::serve(listener, serve::router(served, token), stop.clone()));
        let token = scene.dir.path().join("http-token");
        Self { scene, at, token, stop, _scrub: scrub }
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        let target = ["--at", &self.at, "--token-file", self.token.to_str().unwrap()];
        run(&[arguments, &target].concat()).await
    }

    /// `coverage` or `export` of the scene's camera.
    async fn ask(&self, what: &str, from: i64, to: i64, more: &[&str]) -> Ran {
        let time = |seconds| jiff::Timestamp::from_second(BEGIN_S + seconds).unwrap().to_string();
        self.run(&[&[what, "till-1", "--from", &time(from), "--to", &time(to)], more].concat()).await
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scene.dir.path().join(name)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_init_makes_loads() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("estate");
    let ran = run(&["init", text(&to), "--site", "shop-1", "--hub-address", "hub.example:7443"]).await;
    assert!(ran.ok && ran.out.contains("dc-hub run --config hub.toml"), "{}{}", ran.out, ran.err);
    dc_hub::config::load_hub(&to.join("hub/hub.toml")).unwrap();
    let (site, _) = site_agent::config::load_site(&to.join("sites/shop-1/site.toml")).unwrap();
    assert_eq!(site.site.id.as_str(), "shop-1");
    let again = run(&["init", text(&to), "--site", "shop-1"]).await;
    assert!(!again.ok && again.err.contains("exist already"), "{}", again.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_said_with_the_address() {
    // Taken and given back: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = format!("http://{address}");
    let ran = run(&["status", "--at", &at, "--token", "0123456789abcdef", "--json"]).await;
    assert!(!ran.ok);
    for part in [at.as_str(), "nothing listens there", "systemctl status", "--at"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let told = ran.json();
    assert!(told["ok"] == false && told["error"].as_str().unwrap().contains(&at), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_said_with_where_it_came_from() {
    let hub = Hub::new().await;
    let wrong = hub.file("wrong");
    std::fs::write(&wrong, "0123456789abcdef\n").unwrap();
    let ran = run(&["coverage", "till-1", "--at", &hub.at, "--token-file", text(&wrong)]).await;
    assert!(!ran.ok && ran.err.contains("refuses the token from"), "{}", ran.err);
    for part in [text(&wrong), &hub.at, "/var/lib/holdfast/hub/http-token", "HOLDFAST_TOKEN"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let missing = hub.file("missing");
    let ran = run(&["status", "--at", &hub.at, "--token-file", text(&missing)]).await;
    assert!(!ran.ok && ran.err.contains("read the token") && ran.err.contains(text(&missing)), "{}", ran.err);
    // By the environment it works.
    let token = std::fs::read_to_string(&hub.token).unwrap();
    let asked =
        holdfast(&["coverage", "till-1"]).env("HOLDFAST_AT", &hub.at).env("HOLDFAST_TOKEN", token).output();
    assert!(asked.await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_tells_how_it_is() {
    let hub = Hub::new().await;
    let ran = hub.run(&["status", "--json"]).await;
    let told = ran.json();
    assert_eq!((told["ok"].as_bool(), &told["name"]), (Some(false), &json!("hub-1")));
    assert_eq!(told["problems"].as_array().unwrap().len(), 2, "{told}");
    assert!(!ran.ok, "sites that recorded have not come since");
    let ran = hub.run(&["status"]).await;
    assert!(ran.out.starts_with("hub     hub-1 at http://127.0.0.1:"), "{}", ran.out);
    assert!(
        ran.out.contains("not connected since the hub started\n\n! site shop-7 is away\n"),
        "{}",
        ran.out
    );
    // Somebody else than Holdfast says something else.
    let scene = Scene::empty().await;
    let server = scene.serve().await;
    let url = server.url("");
    let ran = run(&["status", "--at", url.split('?').next().unwrap(), "--token", &server.token]).await;
    assert!(!ran.ok && ran.err.contains("is --at right?"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn coverage_names_every_gap() {
    let hub = Hub::new().await;
    let ran = hub.ask("coverage", -5, 65, &[]).await;
    assert!(ran.ok, "{}", ran.err);
    assert!(
        ran.out.starts_with("shop-7/till-1/main   2023-11-14 22:13:15.000 – 22:14:25.000   (UTC)\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("22:13:31.960  22:13:37.000  5.0 s  gap: camera down    no answer\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.ends_with("every gap has a cause\n"), "{}", ran.out);
    let told = hub.ask("coverage", -5, 65, &["--json"]).await.json();
    assert_eq!(
        (&told["ok"], &told["site"], &told["camera"]),
        (&json!(true), &json!("shop-7"), &json!("till-1"))
    );
    assert_eq!(told["spans"].as_array().unwrap().len(), 7);
    // Cut short by whoever reads.
    let mut child = holdfast(&["coverage", "till-1", "--at", &hub.at, "--token-file", text(&hub.token)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unclear_is_refused_with_what_would_do() {
    let hub = Hub::new().await;
    for (arguments, expected) in [
        (&["coverage", "door"][..], "say which: shop-7/door, shop-8/door"),
        (&["coverage", "roof"], "there are: shop-7/door, shop-7/till-1, shop-8/door"),
        (&["coverage", "till-1", "--stream", "sub"], "it has: main"),
        (&["coverage", "till-1", "--from", "noon"], "--from: `noon` is no time"),
        (&["coverage", "till-1", "--from", "-1h", "--to", "-2h"], "not earlier than --to"),
        (&["coverage", "till-1", "--from", "2020-01-01"], "at most 744 hours"),
    ] {
        let ran = hub.run(arguments).await;
        assert!(!ran.ok && ran.err.contains(expected), "{arguments:?}: {}", ran.err);
    }
    assert!(hub.run(&["coverage", "shop-8/door"]).await.ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_saved_and_proves_itself() {
    let hub = Hub::new().await;
    let file = hub.file("a.mp4");
    let ran = hub.ask("export", -5, 60, &["-o", text(&file), "--json"]).await;
    assert!(ran.ok, "{}", ran.err);
    let told = ran.json();
    let bytes = std::fs::metadata(&file).unwrap().len();
    assert_eq!((&told["file"], &told["bytes"]), (&json!(text(&file)), &json!(bytes)));
    assert_eq!((&told["frames"], &told["segments"]), (&json!(1150), &json!(12)));
    assert_eq!((&told["verified"], &told["ok"]), (&json!(true), &json!(true)));
    assert_eq!(told["from"], "2023-11-14T22:13:20.000000Z");
    assert_eq!(told["to"], "2023-11-14T22:14:16.960000Z");
    assert_eq!(told["gaps"][1]["cause"], "camera_down");
    assert!(!hub.file("a.mp4.part").exists());

    let ran = run(&["verify", text(&file)]).await;
    assert!(ran.ok && ran.out.contains("1150 in 46 fragments of 12 segments"), "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("verified  every fragment is what its ledger entry says\n"), "{}", ran.out);
    let told = run(&["verify", text(&file), "--json"]).await.json();
    assert_eq!((&told["ok"], &told["fragments"], &told["problems"]), (&json!(true), &json!(46), &json!([])));

    let again = hub.ask("export", 0, 10, &["-o", text(&file)]).await;
    assert!(!again.ok && again.err.contains("--force"), "{}", again.err);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), bytes);
    let forced = hub.ask("export", 0, 10, &["-o", text(&file), "--force"]).await;
    assert!(forced.ok && std::fs::metadata(&file).unwrap().len() < bytes, "{}", forced.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_found_and_named() {
    let hub = Hub::new().await;
    let file = hub.file("a.mp4");
    assert!(hub.ask("export", 0, 10, &["-o", text(&file)]).await.ok);
    let mut bytes = std::fs::read(&file).unwrap();
    // In the pictures of the last fragments.
    let place = bytes.windows(4).rposition(|kind| kind == b"mdat").unwrap() + 500;
    bytes[place] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let ran = run(&["verify", text(&file)]).await;
    assert!(!ran.ok && ran.out.contains("is not what was recorded"), "{}", ran.out);
    assert!(
        ran.out.contains("WRONG     segment ") && ran.out.contains("\nNOT ok    2 problems\n"),
        "{}",
        ran.out
    );
    let ran = run(&["verify", text(&file), "--json"]).await;
    let told = ran.json();
    assert!(!ran.ok && told["ok"] == false && told["verified"] == false, "{told}");
    assert_eq!(told["problems"].as_array().unwrap().len(), 2, "{told}");
    let ran = run(&["verify", text(hub.scene.dir.path())]).await;
    assert!(!ran.ok && ran.err.contains("is a folder"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_recorded_is_explained_and_leaves_no_file() {
    let hub = Hub::new().await;
    let file = hub.file("a.mp4");
    let ran = hub.ask("export", 12, 16, &["-o", text(&file)]).await;
    assert!(!ran.ok && ran.err.contains("gap: camera down  no answer"), "{}", ran.err);
    assert!(!file.exists() && !hub.file("a.mp4.part").exists());
}

/// A daemon that knows one camera and whose exports break off.
fn breaks_off() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).unwrap();
            let cameras = r#"[{"site":"shop-7","camera":"till-1","streams":[{"stream":"main"}]}]"#;
            let answer = if String::from_utf8_lossy(&request[..length]).contains("/cameras ") {
                format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{cameras}",
                    cameras.len()
                )
            } else {
                // Of two chunks the second never ends.
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nftyp\r\nffff\r\nmoov".to_owned()
            };
            connection.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_breaks_off_leaves_no_file() {
    let at = format!("http://{}", breaks_off());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.mp4");
    let ask = ["export", "till-1", "--from", "-2h", "--to", "-1h", "-o", text(&file), "--json"];
    let ran = run(&[&ask[..], &["--at", &at, "--token", "0123456789abcdef"]].concat()).await;
    assert!(!ran.ok && ran.err.contains("broke off after 8 B"), "{}", ran.err);
    assert_eq!(ran.json()["ok"], false);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_units_keep_what_the_daemons_keep() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    for (daemon, config, dir) in
        [("dc-hub", "hub.toml", defaults::VAULT_DIR), ("site-agent", "site.toml", defaults::ARCHIVE_DIR)]
    {
        let unit = std::fs::read_to_string(units.join(format!("{daemon}.service"))).unwrap();
        let state = unit.lines().find_map(|line| line.strip_prefix("StateDirectory=")).unwrap();
        assert!(dir.starts_with(&format!("/var/lib/{state}/")), "{daemon}: {dir}");
        assert!(unit.contains(&format!("ExecStart=/usr/bin/{daemon} run --config /etc/holdfast/{config}\n")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scrub_re_reads_everything_and_tells_what_is_lost() {
    let hub = Hub::new().await;
    let told = hub.run(&["scrub", "--json"]).await;
    let good = told.json();
    assert!(told.ok && good["ok"] == true && good["bad"] == 0, "{good:#}");
    let segments = good["read_segments"].as_u64().unwrap();
    assert!(segments > 3, "{good:#}");

    let media = hub.scene.archive.dir().join("media");
    let file = site_agent::archive::layout::files(&media).unwrap().remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&file, bytes).unwrap();
    let told = hub.run(&["scrub", "--json"]).await;
    let bad = told.json();
    assert!(!told.ok && bad["ok"] == false, "{bad:#}");
    assert_eq!((&bad["bad"], &bad["given_up"], &bad["wanted"]), (&json!(1), &json!(1), &json!(0)), "{bad:#}");
    let told = hub.run(&["scrub"]).await;
    assert!(told.ok, "what was given up is over: {}", told.err);
    assert_eq!(told.out.lines().count(), 1);
    assert!(told.out.starts_with(&format!("{} segments", segments - 1)), "{}", told.out);
}
