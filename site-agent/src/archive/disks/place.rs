//! From the places that are configured to the disks that are there: who is who, who is new, and what is none of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use prost::Message;

use super::identity::{self, Found, Identity, new_id};
use super::{Disk, DiskNumber, Disks, FIRST, Place};
use crate::archive::index::Index;
use crate::archive::{ArchiveError, Result, layout};
use crate::renew;

/// A disk as the index knows it.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) number: DiskNumber,
    id: String,
    pub(super) dir: PathBuf,
    /// What the disk has; or what it had and was to get, where the power went before that was done.
    marks: Vec<String>,
    /// A person said that it does not come back.
    pub(super) given_up: bool,
}

impl Registered {
    fn row(&self) -> Vec<u8> {
        let (id, dir) = (self.id.clone(), self.dir.to_string_lossy().into_owned());
        Row { id, dir, marks: self.marks.clone(), given_up: self.given_up }.encode_to_vec()
    }
}

/// The same in the index.
#[derive(Clone, PartialEq, prost::Message)]
struct Row {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    dir: String,
    #[prost(string, repeated, tag = "3")]
    marks: Vec<String>,
    #[prost(bool, tag = "4")]
    given_up: bool,
}

/// Disks that were ever the archive's.
pub(super) fn registered(index: &Index) -> Result<Vec<Registered>> {
    let damaged = |error: String| ArchiveError::Damaged("a disk".into(), error);
    let rows = index.disks()?.into_iter().map(|(number, row)| {
        let row = Row::decode(&*row).map_err(|error| damaged(error.to_string()))?;
        let Row { id, dir, marks, given_up } = row;
        Ok(Registered { number, id, dir: dir.into(), marks, given_up })
    });
    rows.collect()
}

/// The folders of an archive's disks that are there, of those that were told, or else where they were last. For whoever
/// only reads: nothing is written, and nothing locked.
pub(in crate::archive) fn folders(
    index: &Index,
    first: &Path,
    told: &[PathBuf],
) -> Result<BTreeMap<DiskNumber, PathBuf>> {
    let mut folders = BTreeMap::from([(FIRST, first.to_owned())]);
    let Some(archive) = index.archive_id()? else { return Ok(folders) };
    let registered = registered(index)?;
    let last: Vec<_> = registered.iter().map(|one| one.dir.clone()).collect();
    for dir in if told.is_empty() { &last } else { told } {
        if let Found::Disk(identity) = identity::look(dir)
            && identity.archive == archive
            && let Some(one) = registered.iter().find(|one| one.id == identity.disk)
        {
            folders.insert(one.number, dir.clone());
        }
    }
    Ok(folders)
}

/// The id that further disks name. An archive that never had one has none: it is drawn with the first.
pub(super) fn archive_id(index: &Index, dir: &Path, places: &[Place], several: bool) -> Result<String> {
    if let Some(id) = index.archive_id()? {
        return Ok(id);
    }
    if places.is_empty() && !several {
        return Ok(String::new());
    }
    // The index was lost: what lies beside it, or on the other disks, still knows.
    let beside = match identity::look(dir) {
        Found::Disk(identity) => Some(identity.archive),
        _ => None,
    };
    let as_new = index.ledgers()?.is_empty() && layout::files(&dir.join("media"))?.is_empty();
    let id = beside.or_else(|| of_all(places).filter(|_| as_new)).unwrap_or_else(new_id);
    index.put_archive_id(&id)?;
    let first = Identity { archive: id.clone(), disk: new_id(), mark: String::new() };
    identity::write(dir, &first).map_err(|source| ArchiveError::Io {
        what: "note the archive's id in",
        path: dir.join(identity::FILE),
        source,
    })?;
    Ok(id)
}

/// The archive that all further disks belong to: where the first is as good as new, it was replaced.
fn of_all(places: &[Place]) -> Option<String> {
    let ids: BTreeSet<_> = places
        .iter()
        .filter_map(|place| match identity::look(&place.dir) {
            Found::Disk(identity) => Some(identity.archive),
            _ => None,
        })
        .collect();
    ids.into_iter().next().filter(|id| places.iter().all(|place| names(place, id)))
}

fn names(place: &Place, id: &str) -> bool {
    match identity::look(&place.dir) {
        Found::Disk(identity) => identity.archive == id,
        _ => true,
    }
}

impl Disks {
    /// What is there and was not. It is used once what it holds is given back ([`super::returned`]).
    pub(super) fn find_those(&self, index: &Index, may: impl Fn(&PathBuf) -> bool) -> Result<Vec<Disk>> {
        let mut found = Vec::new();
        for place in &self.places {
            if self.in_use().iter().any(|disk| disk.dir == place.dir) || !may(&place.dir) {
                continue;
            }
            match self.take(index, place, &found) {
                Ok(disk) => {
                    self.trouble().remove(&place.dir);
                    found.push(disk);
                }
                Err(why) => self.not_usable(&place.dir, why),
            }
        }
        Ok(found)
    }

    fn not_usable(&self, dir: &Path, why: String) {
        let before = self.trouble().insert(dir.to_owned(), why.clone());
        if before.as_ref() != Some(&why) {
            tracing::error!(disk = %dir.display(), why, "a disk of the archive can't be used: the others are");
        }
        // What is known to have been there says the same.
        let was_here = |disk: &&std::sync::Arc<Disk>| disk.number != FIRST && disk.dir == dir;
        for disk in self.all().iter().filter(was_here) {
            disk.state().why.clone_from(&why);
        }
    }

    /// Makes the disk at a place ours, or says why not.
    fn take(&self, index: &Index, place: &Place, besides: &[Disk]) -> Result<Disk, String> {
        let identity = match identity::look(&place.dir) {
            Found::Disk(identity) => identity,
            Found::Empty => self.begin(place, besides)?,
            Found::Nothing(why) => return Err(why),
        };
        if identity.archive != self.archive {
            return Err(format!(
                "it belongs to another archive ({}, this is {}): nothing of it is touched",
                identity.archive, self.archive
            ));
        }
        let known = self.registered().iter().find(|one| one.id == identity.disk).cloned();
        let unlisted = known.is_none();
        let known = known.unwrap_or_else(|| Registered {
            number: self.registered().iter().map(|one| one.number).max().unwrap_or(FIRST) + 1,
            id: identity.disk.clone(),
            dir: place.dir.clone(),
            marks: Vec::new(),
            given_up: false,
        });
        if known.given_up {
            return Err(
                "it was given up (`holdfast disk lost`), and what was on it is explained so: nothing of it is touched. \
                 Emptied, it is taken as a new disk"
                    .to_owned(),
            );
        }
        let used = self.in_use();
        let mut used = used.iter().map(|disk| &**disk).chain(besides);
        if let Some(other) = used.find(|disk| disk.number == known.number) {
            return Err(format!("it is a copy of the disk in {}", other.dir.display()));
        }
        if !identity.mark.is_empty() && !known.marks.is_empty() && !known.marks.contains(&identity.mark) {
            return Err(format!(
                "it is an older copy of the disk, or the index is: if it is the right one, set `mark` in its {} to \"\"",
                identity::FILE
            ));
        }
        renew::probe(&place.dir).map_err(|error| format!("it can't be written: {error}"))?;
        Ok(Disk { unlisted, ..self.mark(index, place, identity, known)? })
    }

    /// Draws a new mark: first into the index, beside the one on the disk, and then onto the disk.
    fn mark(
        &self,
        index: &Index,
        place: &Place,
        mut identity: Identity,
        mut known: Registered,
    ) -> Result<Disk, String> {
        // Whoever uses it has the file that is there now.
        let there = place.dir.join(identity::FILE).exists();
        let held = if there { Some(identity::pin(&place.dir)?) } else { None };
        let before = std::mem::replace(&mut identity.mark, new_id());
        known.dir.clone_from(&place.dir);
        known.marks = [before, identity.mark.clone()].into();
        index.put_disk(known.number, &known.row()).map_err(|error| error.to_string())?;
        identity::write(&place.dir, &identity)
            .map_err(|error| format!("its {} can't be written: {error}", identity::FILE))?;
        let pin = identity::pin(&place.dir)?;
        drop(held);
        // From here on a copy from before is known as one.
        known.marks = [identity.mark].into();
        index.put_disk(known.number, &known.row()).map_err(|error| error.to_string())?;
        let prepared =
            layout::make_segment_folders(&place.dir).and_then(|()| layout::clear_incoming(&place.dir));
        prepared.map_err(|error| error.to_string())?;
        let number = known.number;
        let mut registered = self.registered();
        registered.retain(|one| one.number != number);
        registered.push(known);
        Ok(Disk::new(number, &place.dir, Some(pin)))
    }

    /// A folder with nothing in it: a new disk, if it is one.
    fn begin(&self, place: &Place, besides: &[Disk]) -> Result<Identity, String> {
        let was_one = self.registered().iter().any(|one| one.dir == place.dir && !one.given_up);
        let own = place.same_file_system || self.is_own_file_system(&place.dir, besides);
        if !own || (was_one && place.same_file_system) {
            let why = if was_one { "a disk was here" } else { "it is on a disk that has other things" };
            return Err(format!(
                "it is empty, and {why}: is its disk mounted? (`same_file_system = true` makes a folder of another disk one)"
            ));
        }
        tracing::info!(disk = %place.dir.display(), "a new disk of the archive");
        Ok(Identity { archive: self.archive.clone(), disk: new_id(), mark: String::new() })
    }

    /// Is it on no file system that something else of ours, or the system itself, is on?
    fn is_own_file_system(&self, dir: &Path, besides: &[Disk]) -> bool {
        let device = |dir: &Path| fs::metadata(dir).map(|found| found.dev()).ok();
        let used = self.in_use();
        let used = used.iter().map(|disk| &**disk).chain(besides);
        let mut others = used.map(|disk| device(&disk.dir)).chain([device(Path::new("/"))]);
        let own = device(dir);
        own.is_some() && others.all(|other| other != own)
    }

    pub(super) fn trouble(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes, durably, that a disk does not come back.
    pub(super) fn note_given_up(&self, index: &Index, number: DiskNumber) -> Result<()> {
        let mut registered = self.registered();
        let Some(one) = registered.iter_mut().find(|one| one.number == number) else { return Ok(()) };
        index.put_disk(number, &Registered { given_up: true, ..one.clone() }.row())?;
        one.given_up = true;
        Ok(())
    }

    pub(super) fn registered(&self) -> MutexGuard<'_, Vec<Registered>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on recordings go there.
    pub(super) fn use_disk(&self, disk: &Disk) {
        tracing::info!(disk = %disk.dir.display(), number = disk.number, "a disk of the archive is in use");
        disk.state().returning = false;
    }
}
