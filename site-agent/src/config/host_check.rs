//! Machines of one place that record for each other: what `[standby]` says of others, and `[[host]]` of this one.

use std::collections::HashSet;

use wire::SiteId;

use super::check::Check;
use super::schema::{HostSection, StandbySection};
use super::site::{Host, Standby};
use super::{defaults, site_check};
use crate::retention::plan::Policy;

/// `[standby]`.
pub(super) fn standby(section: StandbySection, own: Option<&SiteId>, check: &mut Check) -> Standby {
    let tier = check.choice("standby.tier", section.tier);
    let drills = check.choice("standby.drills", section.drills);
    let stream = check.choice("standby.stream", section.stream);
    let hosts = section.hosts.unwrap_or_default();
    if hosts.len() > defaults::HOSTS_MAX {
        let message = format!("names {} sites; {} are enough", hosts.len(), defaults::HOSTS_MAX);
        check.problem("standby.hosts", message);
    }
    let mut known = HashSet::new();
    let site = |(at, text): (usize, &super::leaf::Text)| {
        let key = format!("standby.hosts[{at}]");
        let site = check.parsed(&key, &text.0, |site| SiteId::new(site))?;
        if own == Some(&site) || !known.insert(site.clone()) {
            check.problem(&key, format!("`{site}` is this site itself, or named twice; leave it out"));
        }
        Some(site)
    };
    let hosts = hosts.iter().enumerate().filter_map(site).collect();
    Standby { tier, hosts, drills, stream }
}

/// `[[host]]`.
pub(super) fn hosts(
    sections: Vec<HostSection>,
    (own, has_hub, keep): (Option<&SiteId>, bool, Policy),
    check: &mut Check,
) -> Vec<Host> {
    if !sections.is_empty() && !has_hub {
        check.problem(
            "host",
            "what is recorded for another site goes to its hub; add [hub], or remove [[host]]",
        );
    }
    let mut known = HashSet::new();
    let mut host = |(at, section): (usize, HostSection)| {
        let path = format!("host[{at}]");
        let key = format!("{path}.site");
        let site = check.required(&key, section.site, "site = \"shop-1-a\"");
        let site = site.and_then(|site| check.parsed(&key, &site, |site| SiteId::new(site)));
        let when = check.choice(&format!("{path}.when"), section.when);
        let sections = section.camera.unwrap_or_default();
        if sections.is_empty() {
            check.missing(&format!("{path}.camera"), "there is no camera; add a [[host.camera]] section");
        }
        let cameras = site_check::cameras(sections, &format!("{path}.camera"), keep, check);
        for (at, camera) in cameras.iter().enumerate().filter(|(_, camera)| camera.single_session) {
            let message =
                format!("`{}` serves one recorder only, which is its site's; leave it out", camera.id);
            check.problem(&format!("{path}.camera[{at}].single_session"), message);
        }
        let site = site?;
        if own == Some(&site) || !known.insert(site.clone()) {
            check.problem(&key, format!("`{site}` is this site itself, or named twice; leave it out"));
        }
        Some(Host { site, when, cameras })
    };
    sections.into_iter().enumerate().filter_map(&mut host).collect()
}

#[cfg(test)]
mod tests {
    use super::super::load_site_with;
    use super::super::report::Outcome;
    use super::super::site::{SiteConfig, When};
    use super::*;

    const CAMERA: &str = "[[host.camera]]\nid = \"till-1\"\n[[host.camera.stream]]\nname = \"main\"\n\
                          url = \"rtsp://10.0.0.5/a\"\n";

    fn load(standby: &str, host: &str, hub: bool) -> Outcome<SiteConfig> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        let hub = if hub {
            for name in ["ca.pem", "site.pem", "site-key.pem"] {
                std::fs::write(folder.path().join(name), "").unwrap();
            }
            "[hub]\naddress = \"hub:7443\"\n"
        } else {
            ""
        };
        std::fs::write(&file, format!("[site]\nid = \"shop-b\"\n{hub}{standby}{host}")).unwrap();
        load_site_with(&file, std::iter::empty())
    }

    fn said(outcome: Outcome<SiteConfig>) -> String {
        outcome
            .expect_err("there is a problem")
            .iter()
            .map(|one| format!("{}: {}\n", one.key, one.message))
            .collect()
    }

    #[test]
    fn two_machines_of_a_place_name_each_other() {
        let host = format!("[[host]]\nsite = \"shop-a\"\nwhen = \"always\"\n{CAMERA}");
        let (config, _) = load("[standby]\nhosts = [\"shop-a\"]\n", &host, true).unwrap();
        assert_eq!(config.standby.hosts, [SiteId::new("shop-a").unwrap()]);
        let [host] = config.hosts.as_slice() else { panic!("{:?}", config.hosts) };
        assert_eq!((host.site.as_str(), host.when), ("shop-a", When::Always));
        assert_eq!(host.cameras[0].streams[0].id.to_string(), "till-1/main");
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_key() {
        let host = |of: &str, camera: &str| format!("[[host]]\nsite = \"{of}\"\n{camera}");
        assert!(
            said(load("", &host("shop-b", CAMERA), true)).contains("host[0].site: `shop-b` is this site")
        );
        assert!(said(load("", &host("shop-a", ""), true)).contains("host[0].camera"));
        assert!(said(load("", &host("shop-a", CAMERA), false)).contains("host: what is recorded"));
        let one = CAMERA.replace("id = \"till-1\"\n", "id = \"till-1\"\nsingle_session = true\n");
        assert!(said(load("", &host("shop-a", &one), true)).contains("host[0].camera[0].single_session"));
        let own = said(load("[standby]\nhosts = [\"shop-b\"]\n", "", true));
        assert!(own.contains("standby.hosts[0]: `shop-b` is this site"), "{own}");
    }
}
