//! Are promises kept?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::SmallRng;
use site_agent::archive::verify::verify;
use site_agent::archive::{Archive, layout};
use wire::entry::Entry;
use wire::{LedgerId, SegmentNumber, Seq, SiteId};

use super::broken::{About, Broken};
use super::promise::Promise;
use super::recorder::SITE;

type Place = (LedgerId, u64);

/// What was said of an entry.
#[derive(Clone, Debug)]
struct Said {
    /// The head after it.
    head: String,
    /// Its number, if it is a segment.
    segment: Option<u64>,
}

/// So many bytes of a segment hash to this.
type Bytes = (u64, String);

/// Everything that was promised by all runs so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    entries: BTreeMap<Place, Said>,
    freeing: BTreeSet<Place>,
    freed: BTreeSet<Place>,
    fragments: BTreeMap<Place, Bytes>,
    /// Files in which a bit rotted.
    rotten: BTreeSet<PathBuf>,
    /// What was promised, and undone when the disk was put back as it was: others may have heard of it. It may be gone,
    /// and nothing else may have its name.
    undone_entries: BTreeMap<Place, String>,
    undone_fragments: BTreeMap<Place, Bytes>,
}

impl Kept {
    /// A run was promised this.
    pub(super) fn hear(&mut self, promises: Vec<Promise>) {
        for promise in promises {
            match promise {
                Promise::Fragments { ledger, number, bytes, hash } => {
                    self.fragments.insert((ledger, number), (bytes, hash));
                }
                Promise::Entry { ledger, seq, head, segment } => {
                    self.entries.insert((ledger, seq), Said { head, segment });
                }
                Promise::Freeing { ledger, seq } => drop(self.freeing.insert((ledger, seq))),
                Promise::Freed { ledger, seq } => drop(self.freed.insert((ledger, seq))),
                Promise::Refused => {}
            }
        }
    }

    /// The disk is as it was when this was `before`.
    pub(super) fn put_back(&mut self, before: Self) {
        let after = std::mem::replace(self, before);
        self.undone_entries.extend(after.undone_entries);
        self.undone_fragments.extend(after.undone_fragments);
        let new = after.entries.into_iter().filter(|(place, _)| !self.entries.contains_key(place));
        self.undone_entries.extend(new.map(|(place, said)| (place, said.head)));
        let new = after.fragments.into_iter().filter(|(place, _)| !self.fragments.contains_key(place));
        self.undone_fragments.extend(new);
    }

    /// The file of a segment that is to be there, in which nothing has rotted yet.
    pub(super) fn sound_file(&self, dir: &Path, chance: &mut SmallRng) -> anyhow::Result<Option<PathBuf>> {
        let site = SiteId::new(SITE)?;
        let files = self.entries.iter().filter(|(place, _)| !self.freeing.contains(place));
        let files = files.filter_map(|((ledger, _), said)| {
            Some(layout::segment(dir, &site, ledger, SegmentNumber(said.segment?)))
        });
        let files: Vec<_> = files.filter(|file| !self.rotten.contains(file)).collect();
        Ok((!files.is_empty()).then(|| files[chance.random_range(0..files.len())].clone()))
    }

    /// A bit of this file has rotted.
    pub(super) fn rot(&mut self, file: PathBuf) {
        self.rotten.insert(file);
    }

    /// What is broken, as the archive is after a power cut.
    pub(super) fn check(&self, dir: &Path) -> anyhow::Result<Vec<Broken>> {
        let whole = |what| Ok(vec![Broken(About::Archive, what)]);
        let report = match verify(dir, |_| {}) {
            Ok(report) => report,
            // The power went before there was an archive.
            Err(_) if self.entries.is_empty() && self.fragments.is_empty() => return Ok(Vec::new()),
            Err(error) => return whole(format!("the archive can't be read: {error}")),
        };
        let archive = match Archive::open(dir) {
            Ok(archive) => archive,
            Err(error) => return whole(format!("the archive can't be opened: {error}")),
        };
        let mut broken = self.files(&report.bad);
        for (place, said) in &self.entries {
            broken.extend(self.entry(&archive, place, said)?.map(|what| Broken(About::Entry, what)));
        }
        for (place, promised) in &self.fragments {
            let lost = fragments(&archive, place, promised)?;
            broken.extend(lost.map(|what| Broken(About::Fragments, what)));
        }
        broken.extend(self.names(&archive)?.into_iter().map(|what| Broken(About::Name, what)));
        Ok(broken)
    }

    /// Verify names what rotted, and nothing else.
    fn files(&self, bad: &[String]) -> Vec<Broken> {
        let rotten: Vec<_> = self.rotten.iter().map(|file| file.display().to_string()).collect();
        let of_rotten = |bad: &String| rotten.iter().any(|file| bad.contains(file));
        let others = bad.iter().filter(|bad| !of_rotten(bad));
        let others = others.map(|bad| Broken(About::File, format!("verify: {bad}")));
        let unseen = rotten.iter().filter(|file| !bad.iter().any(|bad| bad.contains(*file)));
        let unseen =
            unseen.map(|file| Broken(About::Archive, format!("{file} rotted, and verify says nothing")));
        others.chain(unseen).collect()
    }

    fn entry(&self, archive: &Archive, place: &Place, said: &Said) -> anyhow::Result<Option<String>> {
        let (ledger, seq, head) = (&place.0, Seq(place.1), &said.head);
        let is = head_after(archive, place)?;
        if is.as_ref() != Some(head) {
            return Ok(Some(format!("{ledger} entry {seq} was promised with head {head}, and is {is:?}")));
        }
        let held = archive.holds(ledger, seq);
        if self.freed.contains(place) && held {
            return Ok(Some(format!("{ledger} entry {seq} was freed, and is held")));
        }
        if said.segment.is_some() && !held && !self.freeing.contains(place) {
            return Ok(Some(format!("the bytes of {ledger} entry {seq} were promised, and are not held")));
        }
        Ok(None) // what is held was read and hashed by verify
    }

    /// What was undone has no namesake.
    fn names(&self, archive: &Archive) -> anyhow::Result<Vec<String>> {
        let mut twice = Vec::new();
        for (place, head) in &self.undone_entries {
            if head_after(archive, place)?.is_some_and(|is| is != *head) {
                twice.push(format!("{} entry {} is another than the one that was undone", place.0, place.1));
            }
        }
        for (place, promised) in &self.undone_fragments {
            let (ledger, number) = (&place.0, SegmentNumber(place.1));
            if own_files(archive, ledger, number)?.iter().any(|file| begins(file, promised) == Some(false)) {
                twice.push(format!("{ledger} segment {number} is another than the one that was undone"));
            }
        }
        Ok(twice)
    }
}

fn head_after(archive: &Archive, (ledger, seq): &Place) -> anyhow::Result<Option<String>> {
    Ok(archive.head_before(ledger, Seq(seq + 1))?.map(|head| head.to_string()))
}

/// The bytes are in the open file, wherever a segment of that number is, or where a later run put them.
fn fragments(
    archive: &Archive,
    (ledger, number): &Place,
    promised: &Bytes,
) -> anyhow::Result<Option<String>> {
    let (number, bytes) = (SegmentNumber(*number), promised.0);
    if let Some(seq) = archive.seq_of(ledger, number)?
        && let Some(entry) = archive.entry(ledger, seq)?
    {
        // Entered: the entry speaks for them.
        let length = Entry::segment(&entry).map_or(0, |segment| segment.bytes);
        return Ok((length < bytes).then(|| format!("{ledger} segment {number} was entered without its end")));
    }
    let there = |files: &[PathBuf]| files.iter().any(|file| begins(file, promised) == Some(true));
    if there(&own_files(archive, ledger, number)?) {
        return Ok(None);
    }
    // What a recovery took, or, without one whole fragment, set aside.
    let mut files = Vec::new();
    for folder in ["open", "media", "discarded"] {
        files.extend(layout::files(&archive.dir().join(folder))?);
    }
    Ok((!there(&files))
        .then(|| format!("{bytes} bytes of {ledger} segment {number} were promised, and are not there")))
}

/// Where a segment is under its own name, while it is recorded and then.
fn own_files(archive: &Archive, ledger: &LedgerId, number: SegmentNumber) -> anyhow::Result<[PathBuf; 2]> {
    let moved = layout::segment(archive.dir(), &SiteId::new(SITE)?, ledger, number);
    Ok([layout::open_segment(archive.dir(), ledger, number), moved])
}

/// Does a file begin with these bytes? `None` if it is not there, or shorter.
fn begins(file: &Path, (bytes, hash): &Bytes) -> Option<bool> {
    let file = std::fs::read(file).ok()?;
    let first = file.get(..usize::try_from(*bytes).ok()?)?;
    Some(blake3::hash(first).to_hex().as_str() == hash)
}
