//! Scenarios: a few faults at stated times, and the story that has to come of them, in one readable file.
//!
//! ```text
//! # What it shows.
//! hubs 3
//! for 3m
//! at 60s cut s0 hub for 90s
//! ----
//! 60s  cut s0 h0
//! ```
//!
//! What stands under the line is compared with what happened, by whole seconds. Every rule is checked as well.

use std::time::Duration;

use crate::fault::{Planned, text};
use crate::params::Params;
use crate::time::secs;
use crate::world::World;

/// A scenario as read.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Everything above the line, as it stands.
    pub head: String,
    /// The story it has to be.
    pub expected: String,
    params: Params,
    plan: Vec<Planned>,
}

/// The line between faults and story.
const LINE: &str = "----\n";

impl Scenario {
    /// Reads a file.
    pub fn read(file: &str) -> Result<Self, String> {
        let (head, expected) = file.split_once(LINE).unwrap_or((file, ""));
        let mut params = Params::plain();
        let lines = || head.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines().filter(|line| !line.starts_with("at ")) {
            set(&mut params, line)?;
        }
        let mut plan = Vec::new();
        for line in lines().filter(|line| line.starts_with("at ")) {
            plan.extend(text::read(line, params.sites, params.hubs)?);
        }
        Ok(Self { head: head.to_owned(), expected: expected.to_owned(), params, plan })
    }

    /// What happens: the story, and what was broken.
    pub fn play(&self) -> (String, Vec<String>) {
        let mut world = World::new(self.params.clone(), self.plan.clone(), None, true);
        world.run();
        let broken = world.stage.violations.iter().map(ToString::to_string).collect();
        (world.stage.trace.story(), broken)
    }

    /// The file with this story under its line.
    pub fn with_story(&self, story: &str) -> String {
        format!("{}{LINE}{story}", self.head)
    }
}

fn set(params: &mut Params, line: &str) -> Result<(), String> {
    let wrong =
        || format!("can't read `{line}`: write `sites`, `hubs`, `cameras` and a number, or `for` and a time");
    let (key, value) = line.split_once(' ').ok_or_else(wrong)?;
    let number = || value.parse::<usize>().map_err(|_| wrong());
    let time = || text::duration(value).ok_or_else(wrong);
    match key {
        "sites" => params.sites = number()?,
        "hubs" => (params.hubs, params.voters) = (number()?, number()?),
        "voters" => params.voters = number()?,
        "cameras" => params.cameras = number()?,
        "sessions" => params.camera_sessions = u8::try_from(number()?).map_err(|_| wrong())?,
        "for" => params.faulty = time()?,
        "active-min" => params.active_min = time()?,
        "stable-min" => params.stable_min = time()?,
        "failback" => params.manual_failback = value == "manual",
        _ => return Err(wrong()),
    }
    Ok(())
}

impl Params {
    /// A hub of three nodes, one site of two cameras, nothing left to chance but delays.
    pub fn plain() -> Self {
        Self {
            sites: 1,
            hubs: 3,
            voters: 3,
            cameras: 2,
            camera_sessions: 4,
            fragment: secs(1),
            fragments_per_segment: 10,
            wan_delay: Duration::from_millis(20),
            sync_max: Duration::from_millis(20),
            window: 16,
            backlog_jobs: 8,
            entries_per_message: 512,
            late_permille: 0,
            twice_permille: 0,
            hasty_permille: 0,
            manual_failback: false,
            active_min: secs(30),
            stable_min: secs(30),
            clean_beats: true,
            faulty: secs(180),
            ..Self::of(0)
        }
    }
}
