//! 6: Every scheduled instant of a camera is covered or explained.
//!
//! "There is no recording" and "we lost the recording" must never look the same. Within one origin the entries
//! follow each other without an unexplained hole: each segment begins where the one before ended, or a gap
//! with a cause lies between. Between the end of one origin and the beginning of the next the host was down,
//! which coverage computes from there being two.

use wire::proto;
use wire::proto::entry::Kind;

use crate::invariants::Invariant;
use crate::place::Place;
use crate::stage::Stage;

/// Looks for holes inside the ledgers of a place.
pub fn check(stage: &mut Stage, place: &Place) {
    let mut holes = Vec::new();
    for (id, row) in &place.archive.rows {
        let mut covered = None;
        for entry in &row.entries {
            let (start, end) = match entry.kind() {
                Some(Kind::Segment(segment)) if segment.recovered_from.is_none() => {
                    (segment.start_us, segment.end_us)
                }
                Some(Kind::Gap(gap)) if gap.cause() != proto::GapCause::Unspecified => {
                    (gap.start_us, gap.end_us)
                }
                _ => continue, // recovered footage is an earlier run's, and lies before this one
            };
            if covered.is_some_and(|covered| covered < start) {
                holes.push(format!("{id}: from {covered:?} to {start} nothing is said"));
            }
            covered = covered.max(Some(end));
        }
    }
    for what in holes.into_iter().take(1) {
        stage.violate(Invariant::Coverage, what);
    }
}
