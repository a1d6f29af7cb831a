//! The documents name only what is there: files of the repository, and configuration keys.

#![allow(clippy::unwrap_used)] // a test's helpers panic like the test itself

use std::path::{Path, PathBuf};

use dc_hub::config::{HUB_SECTIONS, hub_keys};
use site_agent::config::{SITE_SECTIONS, site_keys};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All pages, with their names.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/design"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    pages
}

/// What stands between backticks, line by line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Does this look like a path in the repository?
fn is_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let folders = ["wire", "site-agent", "dc-hub", "ops", "tests", "docs", ".ci"];
    let in_folder = text.split_once('/').is_some_and(|(first, _)| folders.contains(&first));
    let at_root = !text.contains('/') && (text.ends_with(".md") || text.starts_with("LICENSE"));
    text.chars().all(plain) && (in_folder || at_root)
}

#[test]
fn paths_in_the_documents_exist() {
    let mut paths = 0;
    for (page, text) in pages() {
        for path in
            quoted(&text).filter_map(|quoted| quoted.split_whitespace().next()).filter(|text| is_path(text))
        {
            assert!(root().join(path).exists(), "{} names `{path}`, which is not there", page.display());
            paths += 1;
        }
    }
    assert!(paths > 50, "only {paths} paths were found: are they still recognised?");
}

/// `camera.stream.url` is the key `url` of the section `camera[0].stream[0]`.
fn section_and_key(text: &str) -> Option<(String, &str)> {
    let (section, key) = text.rsplit_once('.')?;
    let words = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.');
    let section = match section {
        "camera" => "camera[0]",
        "uplink.limit" => "uplink.limit[0]",
        "uplink.window" => "uplink.window[0]",
        "standby.map" => "standby.map[0]",
        "drill" => "drill[0]",
        "archive.disk" => "archive.disk[0]",
        "vault.disk" => "vault.disk[0]",
        "control.member" => "control.member[0]",
        "camera.stream" => "camera[0].stream[0]",
        other => other,
    };
    let is_section = SITE_SECTIONS.contains(&section) || HUB_SECTIONS.contains(&section);
    // `site.toml` and `hub.pem` are files.
    let is_key = words(text) && is_section && !["toml", "pem"].contains(&key);
    is_key.then(|| (section.to_owned(), key))
}

#[test]
fn configuration_keys_in_the_documents_exist() {
    let mut keys = 0;
    for (page, text) in pages() {
        for (section, key) in quoted(&text).filter_map(section_and_key) {
            let known = site_keys(&section).contains(&key) || hub_keys(&section).contains(&key);
            assert!(known, "{} names `{section}.{key}`, which no configuration has", page.display());
            keys += 1;
        }
    }
    assert!(keys > 20, "only {keys} keys were found: are they still recognised?");
}

#[test]
fn the_guide_names_every_key_of_a_hub() {
    let guide = std::fs::read_to_string(root().join("docs/guide.md")).unwrap();
    for section in HUB_SECTIONS.iter().filter(|section| !section.is_empty()) {
        let shown = section.replace("[0]", "");
        for key in hub_keys(section) {
            assert!(guide.contains(&format!("`{shown}.{key}`")), "docs/guide.md lacks `{shown}.{key}`");
        }
    }
}
