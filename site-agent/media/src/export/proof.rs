//! The proof document at the end of an exported file: a `uuid` box that players ignore.
//!
//! The box ends with its own length, so that it is found from the end of the file.

use bytes::Bytes;

use crate::boxes::{Boxes, Writer};

/// The type of the `uuid` box that holds a proof.
const PROOF_BOX: [u8; 16] = *b"holdfast\x8a\x1e\x4f\x3b\xb0\xf1\x00\x02";
/// Header, type, and the length at the end.
const AROUND: usize = 8 + 16 + 4;
/// The last box of a file with `mfra`, see ISO/IEC 14496-12, 8.8.11.
const MFRO_BYTES: usize = 16;

/// A proof found in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// The document.
    pub payload: &'a [u8],
    /// How many bytes before the end of the file its box begins.
    pub from_end: usize,
}

/// The box around a proof document; append it to an exported file, before [`super::Exporter::finish`].
pub fn proof_box(payload: &[u8]) -> Bytes {
    let mut w = Writer::with_capacity(payload.len() + AROUND);
    w.boxed(b"uuid", |w| {
        w.raw(&PROOF_BOX);
        w.raw(payload);
        w.u32(u32::try_from(payload.len() + AROUND).unwrap_or(u32::MAX));
    });
    w.into_bytes()
}

/// Finds the proof in the last bytes of a file: `tail` must reach back to where its box begins.
pub fn find_proof(tail: &[u8]) -> Option<Proof<'_>> {
    [Some(tail), without_mfra(tail)].into_iter().flatten().find_map(|before| {
        let boxed = ends_with_box(before, *before.last_chunk::<4>()?)?;
        let payload = boxed.get(8..boxed.len() - 4)?.strip_prefix(&PROOF_BOX)?;
        let starts = before.len() - boxed.len();
        Some(Proof { payload, from_end: tail.len() - starts })
    })
}

fn without_mfra(tail: &[u8]) -> Option<&[u8]> {
    let mfro = tail.get(tail.len().checked_sub(MFRO_BYTES)?..)?;
    let mfra = (mfro.get(4..8)? == b"mfro").then(|| ends_with_box(tail, *tail.last_chunk::<4>()?))??;
    tail.get(..tail.len() - mfra.len())
}

/// The box of this length at the end of `bytes`.
fn ends_with_box(bytes: &[u8], length: [u8; 4]) -> Option<&[u8]> {
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let last = bytes.get(bytes.len().checked_sub(length)?..)?;
    Boxes::new(last).next().filter(|found| found.whole.len() == length).map(|found| found.whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_found_with_and_without_an_index_behind_it() {
        let mut file = vec![7; 100];
        assert_eq!(find_proof(&file), None);
        assert_eq!(find_proof(&[]), None);
        file.extend(proof_box(b"{}"));
        assert_eq!(find_proof(&file), Some(Proof { payload: b"{}", from_end: 30 }));
        file.extend([0, 0, 0, 24]);
        file.extend(b"mfra");
        file.extend([0, 0, 0, 16]);
        file.extend(b"mfro");
        file.extend([0, 0, 0, 0, 0, 0, 0, 24]);
        assert_eq!(find_proof(&file), Some(Proof { payload: b"{}", from_end: 54 }));
    }
}
