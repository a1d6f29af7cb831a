//! Entries: encoded once by their writer, kept and forwarded as those bytes.

use bytes::Bytes;
use prost::Message;

use crate::proto;
use crate::time::UnixMicros;

/// No entry is longer: a segment of ten minutes in fragments of a second fits well.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Why bytes are not an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not protobuf, or not ours.
    #[error("entry does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
    /// Too long.
    #[error("entry has {0} bytes, at most {ENTRY_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// An entry of a kind this version does not know, or with impossible contents.
    #[error("entry makes no sense: {0}")]
    Senseless(&'static str),
}

/// An entry together with the bytes it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    bytes: Bytes,
    value: proto::Entry,
}

impl Entry {
    /// Encodes a new entry: the only place where entries come into being.
    pub fn write(at: UnixMicros, kind: proto::entry::Kind) -> Self {
        let value = proto::Entry { at_us: at.0, kind: Some(kind) };
        Self { bytes: value.encode_to_vec().into(), value }
    }

    /// Reads an entry and checks that it makes sense.
    pub fn read(bytes: Bytes) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong(bytes.len()));
        }
        let value = proto::Entry::decode(bytes.clone())?;
        check(&value)?;
        Ok(Self { bytes, value })
    }

    /// The bytes as first encoded: what is hashed, stored and sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it says. `None` never occurs in an entry that was read by [`Entry::read`].
    pub fn kind(&self) -> Option<&proto::entry::Kind> {
        self.value.kind.as_ref()
    }

    /// When its writer committed it.
    pub fn at(&self) -> UnixMicros {
        UnixMicros(self.value.at_us)
    }

    /// The segment, recorded or salvaged, if it is one: the entry has bytes beside it.
    pub fn segment(&self) -> Option<&proto::Segment> {
        match self.kind() {
            Some(proto::entry::Kind::Segment(segment)) => Some(segment),
            Some(proto::entry::Kind::Salvage(salvage)) => salvage.segment.as_ref(),
            _ => None,
        }
    }
}

/// The lengths of a segment's parts in file order; part 0 is the header.
pub fn part_lengths(segment: &proto::Segment) -> impl Iterator<Item = u64> + '_ {
    std::iter::once(u64::from(segment.header_bytes))
        .chain(segment.fragments.iter().map(|fragment| u64::from(fragment.bytes)))
}

/// Where part `part` lies in a segment's file, as (offset, length).
pub fn part_span(segment: &proto::Segment, part: u32) -> Option<(u64, u64)> {
    let index = usize::try_from(part).ok()?;
    let offset = part_lengths(segment).take(index).sum();
    part_lengths(segment).nth(index).map(|length| (offset, length))
}

/// How many parts a segment has: the header and its fragments.
pub fn part_count(segment: &proto::Segment) -> u32 {
    u32::try_from(segment.fragments.len()).unwrap_or(u32::MAX).saturating_add(1)
}

fn check(entry: &proto::Entry) -> Result<(), EntryError> {
    use proto::entry::Kind;
    let senseless = |what| Err(EntryError::Senseless(what));
    match &entry.kind {
        None => senseless("its kind is missing or newer than this version"),
        Some(Kind::Segment(segment)) => check_segment(segment),
        Some(Kind::Gap(gap)) if gap.start_us > gap.end_us => senseless("a gap ends before it begins"),
        Some(Kind::Gone(gone)) if gone.ledger.is_none() => senseless("gone names no ledger"),
        Some(Kind::Salvage(salvage)) => match (&salvage.continues, &salvage.segment) {
            (Some(_), Some(segment)) => check_segment(segment),
            _ => senseless("a salvage names no segment"),
        },
        Some(_) => Ok(()),
    }
}

fn check_segment(segment: &proto::Segment) -> Result<(), EntryError> {
    let senseless = |what| Err(EntryError::Senseless(what));
    if segment.hash.len() != blake3::OUT_LEN || segment.header_hash.len() != blake3::OUT_LEN {
        return senseless("a segment's hashes have 32 bytes");
    }
    if segment.start_us > segment.end_us {
        return senseless("a segment ends before it begins");
    }
    if segment.fragments.is_empty() {
        return senseless("a segment has at least one fragment");
    }
    if part_lengths(segment).sum::<u64>() != segment.bytes {
        return senseless("a segment's parts don't add up to its length");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> proto::Segment {
        proto::Segment {
            bytes: 60,
            header_bytes: 10,
            hash: Bytes::from_static(&[0; 32]),
            header_hash: Bytes::from_static(&[0; 32]),
            fragments: vec![
                proto::Fragment { bytes: 20, ..Default::default() },
                proto::Fragment { bytes: 30, ..Default::default() },
            ],
            ..Default::default()
        }
    }

    #[test]
    fn bytes_are_kept_as_first_encoded() {
        let written = Entry::write(UnixMicros(7), proto::entry::Kind::Segment(segment()));
        let mut foreign = written.bytes().to_vec();
        foreign.extend([0xf8, 0x07, 1]); // a field from the future
        let read = Entry::read(foreign.clone().into()).unwrap();
        assert_eq!(read.bytes(), &foreign, "unknown fields must survive, or the chain breaks");
        assert_eq!(read.segment(), written.segment());
    }

    #[test]
    fn parts_lie_one_after_the_other() {
        let segment = segment();
        let spans: Vec<_> = (0..4).map(|part| part_span(&segment, part)).collect();
        assert_eq!(spans, [Some((0, 10)), Some((10, 20)), Some((30, 30)), None]);
    }

    #[test]
    fn senseless_entries_are_refused() {
        let refused = |change: fn(&mut proto::Segment)| {
            let mut bad = segment();
            change(&mut bad);
            Entry::read(Entry::write(UnixMicros(0), proto::entry::Kind::Segment(bad)).bytes().clone())
                .is_err()
        };
        assert!(refused(|s| s.bytes = 61));
        assert!(refused(|s| s.fragments.clear()));
        assert!(refused(|s| s.hash = Bytes::new()));
        assert!(refused(|s| s.start_us = 1));
        assert!(Entry::read(Bytes::new()).is_err());
    }
}
