//! `[[uplink.window]]`: when bytes of scheduled streams may go.

use std::time::Duration;

use jiff::civil::Time;
use wire::{Replicate, SiteId};

use super::check::Check;
use super::leaf::Whole;
use super::schema::WindowSection;
use super::site::{Camera, Window};
use super::uplink_check::time;
use super::{SiteConfig, Tier, defaults};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Windows, each opening so much later as this site waits.
pub(super) fn windows(
    (sections, spread): (Vec<WindowSection>, Option<Whole>),
    site: Option<&SiteId>,
    check: &mut Check,
) -> Vec<Window> {
    let (default, range) = (defaults::WINDOW_SPREAD_MIN, defaults::WINDOW_SPREAD_MIN_RANGE);
    let spread_min = check.whole("uplink.window_spread_min", spread, default, range);
    let spread = Duration::from_secs(60 * spread_min);
    let later = site.map_or(Duration::ZERO, |site| share(site, spread));
    let windows = sections.into_iter().enumerate().filter_map(|(at, section)| {
        let key = |name: &str| format!("uplink.window[{at}].{name}");
        let from = check.required(&key("from"), section.from, "from = \"22:00\"");
        let to = check.required(&key("to"), section.to, "to = \"06:00\"");
        let from = from.and_then(|text| check.parsed(&key("from"), &text, time));
        let to = to.and_then(|text| check.parsed(&key("to"), &text, time));
        let (from, to) = (from?, to?);
        let length = length(from, to);
        if length.is_zero() {
            let message = "is the same as from; for the whole day leave the window out, and replicate = \"live\"";
            check.problem(&key("to"), message);
        } else if length <= spread {
            let message = format!(
                "the window is not longer than uplink.window_spread_min ({spread_min} min): some sites would never \
                 send; make the one longer or the other shorter"
            );
            check.problem(&key("to"), message);
        }
        Some(Window { from: from.wrapping_add(jiff::SignedDuration::try_from(later).ok()?), to })
    });
    windows.collect()
}

/// From the first to the second, maybe past midnight.
fn length(from: Time, to: Time) -> Duration {
    let seconds = |time: Time| {
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        u64::try_from(i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)).unwrap_or(0)
    };
    Duration::from_secs((seconds(to) + DAY.as_secs() - seconds(from)) % DAY.as_secs())
}

/// A site's own part of a time: always the same, and spread evenly over many sites. In whole seconds.
fn share(site: &SiteId, of: Duration) -> Duration {
    let hash = blake3::hash(site.as_str().as_bytes());
    let draw = hash.as_bytes().iter().take(8).fold(0_u64, |draw, byte| (draw << 8) | u64::from(*byte));
    Duration::from_secs(draw % of.as_secs().max(1))
}

/// Do policies fit the rest?
pub(super) fn fits(config: &SiteConfig, check: &mut Check) {
    let streams = config.cameras.iter().enumerate().flat_map(|(at, camera): (usize, &Camera)| {
        let streams = camera.streams.iter().enumerate();
        streams
            .map(move |(stream, known)| (format!("camera[{at}].stream[{stream}].replicate"), known.replicate))
    });
    for (key, replicate) in streams {
        if replicate == Replicate::Scheduled && config.uplink.windows.is_empty() {
            let message = "nothing would ever go: there is no [[uplink.window]]; add one, with from and to";
            check.problem(&key, message);
        }
        if replicate == Replicate::Never && config.hub.is_some() && config.standby.tier != Tier::None {
            let message = "the hub still records this camera itself when this recorder is lost; write standby.tier = \
                           \"none\" if its pictures must not leave the site";
            check.warn(&key, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load_site_with;
    use super::super::report::Outcome;
    use super::*;

    fn load(site: &str, uplink: &str, replicate: &str) -> Outcome<SiteConfig> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        let camera =
            "[[camera]]\nid = \"till-1\"\n[[camera.stream]]\nname = \"main\"\nurl = \"rtsp://10.0.0.5/a\"\n";
        std::fs::write(&file, format!("[site]\nid = \"{site}\"\n{uplink}{camera}{replicate}\n")).unwrap();
        load_site_with(&file, std::iter::empty())
    }

    fn problem(uplink: &str, replicate: &str) -> (String, String) {
        let mut found = load("shop-1", uplink, replicate).expect_err("there is a problem");
        assert_eq!(found.len(), 1, "{found:?}");
        let found = found.remove(0);
        (found.key, found.message)
    }

    const NIGHT: &str = "[[uplink.window]]\nfrom = \"22:00\"\nto = \"06:00\"\n";

    #[test]
    fn without_a_word_a_stream_is_live_and_all_words_are_read() {
        let of = |written: &str| {
            let config = load("shop-1", NIGHT, written).unwrap().0;
            let stream = config.cameras[0].streams[0].clone();
            assert_eq!(config.policies().replicate(&stream.id), stream.replicate);
            stream.replicate
        };
        assert_eq!(of(""), Replicate::Live);
        for (word, replicate) in Replicate::WORDS {
            assert_eq!(of(&format!("replicate = \"{word}\"")), replicate);
        }
        let (key, message) = problem("", "replicate = \"on-demand\"");
        assert_eq!(key, "camera[0].stream[0].replicate");
        assert!(message.contains("on_demand"), "{message}");
    }

    #[test]
    fn scheduled_needs_a_window_that_is_longer_than_it_is_spread() {
        let scheduled = "replicate = \"scheduled\"";
        let (key, message) = problem("", scheduled);
        assert_eq!(key, "camera[0].stream[0].replicate");
        assert!(message.contains("[[uplink.window]]"), "{message}");
        let short = "[[uplink.window]]\nfrom = \"23:55\"\nto = \"00:05\"\n";
        let (key, message) = problem(short, scheduled);
        assert_eq!(key, "uplink.window[0].to");
        assert!(message.contains("window_spread_min (10 min)"), "{message}");
        let (key, _) = problem("[[uplink.window]]\nfrom = \"23:55\"\nto = \"23:55\"\n", "");
        assert_eq!(key, "uplink.window[0].to");
        assert_eq!(problem("[[uplink.window]]\nfrom = \"23:55\"\n", "").0, "uplink.window[0].to");
    }

    #[test]
    fn windows_of_many_sites_open_one_after_the_other_and_close_together() {
        let window = |site: &str, more: &str| {
            load(site, &format!("[uplink]\n{more}{NIGHT}"), "").unwrap().0.uplink.windows[0]
        };
        let exact = window("shop-1", "window_spread_min = 0\n");
        assert_eq!((exact.from, exact.to), (Time::constant(22, 0, 0, 0), Time::constant(6, 0, 0, 0)));
        let opened: Vec<_> = (0..100).map(|site| window(&format!("shop-{site}"), "")).collect();
        assert!(opened.iter().all(|one| one.to == exact.to));
        let waits: std::collections::BTreeSet<_> =
            opened.iter().map(|one| length(exact.from, one.from)).collect();
        assert!(waits.iter().all(|wait| *wait < Duration::from_secs(600)), "{waits:?}");
        // Of 600 seconds a hundred sites take some ninety different ones.
        assert!(waits.len() > 75, "{}", waits.len());
        assert_eq!(window("shop-1", "").from, window("shop-1", "").from, "a site keeps its time");
        // Past midnight.
        let late = load(
            "shop-1",
            "[uplink]\nwindow_spread_min = 240\n[[uplink.window]]\nfrom = \"23:59\"\nto = \"23:00\"\n",
            "",
        );
        assert!(late.unwrap().0.uplink.windows[0].from < Time::constant(4, 0, 0, 0));
    }

    #[test]
    fn never_is_not_what_it_says_while_a_standby_may_record() {
        let hub = "[hub]\naddress = \"hub:7443\"\n";
        let warned = |standby: &str| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("site.toml");
            for name in ["ca.pem", "site.pem", "site-key.pem"] {
                std::fs::write(dir.path().join(name), "").unwrap();
            }
            let camera = "[[camera]]\nid = \"till-1\"\n[[camera.stream]]\nname = \"main\"\nurl = \"rtsp://10.0.0.5/a\"\n";
            let text = format!("[site]\nid = \"shop-1\"\n{hub}{standby}{camera}replicate = \"never\"\n");
            std::fs::write(&file, text).unwrap();
            let outcome = load_site_with(&file, std::iter::empty());
            let (_, warnings) = outcome.unwrap_or_else(|problems| panic!("{problems:?}"));
            warnings.iter().any(|warning| warning.key == "camera[0].stream[0].replicate")
        };
        assert!(warned(""));
        assert!(!warned("[standby]\ntier = \"none\"\n"));
    }
}
