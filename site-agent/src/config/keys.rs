//! Where a value is in a configuration, which keys are known there, and which one was meant.

use std::cell::Cell;
use std::fmt::Write;

use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IntoDeserializer, Visitor};

/// One step from a section or list to what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a section.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// Reads `camera[0].stream[1].url`; also without the dots after `]`, as the `config` crate writes it.
pub fn parse(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split(['.', ']']) {
        let (key, index) = part.split_once('[').unwrap_or((part, ""));
        if !key.is_empty() {
            steps.push(Step::Key(key.to_owned()));
        }
        steps.extend(index.parse().map(Step::Index));
    }
    steps
}

/// Writes `camera[0].stream[1].url`.
pub fn format(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        let dot = if path.is_empty() { "" } else { "." };
        // Writing to a string can't fail.
        let _ = match step {
            Step::Key(key) => write!(path, "{dot}{key}"),
            Step::Index(index) => write!(path, "[{index}]"),
        };
    }
    path
}

/// The path of a key that nothing read.
pub(super) fn from_ignored(path: &serde_ignored::Path<'_>) -> Vec<Step> {
    use serde_ignored::Path;
    let (parent, step) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(Step::Index(*index))),
        Path::Map { parent, key } => (parent, Some(Step::Key(key.clone()))),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            (parent, None)
        }
    };
    let mut steps = from_ignored(parent);
    steps.extend(step);
    steps
}

/// The keys that `T` reads in the section at `path`; empty if there is no section.
///
/// serde tells them only to a deserializer, so this walks down to the section as one.
pub fn known<'de, T: Deserialize<'de>>(path: &[Step]) -> &'static [&'static str] {
    let found = Cell::new(&[][..]);
    // Always an error: the walk ends where the keys are told.
    let _ = T::deserialize(Walk { path, found: &found });
    found.get()
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    path: &'a [Step],
    found: &'a Cell<&'static [&'static str]>,
}

impl Walk<'_> {
    fn end<T>() -> Result<T, Error> {
        Err(Error::custom("the walk ends here"))
    }
}

impl<'de> Deserializer<'de> for Walk<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.path {
            [] => {
                self.found.set(fields);
                Self::end()
            }
            [Step::Key(key), path @ ..] => visitor
                .visit_map(MapDeserializer::new(std::iter::once((key.as_str(), Walk { path, ..self })))),
            [Step::Index(_), ..] => Self::end(),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.path {
            [Step::Index(_), path @ ..] => {
                visitor.visit_seq(SeqDeserializer::new(std::iter::once(Walk { path, ..self })))
            }
            _ => Self::end(),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Self::end()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Walk<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

/// The known word that `word` was probably meant to be.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters wrong is a typing mistake; more is another word.
    let limit = (word.chars().count() / 3).max(1);
    let near = known.into_iter().map(|known| (distance(word, known), known));
    near.filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// How many letters must be put in, taken out or replaced, or neighbours swapped.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    // rows[i][j]: from the first i letters of `from` to the first j of `to`.
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                let swapped = if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                    rows[i - 2][j - 2] + 1
                } else {
                    usize::MAX
                };
                replaced.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back_as_written() {
        for path in ["site", "camera[0].stream[12].url", "a.b.c"] {
            assert_eq!(format(&parse(path)), path);
        }
        assert_eq!(format(&parse("camera[0]stream[1]url")), "camera[0].stream[1].url");
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["segment_s", "fragment_ms", "dir"];
        assert_eq!(closest("segmnt_s", known), Some("segment_s"));
        assert_eq!(closest("dirr", known), Some("dir"));
        assert_eq!(closest("retention", known), None);
        assert_eq!(closest("nmae", ["id", "name"]), Some("name"));
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
