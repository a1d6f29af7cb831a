//! What a run finds when it starts: the ledgers of runs that ended without saying so, and files that
//! are not in the index yet.
//!
//! Nothing is appended to an ended ledger. Files are handed to the new run, which enters them into its
//! own ledgers and says what they continue.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use media::read::rebuild;
use wire::proto::{self, entry::Kind};
use wire::{LedgerId, OriginId, SegmentNumber, UnixMicros};

use super::change::Change;
use super::damage::set_aside;
use super::disks::Disk;
use super::{Archive, ArchiveError, Result, layout};

/// A file with complete fragments that no entry names.
#[derive(Debug)]
pub struct Recovered {
    /// The ledger that would have held it.
    pub ledger: LedgerId,
    /// Its number there.
    pub number: SegmentNumber,
    /// The entry body for the new ledger; its `number` has yet to be set.
    pub segment: proto::Segment,
    /// The file, cut to its complete fragments.
    pub file: PathBuf,
}

impl Recovered {
    /// What enters it into a run's ledger of its stream, as this number, naming what it continues.
    pub fn entered(self, origin: OriginId, number: SegmentNumber, at: UnixMicros) -> Change {
        let segment = proto::Segment {
            number: number.0,
            recovered_from: Some(proto::SegmentName {
                origin: bytes::Bytes::copy_from_slice(&self.ledger.origin.0),
                stream: self.ledger.stream.as_str().to_owned(),
                number: self.number.0,
            }),
            ..self.segment
        };
        let ledger = LedgerId { origin, stream: self.ledger.stream };
        Change::Append { ledger, at, kind: Kind::Segment(segment), file: Some(self.file) }
    }
}

/// What earlier runs left.
#[derive(Debug)]
pub struct Remains {
    /// Files to be entered into the new run's ledgers.
    pub files: Vec<Recovered>,
    /// Ledgers to be ended once that is done, and not before: the files of an ended ledger are not looked
    /// for again.
    pub ledgers: Vec<LedgerId>,
}

/// Collects what earlier runs left at a site, of all that is its own: what it recorded as another site's host is
/// [`recover_standbys`]'s. Files without one complete fragment are moved aside into `discarded/`, never deleted.
pub fn recover(archive: &Archive) -> Result<Remains> {
    collect(archive, &|ledger| !is_standby_here(archive, ledger))
}

/// Likewise what earlier runs of standbys left, in a vault or at a host. The other open ledgers there are of sites that
/// record.
pub fn recover_standbys(archive: &Archive) -> Result<Remains> {
    collect(archive, &|ledger| is_standby_here(archive, ledger))
}

fn is_standby_here(archive: &Archive, ledger: &LedgerId) -> bool {
    archive.ledger(ledger).is_some_and(|record| record.is_standby_here())
}

/// From every disk that is in use; what one brings that is not there yet, [`super::disks`] enters when it is.
fn collect(archive: &Archive, own: &dyn Fn(&LedgerId) -> bool) -> Result<Remains> {
    let ledgers: Vec<_> = archive.open_ledgers().into_iter().filter(own).collect();
    let mut recovered: Vec<Recovered> = Vec::new();
    for disk in archive.disks().in_use() {
        let mut files = layout::files(&disk.dir().join("open"))?;
        let named = |file: &PathBuf| layout::parse_open_segment(disk.dir(), file);
        files.retain(|file| named(file).is_none_or(|(ledger, _)| own(&ledger)));
        for ledger in &ledgers {
            files.extend(files_without_entry(archive, &disk, ledger)?);
        }
        for file in files {
            match salvage(&file)? {
                Some(found) => recovered.push(found),
                None => {
                    tracing::warn!(file = %file.display(), "no complete fragment in an open segment");
                    set_aside(disk.dir(), &file)?;
                }
            }
        }
    }
    recovered.sort_by_key(|found| (found.segment.start_us, found.number));
    Ok(Remains { files: recovered, ledgers })
}

/// Files that were renamed into place just before the index would have named them. They are the newest
/// of their ledger, so only its last folder on the disk is looked at.
pub(super) fn files_without_entry(archive: &Archive, disk: &Disk, ledger: &LedgerId) -> Result<Vec<PathBuf>> {
    let Some(record) = archive.ledger(ledger) else { return Ok(Vec::new()) };
    let media = layout::ledger_media(disk.dir(), &record.site()?, ledger);
    let files = layout::files(&media)?;
    let Some(last) = files.iter().filter_map(|file| file.parent()).max() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.parent() == Some(last)) {
        if let Some(number) = layout::parse_number(file)
            && archive.seq_of(ledger, number)?.is_none()
        {
            found.push(file.clone());
        }
    }
    Ok(found)
}

pub(super) fn salvage(file: &Path) -> Result<Option<Recovered>> {
    let io = |what| move |source| ArchiveError::Io { what, path: file.to_owned(), source };
    let bytes = fs::read(file).map_err(io("read open segment"))?;
    let Ok(rebuilt) = rebuild(SegmentNumber(0), &bytes) else { return Ok(None) };
    let cut = || {
        let open = OpenOptions::new().write(true).open(file)?;
        open.set_len(rebuilt.valid_bytes as u64)?;
        open.sync_all()
    };
    cut().map_err(io("cut open segment to its complete fragments"))?;
    Ok(Some(Recovered {
        ledger: rebuilt.ledger,
        number: rebuilt.number,
        segment: rebuilt.segment,
        file: file.to_owned(),
    }))
}

/// Names of all files the index should know: for finding orphans.
pub(super) fn known_files(dir: &Path, known: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>> {
    let files = layout::files(&dir.join("media"))?;
    Ok(files.into_iter().filter(|file| !known.contains(file)).collect())
}
