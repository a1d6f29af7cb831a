//! Names: who, what and where, each with a type of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::proto;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is not a slug.
    #[error("`{0}` is not a name: use 1 to 63 of a-z, 0-9, `-`, beginning and ending with a letter or digit")]
    NotASlug(String),
    /// The text is not `camera/stream`.
    #[error("`{0}` is not a stream: write `camera/stream`, for example `till-1/main`")]
    NotAStream(String),
    /// The bytes are not an id of 16 bytes.
    #[error("an id has 16 bytes, this one has {0}")]
    NotAnId(usize),
    /// A message came without the ledger it speaks of.
    #[error("the ledger is missing")]
    NoLedger,
    /// The text is not 32 hex digits.
    #[error("`{0}` is not an id: it has 32 hex digits")]
    NotHex(String),
}

/// Checks that `text` can be a site, camera or stream name: a DNS label, so that it fits certificates,
/// paths and URLs as it is.
pub fn check_slug(text: &str) -> Result<(), NameError> {
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits { Ok(()) } else { Err(NameError::NotASlug(text.to_owned())) }
}

/// A place with cameras and a site agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteId(Arc<str>);

impl SiteId {
    /// Takes a slug.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        check_slug(&text)?;
        Ok(Self(text.into()))
    }

    /// The slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SiteId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<SiteId> for String {
    fn from(id: SiteId) -> String {
        id.as_str().to_owned()
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One stream of one camera, written `camera/stream`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId(Arc<str>);

impl StreamId {
    /// Puts a camera's slug and a stream's slug together.
    pub fn new(camera: &str, stream: &str) -> Result<Self, NameError> {
        check_slug(camera)?;
        check_slug(stream)?;
        Ok(Self(format!("{camera}/{stream}").into()))
    }

    /// `camera/stream`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The camera's slug.
    pub fn camera(&self) -> &str {
        self.0.split_once('/').map_or("", |(camera, _)| camera)
    }

    /// The stream's slug: `main`, `sub`.
    pub fn stream(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, stream)| stream)
    }
}

impl FromStr for StreamId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (camera, stream) = text.split_once('/').ok_or_else(|| NameError::NotAStream(text.to_owned()))?;
        Self::new(camera, stream)
    }
}

impl TryFrom<String> for StreamId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> String {
        id.as_str().to_owned()
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Reads 16 bytes.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
                Ok(Self(bytes.try_into().map_err(|_| NameError::NotAnId(bytes.len()))?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let refused = || NameError::NotHex(text.to_owned());
                if text.len() != 32 || !text.is_ascii() {
                    return Err(refused());
                }
                let mut id = [0; 16];
                for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
                    let digits = std::str::from_utf8(digits).map_err(|_| refused())?;
                    *byte = u8::from_str_radix(digits, 16).map_err(|_| refused())?;
                }
                Ok(Self(id))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

random_id! {
    /// One run of one virtual server on one host: drawn at every start, never used again.
    OriginId
}
random_id! {
    /// An archive that acks: drawn when it is made, so that a new disk is not taken for the old one.
    VaultId
}

/// The position of an entry in its ledger: dense from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// Counts the segments opened in a ledger. A segment has its number from the start, its [`Seq`] only
/// when it is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SegmentNumber(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A ledger: what one origin wrote of one stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LedgerId {
    /// The run that writes it.
    pub origin: OriginId,
    /// What it records.
    pub stream: StreamId,
}

impl LedgerId {
    /// As it is sent.
    pub fn to_proto(&self) -> proto::Ledger {
        proto::Ledger {
            origin: bytes::Bytes::copy_from_slice(&self.origin.0),
            stream: self.stream.as_str().to_owned(),
        }
    }

    /// Reads what was sent.
    pub fn from_proto(ledger: Option<&proto::Ledger>) -> Result<Self, NameError> {
        let ledger = ledger.ok_or(NameError::NoLedger)?;
        Ok(Self { origin: OriginId::from_bytes(&ledger.origin)?, stream: ledger.stream.parse()? })
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.stream, self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "till-1", "7", &"x".repeat(63)] {
            assert!(SiteId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "ü", "..", &"x".repeat(64)] {
            assert!(SiteId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_read_back_what_they_print() {
        let id = OriginId([0xa5; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("a5".parse::<OriginId>().is_err());
        assert!("zz".repeat(16).parse::<OriginId>().is_err());
    }

    #[test]
    fn a_stream_has_a_camera_and_a_name() {
        let stream: StreamId = "till-1/main".parse().unwrap();
        assert_eq!((stream.camera(), stream.stream()), ("till-1", "main"));
        assert!("till-1".parse::<StreamId>().is_err());
        assert!("a/b/c".parse::<StreamId>().is_err());
    }
}
