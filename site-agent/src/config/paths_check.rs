//! The sections `[[uplink.path]]`: over which network interfaces the hub is reached.

use wire::PATHS_MAX;
use wire::transport::Egress;

use super::check::Check;
use super::schema::PathSection;
use super::site::UplinkPath;
use crate::beats::CAMERA_PATH;

/// Without any, there is the one that the routing table knows.
pub(super) fn paths(sections: Vec<PathSection>, check: &mut Check) -> Vec<UplinkPath> {
    if sections.len() > PATHS_MAX {
        check.problem("uplink.path", format!("there are {}, at most {PATHS_MAX} make sense", sections.len()));
    }
    let mut paths: Vec<UplinkPath> = Vec::new();
    let several = sections.len() > 1;
    for (at, section) in sections.into_iter().enumerate() {
        let key = |key: &str| format!("uplink.path[{at}].{key}");
        let name = check.required(&key("name"), section.name, "name = \"lte\"");
        let name = name.and_then(|name| check.parsed(&key("name"), &name, slug));
        let interface = section.interface.map(|text| text.0);
        if let Some(interface) = &interface
            && !is_interface(interface)
        {
            check.problem(&key("interface"), "is no network interface; see `ip link`, for example \"eth0\"");
        }
        if interface.is_none() && several {
            check.missing(&key("interface"), "is missing; of several paths each leaves by one of its own");
        }
        let Some(name) = name else { continue };
        if paths.iter().any(|path| path.name == name) {
            check.problem(&key("name"), format!("is `{name}`, as another path's"));
        }
        if paths.iter().any(|path| path.egress.interface.is_some() && path.egress.interface == interface) {
            check.problem(
                &key("interface"),
                "is another path's too; two paths over one interface fail as one",
            );
        }
        paths.push(UplinkPath { name, egress: Egress::by(interface) });
    }
    if several && paths.iter().all(|path| path.name != CAMERA_PATH) {
        check.warn(
            "uplink.path",
            format!("none is called `{CAMERA_PATH}`: the hub takes that one for the path on which it reaches the cameras, and tells a dead recorder from a dead line sooner by it"),
        );
    }
    if paths.is_empty() {
        paths.push(UplinkPath { name: CAMERA_PATH.to_owned(), egress: Egress::default() });
    }
    paths
}

fn slug(text: &str) -> Result<String, wire::NameError> {
    wire::id::check_slug(text).map(|()| text.to_owned())
}

/// As the kernel has them: 15 bytes at most, and no separators.
fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
}

#[cfg(test)]
mod tests {
    use super::super::load_site_with;
    use super::*;

    /// The paths of `[[uplink.path]]` sections, and the keys of all warnings, or those of all problems.
    fn load(sections: &str) -> Result<(Vec<UplinkPath>, Vec<String>), Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        std::fs::write(&file, format!("[site]\nid = \"shop-1\"\n{sections}")).unwrap();
        let keys = |problems: Vec<super::super::Problem>| problems.into_iter().map(|problem| problem.key);
        match load_site_with(&file, std::iter::empty()) {
            Ok((config, warnings)) => {
                Ok((config.uplink.paths, keys(warnings).filter(|key| key.contains("path")).collect()))
            }
            Err(problems) => Err(keys(problems).collect()),
        }
    }

    fn section(name: &str, interface: &str) -> String {
        format!("[[uplink.path]]\nname = \"{name}\"\ninterface = \"{interface}\"\n")
    }

    #[test]
    fn without_any_there_is_the_one_that_the_routing_table_knows() {
        let only = UplinkPath { name: CAMERA_PATH.to_owned(), egress: Egress::default() };
        assert_eq!(load(""), Ok((vec![only], Vec::new())));
    }

    #[test]
    fn several_come_in_the_order_of_preference() {
        let path = |name: &str, interface: &str| UplinkPath {
            name: name.to_owned(),
            egress: Egress::by(Some(interface.to_owned())),
        };
        let written = section("wan", "eth0") + &section("lte", "wwan0");
        assert_eq!(load(&written), Ok((vec![path("wan", "eth0"), path("lte", "wwan0")], Vec::new())));
        let (_, warnings) = load(&(section("dsl", "eth0") + &section("lte", "wwan0"))).unwrap();
        assert_eq!(warnings, ["uplink.path"], "the hub knows none of them from the cameras");
    }

    #[test]
    fn what_can_not_be_a_path_of_its_own_is_refused() {
        let twice = section("wan", "eth0") + &section("wan", "eth0");
        assert_eq!(load(&twice).unwrap_err(), ["uplink.path[1].name", "uplink.path[1].interface"]);
        let nowhere = section("wan", "eth0") + "[[uplink.path]]\nname = \"lte\"\n";
        assert_eq!(load(&nowhere).unwrap_err(), ["uplink.path[1].interface"]);
        assert_eq!(
            load(&section("W", "a/b")).unwrap_err(),
            ["uplink.path[0].name", "uplink.path[0].interface"]
        );
        let five: String = (0..5).map(|n| section(&format!("p{n}"), &format!("eth{n}"))).collect();
        assert_eq!(load(&five).unwrap_err(), ["uplink.path"]);
    }
}
