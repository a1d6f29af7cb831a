//! Charts of several panels side by side, with one scale and one legend.

use super::svg::{Anchor, Svg};

/// A line in every panel.
pub(crate) struct Kind {
    pub(crate) class: &'static str,
    pub(crate) name: &'static str,
    pub(crate) light: &'static str,
    pub(crate) dark: &'static str,
    pub(crate) bold: bool,
    pub(crate) dashed: bool,
}

/// One panel: for each kind, a value at each of the chart's places, where there is one.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) lines: Vec<Vec<Option<f64>>>,
}

/// A chart.
pub(crate) struct Chart<'a> {
    pub(crate) title: String,
    pub(crate) kinds: &'a [Kind],
    /// Names along the horizontal axis, and what they are.
    pub(crate) places: Vec<String>,
    pub(crate) places_are: &'a str,
    /// What the vertical axis counts, and how far it goes.
    pub(crate) unit: &'a str,
    pub(crate) top: f64,
    pub(crate) panels: Vec<Panel>,
}

const PANEL: (f64, f64) = (230.0, 210.0);
const GAP: f64 = 26.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 18.0;
const ABOVE: f64 = 64.0;
const BELOW: f64 = 84.0;
/// Between a panel's edge and its first place.
const INSET: f64 = 24.0;
const LEGEND_ENTRY: f64 = 128.0;

impl Chart<'_> {
    pub(crate) fn draw(&self) -> String {
        let panels = self.panels.len() as f64;
        let legend = LEFT + LEGEND_ENTRY * self.kinds.len() as f64;
        let width = (LEFT + panels * PANEL.0 + (panels - 1.0) * GAP + RIGHT).max(legend);
        let inks: Vec<_> = self.kinds.iter().map(|kind| (kind.class, kind.light, kind.dark)).collect();
        let mut svg = Svg::new(width, ABOVE + PANEL.1 + BELOW, &inks);
        svg.text((LEFT, 26.0), Anchor::Start, "title", &self.title);
        svg.text_upwards((18.0, ABOVE + PANEL.1 / 2.0), "faint", self.unit);
        for (index, panel) in self.panels.iter().enumerate() {
            let left = LEFT + index as f64 * (PANEL.0 + GAP);
            self.frame(&mut svg, panel, left, index == 0);
            for (kind, values) in self.kinds.iter().zip(&panel.lines).rev() {
                self.line(&mut svg, kind, values, left);
            }
        }
        self.legend(&mut svg);
        svg.finish(&self.title)
    }

    fn frame(&self, svg: &mut Svg, panel: &Panel, left: f64, first: bool) {
        svg.text((left + PANEL.0 / 2.0, ABOVE - 12.0), Anchor::Middle, "", &panel.title);
        for value in ticks(self.top) {
            let y = self.y(value);
            svg.line("line grid", &[(left, y), (left + PANEL.0, y)]);
            if first {
                svg.text((left - 8.0, y + 4.0), Anchor::End, "faint", &format!("{value:.0}"));
            }
        }
        for (index, place) in self.places.iter().enumerate() {
            svg.text((self.x(left, index), ABOVE + PANEL.1 + 18.0), Anchor::Middle, "faint", place);
        }
        let below = (left + PANEL.0 / 2.0, ABOVE + PANEL.1 + 36.0);
        svg.text(below, Anchor::Middle, "faint", self.places_are);
    }

    fn line(&self, svg: &mut Svg, kind: &Kind, values: &[Option<f64>], left: f64) {
        let points: Vec<(f64, f64)> = values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| Some((self.x(left, index), self.y((*value)?))))
            .collect();
        svg.line(&stroke(kind), &points);
        points.into_iter().for_each(|point| svg.mark(kind.class, point, !kind.dashed));
    }

    fn legend(&self, svg: &mut Svg) {
        let y = ABOVE + PANEL.1 + BELOW - 20.0;
        for (index, kind) in self.kinds.iter().enumerate() {
            let x = LEFT + index as f64 * LEGEND_ENTRY;
            svg.line(&stroke(kind), &[(x, y), (x + 28.0, y)]);
            svg.mark(kind.class, (x + 14.0, y), !kind.dashed);
            svg.text((x + 35.0, y + 4.0), Anchor::Start, "", kind.name);
        }
    }

    fn x(&self, left: f64, place: usize) -> f64 {
        let steps = self.places.len().saturating_sub(1).max(1) as f64;
        left + INSET + (PANEL.0 - 2.0 * INSET) * place as f64 / steps
    }

    /// What is above the top is drawn there.
    fn y(&self, value: f64) -> f64 {
        ABOVE + PANEL.1 * (1.0 - (value / self.top).clamp(0.0, 1.0))
    }
}

fn stroke(kind: &Kind) -> String {
    let bold = if kind.bold { " bold" } else { "" };
    let dashed = if kind.dashed { " dashed" } else { "" };
    format!("line {}{bold}{dashed}", kind.class)
}

/// From 0 to `top`, four to five steps of 1, 2 or 5 times a power of ten.
fn ticks(top: f64) -> Vec<f64> {
    let rough = top / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough - 1e-9);
    let step = step.unwrap_or(top);
    (0..).map(|index| f64::from(index) * step).take_while(|value| *value <= top + 1e-9).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(top: f64) -> Chart<'static> {
        const KINDS: &[Kind] =
            &[Kind { class: "ours", name: "Ours", light: "#00f", dark: "#88f", bold: true, dashed: false }];
        Chart {
            title: "T".into(),
            kinds: KINDS,
            places: ["0", "1", "5"].map(String::from).into(),
            places_are: "loss, %",
            unit: "%",
            top,
            panels: vec![Panel { title: "20 ms".into(), lines: vec![vec![Some(0.0), None, Some(100.0)]] }],
        }
    }

    #[test]
    fn scales() {
        let chart = chart(100.0);
        assert_eq!((chart.y(0.0), chart.y(100.0)), (ABOVE + PANEL.1, ABOVE));
        assert_eq!(chart.y(250.0), ABOVE, "what is above the top is drawn there");
        assert_eq!(chart.y(50.0), ABOVE + PANEL.1 / 2.0);
        assert_eq!((chart.x(10.0, 0), chart.x(10.0, 2)), (10.0 + INSET, 10.0 + PANEL.0 - INSET));
        assert_eq!(chart.x(10.0, 1), 10.0 + PANEL.0 / 2.0);
    }

    #[test]
    fn one_place_is_no_division_by_zero() {
        let chart = Chart { places: vec!["0".into()], ..chart(10.0) };
        assert_eq!(chart.x(0.0, 0), INSET);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(120.0), [0.0, 50.0, 100.0]);
        assert_eq!(ticks(25.0), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
    }

    #[test]
    fn a_line_skips_what_is_not_there() {
        let drawn = chart(100.0).draw();
        let expected = format!("points=\"{:.1},274.0 {:.1},64.0\"", LEFT + INSET, LEFT + PANEL.0 - INSET);
        assert!(drawn.contains(&expected), "{drawn}");
        assert!(drawn.contains(">20 ms<") && drawn.contains(">loss, %<") && drawn.contains(">Ours<"));
    }
}
