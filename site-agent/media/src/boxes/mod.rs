//! ISO boxes: a writer and a reader for the few that segment files are made of.

mod read;
mod write;

pub(crate) use read::{BoxRef, Boxes, Cursor, find};
pub(crate) use write::Writer;
