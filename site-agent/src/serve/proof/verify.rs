//! Checks an exported file against the proof it carries.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Serialize;
use wire::chain::Head;
use wire::entry::Entry;
use wire::{LedgerId, OriginId, SegmentNumber, Seq};

use super::file::{Found, FoundFragment, read};
use super::{Document, ProvenGap, ProvenSegment, unhex};

/// Problems listed at most.
const PROBLEMS_MAX: usize = 50;

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file is as it was exported, and every fragment is what a ledger entry says.
    pub ok: bool,
    /// `site/camera/stream`, as the proof says.
    pub stream: String,
    /// The first instant in the file, as the proof says.
    pub from_us: i64,
    /// The first instant after the file, as the proof says.
    pub to_us: i64,
    /// Segments that fragments come from.
    pub segments: usize,
    /// Fragments in the file.
    pub fragments: usize,
    /// Of them, how many agree with an entry.
    pub proven: usize,
    /// Video frames in the file.
    pub frames: usize,
    /// What of the range is not in the file, as the proof says.
    pub gaps: Vec<ProvenGap>,
    /// The last entry of each ledger and the chain's head after it: what to compare with the ledger.
    pub heads: Vec<LedgerHead>,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// A point in a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerHead {
    /// The run.
    pub origin: OriginId,
    /// The entry.
    pub seq: Seq,
    /// The chain's head after it, in hex.
    pub head: String,
}

/// Checks an exported file. Needs nothing else, and holds one fragment at a time.
pub fn verify_export(file: impl Read) -> Report {
    let (found, problem) = read(file);
    let mut check = Check::default();
    check.problems(problem);
    check.report.fragments = found.fragments.len();
    check.report.frames = found.fragments.iter().map(|fragment| fragment.frames).sum();
    match found.proof.as_deref().map(Document::decode) {
        None => check.problem("the file has no proof at its end".to_owned()),
        Some(Err(error)) => check.problem(format!("the proof can't be read: {error}")),
        Some(Ok(document)) => check.document(&document, &found),
    }
    let mut report = check.report;
    report.ok = report.problems.is_empty();
    report
}

#[derive(Default)]
struct Check {
    report: Report,
    /// Entries by ledger and seq, with the heads before and after.
    links: BTreeMap<(OriginId, Seq), (Head, Head)>,
}

impl Check {
    fn problem(&mut self, problem: String) {
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(problem);
        }
    }

    fn problems(&mut self, problems: impl IntoIterator<Item = String>) {
        problems.into_iter().for_each(|problem| self.problem(problem));
    }

    fn document(&mut self, document: &Document, found: &Found) {
        self.report.stream = format!("{}/{}", document.site, document.stream);
        (self.report.from_us, self.report.to_us) = (document.from_us, document.to_us);
        self.report.gaps.clone_from(&document.gaps);
        self.report.segments = document.segments.len();
        if document.file_hash != found.file_hash {
            self.problem("the file in front of the proof is not what was exported".to_owned());
        }
        if document.index_hash != found.index_hash {
            self.problem("the index behind the proof is not what was exported".to_owned());
        }
        let mut fragments = found.fragments.iter();
        for segment in &document.segments {
            let name = format!("segment {} of {}", segment.segment, segment.origin);
            let ledger = LedgerId { origin: segment.origin, stream: document.stream.clone() };
            let problems: Vec<_> = match self.segment(&ledger, segment, &mut fragments) {
                Ok(problems) => problems,
                Err(problem) => vec![problem],
            };
            self.problems(problems.into_iter().map(|problem| format!("{name}: {problem}")));
        }
        if fragments.next().is_some() {
            self.problem("the file has fragments that the proof doesn't name".to_owned());
        }
        self.chains();
    }

    /// Checks the fragments of one segment; what makes the rest of it meaningless is an error.
    fn segment<'a>(
        &mut self,
        ledger: &LedgerId,
        segment: &ProvenSegment,
        fragments: &mut impl Iterator<Item = &'a FoundFragment>,
    ) -> Result<Vec<String>, String> {
        let (first, last) = segment.fragments;
        // Taken first, so that one bad segment doesn't shift those behind it.
        let count = usize::try_from(u64::from(last) + 1 - u64::from(first.min(last))).unwrap_or(usize::MAX);
        let found: Vec<_> = fragments.take(count).collect();
        if first == 0 || first > last || found.len() < count {
            return Err(format!("fragments {first} to {last} are not all in the file"));
        }
        let (Some(entry), Some(seq)) = (&segment.entry, segment.seq) else {
            return Err(format!("{count} fragments were not in the ledger yet when they were exported"));
        };
        let bytes = unhex(entry).ok_or("its entry is not hex")?;
        let entry = Entry::read(bytes.into()).map_err(|error| error.to_string())?;
        let recorded = entry.segment().ok_or("its entry is not a segment's")?;
        if SegmentNumber(recorded.number) != segment.segment {
            return Err(format!("its entry is that of segment {}", recorded.number));
        }
        let before = segment.head_before.as_deref().and_then(unhex).and_then(|head| Head::from_bytes(&head));
        let before = before.ok_or("it has no place in the chain")?;
        let mut problems = Vec::new();
        if seq == Seq(0) && before != Head::genesis(ledger) {
            problems.push("the chain does not begin with this ledger's name".to_owned());
        }
        let link = (before, before.after(entry.bytes()));
        if self.links.insert((ledger.origin, seq), link).is_some_and(|known| known != link) {
            problems.push(format!("entry {seq} occurs twice, differently"));
        }
        for (number, found) in (first..=last).zip(found) {
            let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
            match recorded.fragments.get(index) {
                None => problems.push(format!("fragment {number} is not in the entry")),
                Some(listed) if listed.frames_hash != found.frames_hash.as_slice() => {
                    problems.push(format!("fragment {number} is not what was recorded"));
                }
                Some(listed) if usize::try_from(listed.video_frames) != Ok(found.frames) => {
                    problems.push(format!("fragment {number} has another number of frames"));
                }
                Some(_) => self.report.proven += 1,
            }
        }
        Ok(problems)
    }

    /// Entries that follow each other must be linked.
    fn chains(&mut self) {
        let mut problems = Vec::new();
        let mut heads: BTreeMap<OriginId, LedgerHead> = BTreeMap::new();
        let mut last: Option<((OriginId, Seq), Head)> = None;
        for (&(origin, seq), (before, after)) in &self.links {
            if let Some(((origin_before, seq_before), head)) = last
                && origin_before == origin
                && seq_before.0.checked_add(1) == Some(seq.0)
                && head != *before
            {
                problems.push(format!("ledger of {origin}: entries {seq_before} and {seq} are not linked"));
            }
            last = Some(((origin, seq), *after));
            heads.insert(origin, LedgerHead { origin, seq, head: after.to_string() });
        }
        self.report.heads = heads.into_values().collect();
        self.problems(problems);
    }
}
