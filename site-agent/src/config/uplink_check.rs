//! The section `[uplink]`: how the line to the hub is used.

use jiff::civil::Time;
use wire::SiteId;

use super::check::{Check, Choice};
use super::leaf::Text;
use super::schema::{LimitSection, UplinkSection};
use super::site::{Allowance, Class, ClassLimit, Uplink};
use super::windows_check;
use super::{congestion, defaults, paths_check};

/// A class as written; there is no default, but a choice needs one.
#[derive(Clone, Copy, Default, PartialEq)]
enum ClassWord {
    Live,
    #[default]
    Backlog,
    Fetch,
}

impl Choice for ClassWord {
    const WORDS: &'static [(&'static str, Self)] =
        &[("live", Self::Live), ("backlog", Self::Backlog), ("fetch", Self::Fetch)];
}

pub(super) fn uplink(section: UplinkSection, site: Option<&SiteId>, check: &mut Check) -> Uplink {
    let controller = ("uplink.congestion", section.congestion);
    let congestion = congestion::check(check, controller, ("uplink.rate_mbit_max", section.rate_mbit_max));
    let paths = paths_check::paths(section.path.unwrap_or_default(), check);
    let sections = section.limit.unwrap_or_default().into_iter().enumerate();
    let mut limits: Vec<ClassLimit> = Vec::new();
    for (at, section) in sections {
        let path = format!("uplink.limit[{at}]");
        let Some(limit) = limit(section, &path, check) else { continue };
        if limits.iter().any(|earlier| earlier.class == limit.class && earlier.hours.is_none()) {
            check.warn(&path, "never counts: an earlier limit of the class holds at all hours; put it first");
        }
        limits.push(limit);
    }
    let windows = (section.window.unwrap_or_default(), section.window_spread_min);
    let windows = windows_check::windows(windows, site, check);
    Uplink { congestion, paths, limits, windows }
}

fn limit(section: LimitSection, path: &str, check: &mut Check) -> Option<ClassLimit> {
    let at = |key: &str| format!("{path}.{key}");
    let given = check.required(&at("class"), section.class, "class = \"backlog\"");
    let class = given.map(|word| match check.choice(&at("class"), Some(Text(word))) {
        ClassWord::Live => Class::Live,
        ClassWord::Backlog => Class::Backlog,
        ClassWord::Fetch => Class::Fetch,
    });
    let hours = hours(section.from, section.to, path, check);
    // Backlog can be stopped; what is recorded can't, it would only become backlog.
    let least = if class == Some(Class::Live) { *defaults::RATE_MBIT_RANGE.start() } else { 0.0 };
    let rate = check.number(&at("rate_mbit_max"), section.rate_mbit_max, least..=defaults::LIMIT_MBIT_MAX);
    let percent = check.number(&at("percent_max"), section.percent_max, defaults::PERCENT_RANGE);
    let most = match (rate, percent) {
        (Some(mbit), None) => Allowance::Rate(mbit * 1e6),
        (None, Some(percent)) => Allowance::Share(percent / 100.0),
        (Some(_), Some(_)) => {
            check.problem(
                &at("percent_max"),
                "both rate_mbit_max and percent_max are given; keep one of them",
            );
            return None;
        }
        (None, None) => {
            check.missing(&at("rate_mbit_max"), "is missing; add rate_mbit_max = 4 or percent_max = 50");
            return None;
        }
    };
    Some(ClassLimit { class: class?, hours: hours?, most })
}

/// The hours of a limit; `None` if what is written can't be used.
fn hours(
    from: Option<Text>,
    to: Option<Text>,
    path: &str,
    check: &mut Check,
) -> Option<Option<(Time, Time)>> {
    let at = |key: &str| format!("{path}.{key}");
    match (from, to) {
        (None, None) => Some(None),
        (Some(_), None) => {
            check.missing(&at("to"), "is missing, but there is a from; add to = \"20:00\"");
            None
        }
        (None, Some(_)) => {
            check.missing(&at("from"), "is missing, but there is a to; add from = \"08:00\"");
            None
        }
        (Some(from), Some(to)) => {
            let from = check.parsed(&at("from"), &from.0, time);
            let to = check.parsed(&at("to"), &to.0, time);
            let (from, to) = (from?, to?);
            if from == to {
                check.problem(&at("to"), "is the same as from; leave both out for the whole day");
            }
            Some(Some((from, to)))
        }
    }
}

pub(super) fn time(text: &str) -> Result<Time, &'static str> {
    let refused = "is no time of the day; write HH:MM, for example \"08:00\"";
    let (hour, minute) = text.split_once(':').ok_or(refused)?;
    let number = |digits: &str| match digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()) {
        true => digits.parse::<i8>().map_err(|_| refused),
        false => Err(refused),
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| refused)
}

#[cfg(test)]
mod tests {
    use wire::transport::{Congestion, Settings};

    use super::super::report::Outcome;
    use super::super::{SiteConfig, load_site_with};
    use super::*;

    fn load(uplink: &str) -> Outcome<SiteConfig> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        std::fs::write(&file, format!("[site]\nid = \"shop-1\"\n{uplink}")).unwrap();
        load_site_with(&file, std::iter::empty())
    }

    /// The keys of all problems, with what is said of them.
    fn problems(uplink: &str) -> Vec<(String, String)> {
        let found = load(uplink).expect_err("there are problems");
        found.into_iter().map(|problem| (problem.key, problem.message)).collect()
    }

    #[test]
    fn nothing_written_is_no_limit_and_the_shipped_controller() {
        let uplink = load("").unwrap().0.uplink;
        assert_eq!(uplink.congestion, Settings::default().congestion);
        assert!(uplink.limits.is_empty());
    }

    #[test]
    fn a_contracted_rate_is_a_ceiling_without_the_headers() {
        let written = "[uplink]\ncongestion = \"holdfast\"\nrate_mbit_max = 1.5\n";
        let Congestion::Holdfast { ceiling: Some(ceiling) } = load(written).unwrap().0.uplink.congestion
        else {
            panic!("no ceiling")
        };
        assert_eq!(ceiling, 181_500);
    }

    #[test]
    fn limits_are_read_in_order() {
        let written = "[[uplink.limit]]\nclass = \"backlog\"\nfrom = \"08:00\"\nto = \"20:30\"\nrate_mbit_max = 0\n\
                       [[uplink.limit]]\nclass = \"live\"\npercent_max = 50\n";
        let limits = load(written).unwrap().0.uplink.limits;
        let hours = Some((Time::constant(8, 0, 0, 0), Time::constant(20, 30, 0, 0)));
        assert_eq!(
            limits,
            [
                ClassLimit { class: Class::Backlog, hours, most: Allowance::Rate(0.0) },
                ClassLimit { class: Class::Live, hours: None, most: Allowance::Share(0.5) },
            ]
        );
    }

    #[test]
    fn every_mistake_is_named_at_its_key() {
        let written = "[uplink]\ncongestion = \"cubik\"\n[[uplink.limit]]\nclass = \"backlog\"\nfrom = \"8:00\"\n\
                       to = \"24:00\"\nrate_mbit_max = -1\n\
                       [[uplink.limit]]\nclass = \"events\"\nfrom = \"08:00\"\npercent_max = 101\n\
                       [[uplink.limit]]\nrate_mbit_max = 3\npercent_max = 5\n\
                       [[uplink.limit]]\nclass = \"live\"\nrate_mbit_max = 0\n\
                       [[uplink.limit]]\nclass = \"live\"\nfrom = \"08:00\"\nto = \"08:00\"\n";
        let found = problems(written);
        let mut keys: Vec<_> = found.iter().map(|(key, _)| key.trim_start_matches("uplink.")).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "congestion",
                "limit[0].from",
                "limit[0].rate_mbit_max",
                "limit[0].to",
                "limit[1].class",
                "limit[1].percent_max",
                "limit[1].to",
                "limit[2].class",
                "limit[2].percent_max",
                "limit[3].rate_mbit_max",
                "limit[4].rate_mbit_max",
                "limit[4].to",
            ],
            "{found:#?}"
        );
        let (_, said) = found.iter().find(|(key, _)| key == "uplink.congestion").unwrap();
        assert!(said.contains("did you mean `cubic`?"), "{said}");
    }

    #[test]
    fn a_ceiling_needs_the_controller_that_has_one() {
        let found = problems("[uplink]\ncongestion = \"cubic\"\nrate_mbit_max = 20\n");
        assert_eq!(found[0].0, "uplink.rate_mbit_max");
        assert!(found[0].1.contains("congestion = \"holdfast\""), "{found:?}");
    }

    #[test]
    fn a_limit_that_never_counts_is_a_warning() {
        let limit = "[[uplink.limit]]\nclass = \"backlog\"\nrate_mbit_max = 3\n";
        let later =
            "[[uplink.limit]]\nclass = \"backlog\"\npercent_max = 3\nfrom = \"01:00\"\nto = \"02:00\"\n";
        let warnings = load(&format!("{limit}{later}")).unwrap().1;
        assert!(warnings.iter().any(|warning| warning.key == "uplink.limit[1]"), "{warnings:?}");
        let warnings = load(&format!("{later}{limit}")).unwrap().1;
        assert!(!warnings.iter().any(|warning| warning.key.starts_with("uplink")), "{warnings:?}");
    }

    #[test]
    fn time_zones_are_those_of_the_machine() {
        let zone = |name: &str| load(&format!("time_zone = \"{name}\"\n"));
        assert_eq!(zone("Europe/Berlin").unwrap().0.site.time_zone.iana_name(), Some("Europe/Berlin"));
        let problem = &zone("Europe/Berlun").unwrap_err()[0];
        assert_eq!(problem.key, "site.time_zone");
    }
}
