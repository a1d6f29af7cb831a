//! May the wall clock be believed when it says that something is old? Pure.
//!
//! A machine whose clock jumps, or that starts with a wrong one, must not take everything it has for expired. The
//! guard compares the wall clock with the clock since boot, which never jumps: as long as both went on alike
//! since it was last sure, it is sure. What it was sure of survives restarts ([`Known`]). After a jump of more
//! than an hour it is in doubt until the clocks agree again or a person confirms.
//!
//! A machine that was off can't tell how long: its clock is believed at once if that was an hour at most, and
//! otherwise when it has gone on without a jump for a day, in which whoever sets clocks would have set it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::UnixMicros;

/// A jump of more than this is none of daylight saving or a slow clock's correction.
const JUMP: Duration = Duration::from_secs(3600);
/// How long a clock that can't be checked has to go on.
const SETTLED: Duration = Duration::from_secs(24 * 3600);

/// The two clocks at one instant, and which boot the second counts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The wall clock.
    pub wall: UnixMicros,
    /// Microseconds since boot.
    pub boot_us: u64,
    /// Which boot: any text that another boot does not have.
    pub boot_id: String,
}

/// What is kept over restarts: what the clocks should have shown when the guard was last sure.
pub type Known = Reading;

/// How much the wall clock is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// Enough.
    Sure,
    /// Not: it jumped by so much.
    Jumped(i64),
    /// Not yet: the machine was off, or its clock is wrong, by so much.
    Unsettled(i64),
}

/// The guard.
#[derive(Debug)]
pub struct ClockGuard {
    known: Known,
    /// Since when an unsettled clock has gone on, as a reading.
    settling: Option<Reading>,
    belief: Belief,
}

impl ClockGuard {
    /// Begins with what the last run knew, if there was one.
    pub fn new(known: Option<Known>, now: &Reading) -> Self {
        let known = known.unwrap_or_else(|| now.clone());
        let mut guard = Self { known, settling: None, belief: Belief::Sure };
        guard.look(now);
        guard
    }

    /// Takes a look at the clocks.
    pub fn look(&mut self, now: &Reading) -> Belief {
        let off = off(&self.known, now);
        self.belief = if off.unsigned_abs() <= micros(JUMP) {
            self.sure(now);
            Belief::Sure
        } else if now.boot_id == self.known.boot_id {
            Belief::Jumped(off)
        } else {
            self.settle(now, off)
        };
        self.belief
    }

    /// A person says that the clock is right.
    pub fn confirm(&mut self, now: &Reading) {
        self.known = now.clone();
        self.settling = None;
        self.belief = Belief::Sure;
    }

    /// How much the wall clock is believed.
    pub fn belief(&self) -> Belief {
        self.belief
    }

    /// What the next run is to know.
    pub fn known(&self) -> &Known {
        &self.known
    }

    fn sure(&mut self, now: &Reading) {
        self.settling = None;
        self.known = if now.boot_id == self.known.boot_id {
            // What the clock should show, not what it does: many small jumps are not to add up unseen.
            let gone_by = Duration::from_micros(now.boot_us.saturating_sub(self.known.boot_us));
            Reading { wall: self.known.wall + gone_by, ..now.clone() }
        } else {
            now.clone()
        };
    }

    fn settle(&mut self, now: &Reading, off_us: i64) -> Belief {
        let since = self.settling.take().filter(|since| off(since, now).unsigned_abs() <= micros(JUMP));
        let since = since.unwrap_or_else(|| now.clone());
        if now.boot_us.saturating_sub(since.boot_us) >= micros(SETTLED) {
            self.confirm(now);
            return Belief::Sure;
        }
        self.settling = Some(since);
        Belief::Unsettled(off_us)
    }
}

/// By how much the wall clock went on more than it should have. Over a reboot nobody knows what it should have.
fn off(before: &Reading, now: &Reading) -> i64 {
    let wall = now.wall.0.saturating_sub(before.wall.0);
    let boot = if before.boot_id == now.boot_id { now.boot_us.saturating_sub(before.boot_us) } else { 0 };
    wall.saturating_sub(i64::try_from(boot).unwrap_or(i64::MAX))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000;
    const HOURS: u64 = 60 * MINUTE;

    /// So long after the epoch by each clock.
    fn reading(boot: &str, wall: u64, boot_us: u64) -> Reading {
        Reading { wall: UnixMicros(i64::try_from(wall).unwrap()), boot_us, boot_id: boot.to_owned() }
    }

    #[test]
    fn a_jump_is_doubted_until_the_clocks_agree_or_a_person_says_so() {
        let mut guard = ClockGuard::new(None, &reading("a", 1000 * HOURS, HOURS));
        assert_eq!(guard.look(&reading("a", 1010 * HOURS, 11 * HOURS)), Belief::Sure);
        assert_eq!(guard.look(&reading("a", 1011 * HOURS + 50 * MINUTE, 12 * HOURS)), Belief::Sure);
        let jumped = reading("a", 9000 * HOURS, 12 * HOURS);
        assert!(matches!(guard.look(&jumped), Belief::Jumped(_)));
        assert!(
            matches!(guard.look(&reading("a", 9100 * HOURS, 112 * HOURS)), Belief::Jumped(_)),
            "for good"
        );
        assert_eq!(guard.look(&reading("a", 1200 * HOURS, 201 * HOURS)), Belief::Sure, "it agrees again");
        assert!(matches!(guard.look(&reading("a", HOURS, 201 * HOURS)), Belief::Jumped(_)), "also back");
        guard.confirm(&jumped);
        assert_eq!(guard.look(&reading("a", 9001 * HOURS, 13 * HOURS)), Belief::Sure);
    }

    #[test]
    fn small_jumps_add_up() {
        let mut guard = ClockGuard::new(None, &reading("a", 1000 * HOURS, 0));
        assert_eq!(guard.look(&reading("a", 1000 * HOURS + 50 * MINUTE, 0)), Belief::Sure);
        assert!(matches!(guard.look(&reading("a", 1000 * HOURS + 100 * MINUTE, 0)), Belief::Jumped(_)));
    }

    #[test]
    fn a_restart_forgets_nothing_of_the_same_boot() {
        let known = ClockGuard::new(None, &reading("a", 1000 * HOURS, 0)).known().clone();
        let guard = ClockGuard::new(Some(known.clone()), &reading("a", 3000 * HOURS, HOURS));
        assert!(matches!(guard.belief(), Belief::Jumped(_)));
        let guard = ClockGuard::new(Some(known), &reading("a", 1500 * HOURS, 500 * HOURS));
        assert_eq!(guard.belief(), Belief::Sure);
    }

    #[test]
    fn after_a_reboot_a_clock_that_is_far_off_has_to_settle() {
        let known = reading("a", 1000 * HOURS, 5 * HOURS);
        let mut guard =
            ClockGuard::new(Some(known.clone()), &reading("b", 1000 * HOURS + 10 * MINUTE, MINUTE));
        assert_eq!(guard.belief(), Belief::Sure, "a short boot");
        assert_eq!(guard.known().boot_id, "b");

        guard = ClockGuard::new(Some(known.clone()), &reading("b", 9000 * HOURS, MINUTE));
        assert!(matches!(guard.belief(), Belief::Unsettled(_)));
        assert_eq!(
            guard.look(&reading("b", 1000 * HOURS + 20 * MINUTE, HOURS)),
            Belief::Sure,
            "somebody set it"
        );

        guard = ClockGuard::new(Some(known), &reading("b", 1070 * HOURS, MINUTE));
        assert!(matches!(guard.look(&reading("b", 1080 * HOURS, 10 * HOURS)), Belief::Unsettled(_)));
        assert!(
            matches!(guard.look(&reading("b", 2080 * HOURS, 11 * HOURS)), Belief::Unsettled(_)),
            "from anew"
        );
        assert!(matches!(guard.look(&reading("b", 2098 * HOURS, 29 * HOURS)), Belief::Unsettled(_)));
        assert_eq!(guard.look(&reading("b", 2104 * HOURS, 35 * HOURS)), Belief::Sure);
    }
}
