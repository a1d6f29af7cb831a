//! What `init` makes is what both daemons and both ends of a connection want.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use dc_hub::config::{HUB_SECTIONS, HubConfig, hub_keys, load_hub_with};
use site_agent::config::{Outcome, Problem, SITE_SECTIONS, Secret, SiteConfig, load_site_with, site_keys};
use wire::transport::{Holder, Identity};

use super::*;

fn site(id: &str) -> SitePlan {
    SitePlan::new(SiteId::new(id).unwrap())
}

fn load_site(file: &Path) -> Outcome<SiteConfig> {
    load_site_with(file, std::iter::empty())
}

fn load_hub(file: &Path) -> Outcome<HubConfig> {
    load_hub_with(file, std::iter::empty())
}

/// Every file with its mode.
fn tree(dir: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            found.insert(path.strip_prefix(dir).unwrap().display().to_string(), mode);
        }
    }
    found
}

fn contents(dir: &Path) -> BTreeMap<String, String> {
    let files = tree(dir).into_keys().filter(|name| dir.join(name).is_file());
    files.map(|name| (name.clone(), fs::read_to_string(dir.join(name)).unwrap())).collect()
}

#[test]
fn what_is_made_is_what_the_daemons_want() {
    let temp = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(temp.path().join("estate"));
    plan.hub = Some(HubPlan::new("hub-1"));
    plan.sites = vec![site("shop-1"), site("shop-2")];
    let made = init(&plan).unwrap();

    let modes = tree(&plan.dir);
    let private: Vec<&str> =
        modes.iter().filter(|(_, mode)| *mode & 0o077 == 0).map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        private,
        [
            "ca",
            "ca/ca-key.pem",
            "hub/hub-key.pem",
            "sites/shop-1/site-key.pem",
            "sites/shop-1/site.toml",
            "sites/shop-2/site-key.pem",
            "sites/shop-2/site.toml",
        ]
    );
    let files = modes.keys().filter(|name| plan.dir.join(name).is_file()).count();
    assert_eq!(files, 2 + 4 + 4 + 4, "{modes:#?}");

    let (hub, warnings) = load_hub(made.hub.as_deref().unwrap()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(hub.hub.name, "hub-1");
    let files = &hub.identity;
    let identity = Identity::load(&files.ca, &files.certificate, &files.key).unwrap();
    identity.check(wire::clock::wall()).unwrap();
    assert!(matches!(identity.holder(), Holder::Hub(node) if node == "hub-1"));

    for (id, config) in &made.sites {
        let (site, warnings) = load_site(config).unwrap();
        let keys: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(keys, ["camera"], "only cameras are left to do");
        assert_eq!(&site.site.id, id);
        assert_eq!(site.hub.unwrap().address.to_string(), "hub.holdfast.internal:7443");
        let files = &site.identity;
        let identity = Identity::load(&files.ca, &files.certificate, &files.key).unwrap();
        identity.check(wire::clock::wall()).unwrap();
        assert!(matches!(identity.holder(), Holder::Site(site) if site == id));
    }
}

#[test]
fn nothing_is_written_over() {
    let temp = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(temp.path());
    plan.hub = Some(HubPlan::new("hub-1"));
    plan.sites = vec![site("shop-1")];
    init(&plan).unwrap();
    let before = contents(temp.path());

    // A new site beside one that exists is not made either.
    plan.sites.push(site("shop-2"));
    let refused = init(&plan).unwrap_err().to_string();
    for file in ["hub/hub.toml", "hub/hub-key.pem", "sites/shop-1/site.toml"] {
        assert!(refused.contains(file), "{refused}");
    }
    assert_eq!(contents(temp.path()), before);

    plan.hub = None;
    plan.sites = vec![site("shop-2"), site("shop-2")];
    assert!(init(&plan).unwrap_err().to_string().contains("twice"));
    plan.sites = vec![];
    assert!(init(&plan).unwrap_err().to_string().contains("nothing to make"));
    assert_eq!(contents(temp.path()), before);
}

#[test]
fn a_site_can_be_added_later() {
    let temp = tempfile::tempdir().unwrap();
    let args = |sites: &[&str]| Args {
        dir: temp.path().to_owned(),
        sites: sites.iter().map(|id| SiteId::new(*id).unwrap()).collect(),
        hub: Vec::new(),
        hub_address: Some("10.0.0.1:7443".parse().unwrap()),
    };
    run(args(&["shop-1"])).unwrap();
    let before = contents(temp.path());
    assert!(before.contains_key("hub/hub.toml"));

    run(args(&["shop-2"])).unwrap();
    let after = contents(temp.path());
    assert!(before.iter().all(|(name, text)| after[name] == *text));
    assert_eq!(after["ca/ca.pem"], after["sites/shop-2/ca.pem"]);
    let (config, _) = load_site(&temp.path().join("sites/shop-2/site.toml")).unwrap();
    let files = &config.identity;
    // Vouched for by the authority of the first run.
    let hub_ca = temp.path().join("hub/ca.pem");
    let identity = Identity::load(&hub_ca, &files.certificate, &files.key).unwrap();
    identity.check(wire::clock::wall()).unwrap();

    fs::remove_file(temp.path().join("ca/ca-key.pem")).unwrap();
    let refused = format!("{:#}", run(args(&["shop-3"])).unwrap_err());
    assert!(refused.contains("ca-key.pem"), "{refused}");
    assert!(!temp.path().join("sites/shop-3").exists());
}

#[test]
fn a_plan_can_say_everything() {
    let temp = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(temp.path());
    plan.hub_address = "127.0.0.1:17443".parse().unwrap();
    plan.hub = Some(HubPlan {
        name: "hub-9".to_owned(),
        listen: Some("127.0.0.1:17443".to_owned()),
        http_listen: Some("127.0.0.1:0".to_owned()),
        vault_dir: Some("vault".to_owned()),
        ..HubPlan::default()
    });
    let mut camera = Camera::new("till-1", "rtsp://127.0.0.1:8554/@name@?a=\"b\"");
    camera.name = Some("Till \"1\" \\ @id@\n".to_owned());
    camera.streams[0].credentials = Some(("viewer".to_owned(), Secret::new("p\"w\\\u{7f}ü@")));
    plan.sites = vec![SitePlan {
        name: Some("@hub_address@ \"".to_owned()),
        beat_ms: Some(200),
        archive_dir: Some("footage".to_owned()),
        segment_s: Some(4),
        fragment_ms: Some(500),
        http_listen: Some("127.0.0.2:0".to_owned()),
        cameras: vec![camera, Camera::new("till-2", "rtsp://127.0.0.1:8554/two")],
        ..site("shop-1")
    }];
    let srv: wire::discover::HubAddress = "_holdfast._udp.example.com".parse().unwrap();
    plan.sites.push(SitePlan { hub_address: Some(srv.clone()), ..site("shop-2") });
    let made = init(&plan).unwrap();

    let (hub, _) = load_hub(made.hub.as_deref().unwrap()).unwrap();
    assert_eq!((hub.hub.name.as_str(), hub.hub.listen.port()), ("hub-9", 17443));
    assert_eq!(hub.vault.dir, temp.path().join("hub/vault"));
    let (other, _) = load_site(&made.sites[1].1).unwrap();
    assert_eq!(other.hub.unwrap().address, srv);
    let (site, warnings) = load_site(&made.sites[0].1).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(site.hub.as_ref().unwrap().address, plan.hub_address);
    assert_eq!(site.site.name, "@hub_address@ \"");
    assert_eq!(site.archive.dir, temp.path().join("sites/shop-1/footage"));
    assert_eq!((site.archive.segment.as_secs(), site.archive.fragment.as_millis()), (4, 500));
    assert_eq!(site.http.listen.to_string(), "127.0.0.2:0");
    assert_eq!(site.cameras.len(), 2);
    assert_eq!(site.cameras[0].name, "Till \"1\" \\ @id@\n");
    let credentials = site.cameras[0].streams[0].credentials.as_ref().unwrap();
    assert_eq!(credentials.password.reveal(), "p\"w\\\u{7f}ü@");
}

/// The template with every commented key and the example camera turned on.
fn uncommented(text: &str, skip: &[&str]) -> String {
    let is_setting = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        let known = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        line.starts_with('[') || (known && line.contains(" = ") && !skip.contains(&key))
    };
    let lines = text.lines().map(|line| line.trim_start_matches(['#', ' ']));
    lines.filter(|line| is_setting(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn templates_have_every_key() {
    let known = |keys: fn(&str) -> &'static [&'static str], sections: &[&'static str]| {
        // Cameras of other sites are written like a site's own.
        let own = sections.iter().filter(|section| !section.is_empty() && !section.starts_with("host[0]."));
        own.flat_map(|section| keys(section).iter().map(move |key| (*section, *key))).collect::<Vec<_>>()
    };
    let site = template::site(&site("shop-1"), &Plan::new("").hub_address);
    let hub = template::hub(&HubPlan::new("hub-1"));
    for (text, keys) in [(&site, known(site_keys, SITE_SECTIONS)), (&hub, known(hub_keys, HUB_SECTIONS))] {
        for (section, key) in keys.into_iter().filter(|(_, key)| {
            !["stream", "limit", "path", "window", "map", "member", "disk", "camera"].contains(key)
        }) {
            let header = match section {
                "uplink.path[0]" => "[[uplink.path]]",
                "uplink.limit[0]" => "[[uplink.limit]]",
                "uplink.window[0]" => "[[uplink.window]]",
                "standby.map[0]" => "[[standby.map]]",
                "control.member[0]" => "[[control.member]]",
                "drill[0]" => "[[drill]]",
                "archive.disk[0]" => "[[archive.disk]]",
                "vault.disk[0]" => "[[vault.disk]]",
                "host[0]" => "[[host]]",
                "camera[0]" => "[[camera]]",
                "camera[0].stream[0]" => "[[camera.stream]]",
                other => &format!("[{other}]"),
            };
            let section = text.split_once(&format!("{header}\n")).map(|(_, rest)| rest);
            let section = section.unwrap_or_else(|| panic!("no {header}"));
            let end =
                section.find("\n[").into_iter().chain(section.find("\n# [[")).min().unwrap_or(section.len());
            let written = section[..end].lines().any(|line| {
                line.trim_start_matches(['#', ' '])
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.starts_with(" = "))
            });
            assert!(written, "{header} has no {key}");
        }
    }
}

/// Loads `text` in place of a configuration that init made.
fn reload<T>(file: &Path, text: &str, load: impl Fn(&Path) -> Outcome<T>) -> Result<T, Vec<Problem>> {
    let file = file.with_file_name("other.toml");
    fs::write(&file, text).unwrap();
    load(&file).map(|(config, _)| config)
}

#[test]
fn templates_tell_the_defaults() {
    let temp = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(temp.path());
    plan.hub = Some(HubPlan::new("hub-1"));
    plan.sites = vec![site("shop-1")];
    let made = init(&plan).unwrap();

    let file = made.hub.as_deref().unwrap();
    // What fails together with a node is its own name by default.
    let full = uncommented(&fs::read_to_string(file).unwrap(), &["domain", "keep_days_max", "keep_gb_max"]);
    let full = reload(file, &full, load_hub).unwrap();
    let bare = "[[control.member]]\nnode = 1\nname = \"hub-1\"\naddress = \"hub-1.example.com:7443\"\n[[standby.map]]\nsite = \"shop-1\"\nfrom = \"192.168.1.0/24\"\nto = \"10.7.1.0/24\"\n[[drill]]\nsites = [\"shop-1\"]\nat = \"03:30\"\n\
                [[vault.disk]]\ndir = \"/mnt/disk2\"\n";
    let bare = reload(file, bare, load_hub).unwrap();
    assert_eq!(format!("{full:?}"), format!("{bare:?}"));

    let file = &made.sites[0].1;
    let skip = [
        "srv",
        "password_file",
        "max_timestamp_jump_s",
        "time_zone",
        "percent_max",
        "keep_days_max",
        "keep_gb_max",
        "restore_mbit_max",
        "onvif",
    ];
    let full = uncommented(&fs::read_to_string(file).unwrap(), &skip);
    // Not every controller knows a contracted rate.
    let full = full.replacen("rate_mbit_max = 20\n", "", 1);
    let full = reload(file, &full, load_site).unwrap();
    let bare = "[site]\nid = \"shop-1\"\n[hub]\naddress = \"hub.holdfast.internal:7443\"\n\
                [[archive.disk]]\ndir = \"/mnt/disk2\"\n\
                [[uplink.path]]\nname = \"wan\"\ninterface = \"eth0\"\n\
                [[uplink.window]]\nfrom = \"22:00\"\nto = \"06:00\"\n\
                [[uplink.limit]]\nclass = \"backlog\"\nfrom = \"08:00\"\nto = \"20:00\"\nrate_mbit_max = 4\n[[camera]]\n\
                id = \"till-1\"\nname = \"Till 1\"\n[[camera.stream]]\nname = \"main\"\n\
                url = \"rtsp://10.0.0.5:554/stream1\"\nusername = \"viewer\"\npassword = \"secret\"\n\
                [standby]\nhosts = [\"shop-1-b\"]\n[[host]]\nsite = \"shop-1-b\"\n[[host.camera]]\n\
                id = \"till-1\"\n[[host.camera.stream]]\nname = \"main\"\n\
                url = \"rtsp://10.0.0.5:554/stream1\"\n";
    let bare = reload(file, bare, load_site).unwrap();
    assert_eq!(format!("{full:?}"), format!("{bare:?}"));
}

#[test]
fn several_nodes_know_each_other() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("made");
    let args = |hub: &[&str]| Args {
        dir: dir.clone(),
        sites: vec![SiteId::new("shop-1").unwrap()],
        hub: hub.iter().map(|text| (*text).to_owned()).collect(),
        hub_address: None,
    };
    let two = run(args(&["hub-1=a:7443", "hub-2=b:7443"])).unwrap_err();
    assert!(two.to_string().contains("make one, or three"), "{two}");
    let nameless = run(args(&["hub-1=a:7443", "hub-2", "hub-3=c:7443"])).unwrap_err();
    assert!(nameless.to_string().contains("--hub hub-2 has no address"), "{nameless}");
    assert!(!dir.exists(), "something was made");
    run(args(&["hub-1=a:7443", "hub-2=b:7443", "hub-3=c:7443"])).unwrap();
    for (at, name) in ["hub-1", "hub-2", "hub-3"].into_iter().enumerate() {
        let (hub, _) = load_hub(&dir.join(name).join("hub.toml")).unwrap();
        assert_eq!((hub.hub.name.as_str(), hub.control.node.0), (name, at as u64 + 1));
        let addresses: Vec<_> = hub.control.members.values().map(|member| member.address.as_str()).collect();
        assert_eq!(addresses, ["a:7443", "b:7443", "c:7443"]);
    }
    run(Args { sites: vec![SiteId::new("shop-2").unwrap()], ..args(&[]) }).unwrap();
    assert!(!dir.join("hub").exists(), "a site that is added later needs no other hub");
}
