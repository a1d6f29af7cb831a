//! Merges what was recorded: goes through the instants at which anything begins or ends, and takes the
//! best of what there is between each two.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use wire::{LedgerId, UnixMicros};

use super::explain::Explainer;
use super::{GapCause, Known, Place, SETTLES_AFTER, Span, Viewpoint, What};

/// How good something is; the first is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Held,
    Tail,
    Elsewhere,
    /// Was recorded and is lost, entry by entry.
    Lost,
    Gap,
    /// Was recorded and is lost, as a gone entry says in general.
    GoneSpan,
}

/// Something that could be shown.
struct Candidate {
    start: UnixMicros,
    end: UnixMicros,
    class: Class,
    ledger: Option<LedgerId>,
    what: What,
}

/// The timeline of `from..to`: spans in order that tile it exactly; none if the range is empty.
pub fn cover(known: &Known, from: UnixMicros, to: UnixMicros) -> Vec<Span> {
    let mut candidates = candidates(known);
    candidates
        .retain(|candidate| candidate.start < candidate.end && candidate.start < to && candidate.end > from);
    candidates.sort_by(|a, b| (a.start, a.class, &a.ledger).cmp(&(b.start, b.class, &b.ledger)));
    let explainer = Explainer::new(known);
    let mut sweep =
        Sweep { candidates: &candidates, entered: 0, active: Vec::new(), shown: None, running: None };
    let mut spans: Vec<Span> = Vec::new();
    let points: Vec<_> = points(known, &candidates, from, to).into_iter().collect();
    for pair in points.windows(2) {
        let (start, end) = (pair[0], pair[1]);
        let what = match sweep.best(start) {
            Some(candidate) => candidate.what.clone(),
            None => explainer.explain(start),
        };
        match spans.last_mut() {
            Some(last) if last.what == what => last.end = end,
            _ => spans.push(Span { start, end, what }),
        }
    }
    spans
}

/// The instants at which something may change.
fn points(known: &Known, candidates: &[Candidate], from: UnixMicros, to: UnixMicros) -> BTreeSet<UnixMicros> {
    let runs = known.runs.iter().flat_map(|run| [run.opened, run.last]);
    let mut points: BTreeSet<_> = candidates
        .iter()
        .flat_map(|candidate| [candidate.start, candidate.end])
        .chain(runs)
        .chain([known.now, known.now - SETTLES_AFTER])
        .filter(|point| (from..to).contains(point))
        .collect();
    if from < to {
        points.extend([from, to]);
    }
    points
}

struct Sweep<'a> {
    candidates: &'a [Candidate],
    /// How many have begun.
    entered: usize,
    /// Which of them have not ended.
    active: Vec<usize>,
    /// The one shown last.
    shown: Option<usize>,
    /// The ledger recorded from last.
    running: Option<&'a LedgerId>,
}

impl<'a> Sweep<'a> {
    /// The best there is at `now`, which never goes back.
    fn best(&mut self, now: UnixMicros) -> Option<&'a Candidate> {
        let candidates = self.candidates;
        while candidates.get(self.entered).is_some_and(|next| next.start <= now) {
            self.active.push(self.entered);
            self.entered += 1;
        }
        self.active.retain(|index| candidates[*index].end > now);
        let (shown, running) = (self.shown, self.running);
        self.shown = self.active.iter().copied().min_by_key(|index| {
            let candidate = &candidates[*index];
            let continues = shown == Some(*index);
            let same_ledger = running.is_some() && candidate.ledger.as_ref() == running;
            (candidate.class, !continues, !same_ledger, Reverse(candidate.end), *index)
        });
        let best = candidates.get(self.shown?)?;
        if best.class <= Class::Elsewhere {
            self.running = best.ledger.as_ref();
        }
        Some(best)
    }
}

fn candidates(known: &Known) -> Vec<Candidate> {
    let segments = known.recordings.iter().map(|recording| {
        let lost = || {
            let covers =
                |gone: &&super::Gone| gone.ledger == recording.ledger && gone.seqs.contains(recording.seq.0);
            // Of a segment that is gone on both sides, why it is gone on this one.
            let causes = || known.gone.iter().filter(covers).map(|gone| gone.cause);
            causes().find(|cause| *cause == GapCause::Corrupt).or_else(|| causes().next())
        };
        let ledger = recording.ledger.clone();
        let (class, what) = if recording.held {
            let what = What::Recorded {
                ledger,
                seq: Some(recording.seq),
                segment: recording.segment,
                place: Place::Held,
                acked: recording.acked,
            };
            (Class::Held, what)
        } else if let Some(cause) = lost() {
            let detail = match (recording.acked, cause) {
                (true, GapCause::Expired) => "it was freed here; the hub had it then",
                _ => "it was recorded, and the bytes are gone",
            };
            (Class::Lost, What::Gap { cause, detail: detail.to_owned() })
        } else if known.replicate.withholds() && known.viewpoint != Viewpoint::Recorder {
            let replicate = known.replicate;
            (Class::Elsewhere, What::AtSite { ledger, seq: recording.seq, replicate })
        } else if recording.away {
            let detail =
                "the disk it is on is not there; it is wanted from the other side, or until the disk is back";
            (Class::Lost, What::Gap { cause: GapCause::DiskLost, detail: detail.to_owned() })
        } else if recording.damaged {
            let detail = "it was found damaged here, and is wanted from the other side".to_owned();
            (Class::Lost, What::Gap { cause: GapCause::Corrupt, detail })
        } else if known.viewpoint == Viewpoint::Recorder && recording.missing {
            (Class::Elsewhere, What::Elsewhere { ledger, seq: recording.seq, restoring: true })
        } else if known.viewpoint == Viewpoint::Recorder && recording.acked && recording.gone {
            // Not wanted back: others held this time then, or it was too old.
            let detail = "it is not kept here; the hub had it when it was last asked".to_owned();
            (Class::Lost, What::Gap { cause: GapCause::Expired, detail })
        } else if known.viewpoint == Viewpoint::Recorder {
            let detail = format!("entry {} is known, but its bytes are missing", recording.seq);
            (Class::Lost, What::Gap { cause: GapCause::Unspecified, detail })
        } else {
            (Class::Elsewhere, What::Elsewhere { ledger, seq: recording.seq, restoring: false })
        };
        let (start, end) = (recording.start, visible_end(recording.start, recording.end));
        Candidate { start, end, class, ledger: Some(recording.ledger.clone()), what }
    });
    let tails = known.tails.iter().map(|tail| Candidate {
        start: tail.start,
        end: visible_end(tail.start, tail.end),
        class: Class::Tail,
        ledger: Some(tail.ledger.clone()),
        what: What::Recorded {
            ledger: tail.ledger.clone(),
            seq: None,
            segment: tail.segment,
            place: Place::Tail,
            acked: false,
        },
    });
    let gaps = known.gaps.iter().map(|gap| Candidate {
        start: gap.start,
        end: gap.end,
        class: Class::Gap,
        ledger: None,
        what: What::Gap { cause: gap.cause, detail: gap.detail.clone() },
    });
    let gone = known.gone.iter().map(|gone| Candidate {
        start: gone.start,
        end: gone.end,
        class: Class::GoneSpan,
        ledger: None,
        what: What::Gap { cause: gone.cause, detail: "what was recorded is gone".to_owned() },
    });
    segments.chain(tails).chain(gaps).chain(gone).collect()
}

/// A connection that breaks after one picture leaves a recording that ends where it begins: it must not
/// vanish from the timeline.
fn visible_end(start: UnixMicros, end: UnixMicros) -> UnixMicros {
    end.max(start + Duration::from_micros(1))
}
