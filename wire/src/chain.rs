//! The hash chain of a ledger, over entries as first encoded.
//!
//! `head(0)` is derived from the ledger's name, `head(n+1) = BLAKE3(head(n) ‖ entry n)`. Two ledgers
//! that agree on a head agree on everything before it.

use std::fmt;

use crate::id::LedgerId;

/// Domain separation, so that no other use of BLAKE3 yields a head.
const CONTEXT: &str = "holdfast 2026-11 ledger chain v1";

/// The hash of a ledger up to some entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head(pub [u8; 32]);

impl Head {
    /// The head of a ledger without entries.
    pub fn genesis(ledger: &LedgerId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&ledger.origin.0);
        hasher.update(ledger.stream.as_str().as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The head after one more entry.
    #[must_use]
    pub fn after(&self, entry: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.0);
        hasher.update(entry);
        Self(*hasher.finalize().as_bytes())
    }

    /// Reads 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As it is sent.
    pub fn to_bytes(&self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.0)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OriginId;

    #[test]
    fn heads_depend_on_ledger_order_and_bytes() {
        let ledger = |stream: &str| LedgerId { origin: OriginId([1; 16]), stream: stream.parse().unwrap() };
        let (a, b) = (Head::genesis(&ledger("a/main")), Head::genesis(&ledger("b/main")));
        assert_ne!(a, b);
        assert_ne!(a.after(b"x").after(b"y"), a.after(b"y").after(b"x"));
        assert_ne!(a.after(b"x"), b.after(b"x"));
        assert_eq!(a.after(b"x"), a.after(b"x"));
    }
}
