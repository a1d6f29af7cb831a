//! The file of a segment while it is being recorded.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::{LedgerId, SegmentNumber};

use super::disks::Disk;
use super::room::Use;
use super::{ArchiveError, Result, layout};
use crate::failpoint;

/// A file that takes the parts of one segment in order.
pub struct OpenSegment {
    path: PathBuf,
    file: File,
    /// What it is on, unless that is nobody's.
    disk: Option<Arc<Disk>>,
    /// Bytes of whole parts.
    length: u64,
    /// Is all of it as it was written? Not after a failed sync.
    sound: bool,
}

impl OpenSegment {
    /// Makes the file on a disk.
    pub(super) fn create_on(disk: Arc<Disk>, ledger: &LedgerId, number: SegmentNumber) -> Result<Self> {
        let created = Self::create(disk.dir(), ledger, number);
        if let Err(ArchiveError::Io { source, .. }) = &created {
            disk.suspect_unless_full(source);
        }
        Ok(Self { disk: Some(disk), ..created? })
    }

    /// Makes the file in an archive's folder, or a disk's. It must not exist: an origin never writes a segment twice.
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
        Ok(Self { path, file, disk: None, length: 0, sound: true })
    }

    /// Is there room on its disk for so many bytes more?
    pub fn admits(&self, bytes: u64) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.room().admits(bytes, Use::Media))
    }

    /// Adds a part and syncs it: from here on a power cut does not lose it. Where there is no room for it, the file
    /// is as before, and the part may be tried again.
    pub fn append(&mut self, part: &[u8]) -> Result<()> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ArchiveError::Io { what: "write segment file", path, source }
        };
        if let Some(why) = self.disk.as_ref().and_then(|disk| disk.why_out()) {
            self.sound = false;
            return Err(failed(&self.path)(std::io::Error::other(why)));
        }
        if !self.sound {
            return Err(failed(&self.path)(std::io::Error::other("an earlier write to it failed")));
        }
        if let Err(source) = self.file.write_all(part) {
            self.sound = self.file.set_len(self.length).is_ok();
            if let Some(disk) = &self.disk {
                disk.suspect_unless_full(&source);
            }
            return Err(failed(&self.path)(source));
        }
        failpoint::pass("fragment/written");
        if let Err(source) = self.file.sync_data() {
            self.sound = false;
            if let Some(disk) = &self.disk {
                disk.fail(&source.to_string());
            }
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
