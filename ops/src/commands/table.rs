//! Aligned columns for terminals.

use crate::client::clean;

/// How a cell is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// All is well.
    Good,
    /// Somebody should look.
    Bad,
    /// In the background.
    Dim,
}

impl Tone {
    pub(super) fn of(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }

    /// Colours a text.
    pub(super) fn paint(self, text: &str, colours: bool) -> String {
        let code = match self {
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Dim => "2",
            Self::Plain => "",
        };
        if colours && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

/// A cell like any other.
pub(super) fn cell(text: impl AsRef<str>) -> Cell {
    Cell { text: clean(text.as_ref()), tone: Tone::Plain, right: false }
}

/// A number: flush right.
pub(super) fn number(text: impl ToString) -> Cell {
    Cell { right: true, ..cell(text.to_string()) }
}

impl Cell {
    pub(super) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

pub(super) struct Table {
    indent: &'static str,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Without a heading.
    pub(super) fn new(indent: &'static str) -> Self {
        Self { indent, rows: Vec::new() }
    }

    /// A column whose heading begins with `>` is one of numbers.
    pub(super) fn with_heading(headings: &[&str]) -> Self {
        let heading = |text: &&str| {
            let text = text.strip_prefix('>').map_or_else(|| cell(text), number);
            text.tone(Tone::Dim)
        };
        Self { indent: "", rows: vec![headings.iter().map(heading).collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Why an archive has stopped, if it has.
    pub(super) fn stopped(&mut self, why: Option<&str>) {
        if let Some(why) = why {
            self.row([cell("STOPPED").tone(Tone::Bad), cell(why).tone(Tone::Bad)]);
        }
    }

    pub(super) fn render(&self, colours: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        self.rows.iter().map(|row| line(self.indent, row, &widths, colours)).collect()
    }
}

fn line(indent: &str, row: &[Cell], widths: &[usize], colours: bool) -> String {
    let mut line = indent.to_owned();
    let last = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
    for (index, (cell, width)) in row.iter().zip(widths).take(last).enumerate() {
        let padding = " ".repeat(width.saturating_sub(cell.text.chars().count()));
        let text = cell.tone.paint(&cell.text, colours);
        let (before, after) = if cell.right { (padding.as_str(), "") } else { ("", padding.as_str()) };
        // Nothing is padded behind the last word of a line.
        let after = if index + 1 == last { "" } else { after };
        let between = if index > 0 { "  " } else { "" };
        line.extend([between, before, &text, after]);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::with_heading(&["SITE", ">UNACKED", "DETAIL"]);
        table.row([cell("shop-1"), number(7), cell("")]);
        table.row([cell("köln"), number(1200), cell("reset\x1b[2Jby peer").tone(Tone::Bad)]);
        let text = "SITE    UNACKED  DETAIL\nshop-1        7\nköln       1200  reset [2Jby peer\n";
        assert_eq!(table.render(false), text);
        assert!(table.render(true).contains("\x1b[1;31mreset [2Jby peer\x1b[0m\n"));
    }
}
