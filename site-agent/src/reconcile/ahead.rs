//! What limits and windows leave to backlog in the days to come.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::Time;
use wire::UnixMicros;

use super::road::Hours;
use crate::config::Class;
use crate::replication::Rules;
use crate::uplink::allowed;

/// Days that are looked ahead to. What holds at their end is taken to go on.
const DAYS: i32 = 8;

/// The hours from `now` on, over a line that carries `capacity` bytes of UDP payload a second.
pub(crate) fn hours(rules: &Rules, now: UnixMicros, capacity: Option<f64>) -> Vec<Hours> {
    let mut edges = edges(rules, now);
    edges.insert(UnixMicros::MAX);
    let mut from = now;
    let mut stretch = |until: UnixMicros| {
        let local = rules.local(std::mem::replace(&mut from, until));
        let backlog_max = allowed(&rules.limits, Class::Backlog, local, capacity);
        Hours { until, backlog_max, window: rules.is_open(local) }
    };
    edges.into_iter().map(&mut stretch).collect()
}

/// When something begins or ends.
fn edges(rules: &Rules, now: UnixMicros) -> BTreeSet<UnixMicros> {
    let windows = rules.windows.iter().map(|window| (window.from, window.to));
    let limits = rules.limits.iter().filter(|limit| limit.class == Class::Backlog);
    let hours = windows.chain(limits.filter_map(|limit| limit.hours));
    let times: BTreeSet<Time> = hours.flat_map(|(from, to)| [from, to]).collect();
    let today = Timestamp::from_microsecond(now.0).unwrap_or_default().to_zoned(rules.zone.clone()).date();
    let days = (0..DAYS).filter_map(|day| today.checked_add(day.days()).ok());
    let at = |date: jiff::civil::Date, time: Time| {
        let zoned = date.to_datetime(time).to_zoned(rules.zone.clone()).ok()?;
        Some(UnixMicros(zoned.timestamp().as_microsecond()))
    };
    let all = days.flat_map(|date| times.iter().filter_map(move |time| at(date, *time)));
    all.filter(|edge| *edge > now).collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use wire::Policies;

    use super::*;
    use crate::config::{Allowance, ClassLimit, Window};

    fn rules(windows: &[(i8, i8)], limits: &[(i8, i8, f64)]) -> Rules {
        let at = |hour| Time::constant(hour, 0, 0, 0);
        Rules {
            policies: Policies::default(),
            limits: limits
                .iter()
                .map(|&(from, to, mbit)| ClassLimit {
                    class: Class::Backlog,
                    hours: Some((at(from), at(to))),
                    most: Allowance::Rate(mbit * 1e6),
                })
                .collect(),
            windows: windows.iter().map(|&(from, to)| Window { from: at(from), to: at(to) }).collect(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
        }
    }

    fn at(text: &str) -> UnixMicros {
        UnixMicros(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn nights_are_nights_at_the_site_whatever_its_clocks_do() {
        // The clocks go back on 25 October 2026 in Berlin: 22:00 is 20:00 in UTC, and 21:00 from then on.
        let hours = hours(&rules(&[(22, 6)], &[]), at("2026-10-24T12:00:00Z"), None);
        let told: Vec<_> = hours.iter().take(4).map(|hours| (hours.until, hours.window)).collect();
        assert_eq!(
            told,
            [
                (at("2026-10-24T20:00:00Z"), false),
                (at("2026-10-25T05:00:00Z"), true),
                (at("2026-10-25T21:00:00Z"), false),
                (at("2026-10-26T05:00:00Z"), true),
            ]
        );
        assert_eq!(hours.last().unwrap().until, UnixMicros::MAX);
    }

    #[test]
    fn limits_by_the_hour_are_looked_ahead_to() {
        let hours = hours(&rules(&[], &[(8, 18, 1.0)]), at("2026-06-01T10:00:00Z"), None);
        assert!(hours[0].backlog_max.is_some() && hours[1].backlog_max.is_none());
        assert_eq!(hours[0].until, at("2026-06-01T16:00:00Z"));
        assert!(hours.iter().all(|hours| !hours.window), "there is no window");
    }

    #[test]
    fn without_hours_it_is_always_like_now() {
        assert_eq!(hours(&rules(&[], &[]), at("2026-06-01T10:00:00Z"), None), Hours::always(None, false));
    }
}
