//! What parts are made of: few bytes, that say when they were filmed and by whom they were recorded, so that
//! an oracle can read off any copy what it covers, and no two recorders ever write the same.

use bytes::Bytes;
use wire::{LedgerId, SegmentNumber};

use crate::time::Time;

const HEADER_BYTES: usize = 20;
const FRAGMENT_BYTES: usize = 24;

/// A segment's header.
pub fn header(ledger: &LedgerId, number: SegmentNumber) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(b"head");
    bytes.extend_from_slice(&ledger.origin.0[..8]);
    bytes.extend_from_slice(&number.0.to_le_bytes());
    bytes.into()
}

/// What was filmed between two instants.
pub fn fragment(ledger: &LedgerId, start: Time, end: Time) -> Bytes {
    let mut bytes = Vec::with_capacity(FRAGMENT_BYTES);
    bytes.extend_from_slice(&ledger.origin.0[..8]);
    bytes.extend_from_slice(&start.0.to_le_bytes());
    bytes.extend_from_slice(&end.0.to_le_bytes());
    bytes.into()
}

/// When a fragment was filmed.
pub fn filmed(fragment: &[u8]) -> Option<(Time, Time)> {
    let number = |from: usize| Some(u64::from_le_bytes(fragment.get(from..from + 8)?.try_into().ok()?));
    (fragment.len() == FRAGMENT_BYTES).then_some(())?;
    Some((Time(number(8)?), Time(number(16)?)))
}

/// How many parts at the beginning of a file are whole: what a checksum in the file would tell.
pub fn whole(parts: &[Bytes]) -> usize {
    let is_whole =
        |(part, bytes): (usize, &Bytes)| bytes.len() == if part == 0 { HEADER_BYTES } else { FRAGMENT_BYTES };
    parts.iter().enumerate().take_while(|(part, bytes)| is_whole((*part, bytes))).count()
}
