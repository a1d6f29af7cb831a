//! The file of a segment while it is being recorded.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use wire::{LedgerId, SegmentNumber};

use super::{ArchiveError, Result, layout};
use crate::failpoint;

/// A file that takes the parts of one segment in order.
#[derive(Debug)]
pub struct OpenSegment {
    path: PathBuf,
    file: File,
    /// Bytes of whole parts.
    length: u64,
    /// Is all of it as it was written? Not after a failed sync.
    sound: bool,
}

impl OpenSegment {
    /// Makes the file. It must not exist: an origin never writes a segment twice.
    pub fn create(archive: &Path, ledger: &LedgerId, number: SegmentNumber) -> Result<Self> {
        let path = layout::open_segment(archive, ledger, number);
        let folder = path.parent().unwrap_or(archive);
        layout::make_synced(archive, folder)?;
        let made = OpenOptions::new().create_new(true).append(true).open(&path);
        let file = made.map_err(|source| ArchiveError::Io {
            what: "make segment file",
            path: path.clone(),
            source,
        })?;
        layout::sync_folder(folder)?;
        Ok(Self { path, file, length: 0, sound: true })
    }

    /// Adds a part and syncs it: from here on a power cut does not lose it. Where there is no room for it, the file
    /// is as before, and the part may be tried again.
    pub fn append(&mut self, part: &[u8]) -> Result<()> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ArchiveError::Io { what: "write segment file", path, source }
        };
        if !self.sound {
            return Err(failed(&self.path)(std::io::Error::other("an earlier write to it failed")));
        }
        if let Err(source) = self.file.write_all(part) {
            self.sound = self.file.set_len(self.length).is_ok();
            return Err(failed(&self.path)(source));
        }
        failpoint::pass("fragment/written");
        if let Err(source) = self.file.sync_data() {
            self.sound = false;
            return Err(failed(&self.path)(source));
        }
        failpoint::pass("fragment/synced");
        self.length += part.len() as u64;
        Ok(())
    }

    /// Does it hold every part that was added, and nothing else?
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// Deletes it: nothing worth keeping is in it.
    pub fn discard(self) {
        let _ = std::fs::remove_file(&self.path); // one that stays is looked at by the next start
    }

    /// Ends writing; the path is what [`super::Change::Append`] takes.
    pub fn close(self) -> PathBuf {
        self.path
    }
}
