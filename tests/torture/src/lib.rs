//! What the daemons are tortured with, and how what they promised is held against what is left.
//!
//! | module | |
//! |---|---|
//! | [`disk`] | a disk that loses what was not synced, fills up, goes away |
//! | [`ledger_of_acks`] | what was acked, and what became of it |
//! | [`kill`] | daemons that die, at any moment and at every step |
//! | [`disks`] | archives of two disks, one of which is pulled and returned |
//! | [`disk_lost`] | likewise, for good |
//! | [`full`] | disks that fill up, and go away |
//! | [`power`] | the power goes |
//! | [`recovery`] | how long a start takes that finds a large archive |
//! | [`rot`] | bits that flip in segments |
//! | [`wear`] | daemons that die while footage is deleted, repaired and salvaged |
//! | [`schedules`] | the archive alone, in thousands of random schedules that a power cut ends |
//!
//! Everything is real but the disks: daemons as installed, cameras, a network.

pub mod disk;
pub mod disk_lost;
pub mod disks;
pub mod full;
pub mod kill;
pub mod ledger_of_acks;
pub mod power;
pub mod recovery;
pub mod rot;
pub mod schedules;
pub mod wear;

use std::time::Duration;

use holdfast_tests::scene::{Scene, Side, camera, site};
use ops::rig::SiteSpec;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Who is tortured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The only site's agent.
    Agent,
    /// The hub.
    Hub,
}

/// One site with two cameras.
fn sites() -> Vec<SiteSpec> {
    vec![site("shop-1", vec![camera("till-1"), camera("door-1")])]
}

impl Victim {
    /// The two in turn.
    fn of(turn: u32) -> Self {
        if turn.is_multiple_of(2) { Self::Hub } else { Self::Agent }
    }

    fn side(self) -> Side {
        match self {
            Self::Agent => Side::Site,
            Self::Hub => Side::Hub,
        }
    }

    fn kill(self, scene: &mut Scene) -> anyhow::Result<()> {
        match self {
            Self::Agent => scene.rig.kill_agent(0),
            Self::Hub => scene.rig.kill_hub(),
        }
    }

    /// Starts it, and says how long it took to be there.
    fn start(self, scene: &mut Scene) -> anyhow::Result<Duration> {
        let began = wire::clock::now();
        match self {
            Self::Agent => scene.rig.start_agent(0)?,
            Self::Hub => scene.rig.start_hub()?,
        }
        Ok(began.elapsed())
    }

    fn await_end(self, scene: &mut Scene, limit: Duration) -> bool {
        match self {
            Self::Agent => scene.rig.await_agent_end(0, limit),
            Self::Hub => scene.rig.await_hub_end(limit),
        }
    }
}

/// The chance of this seed.
fn chance(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

/// A moment of footage, up to `most` seconds of it.
fn moment(chance: &mut impl Rng, most: f64) -> f64 {
    chance.random_range(0.2..most)
}

/// The value that 99 of 100 are at most.
fn p99_ms(mut times: Vec<Duration>) -> u64 {
    times.sort();
    let place = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(place).map_or(0, |time| time.as_millis() as u64)
}
