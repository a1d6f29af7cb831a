//! Reads a TOML file, then the environment, into any schema, and collects what does not fit.
//!
//! It knows no key of its own. Unknown keys are refused, because a misspelt key silently ignored is a
//! setting that silently does not hold. After a value of the wrong type it goes on without that value, so
//! that one run finds everything; a schema should therefore have optional keys only.
//!
//! The environment wins over the file: `HOLDFAST__ARCHIVE__SEGMENT_S=5` is `archive.segment_s`,
//! `HOLDFAST__CAMERA__0__NAME` the first camera's name. It changes lists that the file has, and adds none.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::check::Check;
use super::keys::{self, Step};
use super::report::Problem;

/// What environment variables that are configuration begin with.
pub const PREFIX: &str = "HOLDFAST__";

/// A schema read from file and environment.
pub struct Loaded<T> {
    /// What was read, without the values that do not fit; nothing if it can't be read at all.
    pub value: Option<T>,
    /// What does not fit.
    pub problems: Vec<Problem>,
    /// Where the values came from.
    pub source: Source,
}

impl<T> Loaded<T> {
    /// Goes on to the checks, which add their problems to those found here.
    pub fn into_check(self) -> (Check, Option<T>) {
        (Check::new(self.source, self.problems), self.value)
    }
}

/// Where the values of a configuration came from.
#[derive(Clone, Debug)]
pub struct Source {
    file: PathBuf,
    /// (key, environment variable)
    variables: Vec<(String, String)>,
}

impl Source {
    /// A problem with `key`, ascribed to the file or to the variable that set it.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        let message = message.into();
        let under = |whole: &str| {
            let rest = key.strip_prefix(whole);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        match self.variables.iter().find(|(path, _)| under(path)) {
            Some((_, variable)) => Problem { file: "environment".into(), key: variable.clone(), message },
            None => Problem { file: self.file.clone(), key: key.to_owned(), message },
        }
    }

    /// The file that was read.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder that relative paths in the file start from.
    pub fn folder(&self) -> PathBuf {
        let file = std::path::absolute(&self.file).unwrap_or_else(|_| self.file.clone());
        file.parent().map(Path::to_owned).unwrap_or_default()
    }
}

/// This process's environment, as far as it is text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads `file`, then `env`, into a `T`.
pub fn load<T: DeserializeOwned>(file: &Path, env: impl Iterator<Item = (String, String)>) -> Loaded<T> {
    let mut source = Source { file: file.to_owned(), variables: Vec::new() };
    let tree = match read(file) {
        Ok(tree) => tree,
        Err(message) => {
            let problems = vec![source.problem("", message)];
            return Loaded { value: None, problems, source };
        }
    };
    let mut problems = Vec::new();
    let mut values = HashMap::new();
    for (name, value) in env.filter(|(name, _)| name.starts_with(PREFIX)) {
        match path_of::<T>(&name, &tree.cache) {
            Ok(path) => {
                values.insert(path.clone(), value);
                source.variables.push((path, name));
            }
            Err(message) => problems.push(Problem { file: "environment".into(), key: name, message }),
        }
    }
    let overlaid = Config::builder()
        .add_source(tree)
        // Values stay text until a schema says what they are: guessing types here would turn the
        // password "007" into 7.
        .add_source(Environment::default().source(Some(values)))
        .build();
    let value = match overlaid {
        Ok(overlaid) => settle(overlaid.cache, &source, &mut problems),
        Err(error) => {
            problems.push(source.problem("", error.to_string()));
            None
        }
    };
    problems.sort_by(|a, b| (&a.file, &a.key).cmp(&(&b.file, &b.key)));
    Loaded { value, problems, source }
}

fn read(file: &Path) -> Result<Config, String> {
    let text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            "there is no such file; `holdfast init` makes one, or name another with --config".to_owned()
        }
        ErrorKind::InvalidData => "is not UTF-8 text; save it as UTF-8".to_owned(),
        _ => format!("can't be read: {error}"),
    })?;
    Config::builder()
        .add_source(File::from_str(&text, FileFormat::Toml))
        .build()
        .map_err(|error| syntax(&error.to_string()))
}

/// Keeps line and reason of a TOML error. The line's text is left out: it may hold a password.
fn syntax(error: &str) -> String {
    let mut lines = error.lines();
    let place = lines.next().unwrap_or_default();
    let place = place.strip_prefix("TOML parse error at ").unwrap_or(place);
    let quoted = |line: &&str| {
        line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
    };
    let reason: Vec<&str> = lines.skip_while(quoted).map(str::trim).filter(|line| !line.is_empty()).collect();
    if reason.is_empty() {
        format!("is not TOML: {place}")
    } else {
        format!("{place}: {}", reason.join("; "))
    }
}

/// The key that an environment variable sets.
fn path_of<T: DeserializeOwned>(name: &str, tree: &Value) -> Result<String, String> {
    let mut steps = Vec::new();
    for part in name[PREFIX.len()..].to_lowercase().split("__") {
        let known = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if part.is_empty() || !known {
            return Err(
                "is not a key; write HOLDFAST__SECTION__KEY, for example HOLDFAST__ARCHIVE__DIR".into()
            );
        }
        let Ok(index) = part.parse() else {
            steps.push(Step::Key(part.to_owned()));
            continue;
        };
        steps.push(Step::Index(index));
        if find(tree, &steps).is_none() {
            let path = keys::format(&steps);
            return Err(format!("the file has no {path}; add it there, the environment only changes lists"));
        }
    }
    match steps.as_slice() {
        // Refused before it is laid over the file, where it would hide what the file says.
        [parent @ .., Step::Key(key)] if !keys::known::<T>(parent).contains(&key.as_str()) => {
            Err(unknown::<T>(&steps))
        }
        _ => Ok(keys::format(&steps)),
    }
}

fn find<'a>(tree: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(tree, |at, step| match (&at.kind, step) {
        (ValueKind::Table(table), Step::Key(key)) => table.get(key),
        (ValueKind::Array(array), Step::Index(index)) => array.get(*index),
        _ => None,
    })
}

/// Takes the value at `steps` out. Of a list the whole list goes: the places of the others must not change.
fn take_out(tree: &mut Value, steps: &[Step]) -> bool {
    let Some(last) = steps.iter().rposition(|step| matches!(step, Step::Key(_))) else { return false };
    let (parents, Step::Key(key)) = (&steps[..last], &steps[last]) else { return false };
    let parent = parents.iter().try_fold(tree, |at, step| match (&mut at.kind, step) {
        (ValueKind::Table(table), Step::Key(key)) => table.get_mut(key),
        (ValueKind::Array(array), Step::Index(index)) => array.get_mut(*index),
        _ => None,
    });
    match parent.map(|parent| &mut parent.kind) {
        Some(ValueKind::Table(table)) => table.remove(key).is_some(),
        _ => false,
    }
}

/// Reads `tree` as a `T`; whenever a value does not fit, notes it, takes it out and reads again.
fn settle<T: DeserializeOwned>(mut tree: Value, source: &Source, problems: &mut Vec<Problem>) -> Option<T> {
    loop {
        let mut unknown = Vec::new();
        let read = serde_ignored::deserialize(tree.clone(), |path| unknown.push(keys::from_ignored(&path)));
        let gone_on = match &read {
            Ok(_) => false,
            Err(error) => {
                let (path, message) = explain(error, &tree);
                problems.push(source.problem(&path, message));
                // Each round takes a value out, so the rounds end.
                take_out(&mut tree, &keys::parse(&path))
            }
        };
        if !gone_on {
            let unknown =
                unknown.iter().map(|path| source.problem(&keys::format(path), self::unknown::<T>(path)));
            problems.extend(unknown);
            return read.ok();
        }
    }
}

fn unknown<T: DeserializeOwned>(path: &[Step]) -> String {
    let (parent, key) = match path {
        [parent @ .., Step::Key(key)] => (parent, key.as_str()),
        _ => (path, ""),
    };
    let known = keys::known::<T>(parent);
    match keys::closest(key, known.iter().copied()) {
        Some(meant) => format!("unknown key; did you mean `{meant}`?"),
        None if known.is_empty() => "unknown key; remove it".to_owned(),
        None => format!("unknown key; remove it, or use one of `{}`", known.join("`, `")),
    }
}

/// The key and the reason of a value that does not fit. The value itself is left out: it may be a password.
fn explain(error: &ConfigError, tree: &Value) -> (String, String) {
    let (path, reason) = match error {
        ConfigError::Type { key, expected, .. } => (key.clone(), format!(", expected {expected}")),
        ConfigError::At { error, key, .. } => (key.clone(), error.to_string()),
        ConfigError::NotFound(key) => {
            return (keys::format(&keys::parse(key)), "is missing; add it".to_owned());
        }
        other => (None, other.to_string()),
    };
    let path = keys::format(&keys::parse(&path.unwrap_or_default()));
    let found = find(tree, &keys::parse(&path)).map_or("something else", |value| match value.kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::Float(_) => "a number with a fraction",
        ValueKind::I64(number) if number < 0 => "a negative number",
        ValueKind::String(_) => "text",
        ValueKind::Table(_) => "a section",
        ValueKind::Array(_) => "a list",
        _ => "a number",
    });
    let message = match reason.rsplit_once(", expected ") {
        Some((_, expected)) => format!("is {found}, but must be {expected}"),
        None => reason,
    };
    (path, message)
}
