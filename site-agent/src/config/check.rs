//! Turns what a file says into what the program uses, and collects what is wrong on the way.
//!
//! Every method notes a problem and goes on with the default, so that one run finds everything; only
//! [`Check::finish`] decides.

use std::fs::File;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::keys::closest;
use super::leaf::{Flag, Number, Text, Whole};
use super::loader::Source;
use super::report::{Outcome, Problem};

/// A setting that is one of a few words.
pub trait Choice: Copy + Default + PartialEq + 'static {
    /// The words and what they mean.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for it.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }

    /// What a word means; the default if it is none of these.
    fn of_word(word: &str) -> Self {
        Self::WORDS.iter().find(|(known, _)| *known == word).map_or(Self::default(), |(_, value)| *value)
    }
}

/// The findings so far.
pub struct Check {
    source: Source,
    folder: PathBuf,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Check {
    /// Begins with what the loader found.
    pub fn new(source: Source, problems: Vec<Problem>) -> Self {
        let folder = source.folder();
        Self { source, folder, problems, warnings: Vec::new() }
    }

    /// The configuration can't be used.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        let problem = self.source.problem(key, message);
        self.problems.push(problem);
    }

    /// The configuration can be used, but a person should look.
    pub fn warn(&mut self, key: &str, message: impl Into<String>) {
        let warning = self.source.problem(key, message);
        self.warnings.push(warning);
    }

    /// The file that is being checked.
    pub fn file(&self) -> &Path {
        self.source.file()
    }

    /// A key that must be there.
    pub fn required(&mut self, key: &str, text: Option<Text>, example: &str) -> Option<String> {
        if text.is_none() {
            self.missing(key, format!("is missing; add it, for example {example}"));
        }
        text.map(|text| text.0)
    }

    /// Notes that `key` is missing, unless it is only missing because it did not fit.
    pub fn missing(&mut self, key: &str, message: impl Into<String>) {
        let problem = self.source.problem(key, message);
        if !self.problems.iter().any(|known| (&known.file, &known.key) == (&problem.file, &problem.key)) {
            self.problems.push(problem);
        }
    }

    /// Text that must parse as a `T`.
    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        parse(text).map_err(|error| self.problem(key, error.to_string())).ok()
    }

    /// A number within a range.
    pub fn whole(
        &mut self,
        key: &str,
        number: Option<Whole>,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> u64 {
        let number = number.map_or(default, |number| number.0);
        if !range.contains(&number) {
            let (least, most) = (range.start(), range.end());
            self.problem(key, format!("is {number}, but must be from {least} to {most}"));
        }
        number
    }

    /// A number within a range, if it is given.
    pub fn number(&mut self, key: &str, number: Option<Number>, range: RangeInclusive<f64>) -> Option<f64> {
        let Number(number) = number?;
        if !range.contains(&number) {
            let (least, most) = (range.start(), range.end());
            self.problem(key, format!("is {number}, but must be from {least} to {most}"));
        }
        Some(number)
    }

    /// A switch.
    pub fn flag(&mut self, flag: Option<Flag>, default: bool) -> bool {
        flag.map_or(default, |flag| flag.0)
    }

    /// One of a few words.
    pub fn choice<T: Choice>(&mut self, key: &str, text: Option<Text>) -> T {
        let Some(Text(text)) = text else { return T::default() };
        if let Some((_, value)) = T::WORDS.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let words = T::WORDS.iter().map(|(word, _)| *word);
        let hint = closest(&text, words.clone()).map(|meant| format!("; did you mean `{meant}`?"));
        let words = words.collect::<Vec<_>>().join("`, `");
        self.problem(key, format!("is none of `{words}`{}", hint.unwrap_or_default()));
        T::default()
    }

    /// A path; relative ones start from the configuration's folder.
    pub fn path(&mut self, key: &str, text: Option<Text>, default: &str) -> PathBuf {
        let text = text.map_or_else(|| default.to_owned(), |text| text.0);
        if text.is_empty() {
            self.problem(key, format!("is empty; write a path, for example \"{default}\""));
        }
        self.folder.join(text)
    }

    /// A folder that the program makes if it is not there.
    pub fn folder(&mut self, key: &str, text: Option<Text>, default: &str) -> PathBuf {
        let folder = self.path(key, text, default);
        if folder.exists() && !folder.is_dir() {
            self.problem(key, format!("{} is not a folder; name another", folder.display()));
        }
        folder
    }

    /// A file that must be there and readable.
    pub fn readable(&mut self, key: &str, file: &Path, how_to_get_it: &str) {
        let trouble = match File::open(file).and_then(|file| file.metadata()) {
            Ok(found) if found.is_file() => return,
            Ok(_) => "is not a file".to_owned(),
            Err(error) => format!("can't be read: {error}"),
        };
        self.problem(key, format!("{} {trouble}; {how_to_get_it}", file.display()));
    }

    /// Warns if others than the owner can read a file with a secret in it.
    pub fn private(&mut self, key: &str, file: &Path) {
        let Ok(found) = file.metadata() else { return };
        let file = file.display();
        let message = format!("other users can read {file}, which holds a secret; run `chmod 600 {file}`");
        // Once a file, however many passwords are in it.
        let known = self.warnings.iter().any(|warning| warning.message == message);
        if found.permissions().mode() & 0o044 != 0 && !known {
            self.warn(key, message);
        }
    }

    /// An address of this machine to listen on.
    pub fn listen(&mut self, key: &str, text: Option<Text>, default: &str) -> Option<SocketAddr> {
        let text = text.map_or_else(|| default.to_owned(), |text| text.0);
        let listen = text.parse();
        if listen.is_err() {
            self.problem(key, format!("is not an address; write IP:PORT, for example \"{default}\""));
        }
        listen.ok()
    }

    /// An address to serve HTTP on: warns if others than this machine can reach it.
    pub fn http_listen(&mut self, key: &str, text: Option<Text>, default: &str) -> Option<SocketAddr> {
        let listen = self.listen(key, text, default)?;
        if !listen.ip().is_loopback() {
            self.warn(
                key,
                format!(
                    "{listen} can be reached from other machines, over HTTP that is not encrypted; use \
                     127.0.0.1 behind a TLS proxy, or let a firewall decide who may"
                ),
            );
        }
        Some(listen)
    }

    /// Decides: the configuration with its warnings, or all problems.
    pub fn finish<T>(mut self, config: Option<T>) -> Outcome<T> {
        if config.is_none() && self.problems.is_empty() {
            // A value was given up without a reason: a mistake in the checks, not to be hidden.
            self.problem("", "can't be used, and the check that refused it did not say why");
        }
        match config {
            Some(config) if self.problems.is_empty() => Ok((config, self.warnings)),
            _ => Err(self.problems),
        }
    }
}
