//! What is found in bad configurations, and what good ones become.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use wire::discover::HubAddress;

use super::quirks::{InitialSeq, Teardown};
use super::report::render;
use super::*;

const GOOD: &str = r#"
[site]
id = "shop-1"
[[camera]]
id = "till-1"
name = "Till 1"
[[camera.stream]]
name = "main"
url = "rtsp://10.0.0.5:554/stream1"
username = "viewer"
password = "hunter2"
"#;

struct Case {
    folder: TempDir,
    file: PathBuf,
}

impl Case {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        Self { folder, file }
    }

    fn load(&self, env: &[(&str, &str)]) -> Outcome<SiteConfig> {
        load_site_with(&self.file, env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }
}

fn load(text: &str) -> Outcome<SiteConfig> {
    Case::new(text).load(&[])
}

/// `key: message` of every problem.
fn problems(outcome: Outcome<SiteConfig>) -> Vec<String> {
    said(&outcome.expect_err("there are problems"))
}

fn warnings(outcome: Outcome<SiteConfig>) -> Vec<String> {
    said(&outcome.expect("there are no problems").1)
}

fn said(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
}

#[track_caller]
fn assert_says(said: &[String], key: &str, words: &str) {
    let found = said.iter().any(|line| line.starts_with(&format!("{key}: ")) && line.contains(words));
    assert!(found, "no `{key}: …{words}…` in {said:#?}");
}

#[test]
fn a_short_configuration_gets_every_default() {
    let case = Case::new(GOOD);
    let (config, warnings) = case.load(&[]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.site.id.as_str(), "shop-1");
    assert_eq!(config.site.name, "shop-1");
    assert!(config.hub.is_none());
    assert_eq!(config.identity.key, case.folder.path().join("site-key.pem"));
    assert_eq!(config.archive.dir, Path::new(defaults::ARCHIVE_DIR));
    assert_eq!(config.archive.segment, Duration::from_secs(10));
    assert_eq!(config.archive.fragment, Duration::from_secs(1));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8081");
    let camera = &config.cameras[0];
    assert_eq!((camera.name.as_str(), camera.audio, camera.metadata), ("Till 1", false, true));
    let stream = &camera.streams[0];
    assert_eq!(stream.id.as_str(), "till-1/main");
    assert_eq!(stream.connect_timeout, Duration::from_secs(5));
    assert_eq!(stream.quirks, Quirks::default());
    assert_eq!(stream.credentials.as_ref().unwrap().password.reveal(), "hunter2");
}

#[test]
fn all_problems_are_found_at_once() {
    let said = problems(load(
        r#"
        [site]
        id = "Shop 1"
        nmae = "x"
        [hub]
        beat_ms = "often"
        [archve]
        dir = "x"
        [archive]
        segment_s = 10.5
        fragment_ms = 100
        [http]
        listen = 8081
        [[camera]]
        id = "till-1"
        audio = "maybe"
        [[camera.stream]]
        name = "main"
        url = "http://10.0.0.5/"
        username = 7
        teardown = "alway"
        [[camera]]
        id = "till-1"
        colour = true
        [[camera.stream]]
        name = "main"
        url = "rtsps://10.0.0.5/"
        max_timestamp_jump_s = -1
        "#,
    ));
    for (key, words) in [
        ("site.id", "is not a name"),
        ("site.nmae", "did you mean `name`?"),
        ("hub.beat_ms", "is text, but must be a whole number"),
        ("hub.address", "or remove [hub]"),
        ("identity.ca", "can't be read"),
        ("archve", "did you mean `archive`?"),
        ("archive.segment_s", "a number with a fraction, but must be a whole number"),
        ("archive.fragment_ms", "is 100, but must be from 200 to 10000"),
        ("http.listen", "is a number, but must be text"),
        ("camera[0].audio", "is text, but must be true or false"),
        ("camera[0].stream[0].url", "is http, but cameras are reached over rtsp"),
        ("camera[0].stream[0].username", "must be text in quotes"),
        ("camera[0].stream[0].teardown", "did you mean `always`?"),
        ("camera[1].id", "choose another id"),
        ("camera[1].colour", "use one of `id`, `name`, `audio`"),
        ("camera[1].stream[0].url", "rtsps is not supported"),
        ("camera[1].stream[0].max_timestamp_jump_s", "is a negative number"),
    ] {
        // A camera whose stream was refused is still compared with the others.
        assert_says(&said, key, words);
    }
}

#[test]
fn contradictions_are_found() {
    let said = problems(load(
        r#"
        [site]
        id = "shop-1"
        [hub]
        address = "hub.example.com:7443"
        srv = "_holdfast._udp.example.com"
        dns_servers = ["9.9.9.9:53", "9.9.9.9"]
        [archive]
        segment_s = 2
        fragment_ms = 3000
        [[camera]]
        id = "a"
        [[camera]]
        id = "b"
        [[camera.stream]]
        name = "main"
        url = "rtsp://viewer:hunter2@10.0.0.5/"
        [[camera.stream]]
        name = "main"
        url = "rtsp://10.0.0.5/"
        username = "viewer"
        [[camera.stream]]
        name = "main"
        url = "rtsp://10.0.0.6/"
        password_file = "nowhere"
        "#,
    ));
    for (key, words) in [
        ("hub.srv", "keep one of them"),
        ("hub.dns_servers[1]", "IP:PORT"),
        ("archive.fragment_ms", "does not fit in a segment of 2 s"),
        ("camera[0].stream", "no stream"),
        ("camera[1].stream[0].url", "move them to username and password"),
        ("camera[1].stream[1].password", "add password or password_file"),
        ("camera[1].stream[2].name", "choose another name"),
        ("camera[1].stream[2].password_file", "can't be read"),
    ] {
        assert_says(&said, key, words);
    }
    assert!(!said.join("").contains("hunter2"), "{said:#?}");
}

#[test]
fn hub_addresses_are_understood() {
    let fixed = |host: &str, port| HubAddress::Fixed { host: host.to_owned(), port };
    for (line, expected) in [
        ("address = \"hub.example.com:7443\"", Some(fixed("hub.example.com", 7443))),
        ("address = \"10.0.0.1:1\"", Some(fixed("10.0.0.1", 1))),
        ("address = \"[2001:db8::1]:7443\"", Some(fixed("2001:db8::1", 7443))),
        ("srv = \"_holdfast._udp.example.com\"", Some(HubAddress::Srv("_holdfast._udp.example.com".into()))),
        ("address = \"hub.example.com\"", None),
        ("address = \"hub.example.com:0\"", None),
        ("address = \"https://hub.example.com:7443\"", None),
        ("address = \":7443\"", None),
        ("srv = \"example.com\"", None),
        ("srv = \"hub.example.com:7443\"", None),
        ("address = \"_holdfast._udp.example.com\"", None),
    ] {
        let case = Case::new(&format!("[site]\nid = \"a\"\n[hub]\n{line}\n"));
        for file in ["ca.pem", "site.pem", "site-key.pem"] {
            fs::write(case.folder.path().join(file), "").unwrap();
        }
        let found = case.load(&[]).ok().and_then(|(config, _)| Some(config.hub?.address));
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn a_person_is_asked_to_look() {
    let open = warnings(load("[site]\nid = \"a\"\n[http]\nlisten = \"0.0.0.0:8081\""));
    assert_says(&open, "camera", "nothing is recorded");
    assert_says(&open, "http.listen", "other machines");

    let twice = format!("{GOOD}[[camera.stream]]\nname = \"sub\"\nurl = \"rtsp://10.0.0.5:554/stream1\"\n");
    assert_says(&warnings(load(&twice)), "camera[0].stream[1].url", "`till-1/main` has the same URL");

    let in_query = GOOD.replace("/stream1", "/live?user=admin&Password=x");
    assert_says(&warnings(load(&in_query)), "camera[0].stream[0].url", "seems to hold a password");

    let case = Case::new(&GOOD.replace("password = \"hunter2\"", "password_file = \"secret\""));
    let secret = case.folder.path().join("secret");
    fs::write(&secret, "from-file\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    let (config, warnings) = case.load(&[]).unwrap();
    assert_says(&said(&warnings), "camera[0].stream[0].password_file", "chmod 600");
    let credentials = config.cameras[0].streams[0].credentials.as_ref().unwrap();
    assert_eq!(credentials.password.reveal(), "from-file");

    let case = Case::new(GOOD);
    fs::set_permissions(&case.file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_says(&warnings_of(&case), "camera[0].stream[0].password", "chmod 600");
}

fn warnings_of(case: &Case) -> Vec<String> {
    warnings(case.load(&[]))
}

#[test]
fn the_environment_wins() {
    let case = Case::new(&format!("{GOOD}\n[archive]\nsegment_s = 20\n"));
    let (config, _) = case
        .load(&[
            ("HOLDFAST__ARCHIVE__SEGMENT_S", "5"),
            ("HOLDFAST__ARCHIVE__DIR", "footage"),
            ("HOLDFAST__CAMERA__0__AUDIO", "true"),
            // Digits stay text where text is wanted.
            ("HOLDFAST__CAMERA__0__STREAM__0__PASSWORD", "007"),
            ("HOLDFAST__CAMERA__0__STREAM__0__TEARDOWN", "always"),
            ("HOLDFAST__CAMERA__0__STREAM__0__INITIAL_SEQ", "ignore"),
            ("HOLDFAST_CACHE", "/elsewhere"),
            ("PATH", "/bin"),
        ])
        .unwrap();
    assert_eq!(config.archive.segment, Duration::from_secs(5));
    assert_eq!(config.archive.dir, case.folder.path().join("footage"));
    assert!(config.cameras[0].audio);
    let stream = &config.cameras[0].streams[0];
    assert_eq!(stream.credentials.as_ref().unwrap().password.reveal(), "007");
    assert_eq!(stream.quirks.teardown, Teardown::Always);
    assert_eq!(stream.quirks.initial_seq, InitialSeq::Ignore);
    assert_eq!(stream.url.as_str(), "rtsp://10.0.0.5:554/stream1");
}

#[test]
fn the_environment_is_named_when_it_is_wrong() {
    let problems = Case::new(GOOD)
        .load(&[
            ("HOLDFAST__ARCHIVE__SEGMNT_S", "5"),
            ("HOLDFAST__ARCHIVE__FRAGMENT_MS", "1"),
            ("HOLDFAST__HTTP__LISTEN__PORT", "80"),
            ("HOLDFAST__CAMERA__7__NAME", "x"),
            ("HOLDFAST__", "x"),
        ])
        .unwrap_err();
    assert!(problems.iter().all(|problem| problem.file == Path::new("environment")), "{problems:#?}");
    let said = said(&problems);
    assert_says(&said, "HOLDFAST__ARCHIVE__SEGMNT_S", "did you mean `segment_s`?");
    assert_says(&said, "HOLDFAST__ARCHIVE__FRAGMENT_MS", "must be from 200");
    assert_says(&said, "HOLDFAST__CAMERA__7__NAME", "the file has no camera[7]");
    assert_says(&said, "HOLDFAST__", "is not a key");
}

#[test]
fn a_syntax_error_names_its_line_and_not_its_text() {
    let said = problems(load("[site]\nid = \"shop-1\"\npassword = \"hunter2\n"));
    assert_eq!(said.len(), 1);
    assert_says(&said, "", "line 3, column ");
    assert!(!said[0].contains("hunter2") && !said[0].contains('\n'), "{said:?}");

    let said = problems(load("[site]\nid = \"a\"\nid = \"b\"\n"));
    assert_says(&said, "", "line 3, column 1: duplicate key");
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let problems = load_site_with(Path::new("/nowhere/site.toml"), std::iter::empty()).unwrap_err();
    assert!(
        problems[0].to_string().starts_with("/nowhere/site.toml: there is no such file; `holdfast init`")
    );
}

#[test]
fn sections_of_the_wrong_shape_are_explained() {
    let said = problems(load("site = \"hunter2\"\n[camera]\nid = \"a\"\n"));
    assert_says(&said, "site", "is text, but must be a section, [site]");
    assert_says(&said, "camera", "is a section, but must be a");
    assert!(!said.join("").contains("hunter2"), "{said:#?}");
}

#[test]
fn no_password_is_ever_shown() {
    let (config, _) = load(GOOD).unwrap();
    let shown = format!("{config:?} {config:#?}");
    assert!(shown.contains("viewer") && !shown.contains("hunter2"), "{shown}");
    for wrong in ["password = 12345", "password = [\"12345\"]", "url = \"rtsp://viewer:12345@host:port/\""] {
        let key = wrong.split(' ').next().unwrap();
        let line = GOOD.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
        let problems = load(&GOOD.replace(line, wrong)).unwrap_err();
        assert!(!format!("{problems:?}").contains("12345"), "{problems:#?}");
    }
}

#[test]
fn a_report_is_one_line_of_json_or_one_line_a_problem() {
    let bad = load("[site]\nname = \"x\"\n");
    let json: serde_json::Value = serde_json::from_str(&render(&bad, true)).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["problems"][0]["key"], "site.id");
    assert!(json["problems"][0]["file"].as_str().unwrap().ends_with("site.toml"));
    assert_eq!(json["warnings"], serde_json::json!([]));
    assert!(!render(&bad, true).contains('\n'));
    assert!(render(&bad, false).contains("site.toml: site.id: is missing; add it"));

    let good = load("[site]\nid = \"x\"\n");
    let json: serde_json::Value = serde_json::from_str(&render(&good, true)).unwrap();
    assert_eq!((&json["ok"], &json["warnings"][0]["key"]), (&true.into(), &"camera".into()));
}

#[test]
fn every_section_tells_its_keys() {
    let sections = ["site", "identity", "hub", "uplink", "archive", "http", "standby", "camera", "host"];
    assert_eq!(site_keys(""), sections);
    assert!(site_keys("camera[0].stream[3]").contains(&"url"));
    assert!(SITE_SECTIONS.iter().all(|section| !site_keys(section).is_empty()));
    assert!(site_keys("nothing").is_empty());
}

#[test]
fn what_is_kept_is_said_for_all_cameras_and_for_each() {
    let day = 86_400;
    let text = GOOD.replace("name = \"Till 1\"", "name = \"Till 1\"\nkeep_gb_max = 0.5");
    let (config, warnings) = load(&format!(
        "{text}\n[archive]\nkeep_days_max = 30\nkeep_gb_max = 2000\nfree_low_mb = 100\nunacked = \"keep\"\n"
    ))
    .unwrap();
    let rules = config.retention();
    assert_eq!(rules.policy.age_max, Some(Duration::from_secs(30 * day)));
    assert_eq!(rules.policy.bytes_max, Some(2_000_000_000_000));
    let own = rules.cameras.values().next().unwrap();
    assert_eq!((own.age_max, own.bytes_max), (rules.policy.age_max, Some(500_000_000)));
    let marks = rules.marks.unwrap();
    assert_eq!((marks.low, marks.high), (100_000_000, 4_096_000_000));
    assert!(!rules.acked_by_hub, "there is no hub");
    assert_says(&said(&warnings), "camera[0].keep_gb_max", "about 16 minutes");

    let bad = problems(load(&format!(
        "{GOOD}\n[archive]\nfree_low_mb = 500\nfree_high_mb = 500\nkeep_days_max = 0\n"
    )));
    assert_says(&bad, "archive.free_high_mb", "raise it");
    assert_says(&bad, "archive.keep_days_max", "must be from 0.001");
    let thin = self::warnings(load(&format!("{GOOD}\n[archive]\nfree_low_mb = 12\n")));
    assert_says(&thin, "archive.free_low_mb", "15 or more");
}
