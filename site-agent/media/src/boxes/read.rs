//! Reads boxes from bytes nobody vouches for: never panics, never believes a length.
//!
//! Only what this crate writes is read: boxes with 32-bit sizes.

/// One box.
#[derive(Clone, Copy)]
pub(crate) struct BoxRef<'a> {
    /// Its four-character code.
    pub(crate) kind: [u8; 4],
    /// Header and contents.
    pub(crate) whole: &'a [u8],
    /// The contents.
    pub(crate) body: &'a [u8],
}

/// Walks the boxes that lie one after another in some bytes; ends at the first that is not complete.
pub(crate) struct Boxes<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Boxes<'a> {
    /// Walks `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// How many bytes were complete boxes so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The next box, if it is of this kind.
    pub(crate) fn expect(&mut self, kind: &[u8; 4]) -> Option<BoxRef<'a>> {
        self.next().filter(|found| &found.kind == kind)
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = BoxRef<'a>;

    fn next(&mut self) -> Option<BoxRef<'a>> {
        let rest = self.bytes.get(self.position..)?;
        let mut cursor = Cursor::new(rest);
        let size = usize::try_from(cursor.u32()?).ok()?;
        let kind = cursor.array::<4>()?;
        let whole = rest.get(..size)?;
        let body = whole.get(8..)?;
        self.position += size;
        Some(BoxRef { kind, whole, body })
    }
}

/// The contents of the box reached by `path`, box within box.
pub(crate) fn find<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |inside, kind| {
        Boxes::new(inside).find(|found| &found.kind == *kind).map(|found| found.body)
    })
}

/// Takes numbers off the front of some bytes.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }
}
