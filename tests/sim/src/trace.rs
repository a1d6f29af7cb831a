//! A timeline for people.

use crate::time::Time;

/// Lines, if anybody wants them.
#[derive(Debug, Default)]
pub struct Trace {
    /// Is somebody listening? Off, telling costs nothing.
    pub on: bool,
    lines: Vec<String>,
}

impl Trace {
    /// One that listens, or not.
    pub fn new(on: bool) -> Self {
        Self { on, lines: Vec::new() }
    }

    /// Tells what happens.
    pub fn tell(&mut self, at: Time, text: impl FnOnce() -> String) {
        if self.on {
            self.lines.push(format!("{at}  {}", text()));
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}
