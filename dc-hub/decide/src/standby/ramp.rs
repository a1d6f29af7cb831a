//! What a standby records of a site whose uplink is thin: a pure function.
//!
//! Every camera in its cheapest stream before any in a better one: a picture of each is worth more than a fine
//! picture of some. Both by priority, within the budget.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::control::{BitsPerSecond, CameraSpec};
use crate::evidence::Answer;
use crate::ids::CameraId;

/// Which stream of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// The full one.
    Main,
    /// The small one.
    Sub,
}

/// What is recorded, and what isn't.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ramp {
    /// In the order in which to begin.
    pub chosen: Vec<(CameraId, Stream)>,
    /// The rest.
    pub left_out: BTreeMap<CameraId, LeftOut>,
}

/// Why a camera isn't recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeftOut {
    /// It doesn't answer this host.
    NoAnswer,
    /// The site's uplink can't carry it.
    NoUplink,
}

/// How well a camera would be off if its recorder died now. Told from the day of installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// As now: the standby records it already.
    Recorded,
    /// In full.
    Protected,
    /// In its small stream.
    SubStreamOnly,
    /// It answers, and has no session to give away while its recorder lives.
    Scarce,
    /// Not at all.
    Unprotected(LeftOut),
}

/// The share of an uplink that standbys may fill.
pub fn budget(uplink: BitsPerSecond) -> BitsPerSecond {
    BitsPerSecond(uplink.0 / 5 * 4)
}

/// Chooses what to record of `cameras` within `budget`.
pub fn ramp(
    cameras: &BTreeMap<CameraId, CameraSpec>,
    answering: &BTreeMap<CameraId, Answer>,
    budget: BitsPerSecond,
) -> Ramp {
    let mut order: Vec<(&CameraId, &CameraSpec)> = cameras.iter().collect();
    order.sort_by_key(|(camera, spec)| (Reverse(spec.priority), *camera));
    let mut ramp = Ramp::default();
    let mut left = budget.0;
    for (camera, spec) in order {
        let (stream, rate) = cheapest(spec);
        if !answering.contains_key(camera) {
            ramp.left_out.insert(camera.clone(), LeftOut::NoAnswer);
        } else if rate > left {
            ramp.left_out.insert(camera.clone(), LeftOut::NoUplink);
        } else {
            left -= rate;
            ramp.chosen.push((camera.clone(), stream));
        }
    }
    for (camera, stream) in ramp.chosen.iter_mut().filter(|(_, stream)| *stream == Stream::Sub) {
        let spec = &cameras[camera];
        let more = spec.main.0.saturating_sub(cheapest(spec).1);
        if more <= left {
            left -= more;
            *stream = Stream::Main;
        }
    }
    ramp
}

/// How well each camera would be off.
pub fn protection(
    cameras: &BTreeMap<CameraId, CameraSpec>,
    answering: &BTreeMap<CameraId, Answer>,
    budget: BitsPerSecond,
) -> BTreeMap<CameraId, Protection> {
    let ramp = ramp(cameras, answering, budget);
    let chosen = ramp.chosen.into_iter().map(|(camera, stream)| {
        let protection = match (answering.get(&camera), stream) {
            (Some(Answer::Busy), _) => Protection::Scarce,
            (_, Stream::Main) => Protection::Protected,
            (_, Stream::Sub) => Protection::SubStreamOnly,
        };
        (camera, protection)
    });
    let rest = ramp.left_out.into_iter().map(|(camera, why)| (camera, Protection::Unprotected(why)));
    chosen.chain(rest).collect()
}

fn cheapest(spec: &CameraSpec) -> (Stream, u64) {
    match spec.sub {
        Some(sub) if sub < spec.main => (Stream::Sub, sub.0),
        _ => (Stream::Main, spec.main.0),
    }
}

/// What one stream of a camera costs.
pub(super) fn rate(spec: &CameraSpec, stream: Stream) -> u64 {
    match stream {
        Stream::Main => spec.main.0,
        Stream::Sub => spec.sub.unwrap_or(spec.main).0,
    }
}
