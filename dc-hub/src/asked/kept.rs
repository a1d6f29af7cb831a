//! Fetches on disk: a hub that restarts goes on with what people asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use site_agent::private_file;

use super::Fetch;

/// All that is remembered, and the last number that was given.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) last: u64,
    pub(super) fetches: BTreeMap<u64, Fetch>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Keep {
    dir: PathBuf,
}

const FILE: &str = "fetches";

impl Keep {
    /// In this folder.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// What was kept; nothing, if there is nothing. What can't be read is set aside, and said: it can be asked for anew.
    pub(super) fn read(&self) -> Known {
        let file = self.dir.join(FILE);
        let read = fs::read(&file).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
        read.unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                let aside = self.dir.join(format!("{FILE}.damaged"));
                let moved = fs::rename(&file, &aside);
                tracing::error!(file = %file.display(), %error, ?moved, "what was asked for is not known any more: \
                    ask again (holdfast fetch); the file is set aside as fetches.damaged");
            }
            Known::default()
        })
    }

    /// From now on this. If it can't be written, it is known only until the next start, and said.
    pub(super) fn write(&self, known: &Known) {
        let written = serde_json::to_vec(known)
            .map_err(io::Error::other)
            .and_then(|bytes| private_file::replace(&self.dir, FILE, &bytes));
        if let Err(error) = written {
            tracing::error!(dir = %self.dir.display(), %error, "keep what was asked for");
        }
    }
}
