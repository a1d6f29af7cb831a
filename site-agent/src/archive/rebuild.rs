//! An index that is gone or damaged is made anew from the files, and from what the other side knows.
//!
//! What is left of it is set aside, and an empty one begun, so that recording goes on at once. Until the archive is
//! whole again a mark says so. The entries come back as they were first encoded from whoever has them too: a site's from
//! its hub ([`crate::uplink`]), a vault's from its sites. A file that is where an entry says, and is what it says, is held
//! again without crossing the line. What nobody knows an entry of is entered as what it is, by a run that records
//! nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wire::{SegmentNumber, SiteId};

use super::damage::Placed;
use super::disks::Place;
use super::recover::{Recovered, salvage};
use super::{Archive, ArchiveError, Index, Result, layout};
use crate::scrub::{Finding, check};

/// Is in the archive's folder until the index is whole again.
const MARK: &str = "index-lost";

/// Opens the index, or begins a new one where there is none any more, or none that can be read.
pub(super) fn open_index(dir: &Path, places: &[Place]) -> Result<Index> {
    if dir.join("index/CURRENT").exists() {
        match Index::open(dir) {
            Err(ArchiveError::Index { source, .. }) if is_damage(&source) => {
                begin_anew(dir, source.as_ref())?;
            }
            opened => return opened,
        }
    } else if !layout::files(&dir.join("media"))?.is_empty() || places.iter().any(has_segments) {
        begin_anew(dir, "it is gone")?;
    }
    Index::open(dir)
}

/// Is anything recorded on a further disk? One that can't be read has nothing to tell.
fn has_segments(place: &Place) -> bool {
    layout::files(&place.dir.join("media")).is_ok_and(|files| !files.is_empty())
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

    /// The file of an entry whose bytes are not held, if it is in its place on some disk and what the entry says.
    pub fn found_in_place(&self, placed: &Placed) -> Result<Option<PathBuf>> {
        let Placed { ledger, segment, .. } = placed;
        let record = self.ledger(ledger).ok_or_else(|| ArchiveError::UnknownLedger(ledger.clone()))?;
        let site = record.site()?;
        let good =
            |path: &PathBuf| path.exists() && matches!(check(path, segment, &mut |_, _| true), Finding::Good);
        let paths = self.disks().in_use().into_iter();
        let mut paths =
            paths.map(|disk| layout::segment(disk.dir(), &site, ledger, SegmentNumber(segment.number)));
        Ok(paths.find(good))
    }

    /// Enters the files of a site that no entry speaks of, by a run that records nothing: everybody who might know of
    /// them was asked. Returns how many they were. What is being recorded, or brought, is left to who does that.
    ///
    /// `standby`: is this a vault? What its sites know nothing of its own standbys, or a host's, recorded.
    pub fn enter_unknown(&self, site: &SiteId, standby: bool) -> Result<u64> {
        let mut unknown: Vec<Recovered> = Vec::new();
        for disk in self.disks().in_use() {
            for file in layout::files(&disk.dir().join("media").join(site.as_str()))? {
                let Some((_, ledger, number)) = layout::parse_any_segment(disk.dir(), &file) else {
                    continue;
                };
                let goes_on = self.ledger(&ledger).is_some_and(|record| !record.ended);
                if !goes_on
                    && self.seq_of(&ledger, number)?.is_none()
                    && let Some(found) = salvage(&file)?
                {
                    unknown.push(found);
                }
            }
        }
        self.enter_as_run(site, unknown, standby)
    }

    /// Sites of which anything is recorded here, whether the index knows of it or not.
    pub fn sites_on_disk(&self) -> Result<BTreeSet<SiteId>> {
        let mut sites = BTreeSet::new();
        for disk in self.disks().in_use() {
            sites.extend(
                layout::names(&disk.dir().join("media"))?.iter().filter_map(|name| SiteId::new(name).ok()),
            );
        }
        Ok(sites)
    }

    /// Everybody was asked, and everything entered: the mark goes.
    pub fn index_is_whole(&self, entered: u64) -> Result<()> {
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
