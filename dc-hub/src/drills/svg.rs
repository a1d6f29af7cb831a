//! A drill as a picture: a bar for each recorder of each camera, and a line for each instant that mattered. Pure.

use std::fmt::{Display, Write};
use std::time::Duration;

use decide::control::DrillKind;
use jiff::Timestamp;
use wire::UnixMicros;

use super::course::Verdict;
use super::measure::Span;
use super::report::{CameraReport, Report};

const WIDTH: f64 = 1200.0;
/// Bars and lines are between these.
const LEFT: f64 = 170.0;
const RIGHT: f64 = 860.0;
/// Columns of figures begin here.
const COLUMNS: [(f64, &str); 4] =
    [(885.0, "first frame"), (970.0, "gap"), (1040.0, "compared"), (1120.0, "lost")];
const HEAD: f64 = 128.0;
const LABEL: f64 = 17.0;
const ROW: f64 = 46.0;
const BAR: f64 = 14.0;
/// About what a letter of a label takes.
const LETTER: f64 = 6.3;

const INK: &str = "#1d2733";
const FAINT: &str = "#66717f";
const SITE: &str = "#2f6fb3";
const STANDBY: &str = "#e08a1e";
const BAD: &str = "#c2342b";
const GOOD: &str = "#2b8a4b";

/// Where instants are in the picture.
struct Scale {
    from: UnixMicros,
    to: UnixMicros,
}

impl Scale {
    fn x(&self, at: UnixMicros) -> f64 {
        let at = at.clamp(self.from, self.to);
        let whole = self.to.since(self.from).as_secs_f64().max(0.001);
        LEFT + (RIGHT - LEFT) * at.since(self.from).as_secs_f64() / whole
    }
}

/// An instant to be marked.
struct Mark {
    at: UnixMicros,
    text: String,
    colour: &'static str,
}

/// Draws the picture of one site's drill.
pub(super) fn draw(report: &Report) -> String {
    let (from, to) = report.span();
    let scale = Scale { from, to };
    let marks = marks(report);
    let places = places(&scale, &marks);
    let lines = places.iter().map(|(_, line)| line + 1).max().unwrap_or(0);
    let top = HEAD + lines as f64 * LABEL + 8.0;
    let bottom = top + ROW * report.cameras.len().max(1) as f64;
    let notes = bottom + 62.0;
    let height = notes + 18.0 * report.problems.len() as f64 + 16.0;
    let mut svg = String::new();
    let mut put = |line: String| {
        svg.push_str(&line);
        svg.push('\n');
    };
    put(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"12\">"
    ));
    put("<defs><pattern id=\"gap\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#fbe3e1\"/>\
         <line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" stroke=\"#c2342b\" stroke-width=\"2\"/></pattern></defs>"
        .to_owned());
    put(format!("<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>"));
    put(head(report));
    if let Some(over) = report.course.over_us {
        let (x, end) = (scale.x(report.course.begun_us), scale.x(over));
        put(rect((x, top), (end - x, bottom - top), "#f1f3f6"));
    }
    for (mark, (x, line)) in marks.iter().zip(&places) {
        let (x_line, y) = (scale.x(mark.at), HEAD + *line as f64 * LABEL + 12.0);
        put(format!(
            "<line x1=\"{x_line:.1}\" y1=\"{:.1}\" x2=\"{x_line:.1}\" y2=\"{bottom:.1}\" stroke=\"{}\" \
             stroke-width=\"1\" stroke-dasharray=\"3 2\"/>",
            y + 4.0,
            mark.colour
        ));
        put(text((*x, y), 11, mark.colour, "", &mark.text));
    }
    for (x, name) in COLUMNS {
        put(text((x, top - 6.0), 11, FAINT, "", name));
    }
    for (number, camera) in report.cameras.iter().enumerate() {
        put(row(camera, &scale, top + ROW * number as f64));
    }
    put(axis(report, &scale, bottom));
    put(legend(bottom + 44.0));
    for (number, problem) in report.problems.iter().enumerate() {
        put(text((20.0, notes + 14.0 + 18.0 * number as f64), 12, BAD, "", problem));
    }
    put("</svg>".to_owned());
    svg
}

fn head(report: &Report) -> String {
    let what = match report.kind {
        DrillKind::Recorder => "the recorder is lost",
        DrillKind::Wan => "the way to the site is cut",
        DrillKind::Site => "the whole site is lost",
    };
    let how = if report.shadow { "over a shadow: production untouched" } else { "for real" };
    let (word, colour) = if report.ok { ("GOOD", GOOD) } else { ("NOT GOOD", BAD) };
    let badge = 16.0 + 11.5 * word.len() as f64;
    let mut head = text((20.0, 32.0), 20, INK, "bold", &format!("Drill of {}: {what}", report.site));
    head += &rect((WIDTH - 20.0 - badge, 14.0), (badge, 26.0), colour);
    head += &text((WIDTH - 11.0 - badge, 32.0), 14, "white", "bold", word);
    let begun = utc(report.course.begun_us, "%Y-%m-%d %H:%M:%S UTC");
    let line = format!(
        "{begun} · {how} · for {} s · asked for by {} · {} · told of the vault at {}",
        report.length_s, report.by, report.id, report.node
    );
    head += &text((20.0, 54.0), 12, FAINT, "", &line);
    let figures = [
        ("detect", figure(report.detect_ms)),
        ("decide", figure(report.decide_ms)),
        ("first frame", figure(report.record_ms)),
        ("longest gap", figure(report.gap_ms)),
        ("back home", figure(report.failback_ms)),
        ("frames lost", format!("{} of {}", report.frames_lost, report.frames_compared)),
    ];
    for (place, (name, figure)) in figures.iter().enumerate() {
        let x = 20.0 + 160.0 * place as f64;
        head += &text((x, 82.0), 11, FAINT, "", name);
        head += &text((x, 102.0), 17, INK, "bold", figure);
    }
    head
}

fn marks(report: &Report) -> Vec<Mark> {
    let course = &report.course;
    let verdict = match course.verdict {
        Some(Verdict::RecorderLost) => "takes over".to_owned(),
        Some(Verdict::Dark) => "waits, records nothing".to_owned(),
        Some(Verdict::Frozen) => "frozen: a person is called".to_owned(),
        None => String::new(),
    };
    let verdict = match &course.host {
        Some(host) => format!("verdict: {host} {verdict}"),
        None => format!("verdict: {verdict}"),
    };
    let first = report.cameras.iter().filter_map(|camera| camera.first_frame_us).min();
    let marks = [
        (Some(course.begun_us), "drill begins".to_owned(), FAINT),
        (course.last_beat_us, "last beat".to_owned(), INK),
        (course.suspect_us, "suspect".to_owned(), BAD),
        (course.verdict_us, verdict, BAD),
        (first, "first frame of the standby".to_owned(), STANDBY),
        (course.over_us, "time is over".to_owned(), FAINT),
        (course.heard_us, "heard again".to_owned(), SITE),
        (course.failback_us, "failback".to_owned(), SITE),
        (course.home_us, "authority is home".to_owned(), GOOD),
    ];
    let mut marks: Vec<Mark> =
        marks.into_iter().filter_map(|(at, text, colour)| Some(Mark { at: at?, text, colour })).collect();
    marks.sort_by_key(|mark| mark.at);
    marks
}

/// Where each label goes: its x, and the first line in which it runs into no other.
fn places(scale: &Scale, marks: &[Mark]) -> Vec<(f64, usize)> {
    let mut ends: Vec<f64> = Vec::new();
    let place = |mark: &Mark| {
        let width = mark.text.chars().count() as f64 * LETTER;
        let x = (scale.x(mark.at) + 3.0).min(WIDTH - 20.0 - width);
        let line = ends.iter().position(|end| *end + 8.0 <= x).unwrap_or(ends.len());
        match ends.get_mut(line) {
            Some(end) => *end = x + width,
            None => ends.push(x + width),
        }
        (x, line)
    };
    marks.iter().map(place).collect()
}

fn row(camera: &CameraReport, scale: &Scale, y: f64) -> String {
    let mut row = text((20.0, y + 27.0), 13, INK, "bold", &camera.stream);
    row += &text((LEFT - 52.0, y + 17.0), 10, SITE, "", "site");
    row += &text((LEFT - 52.0, y + 35.0), 10, STANDBY, "", "standby");
    let bars = |row: &mut String, spans: &[Span], y: f64, colour| {
        for (from, to) in spans.iter().filter(|(from, to)| *to > scale.from && *from < scale.to) {
            let x = scale.x(*from);
            row.push_str(&rect((x, y), (scale.x(*to) - x, BAR), colour));
        }
    };
    if let Some((from, to)) = camera.gap {
        let x = scale.x(from);
        row += &rect((x, y + 24.0), ((scale.x(to) - x).max(1.0), BAR), "url(#gap)");
    }
    bars(&mut row, &camera.recorded.site, y + 6.0, SITE);
    bars(&mut row, &camera.recorded.standby, y + 24.0, STANDBY);
    let lost = camera.frames.lost + camera.frames.altered;
    let colour = if lost > 0 { BAD } else { INK };
    let figures = [
        (figure(camera.record_ms), INK),
        (figure(camera.gap_ms), INK),
        (camera.frames.compared.to_string(), INK),
        (lost.to_string(), colour),
    ];
    for ((x, _), (figure, colour)) in COLUMNS.iter().zip(figures) {
        row += &text((*x, y + 27.0), 13, colour, "", &figure);
    }
    row
}

fn axis(report: &Report, scale: &Scale, y: f64) -> String {
    let mut axis =
        format!("<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"{FAINT}\"/>");
    let whole = scale.to.since(scale.from).as_secs_f64();
    let steps = [1u64, 2, 5, 10, 15, 30, 60, 120, 300];
    let step = steps.into_iter().find(|step| whole / *step as f64 <= 14.0).unwrap_or(600);
    let mut second = 0;
    loop {
        let at = report.course.begun_us + Duration::from_secs(second);
        if at > scale.to {
            return axis + &text((RIGHT + 8.0, y + 16.0), 11, FAINT, "", "seconds since the drill began");
        }
        let x = scale.x(at);
        let _ = write!(
            axis,
            "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{FAINT}\"/>",
            y + 4.0
        );
        axis += &text((x - 4.0, y + 16.0), 11, FAINT, "", &second);
        second += step;
    }
}

fn legend(y: f64) -> String {
    let mut legend = String::new();
    let entries = [
        (LEFT, SITE, "recorded by the site"),
        (LEFT + 190.0, STANDBY, "recorded by the standby"),
        (LEFT + 400.0, "url(#gap)", "nobody records, or would"),
        (LEFT + 610.0, "#f1f3f6", "the time of the drill"),
    ];
    for (x, fill, name) in entries {
        legend += &rect((x, y - 10.0), (22.0, 11.0), fill);
        legend += &text((x + 28.0, y), 11, FAINT, "", name);
    }
    legend
}

fn rect((x, y): (f64, f64), (width, height): (f64, f64), fill: &str) -> String {
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>",
        width.max(0.0)
    )
}

fn text((x, y): (f64, f64), size: u32, colour: &str, weight: &str, text: &(impl Display + ?Sized)) -> String {
    let weight = if weight.is_empty() { "normal" } else { weight };
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" fill=\"{colour}\">{}</text>",
        escaped(&text.to_string())
    )
}

/// Names are an operator's, and may hold anything.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

fn figure(ms: Option<u64>) -> String {
    match ms {
        None => "–".to_owned(),
        Some(ms @ ..1000) => format!("{ms} ms"),
        Some(ms) => format!("{:.2} s", ms as f64 / 1000.0),
    }
}

fn utc(at: UnixMicros, format: &str) -> String {
    Timestamp::from_microsecond(at.0).map_or_else(|_| at.to_string(), |at| at.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::good;
    use super::*;

    #[test]
    fn everything_that_mattered_is_in_the_picture() {
        let svg = draw(&good());
        for said in [
            "Drill of shop-1",
            "GOOD",
            "last beat",
            "suspect",
            "first frame",
            "till-1/main",
            "door-1/main",
            "2.70 s",
        ] {
            assert!(svg.contains(said), "{said} is missing");
        }
        assert!(svg.contains("&lt;ada&gt;") && !svg.contains("<ada>"), "names are text");
        assert_eq!(svg.matches("<rect").count(), svg.matches("/>").count() - svg.matches("<line").count());
    }

    #[test]
    fn labels_never_run_into_each_other() {
        let report = good();
        let (from, to) = report.span();
        let marks = marks(&report);
        let places = places(&Scale { from, to }, &marks);
        for (one, (mark, (x, line))) in marks.iter().zip(&places).enumerate() {
            let end = x + mark.text.chars().count() as f64 * LETTER;
            let later = places[one + 1..].iter().filter(|place| place.1 == *line);
            later.for_each(|place| assert!(place.0 >= end, "{}", mark.text));
        }
    }

    #[test]
    fn a_drill_in_which_nothing_happened_can_be_drawn() {
        let report = Report { cameras: Vec::new(), course: Default::default(), ..good() };
        assert!(draw(&report).ends_with("</svg>\n"));
    }
}
