//! Scrub: re-reads everything an archive holds within a period, compares it with the entries, and sees to it that
//! what is damaged is wanted again.
//!
//! How fast is decided by [`plan`], which is pure. This is the shell: one thread at idle priority ([`read`]), in a
//! site's archive as in a vault. It notes in the index how far it has come, so that a restart goes on there. What it
//! finds damaged is held no more from then on ([`Change::Damaged`]); whoever else has it brings it again, and
//! [`mend`] says what nobody has.
//!
//! It never knows of cameras, or of the network, and holds up no commit: while one waits, it rests.

mod mend;
pub mod plan;
mod read;
mod status;
#[cfg(test)]
mod tests;
mod wish;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prost::Message;
use wire::{LedgerId, Seq};

use crate::archive::{Archive, ArchiveError, Change, Placed, Result};
use crate::failpoint;

pub use mend::Elsewhere;
pub use mend::give_up;
pub use read::{Finding, check};
pub use status::{Shown, Status};

use plan::{Progress, Rules};

/// Between two looks at what is damaged, and at what there is to read.
const TICK: Duration = Duration::from_secs(2);
/// Damaged segments looked at in a tick.
const SETTLED: usize = 64;
/// How often it is noted how far it has come, and after how many segments at most.
const NOTE_EVERY: Duration = Duration::from_secs(60);
const NOTE_SEGMENTS: u64 = 256;
/// While commits wait: how long it rests before it looks again, and how often at most.
const YIELD: Duration = Duration::from_millis(20);
const YIELDS: usize = 50;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often, and how fast.
    pub rules: Rules,
    /// Who may have what is damaged here.
    pub elsewhere: Elsewhere,
}

/// The thread. Dropped, it ends in the middle of a file.
pub struct Scrub {
    status: Arc<Status>,
    thread: Option<JoinHandle<()>>,
}

impl Scrub {
    /// Starts it for an open archive.
    pub fn start(archive: &Archive, settings: Settings, status: Arc<Status>) -> Result<Self> {
        let mut scrubber = Scrubber::new(archive.clone(), settings, Arc::clone(&status))?;
        let run = move || {
            read::be_idle();
            scrubber.run();
        };
        let spawned = std::thread::Builder::new().name("scrub".into()).spawn(run);
        let thread = spawned.map_err(|source| ArchiveError::Io {
            what: "start re-reading archive",
            path: archive.dir().to_owned(),
            source,
        })?;
        Ok(Self { status, thread: Some(thread) })
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        self.status.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // one that panicked reads no more either
        }
    }
}

struct Scrubber {
    archive: Archive,
    settings: Settings,
    status: Arc<Status>,
    progress: Progress,
    /// What the archive had counted when `progress` was last brought up to date.
    counted: crate::archive::Damage,
    /// When the last segment was read, and its length.
    last: Option<(Instant, u64)>,
    noted: (Instant, u64),
    settled: Option<(LedgerId, Seq)>,
}

impl Scrubber {
    fn new(archive: Archive, settings: Settings, status: Arc<Status>) -> Result<Self> {
        let note = archive.scrub_note()?;
        // A note that can't be read begins anew: read twice is better than not at all.
        let progress = note.and_then(|note| Progress::decode(&*note).ok()).unwrap_or_default();
        let noted = (wire::clock::now(), progress.totals.read_segments);
        let counted = archive.damage();
        Ok(Self { archive, settings, status, progress, counted, last: None, noted, settled: None })
    }

    fn run(&mut self) {
        if self.progress.pass == 0 {
            self.progress.begin(wire::clock::wall(), false);
        }
        self.look_again();
        let mut settle_at = wire::clock::now();
        while !self.status.is_ending() {
            if wire::clock::now() >= settle_at {
                settle_at = wire::clock::now() + TICK;
                self.settle();
            }
            if self.status.take_wish() {
                self.progress.begin(wire::clock::wall(), true);
                self.look_again();
                self.note();
            }
            self.show();
            let wait = self.wait();
            if !wait.is_zero() {
                self.status.wait(wait.min(TICK));
            } else if let Err(error) = self.step() {
                self.failed("re-read the archive", &error);
                self.status.wait(TICK);
            }
        }
        self.note();
    }

    /// How long until the next segment is to be read; a tick, if none is.
    fn wait(&self) -> Duration {
        let held = self.archive.held_bytes();
        let Some(pace) = plan::pace(&self.settings.rules, &self.progress, wire::clock::wall(), held) else {
            return TICK;
        };
        if self.status.is_late(pace.late) && pace.late {
            tracing::warn!(
                held,
                "not everything can be re-read in time at the rate that is allowed: raise it"
            );
        }
        let Some((at, bytes)) = self.last.filter(|_| !self.progress.asked) else { return Duration::ZERO };
        (at + plan::rest(pace, bytes)).saturating_duration_since(wire::clock::now())
    }

    /// Reads the next segment, or ends the pass.
    fn step(&mut self) -> Result<()> {
        let Some(placed) = self.archive.next_held(self.progress.after().as_ref())? else {
            let Progress { pass, segments, bytes, .. } = self.progress;
            tracing::info!(pass, segments, bytes, "everything was re-read");
            self.progress.end(wire::clock::wall());
            self.note();
            return Ok(());
        };
        let path = self.archive.segment_path(&placed.ledger, wire::SegmentNumber(placed.segment.number))?;
        let (archive, rules, status) = (&self.archive, &self.settings.rules, &self.status);
        let finding = check(&path, &placed.segment, &mut |bytes, spent| {
            status.rest(plan::breath(rules, bytes, spent)) && yielded(archive, status)
        });
        self.found(&placed, finding)?;
        self.last = Some((wire::clock::now(), placed.segment.bytes));
        let (at, segments) = self.noted;
        if at.elapsed() >= NOTE_EVERY || self.progress.totals.read_segments >= segments + NOTE_SEGMENTS {
            self.note();
        }
        Ok(())
    }

    fn found(&mut self, placed: &Placed, finding: Finding) -> Result<()> {
        let Placed { ledger, seq, segment } = placed;
        if matches!(finding, Finding::Interrupted) {
            return Ok(());
        }
        let disk = self.archive.disk_of(ledger, wire::SegmentNumber(segment.number))?;
        if !matches!(finding, Finding::Good | Finding::Bad) && disk.is_lost() {
            return Ok(()); // of the whole disk, not of this file: whoever looks after disks says so
        }
        self.progress.read(ledger, *seq, (disk.number(), segment.bytes));
        // What was freed meanwhile is not missing.
        if matches!(finding, Finding::Good) || !self.archive.holds(ledger, *seq) {
            return Ok(());
        }
        let mut count = |one: fn(&mut plan::Totals)| self.progress.count(disk.number(), one);
        match &finding {
            Finding::Bad => count(|totals| totals.bad += 1),
            Finding::Missing => count(|totals| totals.missing += 1),
            Finding::Failing(_) => count(|totals| totals.failing += 1),
            Finding::Unknown(error) => {
                tracing::warn!(%ledger, %seq, %error, "re-read a segment: it is tried again in the next pass");
                self.status.failed(format!("{ledger} entry {seq}: {error}"));
                return Ok(());
            }
            Finding::Good | Finding::Interrupted => return Ok(()),
        }
        tracing::error!(%ledger, %seq, ?finding, disk = %disk.dir().display(), "a segment is damaged: wanted again");
        failpoint::pass("scrub/found");
        self.archive.submit_blocking(Change::Damaged { ledger: ledger.clone(), seq: *seq })?;
        failpoint::pass("scrub/noted");
        self.note();
        Ok(())
    }

    /// A file that was missing may be back, as when its disk was not there: it is held again if it is right.
    fn look_again(&mut self) {
        if let Err(error) = self.back_in_place() {
            self.failed("look again for what is damaged", &error);
        }
    }

    fn back_in_place(&mut self) -> Result<()> {
        let mut after = None;
        loop {
            let some = self.archive.damaged(after.as_ref(), SETTLED)?;
            let Some(last) = some.last() else { return Ok(()) };
            after = Some((last.ledger.clone(), last.seq));
            // A disk gives back what it holds itself.
            let here = |placed: &Placed| !self.archive.is_away(placed);
            for Placed { ledger, seq, segment } in some.into_iter().filter(here) {
                let file = self.archive.segment_path(&ledger, wire::SegmentNumber(segment.number))?;
                let (rules, status) = (&self.settings.rules, &self.status);
                let breath = &mut |bytes, spent| status.rest(plan::breath(rules, bytes, spent));
                if matches!(check(&file, &segment, breath), Finding::Good) {
                    self.archive.submit_blocking(Change::Bytes { ledger, seq, file })?;
                }
            }
        }
    }

    fn settle(&mut self) {
        let settled = mend::settle(&self.archive, self.settings.elsewhere, self.settled.as_ref(), SETTLED);
        self.settled = settled.unwrap_or_else(|error| {
            self.failed("give up what nobody has", &error);
            None
        });
    }

    /// Brings what is counted up to date.
    fn count(&mut self) {
        let damage = self.archive.damage();
        let totals = &mut self.progress.totals;
        totals.repaired += damage.repaired - self.counted.repaired;
        totals.given_up += damage.given_up - self.counted.given_up;
        let news = (damage.repaired, damage.given_up) != (self.counted.repaired, self.counted.given_up);
        self.counted = damage;
        if news {
            self.note();
        }
    }

    fn show(&mut self) {
        self.count();
        // What is wanted was looked at before what is repaired was counted: the two fit together.
        let disks = self.archive.disks().all();
        let disks = disks.iter().map(|disk| (disk.dir().display().to_string(), disk.number()));
        self.status.show(disks.collect(), &self.progress, self.counted);
    }

    fn note(&mut self) {
        self.noted = (wire::clock::now(), self.progress.totals.read_segments);
        let note = self.progress.encode_to_vec();
        // Without it the next start reads some of it again; that is all.
        if let Err(error) = self.archive.submit_blocking(Change::Scrubbed { note }) {
            self.failed("note how far the archive is re-read", &error);
        }
    }

    fn failed(&self, what: &'static str, error: &ArchiveError) {
        tracing::error!(archive = %self.archive.dir().display(), %error, what);
        self.status.failed(format!("{what}: {error}"));
    }
}

/// Rests while commits wait, and for a second at most; `false` when it is time to end.
fn yielded(archive: &Archive, status: &Status) -> bool {
    for _ in 0..YIELDS {
        if archive.changes_waiting() == 0 {
            return true;
        }
        if !status.rest(YIELD) {
            return false;
        }
    }
    true
}
