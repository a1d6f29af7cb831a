//! Looks after the further disks of an open archive: finds what went out, tells the index, and takes back what is there
//! again. A thread beside the recorders, which never wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wire::{LedgerId, SiteId};

use super::{Disk, DiskNumber, FIRST};
use crate::archive::{Archive, ArchiveError, Event, Result};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// A disk that went out is not tried before this, and twice as late each time up to the second.
const AGAIN: Duration = Duration::from_secs(4);
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// One that has been well for so long begins with the first again.
const WELL: Duration = Duration::from_secs(600);

/// Who writes an archive, and so who enters what a disk brings back.
#[derive(Clone, Debug)]
pub enum Whose {
    /// A site's agent.
    Site(SiteId),
    /// A vault, and the standbys in it.
    Vault,
}

impl Whose {
    pub(super) fn is_vault(&self) -> bool {
        matches!(self, Self::Vault)
    }

    /// Whose cameras a file without an entry is of, if it is to be entered here.
    pub(super) fn site_of(&self, archive: &Archive, ledger: &LedgerId) -> Option<SiteId> {
        match self {
            Self::Site(site) => Some(site.clone()),
            Self::Vault => archive.ledger(ledger).filter(|record| record.standby)?.site().ok(),
        }
    }
}

/// The thread. Dropped, it ends with what it is at.
pub struct Keeper {
    archive: Archive,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts it. An archive that never had more than one disk has nothing to look after.
    pub fn start(archive: &Archive, whose: Whose) -> Result<Self> {
        if !archive.disks().are_several() {
            return Ok(Self { archive: archive.clone(), thread: None });
        }
        let looked_after = archive.clone();
        let run = move || Looks::new(looked_after, whose).run();
        let spawned = std::thread::Builder::new().name("disks".into()).spawn(run);
        let thread = spawned.map_err(|source| ArchiveError::Io {
            what: "start looking after the disks of archive",
            path: archive.dir().to_owned(),
            source,
        })?;
        Ok(Self { archive: archive.clone(), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.archive.disks().end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // one that panicked looks no more either
        }
    }
}

/// How often a disk went out of late, and when it may be tried again.
pub(super) struct Trouble {
    times: u32,
    at: Instant,
}

pub(super) struct Looks {
    archive: Archive,
    whose: Whose,
    /// Of these it is in the index that they are away.
    away: BTreeSet<DiskNumber>,
    pub(super) trouble: BTreeMap<PathBuf, Trouble>,
}

impl Looks {
    pub(super) fn new(archive: Archive, whose: Whose) -> Self {
        Self { archive, whose, away: BTreeSet::new(), trouble: BTreeMap::new() }
    }

    fn run(&mut self) {
        loop {
            if let Err(error) = self.look() {
                tracing::error!(archive = %self.archive.dir().display(), %error, "look after the disks");
            }
            if !self.archive.disks().wait(EVERY) {
                return;
            }
        }
    }

    /// Looks at every disk once.
    pub(super) fn look(&mut self) -> Result<()> {
        let archive = self.archive.clone();
        let disks = archive.disks();
        let _turn = disks.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for disk in disks.all().into_iter().filter(|disk| disk.number() != FIRST) {
            if disk.is_in_use() && !disk.is_there() {
                disk.fail("it is not there any more");
            }
            if !disk.is_in_use() && !disks.is_given_up(disk.number()) && self.away.insert(disk.number()) {
                self.went_out(&disk)?;
            }
        }
        let now = wire::clock::now();
        let may = |dir: &PathBuf, trouble: &BTreeMap<PathBuf, Trouble>| {
            trouble
                .get(dir)
                .is_none_or(|trouble| now.saturating_duration_since(trouble.at) >= wait(trouble.times))
        };
        let tried = disks.find_those(&archive.inner.index, |dir| may(dir, &self.trouble))?;
        for disk in tried {
            let dir = disk.dir().to_owned();
            if let Err(error) = self.came_back(disk) {
                tracing::error!(disk = %dir.display(), %error, "take back what a disk holds: tried again later");
                self.had_trouble(dir);
            }
        }
        Ok(())
    }

    fn went_out(&mut self, disk: &Disk) -> Result<()> {
        self.had_trouble(disk.dir().to_owned());
        let sent = self.archive.send_away(disk).inspect_err(|_| {
            self.away.remove(&disk.number()); // the next look tries again
        })?;
        // Also if nothing was: what was to go there is tried again.
        self.tell(false);
        if sent > 0 {
            tracing::error!(
                disk = %disk.dir().display(), segments = sent, why = disk.why_out(),
                "what a disk held is away: it is wanted from the other side until the disk is back"
            );
        }
        Ok(())
    }

    fn had_trouble(&mut self, dir: PathBuf) {
        let now = wire::clock::now();
        let trouble = self.trouble.entry(dir).or_insert(Trouble { times: 0, at: now });
        if now.saturating_duration_since(trouble.at) >= WELL {
            trouble.times = 0;
        }
        (trouble.times, trouble.at) = (trouble.times + 1, now);
    }

    fn came_back(&mut self, disk: Disk) -> Result<()> {
        let disk = self.archive.disks().return_disk(disk);
        let back = self.archive.give_back(&disk, &self.whose);
        let back = back.inspect_err(|error| disk.fail(&format!("it can't be taken back: {error}")))?;
        if back > 0 {
            tracing::info!(disk = %disk.dir().display(), segments = back, "a disk is back, with what it held");
        }
        self.away.remove(&disk.number());
        self.archive.disks().use_disk(&disk);
        if back > 0 {
            self.tell(true);
        }
        Ok(())
    }

    /// Once for all of it: whoever tells others what is held begins anew.
    fn tell(&self, back: bool) {
        let _ = self.archive.inner.events.send(Event::Moved { back }); // nobody may be listening
    }
}

fn wait(times: u32) -> Duration {
    AGAIN.saturating_mul(1 << times.saturating_sub(1).min(10)).min(AGAIN_MAX)
}

impl Archive {
    /// Takes into use, at once, what disks are there, with what they hold: for whoever opens an archive and starts no
    /// [`Keeper`].
    pub fn take_disks(&self, whose: Whose) -> Result<()> {
        if self.disks().are_several() { Looks::new(self.clone(), whose).look() } else { Ok(()) }
    }
}
