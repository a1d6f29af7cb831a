//! The file by which a disk of an archive is known.
//!
//! It names the archive, the disk, and a *mark* that is drawn anew each time the disk is taken into use, and noted in the
//! index: a copy of the disk that was made before has another, and is not mistaken for it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Pin;
use crate::private_file;
use crate::renew::PROBE;

/// Its name, in the disk's folder.
pub const FILE: &str = "holdfast-disk.json";
/// What a new file system has by itself.
const LOST_AND_FOUND: &str = "lost+found";

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The archive it belongs to.
    pub(super) archive: String,
    /// Which disk it is.
    pub(super) disk: String,
    /// Drawn when it was last taken into use; empty after a person said that it is the right one.
    #[serde(default)]
    pub(super) mark: String,
}

/// What is at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A disk of some archive.
    Disk(Identity),
    /// A folder with nothing in it.
    Empty,
    /// Nothing that could be a disk, and why.
    Nothing(String),
}

/// An id that nobody else has drawn.
pub(super) fn new_id() -> String {
    wire::OriginId(wire::clock::random_id()).to_string()
}

/// Looks at a place without changing anything.
pub(super) fn look(dir: &Path) -> Found {
    match fs::read(dir.join(FILE)) {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(identity) => Found::Disk(identity),
            Err(error) => Found::Nothing(format!("its {FILE} can't be read: {error}")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => without_file(dir),
        Err(error) => Found::Nothing(format!("its {FILE} can't be read: {error}")),
    }
}

fn without_file(dir: &Path) -> Found {
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) => return Found::Nothing(format!("it is not there: {error}")),
    };
    // A start that was cut short may have left the file's beginning.
    let nothing = |name: &str| name == LOST_AND_FOUND || name == PROBE || name.starts_with(FILE);
    for entry in listed {
        match entry {
            Ok(entry) if nothing(&entry.file_name().to_string_lossy()) => {}
            Ok(entry) => {
                let name = entry.file_name();
                return Found::Nothing(format!(
                    "it has no {FILE} and is not empty (`{}`): it is no disk of this archive",
                    name.to_string_lossy()
                ));
            }
            Err(error) => return Found::Nothing(format!("it can't be listed: {error}")),
        }
    }
    Found::Empty
}

/// Makes a disk be what the identity says.
pub(super) fn write(dir: &Path, identity: &Identity) -> io::Result<()> {
    let text = serde_json::to_vec(identity).unwrap_or_else(|_| unreachable!("strings are JSON"));
    private_file::replace(dir, FILE, &text)
}

/// Opens and locks the file: nobody else uses the disk then.
pub(super) fn pin(dir: &Path) -> Result<Pin, String> {
    let file = File::open(dir.join(FILE)).map_err(|error| format!("its {FILE} can't be opened: {error}"))?;
    file.try_lock().map_err(|_| "another process uses it".to_owned())?;
    let found = file.metadata().map_err(|error| format!("its {FILE} can't be looked at: {error}"))?;
    Ok(Pin { device: found.dev(), inode: found.ino(), _file: file })
}
