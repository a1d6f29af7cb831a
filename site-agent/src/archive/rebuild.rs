//! An index that is gone or damaged is made anew from the files, and from what the other side knows.
//!
//! What is left of it is set aside, and an empty one begun, so that recording goes on at once. Until the archive is
//! whole again a mark says so. The entries come back as they were first encoded from whoever has them too: a site's from
//! its hub ([`crate::uplink`]), a vault's from its sites. A file that is where an entry says, and is what it says, is held
//! again without crossing the line. What nobody knows an entry of is entered as what it is, by a run that records
//! nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wire::{LedgerId, SegmentNumber, SiteId, StreamId, UnixMicros};

use super::change::Change;
use super::damage::Placed;
use super::recover::{Recovered, salvage};
use super::{Archive, ArchiveError, Index, Result, layout};
use crate::scrub::{Finding, check};

/// Is in the archive's folder until the index is whole again.
const MARK: &str = "index-lost";

/// Opens the index, or begins a new one where there is none any more, or none that can be read.
pub(super) fn open_index(dir: &Path) -> Result<Index> {
    if dir.join("index/CURRENT").exists() {
        match Index::open(dir) {
            Err(ArchiveError::Index { source, .. }) if is_damage(&source) => {
                begin_anew(dir, source.as_ref())?;
            }
            opened => return opened,
        }
    } else if !layout::files(&dir.join("media"))?.is_empty() {
        begin_anew(dir, "it is gone")?;
    }
    Index::open(dir)
}

/// Is the index itself at fault? A disk that can't be read now may be well again tomorrow.
fn is_damage(error: &rocksdb::Error) -> bool {
    let missing = || error.as_ref().contains("No such file or directory");
    match error.kind() {
        rocksdb::ErrorKind::Corruption => true,
        rocksdb::ErrorKind::IOError => missing(),
        _ => false,
    }
}

/// Sets aside what there is of an index. The mark comes first: without it nobody would ask what the files are.
fn begin_anew(dir: &Path, why: &str) -> Result<()> {
    let io = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| ArchiveError::Io { what, path, source }
    };
    let mark = dir.join(MARK);
    fs::write(&mark, why).map_err(io("mark the index as lost", &mark))?;
    layout::sync_folder(dir)?;
    let index = dir.join("index");
    let aside = (1..).map(|n| dir.join(format!("index-damaged-{n}"))).find(|path| !path.exists());
    let aside = aside.unwrap_or_else(|| unreachable!("some number is free"));
    tracing::error!(
        archive = %dir.display(), why, aside = %aside.display(),
        "the index can't be read: set aside, and made anew from the files and from what the other side knows"
    );
    match fs::rename(&index, &aside) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("set aside", &index)(source));
        }
        _ => {}
    }
    layout::make(dir)
}

impl Archive {
    /// Is the index being made anew?
    pub fn is_index_lost(&self) -> bool {
        self.dir().join(MARK).exists()
    }

    /// The file of an entry whose bytes are not held, if it is in its place and what the entry says.
    pub fn found_in_place(&self, placed: &Placed) -> Result<Option<PathBuf>> {
        let path = self.segment_path(&placed.ledger, SegmentNumber(placed.segment.number))?;
        let good = path.exists() && matches!(check(&path, &placed.segment, &mut |_, _| true), Finding::Good);
        Ok(good.then_some(path))
    }

    /// Enters the files of a site that no entry speaks of, by a run that records nothing: everybody who might know of
    /// them was asked. The index is whole then. Returns how many they were.
    pub fn enter_unknown(&self, site: &SiteId, at: UnixMicros) -> Result<u64> {
        let origin = super::new_origin();
        let mut numbers: BTreeMap<StreamId, u64> = BTreeMap::new();
        let mut unknown: Vec<Recovered> = Vec::new();
        for file in layout::files(&self.dir().join("media").join(site.as_str()))? {
            let Some((ledger, number)) = layout::parse_segment(self.dir(), site, &file) else { continue };
            if self.seq_of(&ledger, number)?.is_none()
                && let Some(found) = salvage(&file)?
            {
                unknown.push(found);
            }
        }
        unknown.sort_by_key(|found| found.segment.start_us);
        for found in unknown {
            let ledger = LedgerId { origin, stream: found.ledger.stream.clone() };
            let number = numbers.entry(ledger.stream.clone()).or_insert_with(|| 0);
            if *number == 0 {
                let (ledger, site) = (ledger.clone(), site.clone());
                self.submit_blocking(Change::Open { ledger, site, opened: at })?;
            }
            self.submit_blocking(found.entered(origin, SegmentNumber(*number), at))?;
            *number += 1;
        }
        for stream in numbers.keys() {
            self.submit_blocking(Change::End { ledger: LedgerId { origin, stream: stream.clone() } })?;
        }
        let entered = numbers.values().sum();
        self.index_is_whole(entered)?;
        Ok(entered)
    }

    fn index_is_whole(&self, entered: u64) -> Result<()> {
        let mark = self.dir().join(MARK);
        match fs::remove_file(&mark) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(ArchiveError::Io { what: "delete", path: mark, source })
            }
            _ => {
                tracing::info!(archive = %self.dir().display(), entered, "the index is whole again");
                layout::sync_folder(self.dir())
            }
        }
    }
}
