//! Asks the archive what the coverage of a stream is computed from.

use std::collections::BTreeSet;

use wire::proto::GapCause;
use wire::proto::entry::Kind;
use wire::{LedgerId, RangeSet, Replicate, SegmentNumber, Seq, SiteId, StreamId, UnixMicros};

use super::Shared;
use super::{Role, Tails};
use crate::archive::{Archive, LedgerRecord, Located, Result};
use crate::coverage::{Gone, Known, KnownGap, Recording, Run, SETTLES_AFTER, Span, Tail, Viewpoint, cover};

/// A ledger is searched this far back from its end for the last segment or gap; camera metadata may
/// stand behind it.
const LOOK_BACK: u64 = 512;
/// What a recorder that was told to stop writes last.
const STOPPED: &str = "recorder.stopped";

/// The timeline of one stream.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Tile the range in order.
    pub spans: Vec<Span>,
    /// Segments that are here and yet show nowhere, since others are shown instead: a second recorder, or
    /// a clock that was set back.
    pub hidden: usize,
}

/// What is not in the archive.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// See [`Known::current`].
    pub current: Option<(GapCause, String)>,
    /// See [`Known::viewpoint`].
    pub viewpoint: Viewpoint,
    /// See [`Known::replicate`].
    pub replicate: Replicate,
    /// The present.
    pub now: UnixMicros,
}

/// Computes the timeline of `from..to`.
pub fn timeline(
    archive: &Archive,
    tails: &dyn Tails,
    (site, stream): (&SiteId, &StreamId),
    (from, to): (UnixMicros, UnixMicros),
    present: Present,
) -> Result<Timeline> {
    let mut known = Known {
        runs: runs(archive, site, stream, (from, to), present.now)?,
        current: present.current,
        viewpoint: present.viewpoint,
        replicate: present.replicate,
        now: present.now,
        ..Known::default()
    };
    // Tails first: what is committed between the two questions is then in both, and not in neither.
    let open = tails.tails(site, stream);
    let mut committed = BTreeSet::new();
    archive.query_in_pieces((site, stream), (from, to), |piece| {
        for located in piece {
            // Of one whose bytes are still to come the parts that are here are all there is.
            if let Some(segment) = located.entry.segment().filter(|_| located.held) {
                committed.insert((located.ledger.clone(), SegmentNumber(segment.number)));
            }
            take(&mut known, located);
        }
    })?;
    let open = open.into_iter().filter(|tail| !committed.contains(&(tail.ledger.clone(), tail.segment)));
    known.tails = open
        .map(|tail| Tail { ledger: tail.ledger, segment: tail.segment, start: tail.start, end: tail.end })
        .collect();
    let spans = cover(&known, from, to);
    let hidden = hidden(&known, &spans);
    Ok(Timeline { spans, hidden })
}

fn take(known: &mut Known, located: Located) {
    let Located { ledger, seq, start, end, entry, held, damaged, away, acked, missing, gone } = located;
    if let Some(segment) = entry.segment() {
        let segment = SegmentNumber(segment.number);
        known.recordings.push(Recording {
            ledger,
            seq,
            segment,
            start,
            end,
            held,
            damaged,
            away,
            acked,
            missing,
            gone,
        });
        return;
    }
    match entry.kind() {
        Some(Kind::Gap(gap)) => {
            known.gaps.push(KnownGap { start, end, cause: gap.cause(), detail: gap.detail.clone() });
        }
        Some(Kind::Gone(gone)) => {
            if let Ok(of) = LedgerId::from_proto(gone.ledger.as_ref()) {
                let seqs = RangeSet::from_proto(&gone.seqs);
                known.gone.push(Gone { ledger: of, seqs, start, end, cause: gone.cause() });
            }
        }
        Some(Kind::Segment(_) | Kind::Salvage(_) | Kind::Event(_)) | None => {}
    }
}

fn hidden(known: &Known, spans: &[Span]) -> usize {
    use crate::coverage::What;
    let shown: BTreeSet<_> = spans
        .iter()
        .filter_map(|span| match &span.what {
            What::Recorded { ledger, seq: Some(seq), .. } => Some((ledger, *seq)),
            _ => None,
        })
        .collect();
    known.recordings.iter().filter(|one| one.held && !shown.contains(&(&one.ledger, one.seq))).count()
}

/// The runs that reach into the range, and the last one before it.
fn runs(
    archive: &Archive,
    site: &SiteId,
    stream: &StreamId,
    (from, to): (UnixMicros, UnixMicros),
    now: UnixMicros,
) -> Result<Vec<Run>> {
    let mine = |(ledger, record): &(LedgerId, LedgerRecord)| {
        ledger.stream == *stream && record.site == site.as_str() && record.opened() < to && !record.salvage
    };
    let ledgers: Vec<_> = archive.ledgers().into_iter().filter(mine).collect();
    let before = |record: &LedgerRecord| record.ended && record.last_us < from.0;
    let last_before =
        ledgers.iter().filter(|(_, record)| before(record)).max_by_key(|(_, record)| record.last_us);
    let last_before = last_before.map(|(ledger, _)| ledger);
    let reaches =
        |(ledger, record): &&(LedgerId, LedgerRecord)| !before(record) || Some(ledger) == last_before;
    let runs = ledgers.iter().filter(reaches).map(|(ledger, record)| run(archive, ledger, record, now));
    runs.filter_map(Result::transpose).collect()
}

/// `None` if it never recorded: a ledger that retention opened for a camera that isn't there any more.
fn run(archive: &Archive, ledger: &LedgerId, record: &LedgerRecord, now: UnixMicros) -> Result<Option<Run>> {
    let opened = record.opened();
    let mut last = None;
    let mut stopped_cleanly = false;
    let mut only_gone = record.next > 0 && record.next <= LOOK_BACK;
    let seqs = record.next.saturating_sub(LOOK_BACK)..record.next;
    for seq in seqs.rev() {
        let Some(entry) = archive.entry(ledger, Seq(seq))? else { break };
        only_gone &= matches!(entry.kind(), Some(Kind::Gone(_)));
        match entry.kind() {
            Some(Kind::Event(event)) => {
                stopped_cleanly |= seq + 1 == record.next && event.kind == STOPPED;
            }
            Some(Kind::Segment(segment)) => {
                last = Some(UnixMicros(segment.end_us));
                break;
            }
            Some(Kind::Gap(gap)) => {
                last = Some(UnixMicros(gap.end_us));
                break;
            }
            Some(Kind::Gone(_) | Kind::Salvage(_)) | None => {}
        }
    }
    // A recorder has written something of its own by then.
    if only_gone && (record.ended || now.since(opened) > SETTLES_AFTER) {
        return Ok(None);
    }
    // Without any, the run explains nothing yet; beyond the search, its events say how far it came.
    let nothing = if record.next > LOOK_BACK { UnixMicros(record.last_us) } else { opened };
    let last = last.unwrap_or(nothing).max(opened);
    let ended = record.ended || stopped_cleanly;
    Ok(Some(Run { ledger: ledger.clone(), opened, last, ended, stopped_cleanly }))
}

impl Shared {
    /// The timeline as it is now.
    pub(super) fn timeline(
        &self,
        site: &SiteId,
        stream: &StreamId,
        range: (UnixMicros, UnixMicros),
    ) -> Result<Timeline> {
        let now = wire::clock::wall();
        let viewpoint = match self.served.role {
            Role::Site(_) => Viewpoint::Recorder,
            Role::Hub => Viewpoint::Vault { late: self.served.cameras.late(site) },
        };
        let cameras = self.served.cameras.cameras();
        let current = cameras
            .into_iter()
            .filter(|camera| camera.site == *site)
            .flat_map(|camera| camera.streams)
            .find(|info| info.stream == *stream)
            .and_then(|info| info.not_recording);
        let replicate = self.served.cameras.replicate(site, stream);
        let present = Present { current, viewpoint, replicate, now };
        timeline(&self.served.archive, &*self.served.tails, (site, stream), range, present)
    }
}
