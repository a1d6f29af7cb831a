//! How re-reading is doing, for status pages and metrics; and where it is asked for.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use wire::UnixMicros;

use super::plan::{Progress, Totals};
use crate::archive::{Damage, DiskNumber};

/// Shared between the thread and whoever asks.
#[derive(Debug, Default)]
pub struct Status {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shown: Shown,
    asked: bool,
    ending: bool,
}

/// What is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Shown {
    /// The archive's folder.
    pub disk: String,
    /// What of it was found on each of several disks, by folder.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<String, Totals>,
    /// Counted since the archive was made.
    #[serde(flatten)]
    pub totals: Totals,
    /// Damaged segments whose right bytes have yet to come.
    pub wanted: u64,
    /// Which pass this is.
    pub pass: u64,
    /// Somebody asked for it.
    pub asked: bool,
    /// When it began.
    pub began_us: UnixMicros,
    /// Segments read in it.
    pub pass_segments: u64,
    /// Their bytes.
    pub pass_bytes: u64,
    /// When the last whole pass ended.
    pub ended_us: UnixMicros,
    /// The period can't be kept at the rate that is allowed.
    pub late: bool,
    /// What went wrong last.
    pub detail: String,
}

impl Shown {
    /// What was read, and what was wrong there, disk by disk.
    fn of_disks(&self) -> String {
        let only = BTreeMap::from([(self.disk.clone(), self.totals)]);
        let disks = if self.disks.is_empty() { &only } else { &self.disks };
        let mut text = String::new();
        let mut put = |name: &str, help: &str, value: fn(&Totals) -> u64| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "# HELP holdfast_scrub_{name} {help}\n# TYPE holdfast_scrub_{name} gauge");
            for (disk, totals) in disks {
                let _ = writeln!(text, "holdfast_scrub_{name}{{disk={disk:?}}} {}", value(totals));
            }
        };
        put("read_segments", "Segments re-read.", |totals| totals.read_segments);
        put("read_bytes", "Their bytes.", |totals| totals.read_bytes);
        put("bad", "Files found that are not what their entry says.", |totals| totals.bad);
        put("missing", "Files found missing.", |totals| totals.missing);
        put("failing", "Files that the disk could not read.", |totals| totals.failing);
        text
    }
}

impl Status {
    /// A copy.
    pub fn snapshot(&self) -> Shown {
        self.lock().shown.clone()
    }

    /// Asks for a pass now. [`Shown::asked`] says so until it is over.
    pub fn ask(&self) {
        let mut state = self.lock();
        (state.asked, state.shown.asked) = (true, true);
        self.changed.notify_all();
    }

    /// For `/metrics`.
    pub fn metrics(&self) -> String {
        let shown = self.snapshot();
        let mut text = shown.of_disks();
        let mut put = |name: &str, help: &str, value: u64| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "# HELP holdfast_scrub_{name} {help}\n# TYPE holdfast_scrub_{name} gauge");
            let _ = writeln!(text, "holdfast_scrub_{name}{{disk={:?}}} {value}", shown.disk);
        };
        put("repaired", "Damaged segments whose right bytes came again.", shown.totals.repaired);
        put("given_up", "Damaged segments that nobody has any more.", shown.totals.given_up);
        put("wanted", "Damaged segments whose right bytes have yet to come.", shown.wanted);
        put("late", "1 while the period can't be kept.", shown.late.into());
        put("ended_seconds", "When the last whole pass ended.", shown.ended_us.0.unsigned_abs() / 1_000_000);
        text
    }

    /// Shows what was found on these disks, the archive's own first.
    pub(super) fn show(&self, disks: Vec<(String, DiskNumber)>, progress: &Progress, damage: Damage) {
        let mut state = self.lock();
        let (late, detail) = (state.shown.late, std::mem::take(&mut state.shown.detail));
        state.shown = Shown {
            disk: disks.first().map(|(dir, _)| dir.clone()).unwrap_or_default(),
            disks: if disks.len() > 1 { by_disk(disks, progress) } else { BTreeMap::new() },
            totals: progress.totals,
            wanted: damage.wanted,
            pass: progress.pass,
            asked: progress.asked || state.asked,
            began_us: UnixMicros(progress.began_us),
            pass_segments: progress.segments,
            pass_bytes: progress.bytes,
            ended_us: UnixMicros(progress.ended_us),
            late,
            detail,
        };
    }

    /// Notes whether the period can be kept; `true` if that is news.
    pub(super) fn is_late(&self, late: bool) -> bool {
        late != std::mem::replace(&mut self.lock().shown.late, late)
    }

    pub(super) fn failed(&self, detail: String) {
        self.lock().shown.detail = detail;
    }

    /// Takes a wish, if there is one.
    pub(super) fn take_wish(&self) -> bool {
        std::mem::take(&mut self.lock().asked)
    }

    /// Waits so long, or until there is something to do; `false` when it is time to end.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let idle = |state: &mut State| !state.asked && !state.ending;
        let waited = self.changed.wait_timeout_while(self.lock(), patience, idle);
        !waited.unwrap_or_else(PoisonError::into_inner).0.ending
    }

    /// Leaves the disk alone for so long; `false` when it is time to end.
    pub(super) fn rest(&self, length: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), length, |state| !state.ending);
        !waited.unwrap_or_else(PoisonError::into_inner).0.ending
    }

    pub(super) fn is_ending(&self) -> bool {
        self.lock().ending
    }

    pub(super) fn end(&self) {
        self.lock().ending = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_disk(disks: Vec<(String, DiskNumber)>, progress: &Progress) -> BTreeMap<String, Totals> {
    disks.into_iter().map(|(dir, disk)| (dir, progress.of_disk(disk))).collect()
}
