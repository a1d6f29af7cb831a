//! The sections `[[archive.disk]]` of a site and `[[vault.disk]]` of a hub: further disks for segments.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::check::Check;
use super::leaf::{Flag, Text};
use crate::archive::disks::{DISKS_MAX, Place};

/// One of them.
#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[archive.disk]]", default)]
pub struct DiskSection {
    dir: Option<Text>,
    same_file_system: Option<Flag>,
}

/// The places of an archive's further disks; the section `prefix` has its own folder, `first`.
pub fn places(prefix: &str, first: &Path, sections: Vec<DiskSection>, check: &mut Check) -> Vec<Place> {
    if sections.len() > DISKS_MAX {
        let message = format!("there are {}, at most {DISKS_MAX} make sense", sections.len());
        check.problem(&format!("{prefix}.disk"), message);
    }
    let mut used = vec![(format!("{prefix}.dir"), first.to_owned())];
    let mut places = Vec::new();
    for (at, section) in sections.into_iter().enumerate() {
        let key = format!("{prefix}.disk[{at}].dir");
        let Some(dir) = check.required(&key, section.dir, "dir = \"/mnt/disk2\"") else { continue };
        let dir = check.folder(&key, Some(Text(dir)), "");
        let same_file_system = check.flag(section.same_file_system, false);
        if let Some((other, _)) = used.iter().find(|(_, folder)| overlap(folder, &dir)) {
            let message = format!(
                "{} is, or is within, or contains the folder of {other}; give it one of its own",
                dir.display()
            );
            check.problem(&key, message);
        } else {
            fits(&key, (&dir, same_file_system), &used, check);
        }
        used.push((key, dir.clone()));
        places.push(Place { dir, same_file_system });
    }
    places
}

/// What depends on the machine. A disk that is not there now may be tomorrow: that is no mistake.
fn fits(key: &str, (dir, same): (&Path, bool), used: &[(String, PathBuf)], check: &mut Check) {
    let Ok(found) = fs::metadata(dir) else {
        check.warn(key, format!("{} is not there: nothing is recorded on it until it is", dir.display()));
        return;
    };
    if let Err(error) = writable(dir) {
        check.problem(key, format!("{} can't be written: {error}", dir.display()));
    }
    let device =
        |folder: &Path| folder.ancestors().find_map(|folder| fs::metadata(folder).ok()).map(|it| it.dev());
    let shares = used.iter().find(|(_, folder)| device(folder) == Some(found.dev()));
    if let Some((other, _)) = shares.filter(|_| !same) {
        let message = format!(
            "{} is on the same file system as {other}: is its disk mounted? If it is meant, add same_file_system = true",
            dir.display()
        );
        check.warn(key, message);
    }
}

/// Is one the other, or within it?
fn overlap(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (one, other) = (real(one), real(other));
    one.starts_with(&other) || other.starts_with(&one)
}

#[allow(unsafe_code)]
fn writable(dir: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes())?;
    // SAFETY: `path` ends with a zero byte and outlives the call, which only reads it.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::load_site_with;

    /// The keys of what is wrong, or else of the warnings about disks.
    fn load(folder: &std::path::Path, disks: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let file = folder.join("site.toml");
        let sections: String = disks.iter().map(|disk| format!("[[archive.disk]]\n{disk}\n")).collect();
        let text = format!("[site]\nid = \"shop-1\"\n[archive]\ndir = \"first\"\n{sections}");
        std::fs::write(&file, text).unwrap();
        let keys = |problems: Vec<super::super::Problem>| problems.into_iter().map(|problem| problem.key);
        match load_site_with(&file, std::iter::empty()) {
            Ok((config, warnings)) => {
                assert_eq!(config.archive.disks.len(), disks.len());
                Ok(keys(warnings).filter(|key| key.contains("disk")).collect())
            }
            Err(problems) => Err(keys(problems).collect()),
        }
    }

    #[test]
    fn folders_that_overlap_or_are_missing_are_named_by_key() {
        let folder = tempfile::tempdir().unwrap();
        let load = |disks: &[&str]| load(folder.path(), disks);
        let (second, third) = ("archive.disk[0].dir".to_owned(), "archive.disk[1].dir".to_owned());
        assert_eq!(load(&["dir = \"second\""]), Ok(vec![second.clone()]), "a warning: it is not there");
        for dir in ["second", "third"] {
            std::fs::create_dir(folder.path().join(dir)).unwrap();
        }
        assert_eq!(load(&["dir = \"second\""]), Ok(vec![second.clone()]), "a warning: no disk of its own");
        let own = "same_file_system = true\ndir = \"second\"";
        assert_eq!(load(&[own]), Ok(vec![]));
        assert_eq!(load(&[own, "dir = \"./second\""]), Err(vec![third.clone()]), "twice");
        assert_eq!(load(&[own, "dir = \"second/within\""]), Err(vec![third.clone()]), "nested");
        assert_eq!(load(&["dir = \"first/within\""]), Err(vec![second.clone()]), "in the archive's own");
        assert_eq!(load(&["same_file_system = true"]), Err(vec![second.clone()]), "none is named");
        std::fs::write(folder.path().join("file"), b"").unwrap();
        assert_eq!(load(&["dir = \"file\""]).unwrap_err()[0], second, "no folder");
    }
}
