//! What a person is told: every step as a timeline, and the story in few lines.

use crate::time::Time;

/// Lines, if anybody wants them.
#[derive(Debug, Default)]
pub struct Trace {
    /// Is somebody listening? Off, telling costs nothing.
    pub on: bool,
    lines: Vec<String>,
    story: Vec<String>,
}

impl Trace {
    /// One that listens, or not.
    pub fn new(on: bool) -> Self {
        Self { on, lines: Vec::new(), story: Vec::new() }
    }

    /// Tells what happens.
    pub fn tell(&mut self, at: Time, text: impl FnOnce() -> String) {
        if self.on {
            self.lines.push(format!("{at}  {}", text()));
        }
    }

    /// Tells a turn of the story.
    pub fn turn(&mut self, at: Time, text: impl FnOnce() -> String) {
        if self.on {
            let text = text();
            self.lines.push(format!("{at}  {text}"));
            self.story.push(format!("{:>4}s  {text}\n", at.0 / 1_000_000));
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The story so far.
    pub fn story(&self) -> String {
        self.story.concat()
    }
}
