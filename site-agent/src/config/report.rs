//! What was found in a configuration, and how it is said.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// One thing that is wrong with a configuration, or worth a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file it is in; `environment` if the value came from there.
    pub file: PathBuf,
    /// The key, written `camera[0].stream[1].url`, or the environment variable. Empty if the problem is
    /// the whole file.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, key, message } = self;
        if key.is_empty() {
            write!(f, "{}: {message}", file.display())
        } else {
            write!(f, "{}: {key}: {message}", file.display())
        }
    }
}

/// A configuration with its warnings, or everything that is wrong.
pub type Outcome<T> = Result<(T, Vec<Problem>), Vec<Problem>>;

/// Prints what was found: with `json` one line on standard output, `{"ok","problems","warnings"}`;
/// without, one line per finding, `FILE: key: message`. True if the configuration works.
pub fn report<T>(outcome: &Outcome<T>, json: bool) -> bool {
    println!("{}", render(outcome, json));
    outcome.is_ok()
}

/// The text of [`report`].
pub fn render<T>(outcome: &Outcome<T>, json: bool) -> String {
    let none = Vec::new();
    let (problems, warnings) = match outcome {
        Ok((_, warnings)) => (&none, warnings),
        Err(problems) => (problems, &none),
    };
    if json {
        let ok = outcome.is_ok();
        return serde_json::json!({ "ok": ok, "problems": problems, "warnings": warnings }).to_string();
    }
    let mut lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    if outcome.is_ok() {
        lines.push("the configuration is good".to_owned());
    }
    lines.join("\n")
}
