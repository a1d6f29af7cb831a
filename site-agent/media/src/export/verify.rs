//! Reads an exported file back, so that its contents can be compared with what was recorded.

use bytes::Bytes;

use crate::boxes::Boxes;
use crate::frame::VideoCodec;
use crate::read::{Header, ReadError, movie_fragment};
use crate::sample::{Sample, samples_hash};

/// One fragment of an exported file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedFragment {
    /// Counts from 1.
    pub sequence: u32,
    /// Pictures; keyframes with parameter sets in front.
    pub video: Vec<Sample>,
    /// Sound.
    pub audio: Vec<Sample>,
    /// The codec of the pictures.
    pub codec: VideoCodec,
}

impl ExportedFragment {
    /// What the recorded fragment's `frames_hash` must be, if nothing was changed.
    pub fn frames_hash(&self) -> [u8; 32] {
        samples_hash(self.codec, &self.video, &self.audio)
    }
}

/// The fragments of an exported file, in order.
pub struct ExportedFragments {
    file: Bytes,
    position: usize,
    codec: VideoCodec,
}

/// Reads an exported file's fragments.
pub fn exported_fragments(file: &Bytes) -> Result<ExportedFragments, ReadError> {
    let header = Header::parse_export(file)?;
    Ok(ExportedFragments { file: file.clone(), position: header.bytes, codec: header.video.codec })
}

impl Iterator for ExportedFragments {
    type Item = Result<ExportedFragment, ReadError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.file.slice(self.position..);
            let mut boxes = Boxes::new(&rest);
            let Some(first) = boxes.next() else {
                self.position = self.file.len();
                let torn = ReadError::Fragment("the file ends within a box");
                return (!rest.is_empty()).then_some(Err(torn));
            };
            if &first.kind != b"moof" {
                // The proof and the index at the end.
                self.position += boxes.position();
                continue;
            }
            boxes.next();
            let read = movie_fragment(&rest);
            self.position = if read.is_ok() { self.position + boxes.position() } else { self.file.len() };
            return Some(read.map(|(sequence, video, audio)| ExportedFragment {
                sequence,
                video,
                audio,
                codec: self.codec,
            }));
        }
    }
}
