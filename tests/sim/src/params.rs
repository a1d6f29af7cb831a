//! Everything about a run that the seed decides, but for what happens in it.

use std::time::Duration;

use wire::{Policies, Policy, Replicate};

use crate::chance::Chance;
use crate::place::stream_name;
use crate::time::{ms, secs};

/// How one run is set up.
#[derive(Clone, Debug)]
pub struct Params {
    /// Of which seed.
    pub seed: u64,
    /// Sites with cameras.
    pub sites: usize,
    /// Hub nodes: vaults, voters and standby hosts.
    pub hubs: usize,
    /// How many of the hub nodes vote at first.
    pub voters: usize,
    /// Cameras of each site.
    pub cameras: usize,
    /// Sessions that each camera grants.
    pub camera_sessions: u8,
    /// Time between keyframes: one fragment.
    pub fragment: Duration,
    /// Fragments of a full segment.
    pub fragments_per_segment: u32,
    /// One-way delay between sites and hub nodes.
    pub wan_delay: Duration,
    /// The longest a sync takes on a healthy disk.
    pub sync_max: Duration,
    /// Silence after which an end of a connection gives up.
    pub idle_timeout: Duration,
    /// Parts on their way in one connection at most.
    pub window: u32,
    /// Backlog segments under way at once.
    pub backlog_jobs: usize,
    /// Entries in one message.
    pub entries_per_message: u64,
    /// How long a live line may wait.
    pub live_behind: Duration,
    /// Between two beats.
    pub beat_every: Duration,
    /// Between two askings of a camera.
    pub probe_every: Duration,
    /// Deliveries of the log that come late, of a thousand.
    pub late_permille: u32,
    /// Proposals that are committed twice, of a thousand.
    pub twice_permille: u32,
    /// Rounds whose outcome somebody does not wait for, of a thousand.
    pub hasty_permille: u32,
    /// Does only a person give authority back?
    pub manual_failback: bool,
    /// A standby keeps authority at least so long…
    pub active_min: Duration,
    /// …and a site is well at least so long, before it is given back.
    pub stable_min: Duration,
    /// Does nothing in the schedule make beats late? Then take-overs are timed.
    pub clean_beats: bool,
    /// Do standbys live, so that a site is never activated twice within `active_min`?
    pub backoff_holds: bool,
    /// Settings of the quorum.
    pub settings: decide::quorum::Settings,
    /// Settings of the runners.
    pub runner: decide::standby::RunnerSettings,
    /// How each camera's bytes go to the vault, by its number; all later ones' as they are recorded.
    pub replicate: Vec<Replicate>,
    /// How long things go wrong.
    pub faulty: Duration,
    /// How long everything then has to become right.
    pub quiet: Duration,
    /// How long before the end recorders stop.
    pub still: Duration,
    /// How long backlog may take on top.
    pub patience: Duration,
    /// The mean time between two faults.
    pub fault_every: Duration,
}

impl Params {
    /// Of a seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed, "params");
        let hubs = *chance.pick(&[1, 1, 3, 3, 3, 3, 3, 5]);
        Self {
            seed,
            sites: *chance.pick(&[1, 1, 1, 1, 1, 2, 2, 2, 3, 4]),
            hubs,
            voters: if hubs == 5 { *chance.pick(&[3, 3, 5]) } else { hubs },
            cameras: *chance.pick(&[1, 1, 1, 1, 2, 3]),
            camera_sessions: *chance.pick(&[1, 2, 2, 3, 4, 4, 4]),
            fragment: ms(*chance.pick(&[1_000, 2_000, 4_000, 4_000, 4_000])),
            fragments_per_segment: *chance.pick(&[2, 5, 10]),
            wan_delay: chance.span(ms(2), ms(150)),
            sync_max: chance.span(ms(1), ms(200)),
            idle_timeout: secs(12),
            window: *chance.pick(&[1, 4, 16]),
            backlog_jobs: *chance.pick(&[1, 4, 8]),
            entries_per_message: *chance.pick(&[1, 3, 512]),
            live_behind: secs(10),
            beat_every: ms(500),
            probe_every: ms(500),
            late_permille: *chance.pick(&[0, 0, 20, 200]),
            twice_permille: *chance.pick(&[0, 0, 20, 200]),
            hasty_permille: *chance.pick(&[0, 300, 1000]),
            manual_failback: chance.permille(150),
            active_min: chance.span(secs(5), secs(30)),
            stable_min: chance.span(secs(5), secs(30)),
            clean_beats: true,
            backoff_holds: false,
            settings: decide::quorum::Settings::default(),
            runner: decide::standby::RunnerSettings::default(),
            replicate: replicate(seed),
            faulty: chance.span(secs(120), secs(900)),
            quiet: secs(90),
            still: secs(20),
            patience: secs(600),
            fault_every: *chance.pick(&[secs(5), secs(15), secs(40), secs(120)]),
        }
    }

    /// The policies of all cameras, as a site says them.
    pub fn policies(&self) -> Policies {
        let policy = |replicate| Policy { replicate, ..Policy::default() };
        let cameras = self.replicate.iter().enumerate();
        cameras.map(|(camera, replicate)| (stream_name(camera), policy(*replicate))).collect()
    }

    /// Links that come and go for an hour, and recorders that die in quiet moments.
    pub fn flapping(seed: u64) -> Self {
        let mut chance = Chance::of(seed, "flapping");
        Self {
            sites: 2,
            hubs: 3,
            voters: 3,
            cameras: 1,
            camera_sessions: 4,
            fragment: secs(5),
            fragments_per_segment: 12,
            wan_delay: chance.span(ms(2), ms(100)),
            window: 16,
            late_permille: 0,
            twice_permille: 0,
            hasty_permille: 0,
            manual_failback: false,
            active_min: secs(60),
            stable_min: secs(30),
            clean_beats: true,
            backoff_holds: true,
            faulty: secs(3_600),
            fault_every: *chance.pick(&[secs(5), secs(10), secs(30)]),
            ..Self::of(seed)
        }
    }

    /// The length of the whole run.
    pub fn length(&self) -> Duration {
        self.faulty + self.quiet
    }
}

/// In two runs of three everything is live, as most sites have it. Drawn apart: the rest of a run stays as it was.
fn replicate(seed: u64) -> Vec<Replicate> {
    use Replicate::{Live, Never, OnDemand, Scheduled};
    let mut chance = Chance::of(seed, "replicate");
    if !chance.permille(333) {
        return Vec::new();
    }
    (0..3).map(|_| *chance.pick(&[Live, Scheduled, OnDemand, Never])).collect()
}
