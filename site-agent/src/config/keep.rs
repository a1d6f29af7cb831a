//! What is kept, and how much room: the keys that a site's archive, its cameras and a hub's vault share.

use std::time::Duration;

use super::check::Check;
use super::defaults;
use super::leaf::{Number, Whole};
use super::site::Camera;
use crate::retention::plan::{Marks, Policy};
use crate::scrub::plan::Rules as Scrub;

const MB: u64 = 1_000_000;
const DAY_S: f64 = 86_400.0;

/// A policy; what a key leaves out is as in `otherwise`. `None` if it leaves out both.
pub fn policy(
    section: &str,
    (days, gb): (Option<Number>, Option<Number>),
    otherwise: Policy,
    check: &mut Check,
) -> Option<Policy> {
    if days.is_none() && gb.is_none() {
        return None;
    }
    let days = check.number(&format!("{section}.keep_days_max"), days, defaults::KEEP_DAYS_RANGE);
    let gb = check.number(&format!("{section}.keep_gb_max"), gb, defaults::KEEP_GB_RANGE);
    let age = days.map(|days| Duration::from_secs_f64(days.max(0.0) * DAY_S));
    let bytes = gb.map(|gb| (gb * 1e9) as u64);
    Some(Policy { age_max: age.or(otherwise.age_max), bytes_max: bytes.or(otherwise.bytes_max) })
}

/// The marks of free space.
pub(super) fn marks((low, high): (Option<Whole>, Option<Whole>), check: &mut Check) -> Marks {
    let range = || defaults::FREE_MB_RANGE;
    // Who gives one of them means the other to fit.
    let low_default =
        high.as_ref().map_or(defaults::FREE_LOW_MB, |high| defaults::FREE_LOW_MB.min(high.0 / 2));
    let low = check.whole("archive.free_low_mb", low, low_default.max(*range().start()), range());
    let high_default = defaults::FREE_HIGH_MB.max(low.saturating_mul(2));
    let high = check.whole("archive.free_high_mb", high, high_default, range());
    if high <= low {
        let message = format!(
            "is {high}, but room is made until more is free than archive.free_low_mb, {low}; raise it"
        );
        check.problem("archive.free_high_mb", message);
    }
    Marks { low: low.saturating_mul(MB), high: high.saturating_mul(MB) }
}

/// The ballast's size.
pub fn ballast(key: &str, mb: Option<Whole>, check: &mut Check) -> u64 {
    check.whole(key, mb, defaults::BALLAST_MB, defaults::BALLAST_MB_RANGE).saturating_mul(MB)
}

/// How often everything is re-read, and how fast.
pub fn scrub(section: &str, (days, rate): (Option<Number>, Option<Number>), check: &mut Check) -> Scrub {
    let days = check.number(&format!("{section}.scrub_days"), days, defaults::SCRUB_DAYS_RANGE);
    let rate = check.number(&format!("{section}.scrub_mb_s_max"), rate, defaults::SCRUB_MB_S_MAX_RANGE);
    let days = days.unwrap_or(defaults::SCRUB_DAYS).max(0.0);
    let period = Some(Duration::from_secs_f64(days * DAY_S)).filter(|period| !period.is_zero());
    Scrub { period, rate_max: rate.unwrap_or(defaults::SCRUB_MB_S_MAX) * 1e6 }
}

/// What fits alone and not together.
pub(super) fn fits(archive: &super::site::Archive, cameras: &[Camera], check: &mut Check) {
    let rates =
        || cameras.iter().map(|camera| camera.streams.iter().map(|stream| stream.rate_bps).sum::<u64>());
    let half_minute = rates().sum::<u64>() / 8 * 30;
    if archive.marks.low < half_minute {
        let (low, wanted) = (archive.marks.low / MB, half_minute.div_ceil(MB));
        let message =
            format!("is {low}, less than half a minute of all streams; {wanted} or more leaves time to free");
        check.warn("archive.free_low_mb", message);
    }
    for (at, (camera, rate)) in cameras.iter().zip(rates()).enumerate() {
        let keep = camera.keep.unwrap_or(archive.keep);
        if let Some(bytes) = keep.bytes_max.filter(|bytes| *bytes < rate / 8 * 3600) {
            let key = if camera.keep.is_some() {
                format!("camera[{at}].keep_gb_max")
            } else {
                "archive.keep_gb_max".into()
            };
            let minutes = bytes / (rate / 8 * 60).max(1);
            check.warn(&key, format!("keeps about {minutes} minutes of camera `{}` at its rate", camera.id));
        }
    }
}
