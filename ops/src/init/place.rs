//! Puts files into place: whole folders at once, never over anything, keys for their owner only.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// A file to be written.
pub(super) struct File {
    name: String,
    text: String,
    mode: u32,
}

impl File {
    /// One that anybody may read.
    pub(super) fn public(name: impl Into<String>, text: String) -> Self {
        Self { name: name.into(), text, mode: 0o644 }
    }

    /// One with a secret in it.
    pub(super) fn private(name: impl Into<String>, text: String) -> Self {
        Self { name: name.into(), text, mode: 0o600 }
    }
}

/// Writes `files` as the new folder `folder`: all of them or, if something fails, none.
pub(super) fn folder(folder: &Path, mode: u32, files: &[File]) -> Result<()> {
    let verb = || format!("write {}", folder.display());
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(verb)?;
    // Made aside and moved, so that a run cut short leaves nothing that looks finished.
    let aside = tempfile::Builder::new().prefix(".new-").tempdir_in(parent).with_context(verb)?;
    for file in files {
        let mut options = OpenOptions::new();
        let path = aside.path().join(&file.name);
        let mut open = options.write(true).create_new(true).mode(file.mode).open(&path).with_context(verb)?;
        open.write_all(file.text.as_bytes()).and_then(|()| open.sync_all()).with_context(verb)?;
    }
    fs::set_permissions(aside.path(), Permissions::from_mode(mode)).with_context(verb)?;
    // Fails if the folder has come into being with something in it since we looked.
    fs::rename(aside.path(), folder).with_context(verb)?;
    let _moved = aside.keep();
    fs::File::open(parent).and_then(|parent| parent.sync_all()).with_context(verb)
}
