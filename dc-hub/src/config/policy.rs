//! What of `[standby]` is about rooms, and `[failback]`: what this node can record for sites, and how their
//! authority comes back.

use std::time::Duration;

use decide::control::FailbackPolicy;
use serde::Deserialize;
use site_agent::config::check::{Check, Choice};
use site_agent::config::defaults;
use site_agent::config::leaf::{Number, Text, Whole};

/// The range of streams; a node with none stands by for nobody.
const STREAMS_RANGE: std::ops::RangeInclusive<u64> = 0..=100_000;
/// The range of rates.
const MBIT_RANGE: std::ops::RangeInclusive<f64> = 0.1..=100_000.0;
/// A week: longer is no waiting time but `never`.
const WAIT_RANGE: std::ops::RangeInclusive<u64> = 0..=604_800;

/// What this node can record for sites, and how their authority comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Streams it records at once, at most.
    pub streams_max: u32,
    /// Their rate in all, bits per second.
    pub rate_bps_max: u64,
    /// What fails together with it: a room, a datacenter.
    pub domain: String,
    /// What a site's uplink carries of a standby's recording, bits per second.
    pub uplink_bps: u64,
    /// Who gives authority back, and when.
    pub failback: FailbackPolicy,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Automatic,
    Manual,
    Never,
}

impl Choice for Word {
    const WORDS: &'static [(&'static str, Self)] =
        &[("automatic", Self::Automatic), ("manual", Self::Manual), ("never", Self::Never)];
}

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [failback]", default)]
pub(super) struct FailbackSection {
    policy: Option<Text>,
    active_min_s: Option<Whole>,
    stable_min_s: Option<Whole>,
}

impl FailbackSection {
    fn check(self, check: &mut Check) -> FailbackPolicy {
        let word = check.choice::<Word>("failback.policy", self.policy);
        let seconds = |check: &mut Check, key: &str, number, default| {
            Duration::from_secs(check.whole(key, number, default, WAIT_RANGE))
        };
        let active_min = seconds(check, "failback.active_min_s", self.active_min_s, defaults::ACTIVE_MIN_S);
        let stable_min = seconds(check, "failback.stable_min_s", self.stable_min_s, defaults::STABLE_MIN_S);
        match word {
            Word::Automatic => FailbackPolicy::Automatic { active_min, stable_min },
            Word::Manual => FailbackPolicy::Manual,
            Word::Never => FailbackPolicy::Never,
        }
    }
}

/// The keys of `[standby]` that are about rooms.
pub(super) struct Rooms {
    pub(super) streams_max: Option<Whole>,
    pub(super) rate_mbit_max: Option<Number>,
    pub(super) domain: Option<Text>,
    pub(super) uplink_mbit: Option<Number>,
}

/// Checks both sections, for the node of this name.
pub(super) fn check(rooms: Rooms, failback: FailbackSection, name: &str, check: &mut Check) -> Policy {
    let streams =
        check.whole("standby.streams_max", rooms.streams_max, defaults::STANDBY_STREAMS_MAX, STREAMS_RANGE);
    let mbit = |check: &mut Check, key: &str, number, default| {
        (check.number(key, number, MBIT_RANGE).unwrap_or(default) * 1e6) as u64
    };
    Policy {
        streams_max: u32::try_from(streams).unwrap_or(u32::MAX),
        rate_bps_max: mbit(
            check,
            "standby.rate_mbit_max",
            rooms.rate_mbit_max,
            defaults::STANDBY_RATE_MBIT_MAX,
        ),
        domain: rooms.domain.map_or_else(|| name.to_owned(), |domain| domain.0),
        uplink_bps: mbit(check, "standby.uplink_mbit", rooms.uplink_mbit, defaults::STANDBY_UPLINK_MBIT),
        failback: failback.check(check),
    }
}
