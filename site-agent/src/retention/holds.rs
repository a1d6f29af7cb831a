//! What people asked to be kept, shared by whoever learns of it and by retention, which obeys it; and how much it is.
//!
//! It guarantees: once [`Holds::set`] has returned, no step frees what the new holds keep. A step that was under way
//! is over by then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use wire::{StreamId, UnixMicros};

use super::plan::{Camera, Hold};
use crate::archive::{Archive, Result};

/// Holds as they are now.
#[derive(Debug, Default)]
pub struct Holds(RwLock<Now>);

#[derive(Debug, Default)]
pub(super) struct Now {
    pub(super) holds: Vec<Hold>,
    /// Why nothing is to be freed: it is not known what is held, or a person is to look first.
    pub(super) unknown: Option<String>,
}

impl Holds {
    /// It is not known yet what is held: nothing is freed until [`Holds::set`].
    pub fn unknown(why: &str) -> Self {
        Self(RwLock::new(Now { holds: Vec::new(), unknown: Some(why.to_owned()) }))
    }

    /// Those in force, as far as no clock is asked.
    pub fn now(&self) -> Vec<Hold> {
        self.during().holds.clone()
    }

    /// Is it not known what is held?
    pub fn is_unknown(&self) -> bool {
        self.during().unknown.is_some()
    }

    /// Why nothing is to be freed, if so.
    pub fn why_nothing(&self) -> Option<String> {
        self.during().unknown.clone()
    }

    /// They are these from now on. Waits for retention's step, if one goes on: not for a thread that must not wait.
    pub fn set(&self, holds: Vec<Hold>) {
        *self.write() = Now { holds, unknown: None };
    }

    /// They are these, and all the same nothing is freed, until [`Holds::set`]. Waits likewise.
    pub fn set_suspended(&self, holds: Vec<Hold>, why: String) {
        *self.write() = Now { holds, unknown: Some(why) };
    }

    /// Nothing is freed from now on, until [`Holds::set`]. Waits likewise.
    pub fn suspend(&self, why: String) {
        self.write().unknown = Some(why);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Now> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a step: they stay as they are meanwhile.
    pub(super) fn during(&self) -> RwLockReadGuard<'_, Now> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By so much entries may be ahead of our clock, and more.
const AHEAD: Duration = Duration::from_secs(12 * 3600);
/// Measured again after this, and after so many times what it took: at most a twentieth of a disk's time goes there.
const AGAIN: Duration = Duration::from_secs(30);
const SHARE: u32 = 20;

/// Bytes that holds keep, by camera.
pub(super) type Kept = BTreeMap<Camera, u64>;

/// Measures what holds keep, on a thread of its own: there may be a million segments of it.
#[derive(Default)]
pub(super) struct Measure {
    /// Of these holds.
    holds: Vec<Hold>,
    last: Arc<Mutex<Last>>,
}

#[derive(Default)]
struct Last {
    /// Counts the changes of holds: what was measured for earlier ones says nothing.
    change: u64,
    kept: Option<Kept>,
    /// Not before then again.
    next: Option<Instant>,
    running: bool,
}

impl Measure {
    /// What these holds keep, as measured last; none if that is not known yet. Without holds it is known at once.
    pub(super) fn kept(&mut self, archive: &Archive, in_force: &[Hold]) -> Option<Kept> {
        let mut last = lock(&self.last);
        if self.holds != in_force {
            self.holds = in_force.to_vec();
            last.change += 1;
            (last.kept, last.next) = (None, None);
        }
        if in_force.is_empty() {
            return Some(Kept::new());
        }
        let now = wire::clock::now();
        if !last.running && last.next.is_none_or(|next| now >= next) {
            last.running = true;
            self.begin(archive.clone(), last.change);
        }
        last.kept.clone()
    }

    fn begin(&self, archive: Archive, change: u64) {
        let (holds, shared) = (self.holds.clone(), self.last.clone());
        let measure = move || {
            let began = wire::clock::now();
            let measured = kept(&archive, &holds);
            let mut last = lock(&shared);
            last.running = false;
            if last.change != change {
                return;
            }
            match measured {
                Ok(kept) => last.kept = Some(kept),
                // What is not known is not freed.
                Err(error) => tracing::error!(%error, "measure what holds keep"),
            }
            last.next = Some(wire::clock::now() + AGAIN.max(began.elapsed() * SHARE));
        };
        if let Err(error) = std::thread::Builder::new().name("holds".into()).spawn(measure) {
            tracing::error!(%error, "measure what holds keep");
            lock(&self.last).running = false;
        }
    }
}

fn lock(last: &Mutex<Last>) -> MutexGuard<'_, Last> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes here that these holds keep; what several keep counts once.
fn kept(archive: &Archive, holds: &[Hold]) -> Result<Kept> {
    let mut kept = Kept::new();
    for (site, stream) in archive.streams() {
        let camera = Camera { site: site.clone(), id: stream.camera().to_owned() };
        let of = holds.iter().filter(|hold| hold.is_of(&camera)).map(|hold| (hold.from, hold.to));
        for range in merged(of.collect()) {
            let bytes = held_bytes(archive, (&camera, &stream), range)?;
            *kept.entry(camera.clone()).or_default() += bytes;
        }
    }
    Ok(kept)
}

/// The same instants in ranges that don't touch.
fn merged(mut ranges: Vec<(UnixMicros, UnixMicros)>) -> Vec<(UnixMicros, UnixMicros)> {
    ranges.sort_unstable();
    let mut merged: Vec<(UnixMicros, UnixMicros)> = Vec::new();
    for (from, to) in ranges {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Segments that reach into two ranges count twice: a segment's worth for each end of a hold.
fn held_bytes(
    archive: &Archive,
    (camera, stream): (&Camera, &StreamId),
    (from, to): (UnixMicros, UnixMicros),
) -> Result<u64> {
    let mut bytes = 0;
    // A hold may reach far ahead.
    let to = to.min(wire::clock::wall() + AHEAD);
    archive.query_in_pieces((&camera.site, stream), (from, to), |piece| {
        let held = piece.iter().filter(|one| one.held).filter_map(|one| one.entry.segment());
        bytes += held.map(|segment| segment.bytes).sum::<u64>();
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_holds_keep_counts_once() {
        let ranges = [(5, 9), (0, 3), (2, 4), (9, 12)].map(|(from, to)| (UnixMicros(from), UnixMicros(to)));
        let expected = [(0, 4), (5, 12)].map(|(from, to)| (UnixMicros(from), UnixMicros(to)));
        assert_eq!(merged(ranges.to_vec()), expected);
    }
}
