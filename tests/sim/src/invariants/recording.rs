//! 4: Recording at the site has no gap because of anything the WAN, the hub or the quorum did.
//!
//! The whole point of a site agent. The oracle knows when a camera filmed and when the site's machine could
//! record it; everything in there must be in files at the site, but for the while it takes to connect, and
//! the fragments that a crash found unsynced.

use std::time::Duration;

use crate::content;
use crate::invariants::Invariant;
use crate::node::SiteIx;
use crate::place::archive::{MEDIA, OPEN};
use crate::place::{Place, camera_of};
use crate::stage::Stage;
use crate::time::Time;

/// What a place has on its disk of each camera: instants from and to, in order, merged.
pub fn recorded(stage: &Stage, place: &Place, camera: usize) -> Vec<(Time, Time)> {
    let disk = &place.archive.disk;
    let mut spans = Vec::new();
    for name in disk.list(OPEN).chain(disk.list(MEDIA)) {
        if camera_of(&stage.oracle.id_of(name.file.0).stream) == camera {
            let parts = disk.read(name).unwrap_or_default();
            spans.extend(parts.iter().filter_map(|part| content::filmed(part)));
        }
    }
    merged(spans)
}

/// Spans in order, those that touch made one.
pub fn merged(mut spans: Vec<(Time, Time)>) -> Vec<(Time, Time)> {
    spans.sort_unstable();
    let mut merged: Vec<(Time, Time)> = Vec::new();
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// Looks for instants that the site could have recorded and did not. `could` are the spans in which machine and
/// camera both worked; in each, `slack` is granted at the beginning for connecting and at the end for what
/// was not synced.
pub fn check(
    stage: &mut Stage,
    site: SiteIx,
    camera: usize,
    have: &[(Time, Time)],
    could: &[(Time, Time)],
    slack: Slack,
) {
    for (start, end) in could {
        let (from, to) = (*start + slack.beginning, *end - slack.end);
        let covered = from >= to || have.iter().any(|(start, end)| *start <= from && to <= *end);
        if !covered {
            let what = format!(
                "{site} camera {camera}: nothing stopped it from {from} to {to}, and not all of it is recorded"
            );
            stage.violate(Invariant::Recording, what);
            return;
        }
    }
}

/// What is granted at the ends of a span.
#[derive(Clone, Copy, Debug)]
pub struct Slack {
    /// For connecting, and for the first keyframe.
    pub beginning: Duration,
    /// For the fragment under way, and the sync of the one before.
    pub end: Duration,
}
