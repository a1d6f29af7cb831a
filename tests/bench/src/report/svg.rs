//! A very small SVG writer: text, lines, marks. Colours are names of classes, which the style gives meaning in
//! light and in dark surroundings.

use std::fmt::Write;

/// Where text is anchored.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing under way.
pub(crate) struct Svg {
    width: f64,
    height: f64,
    style: String,
    body: String,
}

/// The surroundings' colours: background, text, faint text, grid.
const LIGHT: [&str; 4] = ["#ffffff", "#1f2328", "#59636e", "#d1d9e0"];
const DARK: [&str; 4] = ["#0d1117", "#f0f6fc", "#9198a1", "#3d444d"];

impl Svg {
    /// `inks` are classes for strokes and marks: name, colour in light, colour in dark.
    pub(crate) fn new(width: f64, height: f64, inks: &[(&str, &str, &str)]) -> Self {
        let ground = |[background, text, faint, grid]: [&str; 4]| {
            format!(
                ".background{{fill:{background}}}text{{fill:{text}}}.faint{{fill:{faint}}}.grid{{stroke:{grid}}}.mark{{stroke:{background}}}"
            )
        };
        let inked = |dark: bool| -> String {
            let colour = |(name, light, night): &(&str, &str, &str)| {
                let colour = if dark { night } else { light };
                format!(".line.{name}{{stroke:{colour}}}.mark.{name}{{fill:{colour}}}")
            };
            inks.iter().map(colour).collect()
        };
        let style = format!(
            "text{{font:12px system-ui,sans-serif}}.title{{font-size:15px;font-weight:600}}.line{{fill:none;stroke-width:1.8;stroke-linejoin:round}}\
             .bold{{stroke-width:3.2}}.dashed{{stroke-dasharray:6 4}}.grid{{stroke-width:1}}.mark{{stroke-width:1}}\n{}{}\n\
             @media(prefers-color-scheme:dark){{{}{}}}",
            ground(LIGHT),
            inked(false),
            ground(DARK),
            inked(true)
        );
        Self { width, height, style, body: String::new() }
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.put(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        ));
    }

    /// Read upwards.
    pub(crate) fn text_upwards(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        let text = escape(text);
        self.put(&format!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" class=\"{class}\">{text}</text>"
        ));
    }

    pub(crate) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(&format!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" ")));
    }

    /// A round mark, or a square one.
    pub(crate) fn mark(&mut self, class: &str, (x, y): (f64, f64), round: bool) {
        self.put(&if round {
            format!("<circle class=\"mark {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.2\"/>")
        } else {
            let (x, y) = (x - 3.8, y - 3.8);
            format!("<rect class=\"mark {class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"7.6\" height=\"7.6\"/>")
        });
    }

    /// The finished file; `title` is for who can't see it.
    pub(crate) fn finish(self, title: &str) -> String {
        let Self { width, height, style, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\">\n<title>{}</title>\n<style>{style}</style>\n\
             <rect class=\"background\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
            escape(title)
        )
    }

    fn put(&mut self, element: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.body, "{element}");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing() {
        let mut svg = Svg::new(100.0, 50.0, &[("ours", "#00f", "#88f")]);
        svg.text((1.0, 2.0), Anchor::End, "", "a < b & c");
        svg.line("line ours", &[(0.0, 0.0), (10.0, 5.25)]);
        svg.mark("ours", (3.0, 4.0), true);
        let drawn = svg.finish("t");
        assert!(drawn.contains("a &lt; b &amp; c"), "{drawn}");
        assert!(drawn.contains("points=\"0.0,0.0 10.0,5.2\""), "{drawn}");
        assert!(drawn.contains(".line.ours{stroke:#88f}"), "colours for dark surroundings: {drawn}");
        assert_eq!(drawn.matches('<').count(), drawn.matches('>').count());
    }
}
