//! Which fragments an export is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use media::AudioTrack;
use media::read::Header;
use wire::proto::{GapCause, Segment};
use wire::{LedgerId, SegmentNumber, Seq, SiteId, StreamId, UnixMicros};

use super::ExportError;
use crate::archive::Archive;
use crate::coverage::{Place, Span, What};
use crate::serve::tails::{TailSpan, Tails};

/// BLAKE3 of a header.
pub(super) type HeaderHash = [u8; 32];

/// What an export will hold.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose site.
    pub site: SiteId,
    /// Which stream.
    pub stream: StreamId,
    /// What was asked for.
    pub asked: (UnixMicros, UnixMicros),
    /// The first instant in the file.
    pub from: UnixMicros,
    /// The first instant after the file.
    pub to: UnixMicros,
    /// What of the range is not in the file.
    pub not_exported: Vec<NotExported>,
    /// Why the file ends before the range does.
    pub stop: Option<Stop>,
    pub(super) pieces: Vec<Piece>,
    pub(super) headers: BTreeMap<HeaderHash, Header>,
    pub(super) audio: Option<AudioTrack>,
    /// Length in media time; unknown with tails.
    pub(super) lasts_90k: Option<u64>,
}

/// A part of the range that is not in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotExported {
    /// Its first instant.
    pub start: UnixMicros,
    /// The first instant after it.
    pub end: UnixMicros,
    /// As the timeline has it; `damaged` and `stopped` are the export's own.
    pub state: &'static str,
    /// Why it is not recorded.
    pub cause: Option<GapCause>,
    /// For people.
    pub detail: String,
}

/// Where one file can't go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// From when to export the next file.
    pub at: UnixMicros,
    /// For people.
    pub why: &'static str,
}

/// Fragments `first..=last` of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) ledger: LedgerId,
    pub(super) number: SegmentNumber,
    /// `None`: a tail.
    pub(super) seq: Option<Seq>,
    pub(super) header: HeaderHash,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) start: UnixMicros,
    pub(super) end: UnixMicros,
}

/// A fragment that could be taken.
struct Choice {
    part: u32,
    start: UnixMicros,
    end: UnixMicros,
    key: bool,
}

impl Plan {
    /// Plans the export of what these spans show.
    pub fn make(
        archive: &Archive,
        tails: &dyn Tails,
        (site, stream): (&SiteId, &StreamId),
        asked: (UnixMicros, UnixMicros),
        spans: &[Span],
        with_tails: bool,
    ) -> Result<Self, ExportError> {
        let mut plan = Self {
            site: site.clone(),
            stream: stream.clone(),
            asked,
            from: asked.1,
            to: asked.0,
            not_exported: Vec::new(),
            stop: None,
            pieces: Vec::new(),
            headers: BTreeMap::new(),
            audio: None,
            lasts_90k: Some(0),
        };
        let open = if with_tails { tails.tails(site, stream) } else { Vec::new() };
        for span in spans {
            match &span.what {
                What::Recorded { ledger, seq: Some(seq), place: Place::Held, .. } => {
                    plan.add_segment(archive, span, ledger, *seq)?;
                }
                What::Recorded { ledger, segment, place: Place::Tail, .. } if with_tails => {
                    let shown = |tail: &&TailSpan| {
                        let of_it = tail.ledger == *ledger && tail.segment == *segment;
                        of_it && span.start < tail.end.max(tail.start + JOT)
                    };
                    let tail = open.iter().find(shown);
                    plan.add_tail(tails, span, tail);
                }
                what => plan.leave_out(span, what.state().name(), what.reason().0, what.reason().1),
            }
            if plan.stop.is_some() {
                break;
            }
        }
        match (plan.pieces.first(), plan.pieces.last()) {
            (Some(first), Some(last)) => (plan.from, plan.to) = (first.start, last.end),
            _ => return Err(ExportError::Nothing),
        }
        Ok(plan)
    }

    /// The parts of the range between beginning and end of the file that are not in it.
    pub fn gaps(&self) -> usize {
        self.not_exported.iter().filter(|part| part.start < self.to && part.end > self.from).count()
    }

    /// How long the file plays.
    pub fn duration(&self) -> Option<Duration> {
        self.lasts_90k.map(|ticks| Duration::from_micros(ticks.saturating_mul(100) / 9))
    }

    fn add_segment(
        &mut self,
        archive: &Archive,
        span: &Span,
        ledger: &LedgerId,
        seq: Seq,
    ) -> Result<(), ExportError> {
        let entry = archive.entry(ledger, seq)?;
        let Some(segment) = entry.as_ref().and_then(|entry| entry.segment()) else {
            self.leave_out(span, "damaged", Some(GapCause::Corrupt), "the entry is not there");
            return Ok(());
        };
        let number = SegmentNumber(segment.number);
        let choices = segment_choices(segment);
        let Some((first, last)) = self.choose(&choices, span, ledger, number) else { return Ok(()) };
        let Ok(hash) = HeaderHash::try_from(segment.header_hash.as_ref()) else { return Ok(()) };
        let read = || archive.read(ledger, number, 0, segment.header_bytes.into()).ok().map(Bytes::from);
        let lasts = (first.part..=last.part).map(|part| {
            let index = usize::try_from(part).unwrap_or(usize::MAX).saturating_sub(1);
            segment.fragments.get(index).map_or(0, |fragment| u64::from(fragment.duration_90k))
        });
        let lasts: u64 = lasts.sum();
        let piece = Piece {
            ledger: ledger.clone(),
            number,
            seq: Some(seq),
            header: hash,
            first: first.part,
            last: last.part,
            start: first.start,
            end: last.end,
        };
        if self.push(span, piece, read) {
            self.lasts_90k = self.lasts_90k.map(|total| total.saturating_add(lasts));
        }
        Ok(())
    }

    fn add_tail(&mut self, tails: &dyn Tails, span: &Span, tail: Option<&TailSpan>) {
        let header = tail.and_then(|tail| tails.read(&tail.ledger, tail.segment, 0));
        let (Some(tail), Some(header)) = (tail, header) else {
            self.leave_out(span, "tail", None, "the segment was just closed; export again");
            return;
        };
        let choices = tail_choices(tail);
        let Some((first, last)) = self.choose(&choices, span, &tail.ledger, tail.segment) else { return };
        let piece = Piece {
            ledger: tail.ledger.clone(),
            number: tail.segment,
            seq: None,
            header: blake3::hash(&header).into(),
            first: first.part,
            last: last.part,
            start: first.start,
            end: last.end,
        };
        if self.push(span, piece, || Some(header)) {
            self.lasts_90k = None;
        }
    }

    /// The first and last fragment for a span: all that reach into it, and those before back to a
    /// keyframe unless the piece before goes on.
    fn choose<'a>(
        &mut self,
        choices: &'a [Choice],
        span: &Span,
        ledger: &LedgerId,
        number: SegmentNumber,
    ) -> Option<(&'a Choice, &'a Choice)> {
        let first = choices.iter().position(|choice| choice.end > span.start)?;
        let last = choices.iter().rposition(|choice| choice.start < span.end)?;
        let goes_on = self.pieces.last().is_some_and(|before| {
            let next = choices.get(first).map(|choice| choice.part);
            before.ledger == *ledger && before.number == number && before.last.checked_add(1) == next
        });
        let begin = if goes_on {
            Some(first)
        } else {
            let back = choices.iter().take(first + 1).rposition(|choice| choice.key);
            back.or_else(|| choices.iter().position(|choice| choice.key))
        };
        let begin = begin.filter(|begin| *begin <= last);
        if begin.is_none() {
            self.leave_out(span, "tail", None, "no keyframe to begin with");
        }
        Some((choices.get(begin?)?, choices.get(last)?))
    }

    /// Adds a piece, if its header goes with the file's.
    fn push(&mut self, span: &Span, piece: Piece, read: impl FnOnce() -> Option<Bytes>) -> bool {
        if !self.headers.contains_key(&piece.header) {
            let header = read().and_then(|bytes| Header::parse(&bytes).ok());
            let Some(header) = header.filter(|header| header.hash == piece.header) else {
                self.leave_out(span, "damaged", Some(GapCause::Corrupt), "the file's header is damaged");
                return false;
            };
            if let Some(why) = self.conflict(&header) {
                let at = piece.start.max(span.start);
                self.stop = Some(Stop { at, why });
                let to = self.asked.1;
                self.leave_out(&Span { start: at, end: to, what: span.what.clone() }, "stopped", None, why);
                return false;
            }
            self.audio = self.audio.take().or_else(|| header.audio.clone());
            self.headers.insert(piece.header, header);
        }
        self.pieces.push(piece);
        true
    }

    /// Why this header does not go with the file.
    fn conflict(&self, header: &Header) -> Option<&'static str> {
        let first = self.pieces.first().and_then(|piece| self.headers.get(&piece.header))?;
        if first.video.codec != header.video.codec {
            return Some("the video codec changes");
        }
        let sound_changes = header.audio.is_some() && self.audio.is_some() && header.audio != self.audio;
        sound_changes.then_some("the sound's parameters change")
    }

    fn leave_out(&mut self, span: &Span, state: &'static str, cause: Option<GapCause>, detail: &str) {
        let (start, end) = (span.start, span.end);
        self.not_exported.push(NotExported { start, end, state, cause, detail: detail.to_owned() });
    }
}

fn segment_choices(segment: &Segment) -> Vec<Choice> {
    let starts: Vec<_> = segment.fragments.iter().map(|fragment| UnixMicros(fragment.start_us)).collect();
    let keys = segment.fragments.iter().map(|fragment| fragment.key);
    choices((1..).zip(starts.iter().copied().zip(keys)), &starts, UnixMicros(segment.end_us))
}

/// The length of a single picture, which has none of its own.
const JOT: Duration = Duration::from_micros(1);

fn tail_choices(tail: &TailSpan) -> Vec<Choice> {
    let starts: Vec<_> = tail.fragments.iter().map(|fragment| fragment.start).collect();
    let parts = tail.fragments.iter().map(|fragment| (fragment.part, (fragment.start, fragment.key)));
    choices(parts, &starts, tail.end)
}

/// A fragment ends where the next one begins; a single picture at the end has no length of its own.
fn choices(
    parts: impl Iterator<Item = (u32, (UnixMicros, bool))>,
    starts: &[UnixMicros],
    end: UnixMicros,
) -> Vec<Choice> {
    let ends = starts.iter().skip(1).copied().chain([end]);
    let choice = |((part, (start, key)), end): (_, UnixMicros)| {
        let end = end.max(start + JOT);
        Choice { part, start, end, key }
    };
    parts.zip(ends).map(choice).collect()
}
