//! `[[drill]]`: what is to be rehearsed again and again.

use std::time::Duration;

use decide::control::{DRILL_MAX, DRILL_MIN, DrillKind};
use serde::Deserialize;
use site_agent::config::check::{Check, Choice};
use site_agent::config::leaf::{Flag, Text, Whole};
use wire::SiteId;

use crate::drills::Planned;

/// `drill.length_s`: long enough that a site without anybody is noticed.
const LENGTH_S: u64 = 30;
/// `drill.every_h`: a week.
const EVERY_H: u64 = 168;
/// The range of that: an hour to a year.
const EVERY_H_RANGE: std::ops::RangeInclusive<u64> = 1..=8_784;

#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [[drill]]", default)]
pub(super) struct DrillSection {
    sites: Option<Vec<Text>>,
    kind: Option<Text>,
    shadow: Option<Flag>,
    length_s: Option<Whole>,
    every_h: Option<Whole>,
    at: Option<Text>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum KindWord {
    #[default]
    Recorder,
    Wan,
    Site,
}

impl Choice for KindWord {
    const WORDS: &'static [(&'static str, Self)] =
        &[("recorder", Self::Recorder), ("wan", Self::Wan), ("site", Self::Site)];
}

impl From<KindWord> for DrillKind {
    fn from(word: KindWord) -> Self {
        match word {
            KindWord::Recorder => Self::Recorder,
            KindWord::Wan => Self::Wan,
            KindWord::Site => Self::Site,
        }
    }
}

/// Checks all of them.
pub(super) fn check(sections: Vec<DrillSection>, check: &mut Check) -> Vec<Planned> {
    let planned = sections.into_iter().enumerate();
    planned.filter_map(|(at, section)| one(section, &format!("drill[{at}]"), check)).collect()
}

fn one(section: DrillSection, path: &str, check: &mut Check) -> Option<Planned> {
    let key = |name: &str| format!("{path}.{name}");
    let sites = section.sites.unwrap_or_default();
    let sites = sites.iter().map(|site| check.parsed(&key("sites"), &site.0, |site| SiteId::new(site)));
    let sites: Option<Vec<SiteId>> = sites.collect();
    let kind: DrillKind = check.choice::<KindWord>(&key("kind"), section.kind).into();
    let shadow = check.flag(section.shadow, true);
    if kind == DrillKind::Site && !shadow {
        let message = "= false would leave a site recorded by nobody, with nobody there to accept that: a site that is \
                       lost whole is planned over a shadow only";
        check.problem(&key("shadow"), message);
    }
    let range = DRILL_MIN.as_secs()..=DRILL_MAX.as_secs();
    let length = Duration::from_secs(check.whole(&key("length_s"), section.length_s, LENGTH_S, range));
    let every = check.whole(&key("every_h"), section.every_h, EVERY_H, EVERY_H_RANGE);
    let at_s = match section.at {
        Some(at) => Some(check.parsed(&key("at"), &at.0, time_of_day)?),
        None => None,
    };
    Some(Planned { sites: sites?, kind, shadow, length, every: Duration::from_secs(every * 3600), at_s })
}

fn time_of_day(text: &str) -> Result<u64, &'static str> {
    let wrong = "is no time of the day: write HH:MM in UTC, for example \"03:30\"";
    let (hours, minutes) = text.split_once(':').ok_or(wrong)?;
    let number = |text: &str, end: u64| match text.len() {
        2 => text.parse::<u64>().ok().filter(|number| *number < end).ok_or(wrong),
        _ => Err(wrong),
    };
    Ok(number(hours, 24)? * 3600 + number(minutes, 60)? * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_day_is_hours_and_minutes() {
        assert_eq!(time_of_day("03:30"), Ok(12_600));
        assert_eq!(time_of_day("23:59"), Ok(86_340));
        for wrong in ["", "3:30", "24:00", "12:60", "12", "12:3", "-1:00", "12:30:00"] {
            assert!(time_of_day(wrong).is_err(), "{wrong}");
        }
    }
}
