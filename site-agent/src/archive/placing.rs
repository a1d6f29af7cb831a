//! Files into their places: made durable, and moved where the index will say they are.
//!
//! Those on further disks go first, before anything of a group of changes is entered: what fails there fails alone, puts
//! its disk out, and leaves the archive and the other disks as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::proto::entry::Kind;
use wire::{LedgerId, SegmentNumber};

use super::change::Change;
use super::disks::{Disk, DiskNumber, FIRST};
use super::writer::Job;
use super::{ArchiveError, Inner, Result, layout};
use crate::failpoint;

/// Files that are in their place, by the names they came under, and their disks.
pub(super) type Placed = BTreeMap<PathBuf, DiskNumber>;

/// Why a file could not be moved.
pub(super) enum Failed {
    /// It could not be synced: what is on the disk is not what was written.
    Sync(ArchiveError),
    /// Anything else.
    Other(ArchiveError),
}

impl Failed {
    fn error(self) -> ArchiveError {
        match self {
            Self::Sync(error) | Self::Other(error) => error,
        }
    }
}

/// Syncs a file and moves it below `root`; returns the folder that is to be synced.
pub(super) fn move_synced(root: &Path, file: &Path, target: &Path) -> Result<PathBuf, Failed> {
    let folder = target.parent().unwrap_or(root).to_owned();
    let io = |what| move |source| ArchiveError::Io { what, path: file.to_owned(), source };
    let opened = File::open(file).map_err(io("open segment file")).map_err(Failed::Other)?;
    opened.sync_all().map_err(io("sync segment file")).map_err(Failed::Sync)?;
    failpoint::pass("commit/file-synced");
    layout::make_synced(root, &folder).map_err(Failed::Other)?;
    fs::rename(file, target).map_err(|source| {
        let path = target.to_owned();
        Failed::Other(ArchiveError::Io { what: "move segment file into place", path, source })
    })?;
    failpoint::pass("commit/moved");
    Ok(folder)
}

/// Places one file on a further disk, durably.
pub(super) fn place_one(disk: &Arc<Disk>, target: &Path, file: &Path) -> Result<DiskNumber> {
    let folder = move_on(disk, target, file)?;
    sync_folder(disk, &folder)?;
    Ok(disk.number())
}

/// Places the files of a group that are on further disks. Changes whose file could not be placed are told, and left out.
pub(super) fn place_group(inner: &Inner, group: Vec<Job>) -> (Vec<Job>, Placed) {
    let mut placed = Placed::new();
    if !inner.disks.are_several() {
        return (group, placed);
    }
    let mut moved: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut left = Vec::with_capacity(group.len());
    for job in group {
        let wanted = wanted(inner, &job.change);
        let Some((disk, file, target)) = wanted else {
            left.push(job);
            continue;
        };
        match move_on(&disk, &target, &file) {
            Ok(folder) => {
                placed.insert(file.clone(), disk.number());
                moved.entry(folder).or_default().insert(file);
                left.push(job);
            }
            Err(error) => drop(job.reply.send(Err(error))),
        }
    }
    for (folder, files) in moved {
        let disk = inner.disks.of_path(&folder);
        if let Err(error) = sync_folder(&disk, &folder) {
            placed.retain(|file, _| !files.contains(file));
            refuse(&mut left, &files, &error);
        }
    }
    (left, placed)
}

/// Tells those whose files these are.
fn refuse(jobs: &mut Vec<Job>, files: &BTreeSet<PathBuf>, error: &ArchiveError) {
    let theirs = |job: &mut Job| file_of(&job.change).is_some_and(|file| files.contains(file));
    for job in jobs.extract_if(.., theirs) {
        let source = std::io::Error::other(error.to_string());
        let path = file_of(&job.change).cloned().unwrap_or_default();
        let _ = job.reply.send(Err(ArchiveError::Io { what: "place segment file", path, source }));
    }
}

fn file_of(change: &Change) -> Option<&PathBuf> {
    match change {
        Change::Append { file, .. } => file.as_ref(),
        Change::Bytes { file, .. } => Some(file),
        _ => None,
    }
}

/// Which file of a change goes where, if that is on a further disk, and the change makes sense.
fn wanted(inner: &Inner, change: &Change) -> Option<(Arc<Disk>, PathBuf, PathBuf)> {
    let file = file_of(change)?;
    let disk = inner.disks.of_path(file);
    if disk.number() == FIRST {
        return None;
    }
    let (ledger, number) = segment_of(inner, &disk, change)?;
    let site = inner.read_ledgers().get(ledger)?.site().ok()?;
    let target = layout::segment(disk.dir(), &site, ledger, number);
    Some((disk, file.clone(), target))
}

fn segment_of<'a>(inner: &Inner, disk: &Disk, change: &'a Change) -> Option<(&'a LedgerId, SegmentNumber)> {
    match change {
        Change::Append { ledger, kind, .. } => {
            let segment = match kind {
                Kind::Segment(segment) => segment,
                Kind::Salvage(salvage) => salvage.segment.as_ref()?,
                _ => return None,
            };
            let ended = inner.read_ledgers().get(ledger).is_none_or(|record| record.ended);
            (!ended).then_some((ledger, SegmentNumber(segment.number)))
        }
        Change::Bytes { ledger, seq, .. } => {
            let (_, entry) = inner.index.entry(ledger, *seq).ok()??;
            let number = SegmentNumber(entry.segment()?.number);
            let freed = inner.index.is_freed(ledger, number).unwrap_or(true)
                || inner.index.is_outdated(disk.number(), ledger, number).unwrap_or(true);
            (!freed).then_some((ledger, number))
        }
        _ => None,
    }
}

fn move_on(disk: &Arc<Disk>, target: &Path, file: &Path) -> Result<PathBuf> {
    if !disk.is_ours() {
        let source = std::io::Error::other(disk.why_out().unwrap_or_default());
        return Err(ArchiveError::Io { what: "place segment file", path: file.to_owned(), source });
    }
    move_synced(disk.dir(), file, target).map_err(|failed| {
        match &failed {
            Failed::Sync(error) => disk.fail(&error.to_string()),
            Failed::Other(ArchiveError::Io { source, .. }) => disk.suspect_unless_full(source),
            Failed::Other(_) => {}
        }
        failed.error()
    })
}

fn sync_folder(disk: &Disk, folder: &Path) -> Result<()> {
    layout::sync_folder(folder).inspect_err(|error| disk.fail(&error.to_string()))
}
