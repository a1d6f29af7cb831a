//! Origins and tails: what a crash, a lost disk and a late disk leave of one camera's segments, at the site and
//! in the hub's journal and vault.
//!
//! A model of the design, not of code: archives and journals are elsewhere, and need disks. Fragments are
//! numbered over all runs. A run writes one open segment at a time; power cuts take what was not synced; the
//! next run enters what is left under its own origin, saying what it recovered; the hub journals fragments as
//! they come, in any order, and salvages what nobody will close.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Model, Property};

pub(crate) const KEPT: &str = "what the hub has without a hole is never forgotten";
pub(crate) const ENDED: &str =
    "nothing is appended to the ledger of an ended run, and no entry has two contents";
pub(crate) const AT_SITE: &str = "what is synced at the site stays, in an open file or in an entry";
pub(crate) const SALVAGED: &str = "a tail was salvaged";
pub(crate) const BOTH: &str = "a salvaged tail's own entry came later";
pub(crate) const LONGER: &str = "the hub had more of a segment than its site could recover";

const FRAGMENTS_MAX: u8 = 4;
const RUNS_MAX: u8 = 3;

/// Which tails are salvaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Salvage {
    /// Those that no entry speaks of.
    Unknown,
    /// Those too that reach further than what speaks of them.
    Longer,
}

/// The model's rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tails(pub(crate) Salvage);

/// One segment, as a run names it.
type Name = (u8, u8);

/// An entry: its ledger's run, its seq, what it holds, and what it was recovered from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Entry {
    run: u8,
    seq: u8,
    /// The segment's first fragment, and how many.
    first: u8,
    fragments: u8,
    segment: Name,
}

/// A disk of the site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Disk {
    /// The open segment: its name, first fragment, fragments written and fragments synced.
    open: Option<(Name, u8, u8, u8)>,
    entries: BTreeSet<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Site {
    disk: Disk,
    /// A disk that was swapped for an empty one, and may come back.
    shelf: Option<Disk>,
    run: u8,
    up: bool,
    written: u8,
    segments: u8,
    /// Entries told by the present run.
    told: BTreeSet<(u8, u8)>,
    /// The hub's journal: fragments of each segment.
    journal: BTreeMap<Name, BTreeSet<u8>>,
    vault: BTreeSet<Entry>,
    salvaged: BTreeMap<Name, BTreeSet<u8>>,
    /// Everything the hub ever had without a hole before it.
    kept: BTreeSet<u8>,
    /// Everything ever synced at the site, while its disk is in place.
    synced: BTreeSet<u8>,
    wrong: Option<&'static str>,
    longer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Record,
    Sync,
    /// The hub gets this fragment of the open segment, synced at the site or not.
    Arrive(u8),
    Close,
    PowerCut,
    Start,
    SwapDisk,
    BringDisk,
    Tell,
    Salvage,
}

impl Model for Tails {
    type State = Site;
    type Action = Step;

    fn init_states(&self) -> Vec<Site> {
        let (disk, up, run) = (Disk::default(), true, 1);
        vec![Site {
            disk,
            shelf: None,
            run,
            up,
            written: 0,
            segments: 0,
            told: BTreeSet::new(),
            journal: BTreeMap::new(),
            vault: BTreeSet::new(),
            salvaged: BTreeMap::new(),
            kept: BTreeSet::new(),
            synced: BTreeSet::new(),
            wrong: None,
            longer: false,
        }]
    }

    fn actions(&self, site: &Site, steps: &mut Vec<Step>) {
        use Step::*;
        steps.extend([Record, Sync, Close, PowerCut, Start, SwapDisk, BringDisk, Tell, Salvage]);
        if let Some((_, first, written, _)) = site.disk.open {
            steps.extend((first..first + written).map(Arrive));
        }
    }

    fn next_state(&self, site: &Site, step: Step) -> Option<Site> {
        let mut next = site.clone();
        let done = match step {
            Step::Record => next.record(),
            Step::Sync => next.sync(),
            Step::Arrive(fragment) => next.arrive(fragment),
            Step::Close => next.close(),
            Step::PowerCut => next.power_cut(),
            Step::Start => next.start(),
            Step::SwapDisk => next.swap_disk(),
            Step::BringDisk => next.bring_disk(),
            Step::Tell => next.tell(),
            Step::Salvage => next.salvage(self.0),
        };
        (done && next != *site).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(KEPT, |_, site: &Site| site.kept.is_subset(&site.at_hub())),
            Property::always(ENDED, |_, site: &Site| site.wrong.is_none()),
            Property::always(AT_SITE, |_, site: &Site| site.synced.is_subset(&site.disk.holds())),
            Property::sometimes(SALVAGED, |_, site: &Site| !site.salvaged.is_empty()),
            Property::sometimes(BOTH, |_, site: &Site| {
                site.vault.iter().any(|entry| site.salvaged.contains_key(&entry.segment))
            }),
            Property::sometimes(LONGER, |_, site: &Site| site.longer),
        ]
    }
}

impl Disk {
    /// Every fragment that would survive a power cut.
    fn holds(&self) -> BTreeSet<u8> {
        let open = self.open.iter().flat_map(|(_, first, _, synced)| *first..first + synced);
        let closed = self.entries.iter().flat_map(|entry| entry.first..entry.first + entry.fragments);
        open.chain(closed).collect()
    }
}

impl Site {
    fn at_hub(&self) -> BTreeSet<u8> {
        let vault = self.vault.iter().flat_map(|entry| entry.first..entry.first + entry.fragments);
        let tails = self.journal.values().chain(self.salvaged.values()).flatten().copied();
        vault.chain(tails).collect()
    }

    fn record(&mut self) -> bool {
        if !self.up || self.written == FRAGMENTS_MAX {
            return false;
        }
        if self.disk.open.is_none() {
            self.segments += 1;
            self.disk.open = Some(((self.run, self.segments), self.written, 0, 0));
        }
        if let Some((_, _, written, _)) = &mut self.disk.open {
            *written += 1;
        }
        self.written += 1;
        true
    }

    fn sync(&mut self) -> bool {
        let Some((_, first, written, synced)) = self.disk.open.as_mut().filter(|_| self.up) else {
            return false;
        };
        *synced = *written;
        self.synced.extend(*first..*first + *written);
        true
    }

    fn arrive(&mut self, fragment: u8) -> bool {
        let Some((name, first, ..)) = self.disk.open.filter(|_| self.up) else { return false };
        let tail = self.journal.entry(name).or_default();
        tail.insert(fragment);
        self.kept.extend(unholed(first, tail));
        true
    }

    /// Committed at once: the file is synced first.
    fn close(&mut self) -> bool {
        self.sync() && self.enter(self.run)
    }

    /// Makes the open segment an entry of `run`'s ledger.
    fn enter(&mut self, run: u8) -> bool {
        let Some((segment, first, _, synced)) = self.disk.open.take() else { return false };
        if synced == 0 {
            return true;
        }
        let seq = self.disk.entries.iter().filter(|entry| entry.run == run).count() as u8;
        if run != self.run {
            self.wrong = Some("an entry of an ended run");
        }
        self.disk.entries.insert(Entry { run, seq, first, fragments: synced, segment })
    }

    fn power_cut(&mut self) -> bool {
        if let Some((_, _, written, synced)) = &mut self.disk.open {
            *written = *synced;
        }
        std::mem::take(&mut self.up)
    }

    /// Another run. What was open is entered under its own origin, before anything else.
    fn start(&mut self) -> bool {
        if self.up || self.run == RUNS_MAX {
            return false;
        }
        (self.up, self.told) = (true, BTreeSet::new());
        self.run += 1;
        self.enter(self.run);
        true
    }

    fn swap_disk(&mut self) -> bool {
        if self.up || self.shelf.is_some() {
            return false;
        }
        self.synced.clear();
        self.shelf = Some(std::mem::take(&mut self.disk));
        true
    }

    /// The old disk is put back, in place of one that has nothing yet.
    fn bring_disk(&mut self) -> bool {
        if self.up || self.disk != Disk::default() {
            return false;
        }
        let Some(disk) = self.shelf.take() else { return false };
        self.disk = disk;
        true
    }

    /// The hub takes the next entry with its bytes, and forgets the journal's part that the entry holds.
    fn tell(&mut self) -> bool {
        let told = |entry: &&Entry| !self.told.contains(&(entry.run, entry.seq));
        let Some(entry) = self.disk.entries.iter().find(told).cloned().filter(|_| self.up) else {
            return false;
        };
        self.told.insert((entry.run, entry.seq));
        let twin = self.vault.iter().find(|known| (known.run, known.seq) == (entry.run, entry.seq));
        if twin.is_some_and(|known| *known != entry) {
            self.wrong = Some("one seq with two contents");
        }
        if let Some(tail) = self.journal.get_mut(&entry.segment) {
            tail.retain(|fragment| !(entry.first..entry.first + entry.fragments).contains(fragment));
            self.longer |= !tail.is_empty();
        }
        self.journal.retain(|_, tail| !tail.is_empty());
        self.vault.insert(entry);
        true
    }

    /// The present run has told everything: what is left of earlier runs' tails will not be closed.
    fn salvage(&mut self, rule: Salvage) -> bool {
        let all = self.disk.entries.iter().all(|entry| self.told.contains(&(entry.run, entry.seq)));
        if !self.up || !all {
            return false;
        }
        let run = self.run;
        let orphans: Vec<Name> = self.journal.keys().filter(|(of, _)| *of != run).copied().collect();
        for name in orphans {
            let tail = self.journal.remove(&name).unwrap_or_default();
            let known = self.vault.iter().find(|entry| entry.segment == name);
            let speaks = known.map(|entry| entry.first + entry.fragments);
            if speaks.is_some() && rule == Salvage::Unknown {
                continue;
            }
            let first = speaks.unwrap_or_else(|| self.first_of(&tail));
            let kept: BTreeSet<u8> = unholed(first, &tail).collect();
            if !kept.is_empty() {
                self.salvaged.entry(name).or_default().extend(kept);
            }
        }
        true
    }

    /// The segment's first fragment: it is the one everything without a hole begins with.
    fn first_of(&self, tail: &BTreeSet<u8>) -> u8 {
        tail.iter().copied().find(|fragment| self.kept.contains(fragment)).unwrap_or(u8::MAX)
    }
}

/// The fragments of a tail from `first` up to its first hole.
fn unholed(first: u8, tail: &BTreeSet<u8>) -> impl Iterator<Item = u8> + '_ {
    (first..=FRAGMENTS_MAX).take_while(|fragment| tail.contains(fragment))
}
