//! How far a fetch is, by the index and the timeline.

use site_agent::archive::{Archive, Result};
use site_agent::coverage::{State, Totals, Viewpoint, totals};
use site_agent::serve::{Present, Tails, timeline};
use wire::{LedgerId, Replicate, Seq, UnixMicros};

use super::Fetch;

/// Segments that reach into a range, and the bytes of their files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub segments: u64,
    /// How long.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.segments += 1;
        self.bytes += bytes;
    }
}

/// How far a fetch is.
#[derive(Clone, Debug)]
pub struct Look {
    /// What is here.
    pub held: Amount,
    /// What the site has and the hub has not.
    pub left: Amount,
    /// The entries that are to come.
    pub missing: Vec<(LedgerId, Seq)>,
    /// The site may still tell of something in the range.
    pub pending: bool,
    /// The range's instants.
    pub totals: Totals,
}

impl Look {
    /// Is all here that there is, and is all known?
    pub fn is_over(&self) -> bool {
        self.missing.is_empty() && !self.pending
    }
}

pub(super) fn look(
    archive: &Archive,
    tails: &dyn Tails,
    fetch: &Fetch,
    (replicate, late): (Replicate, Option<String>),
) -> Result<Look> {
    let &Fetch { ref site, ref stream, from, to, .. } = fetch;
    let (mut held, mut left, mut missing) = (Amount::default(), Amount::default(), Vec::new());
    for located in archive.query(site, stream, from, to)? {
        let Some(segment) = located.entry.segment().filter(|_| is_within(&located, (from, to))) else {
            continue;
        };
        if located.held {
            held.add(segment.bytes);
            continue;
        }
        let Some(record) = archive.ledger(&located.ledger) else { continue };
        if !record.is_written_here() && !record.gone().contains(located.seq.0) {
            left.add(segment.bytes);
            // Nobody brings it any more, if the site has changed its mind. A host brings what it has unasked.
            if replicate != Replicate::Never && record.is_by_site() {
                missing.push((located.ledger, located.seq));
            }
        }
    }
    let present = Present {
        viewpoint: Viewpoint::Vault { late },
        replicate,
        now: wire::clock::wall(),
        ..Present::default()
    };
    let spans = timeline(archive, tails, (site, stream), (from, to), present)?.spans;
    let open = |state| matches!(state, State::Pending | State::Tail | State::Future);
    let pending = spans.iter().any(|span| open(span.what.state()));
    Ok(Look { held, left, missing, pending, totals: totals(&spans) })
}

fn is_within(located: &site_agent::archive::Located, (from, to): (UnixMicros, UnixMicros)) -> bool {
    located.start < to && located.end > from
}
