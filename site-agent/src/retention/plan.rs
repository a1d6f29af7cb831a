//! Which segments are freed now, in which order, and why. Pure: no clock, no disk.
//!
//! Three reasons, in this order: a segment is too old (`Policy::age_max`), a camera has too much
//! (`Policy::bytes_max`), the disk is getting full ([`Marks`]). For the latter two, what the hub has acked goes
//! first, oldest first, and then, if the site says so, what it has not. What a hold names never goes. Each disk of the
//! archive makes its own room.
//!
//! It guarantees: nothing without one of these reasons, and no more than they ask for. What it is shown may be a
//! window of what there is; then another step follows, and the order is the same as if it had seen all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::proto::GapCause;
use wire::{LedgerId, Policies, Seq, SiteId, UnixMicros};

use crate::archive::DiskNumber;

/// A camera, in an archive that may have those of many sites.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Camera {
    /// Whose.
    pub site: SiteId,
    /// Its id.
    pub id: String,
}

impl Camera {
    /// The camera of a ledger.
    pub fn of(site: &SiteId, ledger: &LedgerId) -> Self {
        Self { site: site.clone(), id: ledger.stream.camera().to_owned() }
    }
}

/// How long, and how much of, a camera's recordings are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Nothing older is kept, acked or not.
    pub age_max: Option<Duration>,
    /// No more than this is kept.
    pub bytes_max: Option<u64>,
}

/// When room is made on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// With less than this free it begins.
    pub low: u64,
    /// With this much free it ends.
    pub high: u64,
}

/// What becomes of recordings that the hub has not acked, when there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unacked {
    /// They are freed after everything that is acked: recording goes on.
    #[default]
    Free,
    /// They are kept: recording stops.
    Keep,
    /// They are a vault's, which makes room only of copies that another vault has acked: what its standbys recorded for
    /// sites whose vault is elsewhere. With none of those left it is full, which is nothing to be told of here.
    Vaulted,
}

/// What a person asked to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose.
    pub site: SiteId,
    /// Of which cameras; of all, if none is named.
    pub cameras: BTreeSet<String>,
    /// From this instant.
    pub from: UnixMicros,
    /// To before this one.
    pub to: UnixMicros,
    /// Until then it holds.
    pub until: UnixMicros,
    /// Why.
    pub reason: String,
}

impl Hold {
    /// Does it keep this at `now`?
    pub fn keeps(&self, now: UnixMicros, camera: &Camera, start: UnixMicros, end: UnixMicros) -> bool {
        now < self.until && self.is_of(camera) && start < self.to && end > self.from
    }

    /// Is it of this camera?
    pub fn is_of(&self, camera: &Camera) -> bool {
        self.site == camera.site && (self.cameras.is_empty() || self.cameras.contains(&camera.id))
    }
}

/// All that is to be followed.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// For cameras of which nothing else is said.
    pub policy: Policy,
    /// For single cameras.
    pub cameras: BTreeMap<Camera, Policy>,
    /// When room is made; never, without: whoever fills the disk then stops.
    pub marks: Option<Marks>,
    /// What becomes of what is not acked.
    pub unacked: Unacked,
    /// Does somebody ack at all? What nobody waits for is not lost to anybody.
    pub acked_by_hub: bool,
    /// What is kept in any case.
    pub holds: Vec<Hold>,
    /// Which streams' bytes are to cross at all: what nobody waits for counts as acked.
    pub withheld: Policies,
}

impl Rules {
    /// The policy of a camera.
    pub fn of(&self, camera: &Camera) -> Policy {
        self.cameras.get(camera).copied().unwrap_or(self.policy)
    }

    /// Is nothing lost that anybody waits for?
    fn is_safe(&self, segment: &Segment) -> bool {
        segment.acked || !self.acked_by_hub
    }

    /// Do bytes of this ledger stay here, unless somebody asks for them?
    pub fn withholds(&self, ledger: &LedgerId) -> bool {
        self.withheld.replicate(&ledger.stream).withholds()
    }

    /// Does a hold keep this?
    pub fn keeps(&self, now: UnixMicros, camera: &Camera, start: UnixMicros, end: UnixMicros) -> bool {
        self.holds.iter().any(|hold| hold.keeps(now, camera, start, end))
    }
}

/// A segment whose bytes are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// In which ledger.
    pub ledger: LedgerId,
    /// At which place.
    pub seq: Seq,
    /// See [`crate::archive::HeldSegment::from`].
    pub from: Seq,
    /// Of which camera.
    pub camera: Camera,
    /// Its first instant.
    pub start: UnixMicros,
    /// The first instant after it.
    pub end: UnixMicros,
    /// Its length.
    pub bytes: u64,
    /// Has the hub acked it, or does it not wait for it?
    pub acked: bool,
    /// How old it is among the others.
    pub age: Age,
    /// The disk it is on.
    pub disk: DiskNumber,
    /// Is nothing older missing among what is shown of all disks? Of its own disk nothing is in any case.
    pub in_order: bool,
}

/// The order in which segments grow old: what the hub gave back first, for it never displaces what was recorded here;
/// those of ended runs before those of the one that runs, which is newer whatever its clock said; then by the end of
/// what was recorded, which never goes back within a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    /// Was it recorded here?
    pub own: bool,
    /// Is its run still going on?
    pub current: bool,
    /// The latest end of anything in its ledger up to it.
    pub end: UnixMicros,
}

/// Room on one disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskRoom {
    /// Bytes free on it.
    pub free_bytes: u64,
    /// Did the last step make room there, with more to be made?
    pub making_room: bool,
}

/// How things are.
#[derive(Clone, Debug)]
pub struct State {
    /// The wall clock.
    pub now: UnixMicros,
    /// Is the wall clock to be believed?
    pub clock_good: bool,
    /// Room on each disk that is in use.
    pub disks: BTreeMap<DiskNumber, DiskRoom>,
    /// Bytes held of each camera.
    pub held: BTreeMap<Camera, u64>,
    /// Bytes of them that holds keep, of cameras of which they keep any: they count to no camera's most. `None` where
    /// that is not known yet.
    pub kept: BTreeMap<Camera, Option<u64>>,
}

impl State {
    /// The time at which it is asked whether a hold goes on: a clock in doubt ends none.
    pub fn holds_now(&self) -> UnixMicros {
        holds_now(self.now, self.clock_good)
    }
}

/// See [`State::holds_now`].
pub fn holds_now(now: UnixMicros, clock_good: bool) -> UnixMicros {
    if clock_good { now } else { UnixMicros::MIN }
}

/// Why a segment is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is too old.
    Age,
    /// Its camera has too much.
    Camera,
    /// The disk is getting full.
    Room,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// These are freed, in this order.
    pub free: Vec<(Segment, Why)>,
    /// On these disks more room is to be made, and there may be something to make it of.
    pub making_room: BTreeSet<DiskNumber>,
    /// On these too little is left, and nothing may be freed.
    pub stuck: BTreeSet<DiskNumber>,
}

/// What the ledger says of the cause.
pub fn cause(rules: &Rules, segment: &Segment) -> GapCause {
    if rules.is_safe(segment) { GapCause::Expired } else { GapCause::LostBeforeReplication }
}

/// Plans a step that frees `most` segments at most.
pub fn plan(rules: &Rules, state: &State, mut segments: Vec<Segment>, most: usize) -> Plan {
    segments.retain(|one| !rules.keeps(state.holds_now(), &one.camera, one.start, one.end));
    segments.sort_by(|a, b| (a.age, &a.ledger, a.seq).cmp(&(b.age, &b.ledger, b.seq)));
    let mut step = Step { rules, state, freed: vec![None; segments.len()], order: Vec::new(), most };
    step.too_old(&segments);
    step.too_much(&segments);
    let (mut making_room, mut stuck) = (BTreeSet::new(), BTreeSet::new());
    for (disk, room) in &state.disks {
        let (more, none) = step.too_full(&segments, *disk, *room);
        making_room.extend(more.then_some(*disk));
        stuck.extend(none.then_some(*disk));
    }
    let Step { freed, order, .. } = step;
    let free = order.into_iter().filter_map(|at| Some((segments[at].clone(), freed[at]?))).collect();
    Plan { free, making_room, stuck }
}

struct Step<'a> {
    rules: &'a Rules,
    state: &'a State,
    freed: Vec<Option<Why>>,
    order: Vec<usize>,
    most: usize,
}

impl Step<'_> {
    fn is_full(&self) -> bool {
        self.order.len() >= self.most
    }

    fn take(&mut self, at: usize, why: Why) {
        self.freed[at] = Some(why);
        self.order.push(at);
    }

    fn too_old(&mut self, segments: &[Segment]) {
        if !self.state.clock_good {
            return;
        }
        for (at, segment) in segments.iter().enumerate() {
            let old = |age: Duration| segment.end + age < self.state.now;
            if !self.is_full() && self.rules.of(&segment.camera).age_max.is_some_and(old) {
                self.take(at, Why::Age);
            }
        }
    }

    fn too_much(&mut self, segments: &[Segment]) {
        for (camera, held) in &self.state.held {
            let Some(most) = self.rules.of(camera).bytes_max else { continue };
            // What is held is beside the camera's most: a large hold must not take all that is recorded since.
            let Some(kept) = self.state.kept.get(camera).copied().unwrap_or(Some(0)) else { continue };
            let freed = self.bytes_freed(segments, |one| one.camera == *camera);
            let mut over = held.saturating_sub(kept).saturating_sub(freed).saturating_sub(most);
            for at in self.in_order(segments, |one| one.in_order && one.camera == *camera) {
                if over == 0 || self.is_full() {
                    break;
                }
                over = over.saturating_sub(segments[at].bytes);
                self.take(at, Why::Camera);
            }
        }
    }

    /// Whether more room is to be made on a disk in the next step, and whether none can be.
    fn too_full(&mut self, segments: &[Segment], disk: DiskNumber, room: DiskRoom) -> (bool, bool) {
        let Some(Marks { low, high }) = self.rules.marks else { return (false, false) };
        let here = |one: &Segment| one.disk == disk;
        let mut free = room.free_bytes.saturating_add(self.bytes_freed(segments, here));
        if free >= if room.making_room { high } else { low } {
            return (false, false);
        }
        let mut freed = self.order.iter().any(|at| here(&segments[*at]));
        for at in self.in_order(segments, here) {
            let segment = &segments[at];
            if self.rules.unacked == Unacked::Vaulted && !segment.acked {
                continue;
            }
            // Of what only we have, no more than must be.
            let enough = if self.rules.is_safe(segment) { high } else { low };
            if free >= enough {
                break;
            }
            if self.is_full() {
                return (true, false);
            }
            free = free.saturating_add(segment.bytes);
            freed = true;
            self.take(at, Why::Room);
        }
        (free < high && freed, free < low && !freed)
    }

    /// What may be freed to make room: what is acked, oldest first. What is not comes only where nothing acked
    /// is left of what may be chosen from: what is shown may be a window, and a later one show more.
    fn in_order(&self, segments: &[Segment], chosen: impl Fn(&Segment) -> bool) -> Vec<usize> {
        let left = |at: &usize| self.freed[*at].is_none() && chosen(&segments[*at]);
        let safe = |at: &usize| self.rules.is_safe(&segments[*at]);
        let acked: Vec<_> = (0..segments.len()).filter(left).filter(safe).collect();
        if !acked.is_empty() || self.rules.unacked == Unacked::Keep {
            return acked;
        }
        (0..segments.len()).filter(left).collect()
    }

    fn bytes_freed(&self, segments: &[Segment], of: impl Fn(&Segment) -> bool) -> u64 {
        let freed = self.order.iter().map(|at| &segments[*at]);
        freed.filter(|one| of(one)).map(|one| one.bytes).sum()
    }
}

#[cfg(test)]
mod tests;
