//! A hub node's configuration: which keys there are, what fits, and the typed result.
//!
//! Reading, collecting and reporting are [`site_agent::config`]'s; only the keys are the hub's own.

mod control;
mod drill;
mod policy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use site_agent::archive::disks::Place;
use site_agent::config::check::Check;
use site_agent::config::disks::DiskSection;
use site_agent::config::identity::{IdentityDefaults, IdentitySection};
use site_agent::config::leaf::{Number, Text, Whole};
use site_agent::config::{IdentityFiles, Outcome, congestion, defaults, disks, keep, keys, loader};
use site_agent::retention::plan::Policy as Keep;
use site_agent::scrub::plan::Rules as Scrub;
use wire::SiteId;
use wire::id::check_slug;
use wire::transport::Congestion;

use crate::drills::Planned;
use crate::standby::{Range, Rule};

pub use control::Control;
pub use policy::Policy;
pub use site_agent::config::{Problem, report};

use control::ControlSection;
use drill::DrillSection;
use policy::{FailbackSection, Rooms};

/// Everything a hub node is told.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Which node this is.
    pub hub: Hub,
    /// Who it is to sites. The files are there.
    pub identity: IdentityFiles,
    /// Where recordings are kept.
    pub vault: Vault,
    /// Where timelines, pictures and the user interface are served.
    pub http: Http,
    /// What sites may use.
    pub limits: Limits,
    /// How cameras are reached that this node stands by for.
    pub standby: Standby,
    /// What it can record for sites, and how their authority comes back.
    pub policy: Policy,
    /// What is to be rehearsed again and again.
    pub drills: Vec<Planned>,
    /// Its part in the control log.
    pub control: Control,
}

/// How cameras are reached that this node stands by for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standby {
    /// Ranges of sites that are other ranges here; the first that fits counts.
    pub map: Vec<Rule>,
}

/// Which node this is.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Its name, as in its certificate.
    pub name: String,
    /// The UDP address that sites connect to.
    pub listen: SocketAddr,
    /// Who decides how fast it sends to sites.
    pub congestion: Congestion,
}

/// Where recordings are kept.
#[derive(Clone, Debug)]
pub struct Vault {
    /// The vault's folder.
    pub dir: PathBuf,
    /// Further disks for segments.
    pub disks: Vec<Place>,
    /// How many bytes the journal of tails may have before it begins a new file.
    pub journal_bytes: u64,
    /// What is kept of each camera.
    pub keep: Keep,
    /// Bytes kept for when the disk is full.
    pub ballast_bytes: u64,
    /// How often everything is re-read.
    pub scrub: Scrub,
}

/// Where timelines, pictures and the user interface are served.
#[derive(Clone, Debug)]
pub struct Http {
    /// The address to listen on.
    pub listen: SocketAddr,
}

/// What sites may use, so that one can't take what the others need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many sites may be connected.
    pub sites_max: usize,
    /// How many ledgers a site may have.
    pub ledgers_per_site_max: usize,
    /// How many bytes of unfinished segments a site may have here.
    pub tail_bytes_per_site_max: u64,
}

/// Every section of a hub's file.
pub const HUB_SECTIONS: &[&str] = &[
    "",
    "hub",
    "identity",
    "control",
    "control.member[0]",
    "vault",
    "vault.disk[0]",
    "http",
    "limits",
    "standby",
    "standby.map[0]",
    "failback",
    "drill[0]",
];

/// Reads and checks a hub node's configuration, with this process's environment.
///
/// `Ok` carries warnings: the configuration works, but a person should look.
pub fn load_hub(file: &Path) -> Outcome<HubConfig> {
    load_hub_with(file, loader::environment())
}

/// [`load_hub`] with an environment passed in.
pub fn load_hub_with(file: &Path, env: impl Iterator<Item = (String, String)>) -> Outcome<HubConfig> {
    let (found, file) = loader::load::<HubFile>(file, env).into_check();
    match file {
        Some(file) => check(file, found),
        None => found.finish(None),
    }
}

/// The keys that a hub's file may have in the section at `path`; `""` is the top.
pub fn hub_keys(path: &str) -> &'static [&'static str] {
    keys::known::<HubFile>(&keys::parse(path))
}

#[derive(Deserialize, Default)]
#[serde(expecting = "sections such as [hub]", default)]
struct HubFile {
    hub: Option<HubSection>,
    identity: Option<IdentitySection>,
    vault: Option<VaultSection>,
    http: Option<HttpSection>,
    limits: Option<LimitsSection>,
    standby: Option<StandbySection>,
    failback: Option<FailbackSection>,
    drill: Option<Vec<DrillSection>>,
    control: Option<ControlSection>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [standby]", default)]
struct StandbySection {
    streams_max: Option<Whole>,
    rate_mbit_max: Option<Number>,
    domain: Option<Text>,
    uplink_mbit: Option<Number>,
    map: Option<Vec<MapSection>>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[standby.map]]", default)]
struct MapSection {
    site: Option<Text>,
    from: Option<Text>,
    to: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [hub]", default)]
struct HubSection {
    name: Option<Text>,
    listen: Option<Text>,
    congestion: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [vault]", default)]
struct VaultSection {
    dir: Option<Text>,
    disk: Option<Vec<DiskSection>>,
    journal_mb: Option<Whole>,
    keep_days_max: Option<Number>,
    keep_gb_max: Option<Number>,
    ballast_mb: Option<Whole>,
    scrub_days: Option<Number>,
    scrub_mb_s_max: Option<Number>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [http]", default)]
struct HttpSection {
    listen: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [limits]", default)]
struct LimitsSection {
    sites_max: Option<Whole>,
    ledgers_per_site_max: Option<Whole>,
    tail_mb_per_site_max: Option<Whole>,
}

const IDENTITY: IdentityDefaults =
    IdentityDefaults { certificate: defaults::HUB_CERTIFICATE, key: defaults::HUB_KEY };

fn check(file: HubFile, mut check: Check) -> Outcome<HubConfig> {
    let section = file.hub.unwrap_or_default();
    let name = section.name.map_or_else(|| defaults::HUB_NAME.to_owned(), |name| name.0);
    let name = check.parsed("hub.name", &name, |name| check_slug(name).map(|()| name.to_owned()));
    let listen = check.listen("hub.listen", section.listen, defaults::HUB_LISTEN);
    let congestion =
        congestion::check(&mut check, ("hub.congestion", section.congestion), ("hub.congestion", None));
    let identity = file.identity.unwrap_or_default().check(&IDENTITY, true, &mut check);

    let section = file.vault.unwrap_or_default();
    let dir = check.folder("vault.dir", section.dir, defaults::VAULT_DIR);
    let (default, range) = (defaults::JOURNAL_MB, defaults::JOURNAL_MB_RANGE);
    let journal_mb = check.whole("vault.journal_mb", section.journal_mb, default, range);
    let keep = (section.keep_days_max, section.keep_gb_max);
    let disks = disks::places("vault", &dir, section.disk.unwrap_or_default(), &mut check);
    let vault = Vault {
        dir,
        disks,
        journal_bytes: bytes(journal_mb),
        keep: keep::policy("vault", keep, Keep::default(), &mut check).unwrap_or_default(),
        ballast_bytes: keep::ballast("vault.ballast_mb", section.ballast_mb, &mut check),
        scrub: keep::scrub("vault", (section.scrub_days, section.scrub_mb_s_max), &mut check),
    };

    let http = file.http.unwrap_or_default().listen;
    let http = check.http_listen("http.listen", http, defaults::HUB_HTTP_LISTEN);
    let limits = limits(file.limits.unwrap_or_default(), &mut check);
    let mut section = file.standby.unwrap_or_default();
    let rooms = Rooms {
        streams_max: section.streams_max.take(),
        rate_mbit_max: section.rate_mbit_max.take(),
        domain: section.domain.take(),
        uplink_mbit: section.uplink_mbit.take(),
    };
    let own = name.clone().unwrap_or_default();
    let policy = policy::check(rooms, file.failback.unwrap_or_default(), &own, &mut check);
    let standby = standby(section, &mut check);
    let drills = drill::check(file.drill.unwrap_or_default(), &mut check);
    let control = file.control.unwrap_or_default().check(&own, &mut check);
    let config = (|| {
        let hub = Hub { name: name?, listen: listen?, congestion };
        Some(HubConfig {
            hub,
            identity,
            vault,
            http: Http { listen: http? },
            limits,
            standby,
            policy,
            drills,
            control: control?,
        })
    })();
    check.finish(config)
}

fn limits(section: LimitsSection, check: &mut Check) -> Limits {
    let (default, range) = (defaults::SITES_MAX, defaults::SITES_MAX_RANGE);
    let sites = check.whole("limits.sites_max", section.sites_max, default, range);
    let (default, range) = (defaults::LEDGERS_PER_SITE_MAX, defaults::LEDGERS_PER_SITE_MAX_RANGE);
    let ledgers = check.whole("limits.ledgers_per_site_max", section.ledgers_per_site_max, default, range);
    let (default, range) = (defaults::TAIL_MB_PER_SITE_MAX, defaults::TAIL_MB_PER_SITE_MAX_RANGE);
    let tail_mb = check.whole("limits.tail_mb_per_site_max", section.tail_mb_per_site_max, default, range);
    Limits {
        sites_max: usize::try_from(sites).unwrap_or(usize::MAX),
        ledgers_per_site_max: usize::try_from(ledgers).unwrap_or(usize::MAX),
        tail_bytes_per_site_max: bytes(tail_mb),
    }
}

fn standby(section: StandbySection, check: &mut Check) -> Standby {
    let rules = section.map.unwrap_or_default().into_iter().enumerate();
    Standby {
        map: rules.filter_map(|(at, section)| rule(section, &format!("standby.map[{at}]"), check)).collect(),
    }
}

fn rule(section: MapSection, path: &str, check: &mut Check) -> Option<Rule> {
    let key = |name: &str| format!("{path}.{name}");
    let site = check.required(&key("site"), section.site, "site = \"shop-1\"");
    let site = site.and_then(|site| check.parsed(&key("site"), &site, |site| SiteId::new(site)));
    let range = |name: &str, text, example, check: &mut Check| -> Option<Range> {
        let text = check.required(&key(name), text, example)?;
        check.parsed(&key(name), &text, str::parse)
    };
    let from = range("from", section.from, "from = \"192.168.1.0/24\"", check);
    let to = range("to", section.to, "to = \"10.7.1.0/24\"", check);
    let (site, from, to) = (site?, from?, to?);
    check.parsed(&key("to"), "", |_| Rule::new(site, from, to))
}

/// Saturates, since a number out of range is still converted before the configuration is refused.
fn bytes(mb: u64) -> u64 {
    mb.saturating_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(text: &str, env: &[(&str, &str)]) -> (tempfile::TempDir, Outcome<HubConfig>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hub.toml");
        fs::write(&file, text).unwrap();
        for file in [defaults::CA, defaults::HUB_CERTIFICATE, defaults::HUB_KEY] {
            fs::write(folder.path().join(file), "").unwrap();
            fs::set_permissions(folder.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let outcome = load_hub_with(&file, env);
        (folder, outcome)
    }

    #[test]
    fn an_empty_file_gets_every_default() {
        let (folder, outcome) = load("", &[]);
        let (config, warnings) = outcome.unwrap();
        assert_eq!(warnings, []);
        assert_eq!(config.hub.name, "hub-1");
        assert_eq!(config.hub.listen.port(), defaults::HUB_PORT);
        assert_eq!(config.identity.certificate, folder.path().join("hub.pem"));
        assert_eq!(config.vault.journal_bytes, 64 << 20);
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.limits.tail_bytes_per_site_max, 1024 << 20);
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let text = "[hub]\nname = \"Hub 1\"\nlisten = \"7443\"\n[vault]\njournal_mb = 0\n[limits]\nsite_max = 3\n\
                    ledgers_per_site_max = \"many\"\n[identity]\nkey = \"nowhere.pem\"\n";
        let (_folder, outcome) = load(text, &[("HOLDFAST__LIMITS__SITES_MAX", "0")]);
        let problems = outcome.unwrap_err();
        let mut keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "HOLDFAST__LIMITS__SITES_MAX",
                "hub.listen",
                "hub.name",
                "identity.key",
                "limits.ledgers_per_site_max",
                "limits.site_max",
                "vault.journal_mb",
            ]
        );
    }

    #[test]
    fn the_environment_wins_and_open_keys_are_a_warning() {
        let (folder, outcome) = load("[hub]\nname = \"a\"\n", &[("HOLDFAST__HUB__NAME", "b")]);
        assert_eq!(outcome.unwrap().0.hub.name, "b");
        let key = folder.path().join(defaults::HUB_KEY);
        fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
        let (_, warnings) = load_hub_with(&folder.path().join("hub.toml"), std::iter::empty()).unwrap();
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].key, "identity.key");
    }

    #[test]
    fn ranges_of_sites_are_checked() {
        let rule = "[[standby.map]]\nsite = \"shop-1\"\nfrom = \"192.168.1.0/24\"\nto = ";
        let (_folder, outcome) = load(&format!("{rule}\"10.7.1.0/24\"\n"), &[]);
        assert_eq!(outcome.unwrap().0.standby.map.len(), 1);
        let (_folder, outcome) =
            load(&format!("{rule}\"10.7.0.0/16\"\n[[standby.map]]\nsite = \"Shop\"\n"), &[]);
        let problems = outcome.unwrap_err();
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(
            keys,
            ["standby.map[0].to", "standby.map[1].site", "standby.map[1].from", "standby.map[1].to"]
        );
    }

    #[test]
    fn planned_drills_are_checked() {
        let drill =
            "[[drill]]\nsites = [\"shop-1\"]\nkind = \"wan\"\nat = \"03:30\"\nevery_h = 24\n[[drill]]\n";
        let (_folder, outcome) = load(drill, &[]);
        let drills = outcome.unwrap().0.drills;
        assert_eq!((drills[0].at_s, drills[0].every.as_secs()), (Some(12_600), 86_400));
        assert!(drills[0].shadow && drills[1].shadow && drills[1].sites.is_empty(), "{drills:?}");
        let wrong =
            "[[drill]]\nkind = \"site\"\nshadow = false\nlength_s = 1\nat = \"3:30\"\nsites = [\"Shop\"]\n";
        let (_folder, outcome) = load(wrong, &[]);
        let problems = outcome.unwrap_err();
        let mut keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["drill[0].at", "drill[0].length_s", "drill[0].shadow", "drill[0].sites"]);
    }

    #[test]
    fn every_section_tells_its_keys() {
        assert!(HUB_SECTIONS.iter().all(|section| !hub_keys(section).is_empty()));
    }
}
