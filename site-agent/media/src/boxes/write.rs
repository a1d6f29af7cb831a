//! Writes boxes; lengths are filled in when a box ends.

use bytes::Bytes;

/// Grows a sequence of boxes.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Room for `bytes` bytes, so that large fragments are not copied while they grow.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// How much is written.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What is written.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The finished bytes.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }

    /// A box around what `body` writes.
    pub(crate) fn boxed(&mut self, kind: &[u8; 4], body: impl FnOnce(&mut Self)) {
        let start = self.len();
        self.u32(0);
        self.raw(kind);
        body(self);
        // Callers keep fragments far below 4 GiB.
        let size = u32::try_from(self.len() - start).unwrap_or(u32::MAX);
        self.patch(start, size);
    }

    /// A box with version and flags around what `body` writes.
    pub(crate) fn full(&mut self, kind: &[u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut Self)) {
        self.boxed(kind, |w| {
            w.u32((u32::from(version) << 24) | flags);
            body(w);
        });
    }

    /// Overwrites four bytes written before.
    pub(crate) fn patch(&mut self, at: usize, value: u32) {
        if let Some(place) = self.bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.raw(&value.to_be_bytes());
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.len() + count, 0);
    }
}
