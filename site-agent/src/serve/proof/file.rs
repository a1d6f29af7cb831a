//! Goes through an exported file box by box, in one pass, holding one fragment at a time.

use std::io::{self, Read};

use bytes::Bytes;
use media::export::{exported_fragments, find_proof};

/// No box of an export is longer: a fragment has at most 32 MB and one frame of 64 MB; a proof of a day
/// about 15 MB.
const BOX_BYTES_MAX: u64 = 256 << 20;

/// What was found in a file.
#[derive(Default)]
pub(super) struct Found {
    pub(super) fragments: Vec<FoundFragment>,
    /// The proof's document, undecoded.
    pub(super) proof: Option<Vec<u8>>,
    /// BLAKE3 of everything before the proof.
    pub(super) file_hash: String,
    /// BLAKE3 of everything behind it.
    pub(super) index_hash: String,
}

pub(super) struct FoundFragment {
    pub(super) frames_hash: [u8; 32],
    pub(super) frames: usize,
}

/// Reads a file; also gives what is wrong with it as a file.
pub(super) fn read(file: impl Read) -> (Found, Option<String>) {
    let mut reader = Reader { file, found: Found::default(), front: Vec::new(), moof: None };
    let problem = reader.run().err();
    (reader.found, problem)
}

/// Its four-character code, and all of it.
type FileBox = ([u8; 4], Vec<u8>);

struct Reader<R> {
    file: R,
    found: Found,
    /// `ftyp` and `moov`.
    front: Vec<u8>,
    moof: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    fn run(&mut self) -> Result<(), String> {
        let (mut before, mut behind) = (blake3::Hasher::new(), blake3::Hasher::new());
        let mut number = 0;
        while let Some((kind, whole)) = self.next_box()? {
            if self.found.proof.is_some() {
                behind.update(&whole);
                if &kind != b"mfra" {
                    return Err(format!("a box `{}` stands behind the proof", kind.escape_ascii()));
                }
            } else if &kind == b"uuid" {
                let proof = find_proof(&whole).filter(|proof| proof.from_end == whole.len());
                self.found.proof = Some(proof.ok_or("an unknown `uuid` box")?.payload.to_vec());
                self.found.file_hash = before.finalize().to_hex().to_string();
            } else {
                before.update(&whole);
                self.content(number, kind, whole)?;
            }
            number += 1;
        }
        self.found.index_hash = behind.finalize().to_hex().to_string();
        if self.moof.is_some() { Err("the file ends within a fragment".to_owned()) } else { Ok(()) }
    }

    fn content(&mut self, number: usize, kind: [u8; 4], whole: Vec<u8>) -> Result<(), String> {
        match (number, &kind) {
            (0, b"ftyp") | (1, b"moov") => self.front.extend_from_slice(&whole),
            (2.., b"moof") if self.moof.is_none() => self.moof = Some(whole),
            (_, b"mdat") => {
                let moof = self.moof.take().ok_or("an `mdat` without `moof`")?;
                let fragment = self.fragment(&moof, &whole)?;
                self.found.fragments.push(fragment);
            }
            _ => return Err(format!("box {number} is an unexpected `{}`", kind.escape_ascii())),
        }
        Ok(())
    }

    fn fragment(&self, moof: &[u8], mdat: &[u8]) -> Result<FoundFragment, String> {
        let number = self.found.fragments.len() + 1;
        let file = Bytes::from([&self.front, moof, mdat].concat());
        let mut fragments = exported_fragments(&file).map_err(|error| error.to_string())?;
        let fragment = match fragments.next() {
            Some(Ok(fragment)) => fragment,
            Some(Err(error)) => return Err(format!("fragment {number}: {error}")),
            None => return Err(format!("fragment {number} can't be read")),
        };
        if usize::try_from(fragment.sequence) != Ok(number) {
            return Err(format!("fragment {number} calls itself {}", fragment.sequence));
        }
        Ok(FoundFragment { frames_hash: fragment.frames_hash(), frames: fragment.video.len() })
    }

    fn next_box(&mut self) -> Result<Option<FileBox>, String> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => "the file ends within a box".to_owned(),
            _ => format!("the file can't be read: {error}"),
        };
        let mut whole = Vec::new();
        (&mut self.file).take(8).read_to_end(&mut whole).map_err(failed)?;
        let Some(([a, b, c, d], kind)) = whole.split_first_chunk::<4>() else {
            return if whole.is_empty() { Ok(None) } else { Err("the file ends within a box".to_owned()) };
        };
        let length = u64::from(u32::from_be_bytes([*a, *b, *c, *d]));
        let kind = <[u8; 4]>::try_from(kind).map_err(|_| "the file ends within a box".to_owned())?;
        if !(8..=BOX_BYTES_MAX).contains(&length) {
            return Err(format!("a box `{}` of {length} bytes", kind.escape_ascii()));
        }
        let rest = (&mut self.file).take(length - 8).read_to_end(&mut whole).map_err(failed)?;
        if u64::try_from(rest) != Ok(length - 8) {
            return Err("the file ends within a box".to_owned());
        }
        Ok(Some((kind, whole)))
    }
}
