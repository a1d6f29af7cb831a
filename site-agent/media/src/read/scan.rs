//! What is intact of a file, and the entry that can be made of it: recovery after a crash.

use wire::proto::{FragmentBox, Segment};
use wire::{LedgerId, SegmentNumber};

use super::fragment::verify;
use super::{Header, ReadError};
use crate::index::SegmentIndex;

/// One intact fragment.
#[derive(Clone, Debug, PartialEq)]
pub struct ScannedFragment {
    /// Where it begins in the file.
    pub offset: usize,
    /// How long it is.
    pub bytes: usize,
    /// The index in front of it.
    pub info: FragmentBox,
}

/// What is intact of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// The header, if it is intact; without it nothing is.
    pub header: Option<Header>,
    /// How long the header is; 0 without one.
    pub header_bytes: usize,
    /// BLAKE3 of the header.
    pub header_hash: [u8; 32],
    /// The fragments that are complete, match their checksums, follow each other and are of one segment.
    pub fragments: Vec<ScannedFragment>,
    /// How much of the file header and fragments make up.
    pub valid_bytes: usize,
    /// Is there anything behind that?
    pub trailing: bool,
}

/// Finds the intact prefix of a file. Checksums tell what is intact: whether the writer told the truth is
/// seen by [`parse_fragment`](super::parse_fragment) and `frames_hash`.
pub fn scan(file: &[u8]) -> Scan {
    let header = Header::parse(file).ok();
    let header_bytes = header.as_ref().map_or(0, |header| header.bytes);
    let mut fragments: Vec<ScannedFragment> = Vec::new();
    let mut valid_bytes = header_bytes;
    while header.is_some() {
        let Some(Ok(found)) = file.get(valid_bytes..).map(verify) else { break };
        let expected = fragments.last().map_or(Some(1), |last| last.info.fragment.checked_add(1));
        let same_segment = fragments.first().is_none_or(|first| {
            first.info.segment == found.info.segment && first.info.ledger == found.info.ledger
        });
        if Some(found.info.fragment) != expected || !same_segment {
            break;
        }
        fragments.push(ScannedFragment { offset: valid_bytes, bytes: found.bytes, info: found.info });
        valid_bytes += found.bytes;
    }
    Scan {
        header_hash: header.as_ref().map_or([0; 32], |header| header.hash),
        header,
        header_bytes,
        fragments,
        valid_bytes,
        trailing: valid_bytes < file.len(),
    }
}

/// An entry made from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebuilt {
    /// The entry for the intact prefix; `recovered_from` is for the caller to set.
    pub segment: Segment,
    /// Whose file it is, as it says itself.
    pub ledger: LedgerId,
    /// Which segment of that ledger it is, as it says itself.
    pub number: SegmentNumber,
    /// How much of the file the entry is for; cut off the rest.
    pub valid_bytes: usize,
}

/// Makes the entry of segment `number` from the intact prefix of a file. It equals the one that the
/// segmenter would have made, had it closed there.
pub fn rebuild(number: SegmentNumber, file: &[u8]) -> Result<Rebuilt, ReadError> {
    let scan = scan(file);
    let intact = |to: usize| file.get(..to).unwrap_or_default();
    if scan.header.is_none() {
        Header::parse(file)?;
    }
    let first = scan.fragments.first().ok_or(ReadError::Empty)?;
    let ledger = LedgerId::from_proto(first.info.ledger.as_ref())?;
    let written_as = SegmentNumber(first.info.segment);
    let mut index = SegmentIndex::begin(number, intact(scan.header_bytes));
    scan.fragments.iter().for_each(|fragment| index.push(&fragment.info, fragment.bytes));
    let segment = index.finish(blake3::hash(intact(scan.valid_bytes)));
    Ok(Rebuilt { segment, ledger, number: written_as, valid_bytes: scan.valid_bytes })
}
