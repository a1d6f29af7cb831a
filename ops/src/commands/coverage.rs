//! `holdfast coverage`: one camera's timeline, with the cause of every gap.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use wire::UnixMicros;

use super::camera::CameraArgs;
use super::table::{Cell, Table, Tone, cell, number};
use super::target::TargetArgs;
use super::when::{Clock, FORMS, RangeArgs};
use super::{finish, print, print_json, words};

/// Arguments of `holdfast coverage`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = FORMS)]
pub struct Args {
    #[command(flatten)]
    camera: CameraArgs,
    #[command(flatten)]
    range: RangeArgs,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// `holdfast coverage`. Returns whether everything that is not recorded has a cause.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.json, show(args))
}

fn show(args: &Args) -> anyhow::Result<bool> {
    let clock = Clock::system();
    let (from, to) = args.range.read(&clock)?;
    let target = args.target.open()?;
    let camera = args.camera.choose(&target)?;
    let path = camera.path(&format!("coverage?from={}&to={}&summary=1", from.0, to.0));
    let mut answer = target.ask(&path)?.value;
    let coverage = Coverage::read(&answer).with_context(|| target.foreign("no timeline"))?;
    let ok = coverage.unexplained_s == 0.0;
    if args.json {
        answer["ok"] = ok.into();
        (answer["site"], answer["camera"]) = (json!(camera.site), json!(camera.camera));
        answer["stream"] = json!(camera.stream);
        print_json(&answer)?;
        return Ok(ok);
    }
    let range = clock.show_range(from, to);
    let mut text = format!("{camera}   {range}   ({})\n\n", clock.zone());
    text += &coverage.table(&clock).render(super::colours());
    let _ = writeln!(text, "\n{}", coverage.totals()); // a String takes everything
    print(&text)?;
    Ok(ok)
}

/// A timeline, as the API tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Coverage {
    spans: Vec<Span>,
    recorded_s: f64,
    arriving_s: f64,
    #[serde(default)]
    at_site_s: f64,
    gaps_s: f64,
    unexplained_s: f64,
    pending_s: f64,
}

#[derive(Debug, Deserialize)]
struct Span {
    from_us: UnixMicros,
    to_us: UnixMicros,
    state: String,
    cause: Option<String>,
    #[serde(default)]
    detail: String,
}

impl Coverage {
    pub(super) fn read(answer: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(answer)
    }

    /// What of it is not here.
    pub(super) fn without_recorded(mut self) -> Self {
        self.spans.retain(|span| span.state != "recorded");
        self
    }

    /// Is there no stretch at all?
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// One line for each stretch.
    pub(super) fn table(&self, clock: &Clock) -> Table {
        let mut table = Table::new("  ");
        let ends = self.spans.first().zip(self.spans.last());
        let one_day = ends.is_some_and(|(first, last)| clock.same_day(first.from_us, last.to_us));
        let show = |at| if one_day { clock.time(at) } else { clock.full(at) };
        for span in &self.spans {
            let length = words::duration(span.to_us.since(span.from_us));
            let what = what(&span.state, span.cause.as_deref());
            table.row([
                cell(show(span.from_us)),
                cell(show(span.to_us)),
                number(length),
                what,
                cell(&span.detail),
            ]);
        }
        table
    }

    fn totals(&self) -> String {
        let all = self.recorded_s + self.arriving_s + self.at_site_s + self.gaps_s + self.pending_s;
        let percent = if all > 0.0 { 100.0 * self.recorded_s / all } else { 0.0 };
        let mut totals = vec![format!("recorded {} ({})", length(self.recorded_s), share(percent))];
        let rest = [
            ("on its way here", self.arriving_s),
            ("at the site only", self.at_site_s),
            ("gaps", self.gaps_s),
            ("too early to tell", self.pending_s),
        ];
        let rest = rest.iter().filter(|(_, seconds)| *seconds > 0.0);
        totals.extend(rest.map(|(name, seconds)| format!("{name} {}", length(*seconds))));
        let mut text = totals.join(", ");
        if self.unexplained_s > 0.0 {
            let _ = write!(text, "\nNOT ok: nothing explains {} of the gaps", length(self.unexplained_s));
        } else if self.gaps_s > 0.0 {
            text += "; every gap has a cause";
        }
        text
    }
}

/// What a stretch amounts to.
pub(super) fn what(state: &str, cause: Option<&str>) -> Cell {
    match (state, cause) {
        ("gap", cause) => {
            cell(format!("gap: {}", words::cause(cause.unwrap_or("unspecified")))).tone(Tone::Bad)
        }
        ("recorded", _) => cell("recorded").tone(Tone::Good),
        ("at_site", _) => cell("at the site").tone(Tone::Dim),
        (state, Some(cause)) => cell(format!("{state}: {}", words::cause(cause))).tone(Tone::Bad),
        (state, None) => cell(state).tone(Tone::Dim),
    }
}

fn length(seconds: f64) -> String {
    words::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Never says that all is there when it is not.
fn share(percent: f64) -> String {
    let down = if percent < 100.0 { percent.min(99.99) } else { percent };
    format!("{down:.2} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(unexplained_s: f64) -> Coverage {
        let value = json!({
            "spans": [
                { "from_us": 0, "to_us": 3_599_960_000_i64, "state": "recorded", "spans": 360 },
                { "from_us": 3_599_960_000_i64, "to_us": 3_600_000_000_i64, "state": "gap",
                  "cause": "camera_down", "detail": "no answer", "spans": 1 },
            ],
            "recorded_s": 3599.96, "arriving_s": 0.0, "gaps_s": 0.04, "unexplained_s": unexplained_s,
            "pending_s": 0.0, "hidden_segments": 0, "from": "", "to": "",
        });
        Coverage::read(&value).unwrap()
    }

    #[test]
    fn a_timeline_is_a_line_for_each_stretch() {
        let table = coverage(0.0).table(&Clock::system()).render(false);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("    1 h  recorded"), "{table}");
        assert!(lines[1].ends_with("  40 ms  gap: camera down  no answer"), "{table}");
    }

    #[test]
    fn totals_do_not_flatter() {
        assert_eq!(coverage(0.0).totals(), "recorded 1 h (99.99 %), gaps 40 ms; every gap has a cause");
        assert!(coverage(0.04).totals().ends_with("\nNOT ok: nothing explains 40 ms of the gaps"));
    }
}
