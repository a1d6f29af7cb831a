//! What there is of a stream between two instants.

use std::time::Duration;

use wire::entry::Entry;
use wire::proto::entry::Kind;
use wire::{LedgerId, Seq, SiteId, StreamId, UnixMicros};

use super::{Archive, Inner, Result};

/// No entry spans more than this (a segment has at most 3,600 fragments of about a second, gaps are
/// written in pieces), so a query need not look further back.
const SPAN_MAX: Duration = Duration::from_secs(2 * 3600);

/// A segment or a gap, and where it stands.
#[derive(Clone, Debug)]
pub struct Located {
    /// In which ledger.
    pub ledger: LedgerId,
    /// At which place.
    pub seq: Seq,
    /// Its first instant.
    pub start: UnixMicros,
    /// The first instant after it.
    pub end: UnixMicros,
    /// What it says.
    pub entry: Entry,
    /// Are its bytes here?
    pub held: bool,
    /// Were its bytes here, and were found damaged?
    pub damaged: bool,
    /// Is the disk that they are on not there?
    pub away: bool,
    /// Has the vault acked it (at a site)?
    pub acked: bool,
    /// Does the hub have its bytes, and this archive not yet?
    pub missing: bool,
    /// Won't its bytes come here any more?
    pub gone: bool,
}

pub(super) fn query(
    inner: &Inner,
    site: &SiteId,
    stream: &StreamId,
    from: UnixMicros,
    to: UnixMicros,
) -> Result<Vec<Located>> {
    let mut found = Vec::new();
    for span in inner.index.spans(site, stream, from - SPAN_MAX, to)? {
        if span.end <= from {
            continue;
        }
        let Some((_, entry)) = inner.index.entry(&span.ledger, span.seq)? else { continue };
        found.push(Located {
            ledger: span.ledger,
            seq: span.seq,
            start: span.start,
            end: span.end,
            entry,
            held: false,
            damaged: false,
            away: false,
            acked: false,
            missing: false,
            gone: false,
        });
    }
    let ledgers = inner.read_ledgers();
    for located in &mut found {
        if let Some(record) = ledgers.get(&located.ledger) {
            located.held = in_ranges(&record.held_ranges, located.seq);
            located.damaged = in_ranges(&record.damaged_ranges, located.seq);
            located.away = in_ranges(&record.away_ranges, located.seq);
            located.acked = in_ranges(&record.acked_ranges, located.seq);
            located.gone = in_ranges(&record.gone_ranges, located.seq);
            located.missing = record.ended && !located.held && !located.damaged && !located.gone;
        }
    }
    Ok(found)
}

/// A query asks for this much at a time, so that a long range is not in memory at once.
const PIECE: Duration = Duration::from_secs(12 * 3600);

impl Archive {
    /// Shows what there is of a stream between two instants, piece by piece; an entry that reaches over a piece's end
    /// comes with the piece it begins in.
    pub fn query_in_pieces(
        &self,
        (site, stream): (&SiteId, &StreamId),
        (from, to): (UnixMicros, UnixMicros),
        mut take: impl FnMut(Vec<Located>),
    ) -> Result<()> {
        let mut asked = from;
        while asked < to {
            let until = to.min(asked + PIECE);
            let mut piece = self.query(site, stream, asked, until)?;
            piece.retain(|one| asked == from || one.start >= asked);
            take(piece);
            asked = until;
        }
        Ok(())
    }
}

fn in_ranges(ranges: &[wire::proto::Range], seq: Seq) -> bool {
    ranges.iter().any(|range| (range.start..range.end).contains(&seq.0))
}

/// The time an entry speaks of, if it belongs on the timeline.
pub(super) fn span_of(entry: &Entry) -> Option<(UnixMicros, UnixMicros)> {
    let (start, end) = match entry.kind()? {
        Kind::Segment(segment) => (segment.start_us, segment.end_us),
        Kind::Gap(gap) => (gap.start_us, gap.end_us),
        Kind::Gone(gone) => (gone.start_us, gone.end_us),
        Kind::Event(event) => (event.at_us, event.at_us + 1),
        Kind::Salvage(salvage) => {
            salvage.segment.as_ref().map(|segment| (segment.start_us, segment.end_us))?
        }
    };
    Some((UnixMicros(start), UnixMicros(end)))
}
