//! Instants as people write and read them, in this machine's time zone.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use wire::UnixMicros;

const HOUR: Duration = Duration::from_secs(3600);

/// What `--from` and `--to` take, for their help.
pub(super) const FORMS: &str = "\
Times:
  14:05, yesterday, \"yesterday 14:05\", \"2026-11-22 14:05\"   local time
  2026-11-22T14:05:00Z, 2026-11-22T14:05:00+01:00         with a zone
  -2h, -90s, now                                          before now
  +10m                                                    --to: after --from; --until: from now";
const HINT: &str = "write 14:05, \"yesterday 14:05\", \"2026-11-22 14:05\", 2026-11-22T14:05:00Z or -2h";

/// Of which time a command is.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct RangeArgs {
    /// When it begins [default: an hour before --to]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// When it ends [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

impl RangeArgs {
    /// Its ends, as a clock reads them.
    pub(super) fn read(&self, clock: &Clock) -> anyhow::Result<(UnixMicros, UnixMicros)> {
        clock.range(self.from.as_deref(), self.to.as_deref())
    }
}

/// The present, and where we are.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) now: UnixMicros,
    zone: TimeZone,
}

impl Clock {
    /// This machine's.
    pub(super) fn system() -> Self {
        Self { now: wire::clock::wall(), zone: TimeZone::system() }
    }

    /// `from` and `to`; the last hour where they are missing.
    pub(super) fn range(
        &self,
        from: Option<&str>,
        to: Option<&str>,
    ) -> anyhow::Result<(UnixMicros, UnixMicros)> {
        let given = from.map(|text| self.parse(text).context("--from")).transpose()?;
        let to = match (to, given) {
            (None, _) => self.now,
            (Some(text), Some(from)) => self.parse_after(from, text).context("--to")?,
            (Some(text), None) => self.parse(text).context("--to")?,
        };
        let from = given.unwrap_or(to - HOUR);
        ensure!(
            from < self.now,
            "--from is {}, which is still to come; for the day before write `yesterday 14:05`",
            self.full(from)
        );
        ensure!(from < to, "--from is {}, not earlier than --to, {}", self.full(from), self.full(to));
        Ok((from, to))
    }

    /// An instant, or so long after `start`: `+10m`.
    pub(super) fn parse_after(&self, start: UnixMicros, text: &str) -> anyhow::Result<UnixMicros> {
        let text = text.trim();
        if text.starts_with('+') { self.after(start, text) } else { self.parse(text) }
    }

    /// An instant.
    pub(super) fn parse(&self, text: &str) -> anyhow::Result<UnixMicros> {
        let text = text.trim();
        if text == "now" {
            return Ok(self.now);
        }
        if text.starts_with('-') {
            return self.after(self.now, text);
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(UnixMicros(at.as_microsecond()));
        }
        let Some(local) = self.local(text) else { bail!("`{text}` is no time: {HINT}") };
        let at = local.to_zoned(self.zone.clone()).with_context(|| format!("`{text}` is out of range"))?;
        Ok(micros(&at))
    }

    /// A time without a zone.
    fn local(&self, text: &str) -> Option<DateTime> {
        let today = self.zoned(self.now).date();
        let (day, time) = text.split_once(' ').unwrap_or((text, "00:00"));
        match day {
            "today" => Some(today.to_datetime(time_of_day(time)?)),
            "yesterday" => Some(today.yesterday().ok()?.to_datetime(time_of_day(time)?)),
            // Without a colon, `2026` would be 20:26.
            _ if text.contains(':') && !text.contains('-') => Some(today.to_datetime(time_of_day(text)?)),
            _ => text.parse().ok().filter(|_| text.contains('-')),
        }
    }

    /// `+10m` or `-2h` from `start`.
    fn after(&self, start: UnixMicros, text: &str) -> anyhow::Result<UnixMicros> {
        let span: Span =
            text.parse().map_err(|_| anyhow::anyhow!("`{text}` is no length of time: {HINT}"))?;
        let at = self.zoned(start).checked_add(span).with_context(|| format!("`{text}` is out of range"))?;
        Ok(micros(&at))
    }

    /// `14:05:00.250`
    pub(super) fn time(&self, at: UnixMicros) -> String {
        self.zoned(at).strftime("%H:%M:%S%.3f").to_string()
    }

    /// `2026-11-22 14:05:00.250`
    pub(super) fn full(&self, at: UnixMicros) -> String {
        self.zoned(at).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
    }

    /// Both ends of a range; the day is told once if it is the same.
    pub(super) fn show_range(&self, from: UnixMicros, to: UnixMicros) -> String {
        let end = if self.same_day(from, to) { self.time(to) } else { self.full(to) };
        format!("{} – {end}", self.full(from))
    }

    /// Do both lie in one local day?
    pub(super) fn same_day(&self, from: UnixMicros, to: UnixMicros) -> bool {
        self.zoned(from).date() == self.zoned(to).date()
    }

    /// The zone's name.
    pub(super) fn zone(&self) -> String {
        let now = self.zoned(self.now);
        now.time_zone().iana_name().map_or_else(|| now.strftime("UTC%:z").to_string(), str::to_owned)
    }

    /// What lies outside what calendars hold is shown as the epoch.
    fn zoned(&self, at: UnixMicros) -> Zoned {
        Timestamp::from_microsecond(at.0).unwrap_or_default().to_zoned(self.zone.clone())
    }
}

fn time_of_day(text: &str) -> Option<Time> {
    text.contains(':').then(|| text.parse().ok())?
}

fn micros(at: &Zoned) -> UnixMicros {
    UnixMicros(at.timestamp().as_microsecond())
}

/// For programs: RFC 3339 in UTC, as the API writes it.
pub(super) fn rfc3339(at: UnixMicros) -> String {
    Timestamp::from_microsecond(at.0).map_or_else(|_| at.to_string(), |at| format!("{at:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 14:30 in Berlin on a Sunday after summer time has ended.
    fn clock() -> Clock {
        let now: Timestamp = "2026-10-25T13:30:00Z".parse().unwrap();
        Clock { now: UnixMicros(now.as_microsecond()), zone: TimeZone::get("Europe/Berlin").unwrap() }
    }

    fn utc(text: &str) -> String {
        rfc3339(clock().parse(text).unwrap()).replace(".000000Z", "Z")
    }

    #[test]
    fn instants_come_in_many_forms() {
        for (text, expected) in [
            ("now", "2026-10-25T13:30:00Z"),
            ("-2h", "2026-10-25T11:30:00Z"),
            ("-1h30m", "2026-10-25T12:00:00Z"),
            ("-90s", "2026-10-25T13:28:30Z"),
            ("14:05", "2026-10-25T13:05:00Z"),
            ("14:05:30", "2026-10-25T13:05:30Z"),
            ("today 14:05", "2026-10-25T13:05:00Z"),
            ("yesterday 14:05", "2026-10-24T12:05:00Z"), // summer time
            ("yesterday", "2026-10-23T22:00:00Z"),
            ("2026-10-24 08:00", "2026-10-24T06:00:00Z"),
            ("2026-10-24T08:00:00", "2026-10-24T06:00:00Z"),
            ("2026-10-24", "2026-10-23T22:00:00Z"),
            ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"),
            (" 2026-10-25T13:05:00Z ", "2026-10-25T13:05:00Z"),
        ] {
            assert_eq!(utc(text), expected, "{text}");
        }
        // A day back is a day by the calendar: 25 hours here.
        assert_eq!(utc("-1d"), "2026-10-24T12:30:00Z");
    }

    #[test]
    fn nonsense_is_refused_with_what_would_do() {
        for text in
            ["", "soon", "2026", "14", "25:00", "-2", "-", "+1h", "2h", "yesterday noon", "2026-13-01"]
        {
            let error = clock().parse(text).unwrap_err().to_string();
            assert!(error.contains("yesterday 14:05"), "{text}: {error}");
        }
    }

    #[test]
    fn ranges_are_checked() {
        let clock = clock();
        let range = |from, to| clock.range(from, to).map(|(from, to)| (rfc3339(from), rfc3339(to)));
        let times = |from: &str, to: &str| (format!("{from}.000000Z"), format!("{to}.000000Z"));
        assert_eq!(range(None, None).unwrap(), times("2026-10-25T12:30:00", "2026-10-25T13:30:00"));
        assert_eq!(range(None, Some("-1h")).unwrap(), times("2026-10-25T11:30:00", "2026-10-25T12:30:00"));
        assert_eq!(
            range(Some("14:05"), Some("+10m")).unwrap(),
            times("2026-10-25T13:05:00", "2026-10-25T13:15:00")
        );
        assert!(range(Some("18:00"), None).unwrap_err().to_string().contains("still to come"));
        assert!(range(Some("-1h"), Some("-2h")).unwrap_err().to_string().contains("not earlier than --to"));
        assert!(format!("{:#}", range(Some("-1h"), Some("noon")).unwrap_err()).starts_with("--to: `noon`"));
    }

    #[test]
    fn local_times_are_shown() {
        let clock = clock();
        let (from, to) = (clock.parse("14:05").unwrap(), clock.parse("14:06:01.5").unwrap());
        assert_eq!(clock.show_range(from, to), "2026-10-25 14:05:00.000 – 14:06:01.500");
        let before = clock.parse("yesterday 14:05").unwrap();
        assert_eq!(clock.show_range(before, from), "2026-10-24 14:05:00.000 – 2026-10-25 14:05:00.000");
        assert_eq!(clock.zone(), "Europe/Berlin");
        assert_eq!(clock.full(UnixMicros::MAX), "1970-01-01 01:00:00.000");
    }
}
