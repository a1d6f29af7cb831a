//! Reads what a request asks for.

use std::time::Duration;

use axum::http::Uri;
use jiff::Timestamp;
use wire::{SiteId, StreamId, UnixMicros};

use super::answer::Refusal;
use super::{Role, Shared};

const HOUR: Duration = Duration::from_secs(3600);

/// The query part of a request; of a parameter given twice the first counts.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(uri: &Uri) -> Self {
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.get("token")
    }

    /// `1`, `true` or `yes`; anything else but `0`, `false`, `no` is refused.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None | Some("0" | "false" | "no") => Ok(false),
            Some("1" | "true" | "yes") => Ok(true),
            Some(other) => Err(Refusal::parameter(name, format!("`{other}` is neither 0 nor 1"))),
        }
    }

    /// `from` and `to`; the last hour where they are missing.
    pub(super) fn range(&self, now: UnixMicros, max: Duration) -> Result<(UnixMicros, UnixMicros), Refusal> {
        let instant = |name| self.get(name).map(|text| parse_instant(name, text)).transpose();
        let (from, to) = match (instant("from")?, instant("to")?) {
            (None, to) => (to.unwrap_or(now) - HOUR, to.unwrap_or(now)),
            (Some(from), to) => (from, to.unwrap_or(now)),
        };
        if from >= to {
            return Err(Refusal::parameter("from", "it must be earlier than `to`"));
        }
        if to.since(from) > max {
            let hours = max.as_secs() / 3600;
            return Err(Refusal::parameter("to", format!("at most {hours} hours after `from`")));
        }
        Ok((from, to))
    }
}

/// Which camera stream a request is about.
pub(super) fn target(
    shared: &Shared,
    site: &str,
    camera: &str,
    params: &Params,
) -> Result<(SiteId, StreamId), Refusal> {
    let stream = params.get("stream").unwrap_or("main");
    let site = SiteId::new(site).map_err(|error| Refusal::parameter("site", error))?;
    wire::id::check_slug(camera).map_err(|error| Refusal::parameter("camera", error))?;
    let stream = StreamId::new(camera, stream).map_err(|error| Refusal::parameter("stream", error))?;
    let known = shared.known();
    if known.contains(&(site.clone(), stream.clone())) {
        return Ok((site, stream));
    }
    let names: Vec<_> = known.iter().map(|(site, stream)| format!("{site}/{stream}")).collect();
    let detail = format!("{site}/{stream} is not known here; known: {}", names.join(", "));
    Err(Refusal::not_found("unknown camera", detail).with("known", names))
}

impl Role {
    /// May this site's cameras be shown?
    pub(super) fn shows(&self, site: &SiteId) -> bool {
        match self {
            Self::Site(own) => own == site,
            Self::Hub => true,
        }
    }
}

/// RFC 3339, or Unix time: whole or fractional seconds, milliseconds or microseconds, told by size.
fn parse_instant(name: &str, text: &str) -> Result<UnixMicros, Refusal> {
    let refused = || {
        let forms = "write RFC 3339, as 2026-11-22T08:30:00Z, or Unix time in seconds or microseconds";
        Refusal::parameter(name, format!("`{text}` is no instant; {forms}"))
    };
    if let Ok(number) = text.parse::<i64>() {
        let factor = match number.unsigned_abs() {
            0..100_000_000_000 => 1_000_000,
            100_000_000_000..100_000_000_000_000 => 1_000,
            _ => 1,
        };
        return Ok(UnixMicros(number.saturating_mul(factor)));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let sensible = seconds.abs() < 1e11;
        #[allow(clippy::cast_possible_truncation)] // below 1e17, as just checked
        return if sensible { Ok(UnixMicros((seconds * 1e6).round() as i64)) } else { Err(refused()) };
    }
    // An unescaped `+` of a time zone arrives as a space.
    let text = text.replace(' ', "+");
    text.parse::<Timestamp>().map(|at| UnixMicros(at.as_microsecond())).map_err(|_| refused())
}

/// As people and programs read it.
pub(super) fn rfc3339(at: UnixMicros) -> String {
    Timestamp::from_microsecond(at.0).map_or_else(|_| at.to_string(), |at| format!("{at:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_come_in_many_forms() {
        for text in [
            "1700000000",
            "1700000000.0",
            "1700000000000",
            "1700000000000000",
            "2023-11-14T22:13:20Z",
            "2023-11-14T23:13:20 01:00",
        ] {
            assert_eq!(parse_instant("from", text).unwrap(), UnixMicros(1_700_000_000_000_000), "{text}");
        }
        for text in ["yesterday", "NaN", "1e300", "2023-11-14"] {
            assert!(parse_instant("from", text).is_err(), "{text}");
        }
        assert_eq!(rfc3339(UnixMicros(1_700_000_000_000_000)), "2023-11-14T22:13:20.000000Z");
    }

    #[test]
    fn ranges_are_checked() {
        let now = UnixMicros(1_700_000_000_000_000);
        let range = |query: &str| Params::of(&format!("/?{query}").parse().unwrap()).range(now, HOUR * 24);
        assert_eq!(range("").unwrap(), (now - HOUR, now));
        assert_eq!(range("from=1699999990").unwrap().1, now);
        assert!(range("from=1700000001").is_err());
        assert!(range("from=1").is_err());
    }
}
