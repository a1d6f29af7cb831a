//! The proof at the end of an export, and how it is checked without any archive.
//!
//! It holds the ledger's entries, as first encoded, of every segment that fragments were copied from.
//! Each entry names the hash of each fragment's coded pictures and sound, so a copy is checked against
//! what the recorder wrote down, and the chain's heads tell where in the ledger that was. Beside that the
//! proof holds the hash of the file in front of it and of the index behind it, so that any damage to the
//! file shows, also where evidence is not concerned.
//!
//! The document is JSON in one line, and its BLAKE3 in hex in a second one. A proof shows that the file
//! is as it was exported and agrees with the entries in it. That the entries are the ledger's own is
//! shown by comparing a head with the ledger, at the site or at the hub.

mod file;
mod verify;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::chain::Head;
use wire::{OriginId, SegmentNumber, Seq, SiteId, StreamId};

pub use verify::{Report, verify_export};

/// What an export says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Version of this document.
    pub format: u32,
    /// Whose site.
    pub site: SiteId,
    /// Which stream.
    pub stream: StreamId,
    /// The first instant in the file.
    pub from_us: i64,
    /// The first instant after the file.
    pub to_us: i64,
    /// What was asked for.
    pub asked_from_us: i64,
    /// What was asked for.
    pub asked_to_us: i64,
    /// Where the file's fragments come from, in the file's order.
    pub segments: Vec<ProvenSegment>,
    /// What of the range is not in the file.
    pub gaps: Vec<ProvenGap>,
    /// BLAKE3 of the file up to the box with this document.
    pub file_hash: String,
    /// BLAKE3 of what follows the box.
    pub index_hash: String,
}

/// Fragments of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenSegment {
    /// The run that recorded it.
    pub origin: OriginId,
    /// Its number in the ledger.
    pub segment: SegmentNumber,
    /// Its place in the ledger; a tail has none yet.
    pub seq: Option<Seq>,
    /// The entry as first encoded, in hex.
    pub entry: Option<String>,
    /// The chain's head before the entry, in hex.
    pub head_before: Option<String>,
    /// The first and the last of its fragments in the file.
    pub fragments: (u32, u32),
    /// Of a tail: the fragments' hashes as they were when it was exported. They prove nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames_hashes: Vec<String>,
}

/// A part of the range that is not in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenGap {
    /// Its first instant.
    pub from_us: i64,
    /// The first instant after it.
    pub to_us: i64,
    /// What the timeline showed.
    pub state: String,
    /// Why nothing was recorded.
    pub cause: Option<String>,
    /// For people.
    pub detail: String,
}

impl ProvenSegment {
    /// Begins with one fragment.
    pub(super) fn new(
        origin: OriginId,
        segment: SegmentNumber,
        seq: Option<Seq>,
        entry: Option<Bytes>,
        head_before: Option<Head>,
        fragment: u32,
    ) -> Self {
        Self {
            origin,
            segment,
            seq,
            entry: entry.map(|entry| hex(&entry)),
            head_before: head_before.map(|head| head.to_string()),
            fragments: (fragment, fragment),
            frames_hashes: Vec::new(),
        }
    }

    /// Notes a fragment's hash where no entry does.
    pub(super) fn add_unproven(&mut self, frames_hash: [u8; 32]) {
        if self.entry.is_none() {
            self.frames_hashes.push(hex(&frames_hash));
        }
    }
}

impl Document {
    /// The version written now.
    pub const FORMAT: u32 = 1;

    /// As it stands in the box.
    pub fn encode(&self) -> Vec<u8> {
        // Strings, numbers and lists only: this can't fail.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        let hash = blake3::hash(&bytes);
        bytes.push(b'\n');
        bytes.extend_from_slice(hash.to_hex().as_bytes());
        bytes
    }

    /// Reads what stands in the box.
    pub fn decode(payload: &[u8]) -> Result<Self, String> {
        let split = payload.iter().rposition(|byte| *byte == b'\n').ok_or("it has no hash")?;
        let (json, hash) = (&payload[..split], &payload[split + 1..]);
        if blake3::hash(json).to_hex().as_bytes() != hash {
            return Err("it is damaged".to_owned());
        }
        let document: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if document.format != Self::FORMAT {
            return Err(format!("its format is {}, this version reads {}", document.format, Self::FORMAT));
        }
        Ok(document)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_reads_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
    }
}
