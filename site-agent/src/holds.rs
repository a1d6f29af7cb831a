//! What the hub told this site to keep: on disk, obeyed, and only then confirmed.
//!
//! Guarantees: what [`Kept::confirms`] tells is synced, and retention obeys it; both hold over a restart, whether or not
//! the hub can be reached. A hold goes only when the hub says that it is none any more (a later telling of the same
//! history), or at its end. Holds of a history that is no more, or of another hub, stay until they end by themselves:
//! whoever restored the hub from a backup may not know of them.
//!
//! It never knows who asked for a hold, or how the hub is reached.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::holds::{Digest, check, order};
use wire::{SiteId, UnixMicros, proto};

use crate::private_file;
use crate::retention::Holds;
use crate::retention::plan::Hold;

const FILE: &str = "holds.json";
/// Another number is another format.
const FORMAT: u32 = 1;
/// Holds left over from other histories at most; of more those that end first are given up, and that is said.
const LEFT_MAX: usize = 1024;

/// What is kept for the hub.
#[derive(Debug)]
pub struct Kept {
    dir: PathBuf,
    site: SiteId,
    /// The hub's address as configured: another one is another hub.
    hub: String,
    obeyed: Arc<Holds>,
    /// Tellings are taken one after the other.
    turn: Mutex<()>,
    /// Locked for moments only: beats ask.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    file: File,
    /// It is on disk as it is here.
    synced: bool,
    /// Why the file could not be read, or written.
    trouble: Option<String>,
    /// The file was unreadable: nothing is freed until the hub has told anew.
    all: bool,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct File {
    format: u32,
    hub: String,
    generation: u64,
    salt: u64,
    revision: u64,
    /// Has the hub told anything?
    told: bool,
    holds: Vec<Row>,
    /// Of histories that are no more.
    left: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u64,
    cameras: Vec<String>,
    from_us: i64,
    to_us: i64,
    until_us: i64,
    reason: String,
}

impl Kept {
    /// Reads what earlier runs were told by `hub`, and has it obeyed through `obeyed`. A file that can't be read keeps
    /// everything, until the hub has told anew.
    pub fn load(dir: &Path, site: &SiteId, hub: &str, obeyed: Arc<Holds>) -> Self {
        let inner = match read(&dir.join(FILE)) {
            Ok(None) => Inner::default(),
            Ok(Some(file)) if file.hub == hub => Inner { file, synced: true, ..Inner::default() },
            Ok(Some(file)) => Inner { file: file.of_another_hub(), ..Inner::default() },
            Err(why) => {
                let path = dir.join(FILE);
                tracing::error!(path = %path.display(), why, "what the hub asked to be kept can't be read: nothing is freed until the hub tells it again");
                let why = format!(
                    "{}: {why}; nothing is freed until the hub tells its holds again",
                    path.display()
                );
                Inner { trouble: Some(why), all: true, ..Inner::default() }
            }
        };
        let kept = Self {
            dir: dir.to_owned(),
            site: site.clone(),
            hub: hub.to_owned(),
            obeyed,
            turn: Mutex::default(),
            inner: Mutex::new(inner),
        };
        kept.obey();
        kept
    }

    /// Takes in what the hub tells; `Ok(true)` if it is new and on disk now. Waits for the disk, and for retention's
    /// step. It is obeyed even if it can't be written, and tried again by telling it again; it is only not confirmed.
    pub fn take(&self, told: &proto::Holds) -> io::Result<bool> {
        check(told).map_err(io::Error::other)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.note(told) {
            return Ok(false);
        }
        self.obey();
        let file = self.lock().file.clone();
        let bytes = serde_json::to_vec_pretty(&file).map_err(io::Error::other)?;
        let written = private_file::replace(&self.dir, FILE, &bytes);
        let mut inner = self.lock();
        match written {
            Ok(()) => (inner.synced, inner.trouble) = (true, None),
            Err(error) => {
                inner.trouble = Some(format!("write {}: {error}", self.dir.join(FILE).display()));
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Is there anything to be written?
    fn note(&self, told: &proto::Holds) -> bool {
        let mut inner = self.lock();
        if !inner.file.told || order(told) > inner.file.order() {
            let file = inner.file.clone().told(told, &self.hub);
            (inner.file, inner.synced, inner.all) = (file, false, false);
        }
        !inner.synced
    }

    /// What the hub is told to be kept; none before it has told anything.
    pub fn confirms(&self) -> Option<Digest> {
        let inner = self.lock();
        (inner.synced && inner.file.told).then(|| Digest::of(&inner.file.to_proto()))
    }

    /// For people and programs.
    pub fn shown(&self) -> Value {
        let inner = self.lock();
        let rows = |rows: &[Row]| rows.iter().map(|row| json!(row)).collect::<Vec<_>>();
        json!({
            "told": inner.file.told,
            "revision": inner.file.revision,
            "confirmed": inner.synced && inner.file.told,
            "holds": rows(&inner.file.holds),
            "left_of_other_histories": rows(&inner.file.left),
            "trouble": inner.trouble,
        })
    }

    fn obey(&self) {
        let (file, all) = {
            let inner = self.lock();
            (inner.file.clone(), inner.all.then(|| inner.trouble.clone().unwrap_or_default()))
        };
        if let Some(why) = all {
            return self.obeyed.suspend(format!("it is not known what is held: {why}"));
        }
        let rows = file.holds.iter().chain(&file.left);
        self.obeyed.set(rows.map(|row| row.hold(&self.site)).collect());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is in the file, if there is one; or why it can't be read.
fn read(path: &Path) -> Result<Option<File>, String> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| error.to_string())?,
    };
    let file: File = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    match file.format {
        FORMAT => Ok(Some(file)),
        other => Err(format!("it has format {other}, this version reads {FORMAT}")),
    }
}

impl File {
    fn order(&self) -> (u64, u64, u64) {
        (self.generation, self.salt, self.revision)
    }

    /// What follows from a newer telling. A telling of the same history is all there is of it.
    fn told(self, told: &proto::Holds, hub: &str) -> Self {
        let holds: Vec<_> = told.holds.iter().map(Row::of).collect();
        let same_history = !self.told || (self.generation, self.salt) == (told.generation, told.salt);
        let mut left = self.left;
        if !same_history {
            left.extend(self.holds);
        }
        left.retain(|row| !holds.contains(row));
        left.sort_by_key(|row| std::cmp::Reverse(row.until_us));
        left.dedup();
        if left.len() > LEFT_MAX {
            tracing::error!(given_up = left.len() - LEFT_MAX, "too many holds are left of other histories");
            left.truncate(LEFT_MAX);
        }
        let (generation, salt, revision) = order(told);
        Self { format: FORMAT, hub: hub.to_owned(), generation, salt, revision, told: true, holds, left }
    }

    /// The hub that is configured now counts from the beginning.
    fn of_another_hub(self) -> Self {
        let left = self.left.into_iter().chain(self.holds).collect();
        Self { format: FORMAT, left, ..Self::default() }
    }

    fn to_proto(&self) -> proto::Holds {
        proto::Holds {
            generation: self.generation,
            salt: self.salt,
            revision: self.revision,
            holds: self.holds.iter().map(Row::to_proto).collect(),
        }
    }
}

impl Row {
    fn of(hold: &proto::Hold) -> Self {
        let proto::Hold { id, cameras, from_us, to_us, until_us, reason } = hold.clone();
        Self { id, cameras, from_us, to_us, until_us, reason }
    }

    fn to_proto(&self) -> proto::Hold {
        let Self { id, cameras, from_us, to_us, until_us, reason } = self.clone();
        proto::Hold { id, cameras, from_us, to_us, until_us, reason }
    }

    fn hold(&self, site: &SiteId) -> Hold {
        Hold {
            site: site.clone(),
            cameras: self.cameras.iter().cloned().collect(),
            from: UnixMicros(self.from_us),
            to: UnixMicros(self.to_us),
            until: UnixMicros(self.until_us),
            reason: self.reason.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
