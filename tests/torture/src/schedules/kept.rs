//! Are promises kept?

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use site_agent::archive::verify::verify;
use site_agent::archive::{Archive, layout};
use wire::entry::Entry;
use wire::{LedgerId, SegmentNumber, Seq, SiteId};

use super::promise::Promise;
use super::recorder::SITE;

type Place = (LedgerId, u64);

/// Everything that was promised by all runs so far.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The head after each entry, and whether it has bytes.
    entries: BTreeMap<Place, (String, bool)>,
    freeing: BTreeSet<Place>,
    freed: BTreeSet<Place>,
    /// Of the last run only: the next takes such files in under other names.
    fragments: BTreeMap<Place, (u64, String)>,
}

impl Kept {
    /// A run was promised this.
    pub(super) fn hear(&mut self, promises: Vec<Promise>) {
        self.fragments.clear();
        for promise in promises {
            match promise {
                Promise::Fragments { ledger, number, bytes, hash } => {
                    self.fragments.insert((ledger, number), (bytes, hash));
                }
                Promise::Entry { ledger, seq, head, has_bytes } => {
                    self.entries.insert((ledger, seq), (head, has_bytes));
                }
                Promise::Freeing { ledger, seq } => drop(self.freeing.insert((ledger, seq))),
                Promise::Freed { ledger, seq } => drop(self.freed.insert((ledger, seq))),
            }
        }
    }

    /// What is broken, as the archive is after a power cut.
    pub(super) fn check(&self, dir: &Path) -> anyhow::Result<Vec<String>> {
        let report = match verify(dir, |_| {}) {
            Ok(report) => report,
            // The power went before there was an archive.
            Err(_) if self.entries.is_empty() && self.fragments.is_empty() => return Ok(Vec::new()),
            Err(error) => return Ok(vec![format!("the archive can't be read: {error}")]),
        };
        let mut broken: Vec<String> = report.bad.iter().map(|bad| format!("verify: {bad}")).collect();
        let archive = match Archive::open(dir) {
            Ok(archive) => archive,
            Err(error) => return Ok(vec![format!("the archive can't be opened: {error}")]),
        };
        for (place, promised) in &self.entries {
            broken.extend(self.entry(&archive, place, promised)?);
        }
        for (place, promised) in &self.fragments {
            broken.extend(fragments(&archive, place, promised)?);
        }
        Ok(broken)
    }

    fn entry(
        &self,
        archive: &Archive,
        place: &Place,
        (head, has_bytes): &(String, bool),
    ) -> anyhow::Result<Option<String>> {
        let (ledger, seq) = (&place.0, Seq(place.1));
        let is = archive.head_before(ledger, Seq(seq.0 + 1))?.map(|head| head.to_string());
        if is.as_ref() != Some(head) {
            return Ok(Some(format!("{ledger} entry {seq} was promised with head {head}, and is {is:?}")));
        }
        let held = archive.holds(ledger, seq);
        if self.freed.contains(place) && held {
            return Ok(Some(format!("{ledger} entry {seq} was freed, and is held")));
        }
        if *has_bytes && !held && !self.freeing.contains(place) {
            return Ok(Some(format!("the bytes of {ledger} entry {seq} were promised, and are not held")));
        }
        Ok(None) // what is held was read and hashed by verify
    }
}

/// The bytes are in the open file, or wherever a segment of that number is.
fn fragments(
    archive: &Archive,
    (ledger, number): &Place,
    (bytes, hash): &(u64, String),
) -> anyhow::Result<Option<String>> {
    let number = SegmentNumber(*number);
    if let Some(seq) = archive.seq_of(ledger, number)?
        && let Some(entry) = archive.entry(ledger, seq)?
    {
        // Entered: the entry speaks for them.
        let length = Entry::segment(&entry).map_or(0, |segment| segment.bytes);
        return Ok(
            (length < *bytes).then(|| format!("{ledger} segment {number} was entered without its end"))
        );
    }
    let open = layout::open_segment(archive.dir(), ledger, number);
    let moved = layout::segment(archive.dir(), &SiteId::new(SITE)?, ledger, number);
    let whole = [open, moved].iter().any(|path| {
        let file = std::fs::read(path).unwrap_or_default();
        let first = file.get(..usize::try_from(*bytes).unwrap_or(usize::MAX));
        first.is_some_and(|first| blake3::hash(first).to_hex().as_str() == hash)
    });
    Ok((!whole)
        .then(|| format!("{bytes} bytes of {ledger} segment {number} were promised, and are not there")))
}
