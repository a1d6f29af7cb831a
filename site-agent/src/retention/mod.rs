//! Retention: frees what is too old or too much, and makes room before the disk is full, so that recording never
//! stops while there is something that may go.
//!
//! What goes is decided by [`plan`], which is pure, from what the [`survey`] shows; whether the wall clock may be
//! asked how old something is, by [`clock_guard`]. This is the shell: a thread that looks every few seconds, and
//! at once when a writer finds no room, and frees in small steps, so that commits are not held up.
//!
//! It never knows of cameras that record, or of the network; what the hub has acked it reads from the archive.

pub mod clock_guard;
mod found;
mod holds;
pub mod plan;
mod status;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use wire::proto::GapCause;
use wire::{LedgerId, OriginId, RangeSet, SiteId, StreamId, UnixMicros};

use crate::archive::disks::FIRST;
use crate::archive::{Archive, ArchiveError, Change, DiskNumber, Done, GONE_SPAN_MAX, LedgerRecord, Result};

use crate::private_file;
use crate::replication::Replication;

pub use found::{Amount, Found, found};
pub use holds::Holds;
pub use status::{Shown, Status};

use clock_guard::{Belief, ClockGuard, Reading};
use holds::{Kept, Measure};
use plan::{Camera, DiskRoom, Hold, Rules, Segment, State};
use survey::{Look, Survey};

/// Between two looks, if nobody asks for room.
const EVERY: Duration = Duration::from_secs(5);
/// Segments freed in a step: a commit, and so many files.
const STEP: usize = 64;
/// Between two steps: commits of recorders come first.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it is noted what the clocks show, for the next start.
const NOTE_EVERY: Duration = Duration::from_secs(300);

/// Who says what is gone, in which ledgers.
#[derive(Clone, Copy, Debug)]
pub enum Writer {
    /// A site's run, in its own.
    Run(OriginId),
    /// A vault's run, in those for what it salvages.
    Vault(OriginId),
}

impl Writer {
    /// The run.
    pub fn origin(self) -> OriginId {
        match self {
            Self::Run(origin) | Self::Vault(origin) => origin,
        }
    }

    /// The ledger in which it says what is gone of a stream; begun, if this is the first.
    pub fn ledger(
        self,
        archive: &Archive,
        site: &SiteId,
        stream: &StreamId,
        at: UnixMicros,
    ) -> Result<LedgerId> {
        // What this machine recorded as another site's host is said gone in a ledger that goes the same way as that.
        let hosted = |record: &LedgerRecord| record.site == site.as_str() && record.is_standby_here();
        let hosted = matches!(self, Self::Run(_)) && archive.any_ledger(hosted);
        let origin = if hosted { beside(self.origin(), site) } else { self.origin() };
        let ledger = LedgerId { origin, stream: stream.clone() };
        if archive.ledger(&ledger).is_none() {
            let (ledger, site) = (ledger.clone(), site.clone());
            archive.submit_blocking(match self {
                Self::Run(_) if hosted => Change::OpenStandby { ledger, site, opened: at },
                Self::Run(_) => Change::Open { ledger, site, opened: at },
                Self::Vault(_) => Change::OpenSalvage { ledger, site, opened: at },
            })?;
        }
        Ok(ledger)
    }
}

/// The id of what a run writes about another site, whose streams may have the names of its own.
fn beside(run: OriginId, site: &SiteId) -> OriginId {
    let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026-11 run beside a run v1");
    hasher.update(&run.0).update(site.as_str().as_bytes());
    let mut origin = [0; 16];
    hasher.finalize_xof().fill(&mut origin);
    OriginId(origin)
}

/// What retention is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What goes, and when; the holds among it are those of `holds`, whatever it says.
    pub rules: Rules,
    /// What people asked to be kept.
    pub holds: Arc<Holds>,
    /// Bytes kept for when the disk is full after all.
    pub ballast_bytes: u64,
    /// Who says what is gone.
    pub writer: Writer,
    /// At a site: what crosses to the hub, as it holds at the time. It takes the place of what the rules say.
    pub replication: Option<Arc<Replication>>,
}

/// The thread. Dropped, it ends with the step it is in.
pub struct Retention {
    archive: Archive,
    thread: Option<JoinHandle<()>>,
}

impl Retention {
    /// Starts it for an archive that records, or takes in.
    pub fn start(archive: &Archive, settings: Settings, status: Arc<Status>) -> Result<Self> {
        let mut keeper = Keeper::new(archive.clone(), settings, status, reading());
        let spawned = std::thread::Builder::new().name("retention".into()).spawn(move || keeper.run());
        let thread = spawned.map_err(|source| ArchiveError::Io {
            what: "start retention of archive",
            path: archive.dir().to_owned(),
            source,
        })?;
        Ok(Self { archive: archive.clone(), thread: Some(thread) })
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        self.archive.room().end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // one that panicked frees no more either
        }
    }
}

/// A person says that this machine's clock is right: to be called beside a running daemon, or before its start.
pub fn confirm_clock(archive: &std::path::Path) -> std::io::Result<()> {
    fs::write(archive.join(CONFIRMED), b"")
}

const CONFIRMED: &str = "clock-confirmed";
/// What the clocks should have shown, noted for the next start.
const CLOCK: &str = "clock";

/// What the clocks show now.
fn reading() -> Reading {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Reading { wall: wire::clock::wall(), boot_us: wire::clock::boot_us(), boot_id: boot_id.trim().to_owned() }
}

/// Carries steps out.
struct Keeper {
    archive: Archive,
    settings: Settings,
    status: Arc<Status>,
    survey: Survey,
    measure: Measure,
    clock: ClockGuard,
    noted_boot_us: u64,
    making_room: BTreeSet<DiskNumber>,
}

impl Keeper {
    fn new(archive: Archive, settings: Settings, status: Arc<Status>, now: Reading) -> Self {
        let known = fs::read(archive.dir().join(CLOCK)).ok();
        let known = known.and_then(|known| serde_json::from_slice(&known).ok());
        let clock = ClockGuard::new(known, &now);
        let noted_boot_us = 0;
        Self {
            archive,
            settings,
            status,
            survey: Survey::default(),
            measure: Measure::default(),
            clock,
            noted_boot_us,
            making_room: BTreeSet::new(),
        }
    }

    fn run(&mut self) {
        let archive = self.archive.clone();
        let room = archive.room();
        room.serve();
        self.steps();
        while room.wait(EVERY) {
            self.steps();
        }
    }

    /// Steps until nothing more is to be done now.
    fn steps(&mut self) {
        let archive = self.archive.clone();
        let room = archive.room();
        loop {
            let freed = self.free_on_disks().and_then(|free| self.step(&reading(), &free));
            let again = match freed {
                Ok(freed) => freed > 0,
                Err(error) => {
                    tracing::error!(archive = %archive.dir().display(), %error, "free what is not kept any more");
                    self.status.failed(&error);
                    false
                }
            };
            room.answer(archive.disks().admit(0));
            if !again || room.is_ending() {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        for disk in archive.disks().in_use() {
            if let Err(error) = disk.room().keep_ballast(self.settings.ballast_bytes) {
                tracing::warn!(disk = %disk.dir().display(), %error, "keep the ballast");
            }
        }
    }

    /// Bytes free on each disk. One of the further ones that doesn't tell is left out: whoever looks after them finds it.
    fn free_on_disks(&self) -> Result<BTreeMap<DiskNumber, u64>> {
        let mut free = BTreeMap::new();
        for disk in self.archive.disks().in_use() {
            match disk.room().free_bytes() {
                Ok(bytes) => drop(free.insert(disk.number(), bytes)),
                Err(_) if disk.number() != FIRST => {}
                Err(source) => {
                    let path = disk.dir().to_owned();
                    return Err(ArchiveError::Io { what: "ask for free space of", path, source });
                }
            }
        }
        Ok(free)
    }

    /// One step, with so much free on each disk; returns how many segments it freed.
    fn step(&mut self, now: &Reading, free: &BTreeMap<DiskNumber, u64>) -> Result<usize> {
        self.archive.delete_freed(STEP)?;
        if let Some(replication) = &self.settings.replication {
            self.settings.rules.withheld = replication.now().policies.clone();
        }
        let belief = self.look_at_clock(now);
        // To the end of the step: whoever changes them may rely on it that nothing is freed by the old ones then.
        let shared = self.settings.holds.clone();
        let held_now = shared.during();
        let holds = &held_now.holds;
        self.settings.rules.holds.clone_from(holds);
        let clock_good = belief == Belief::Sure;
        let holds_now = plan::holds_now(now.wall, clock_good);
        let own = self.settings.writer.origin();
        let current = |origin: OriginId| origin == own;
        let rules = &self.settings.rules;
        let disks: Vec<_> = free.keys().copied().collect();
        let look = Look { archive: &self.archive, rules, holds_now, current: &current, disks: &disks };
        let (mut segments, held) = self.survey.take(&look)?;
        if held_now.unknown.is_some() {
            segments.clear();
        }
        let in_force: Vec<_> = holds.iter().filter(|hold| holds_now < hold.until).cloned().collect();
        let kept = self.measure.kept(&self.archive, &in_force);
        let state = State {
            now: now.wall,
            clock_good,
            disks: free.iter().map(|(disk, free)| (*disk, self.room_on(*disk, *free))).collect(),
            kept: kept_of(&held, &in_force, kept.as_ref()),
            held,
        };
        let plan = plan::plan(rules, &state, segments, STEP);
        self.making_room = plan.making_room;
        self.status.looked(status::Looked {
            free_bytes: free.values().sum(),
            ballast_bytes: self.archive.disks().in_use().iter().map(|disk| disk.room().ballast_bytes()).sum(),
            belief,
            // With room on one of them recording goes on.
            stuck: free.keys().all(|disk| plan.stuck.contains(disk)),
            holds: in_force.len(),
            kept_bytes: kept.map(|kept| kept.values().sum()),
            unknown: held_now.unknown.clone(),
        });
        self.archive.room().explain(self.status.snapshot().full_of());
        let freed = self.free(
            groups(&self.settings.rules, plan.free.into_iter().map(|(segment, _)| segment)),
            now.wall,
        )?;
        self.archive.delete_freed(STEP)?;
        Ok(freed)
    }

    fn room_on(&self, disk: DiskNumber, free_bytes: u64) -> DiskRoom {
        DiskRoom { free_bytes, making_room: self.making_room.contains(&disk) }
    }

    /// Says what is gone, of all groups with one sync; returns how many segments that were.
    fn free(&self, groups: Vec<Group>, at: UnixMicros) -> Result<usize> {
        let change = |group: &Group| {
            let ledger = self.settings.writer.ledger(&self.archive, &group.site, &group.of.stream, at)?;
            let (of, seqs, cause) = (group.of.clone(), group.seqs.clone(), group.cause);
            Ok(Change::Free { ledger, at, of, seqs, cause })
        };
        let changes = groups.iter().map(change).collect::<Result<Vec<_>>>()?;
        let mut freed = 0;
        for (group, done) in groups.iter().zip(self.archive.submit_all_blocking(changes)) {
            if !matches!(done?, Done::Appended { .. }) {
                continue;
            }
            crate::failpoint::pass("free/entered");
            freed += group.count;
            self.status.freed(group.count, group.bytes, group.cause);
            let (cause, count) = (group.cause.as_str_name(), group.count);
            tracing::info!(ledger = %group.of, seqs = ?group.seqs, count, cause, "freed");
        }
        Ok(freed)
    }

    fn look_at_clock(&mut self, now: &Reading) -> Belief {
        let before = self.clock.belief();
        let confirmed = self.archive.dir().join(CONFIRMED);
        if confirmed.exists() && fs::remove_file(&confirmed).is_ok() {
            tracing::info!("a person confirmed the clock");
            self.clock.confirm(now);
            self.noted_boot_us = 0;
        }
        let belief = self.clock.look(now);
        if belief != Belief::Sure && before == Belief::Sure {
            tracing::error!(
                ?belief,
                "the clock is in doubt: nothing is freed for its age until it is confirmed"
            );
        }
        let due = now.boot_us.saturating_sub(self.noted_boot_us) >= NOTE_EVERY.as_micros() as u64;
        if belief == Belief::Sure && (due || self.noted_boot_us == 0) {
            self.note_clock(now);
        }
        belief
    }

    fn note_clock(&mut self, now: &Reading) {
        self.noted_boot_us = now.boot_us;
        let text = serde_json::to_vec(self.clock.known()).unwrap_or_default();
        // Without it the next start is more careful than it must be; that is all.
        if let Err(error) = private_file::replace(self.archive.dir(), CLOCK, &text) {
            tracing::warn!(archive = %self.archive.dir().display(), %error, "note what the clocks show");
        }
    }
}

/// Of each camera that a hold is of, what holds keep.
fn kept_of(
    held: &BTreeMap<Camera, u64>,
    in_force: &[Hold],
    kept: Option<&Kept>,
) -> BTreeMap<Camera, Option<u64>> {
    let of = |camera: &&Camera| in_force.iter().any(|hold| hold.is_of(camera));
    let bytes = |camera: &Camera| kept.map(|kept| kept.get(camera).copied().unwrap_or(0));
    held.keys().filter(of).map(|camera| (camera.clone(), bytes(camera))).collect()
}

/// What one entry says: of one ledger, for one cause, about an hour at most.
struct Group {
    of: LedgerId,
    site: SiteId,
    cause: GapCause,
    seqs: RangeSet,
    span: (UnixMicros, UnixMicros),
    bytes: u64,
    count: usize,
}

fn groups(rules: &Rules, segments: impl Iterator<Item = Segment>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut last: BTreeMap<(LedgerId, i32), usize> = BTreeMap::new();
    for segment in segments {
        let cause = plan::cause(rules, &segment);
        let key = (segment.ledger.clone(), i32::from(cause));
        let known = last.get(&key).and_then(|at| groups.get_mut(*at)).filter(|group| {
            let (start, end) = (group.span.0.min(segment.start), group.span.1.max(segment.end));
            end.since(start) <= GONE_SPAN_MAX
        });
        let seqs = segment.from.0..segment.seq.0 + 1;
        if let Some(group) = known {
            group.seqs.insert(seqs);
            group.span = (group.span.0.min(segment.start), group.span.1.max(segment.end));
            group.bytes += segment.bytes;
            group.count += 1;
        } else {
            last.insert(key, groups.len());
            groups.push(Group {
                of: segment.ledger,
                site: segment.camera.site,
                cause,
                seqs: seqs.into(),
                span: (segment.start, segment.end),
                bytes: segment.bytes,
                count: 1,
            });
        }
    }
    groups
}
