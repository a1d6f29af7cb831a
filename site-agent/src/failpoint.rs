//! Steps at which a test lets a daemon die, to see that what follows a crash right there is what it should be.
//!
//! `HOLDFAST_DIE_AT=commit/moved:3` ends the process when it comes to that step for the third time: at once, as by SIGKILL,
//! nothing closed, nothing flushed. Without the variable a step costs one comparison.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable.
pub const VARIABLE: &str = "HOLDFAST_DIE_AT";

/// Steps that a site's recorder comes to.
pub const SITE_STEPS: [&str; 10] = [
    "fragment/written",
    "fragment/synced",
    "commit/begun",
    "commit/file-synced",
    "commit/moved",
    "commit/folders-synced",
    "commit/entered",
    "recover/collected",
    "recover/entered",
    "recover/ended",
];

/// Steps that a hub comes to.
pub const HUB_STEPS: [&str; 8] = [
    "journal/written",
    "journal/synced",
    "ingest/put-together",
    "commit/begun",
    "commit/file-synced",
    "commit/moved",
    "commit/folders-synced",
    "commit/entered",
];

/// Steps of freeing, on either side.
pub const FREE_STEPS: [&str; 4] =
    ["free/entered", "free/file-deleted", "free/files-deleted", "free/forgotten"];

/// Steps from a damaged segment to right bytes, on either side.
pub const REPAIR_STEPS: [&str; 4] = ["scrub/found", "scrub/noted", "repair/fetched", "repair/taken-in"];

/// Steps of salvaging a tail at a hub.
pub const SALVAGE_STEPS: [&str; 4] =
    ["salvage/chosen", "salvage/put-together", "salvage/entered", "salvage/forgotten"];

#[derive(Debug)]
struct Wanted {
    step: String,
    /// The process ends when this is counted down.
    left: AtomicU32,
}

/// The process comes to a step.
pub fn pass(step: &'static str) {
    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| std::env::var(VARIABLE).ok().map(|text| Wanted::parse(&text)));
    if wanted.as_ref().is_some_and(|wanted| wanted.is_now(step)) {
        std::process::abort();
    }
}

impl Wanted {
    fn parse(text: &str) -> Self {
        let (step, times) = text.split_once(':').unwrap_or((text, "1"));
        Self { step: step.to_owned(), left: AtomicU32::new(times.parse().unwrap_or(1)) }
    }

    fn is_now(&self, step: &str) -> bool {
        self.step == step && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_counted() {
        let wanted = Wanted::parse("commit/moved:2");
        assert!(!wanted.is_now("commit/begun"));
        assert!(!wanted.is_now("commit/moved"));
        assert!(wanted.is_now("commit/moved"));
        assert!(!wanted.is_now("commit/moved"));
        assert!(Wanted::parse("commit/moved").is_now("commit/moved"));
    }
}
