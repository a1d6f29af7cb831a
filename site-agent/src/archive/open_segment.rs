//! The file of a segment while it is being recorded.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use wire::{LedgerId, SegmentNumber};

use super::{ArchiveError, Result, layout};

/// A file that takes the parts of one segment in order.
#[derive(Debug)]
pub struct OpenSegment {
    path: PathBuf,
    file: File,
}

impl OpenSegment {
    /// Makes the file. It must not exist: an origin never writes a segment twice.
    pub fn create(archive: &Path, ledger: &LedgerId, number: SegmentNumber) -> Result<Self> {
        let path = layout::open_segment(archive, ledger, number);
        let folder = path.parent().unwrap_or(archive);
        layout::make_synced(folder)?;
        let made = OpenOptions::new().create_new(true).append(true).open(&path);
        let file = made.map_err(|source| ArchiveError::Io {
            what: "make segment file",
            path: path.clone(),
            source,
        })?;
        layout::sync_folder(folder)?;
        Ok(Self { path, file })
    }

    /// Adds a part and syncs it: from here on a power cut does not lose it.
    pub fn append(&mut self, part: &[u8]) -> Result<()> {
        self.file.write_all(part).and_then(|()| self.file.sync_data()).map_err(|source| ArchiveError::Io {
            what: "write segment file",
            path: self.path.clone(),
            source,
        })
    }

    /// Ends writing; the path is what [`super::Change::Append`] takes.
    pub fn close(self) -> PathBuf {
        self.path
    }
}
