//! Promises that were not kept, by what they were about.

use serde_json::{Value, json};

/// What a promise was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The archive as a whole: it can't be opened, or has not noticed what rotted.
    Archive,
    /// The file of an entry: missing, or other bytes.
    File,
    /// An entry, or whether its bytes are held.
    Entry,
    /// Fragments of a segment that was not entered yet.
    Fragments,
    /// One name means two things.
    Name,
}

/// One that was not kept, and how.
#[derive(Clone, Debug)]
pub(super) struct Broken(pub(super) About, pub(super) String);

/// How many of each kind.
pub(super) fn by_kind(broken: &[Broken]) -> Value {
    let of = |about| broken.iter().filter(|one| one.0 == about).count();
    json!({
        "archive": of(About::Archive), "files": of(About::File), "entries": of(About::Entry),
        "fragments": of(About::Fragments), "names": of(About::Name),
    })
}
