//! What an archive said is durable, as a line of text.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;
use wire::LedgerId;

/// One promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// The first so many bytes of an open file, which hash to this, survive a power cut.
    Fragments { ledger: LedgerId, number: u64, bytes: u64, hash: String },
    /// An entry is at this place, and the chain's head after it; of a segment of this number its file too.
    Entry { ledger: LedgerId, seq: u64, head: String, segment: Option<u64> },
    /// Its bytes may be gone from here on. No promise yet.
    Freeing { ledger: LedgerId, seq: u64 },
    /// They are gone, and it is known.
    Freed { ledger: LedgerId, seq: u64 },
    /// There was no room for something. No promise either.
    Refused,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |ledger: &LedgerId| format!("{} {}", ledger.origin, ledger.stream);
        match self {
            Self::Fragments { ledger, number, bytes, hash } => {
                write!(f, "fragments {} {number} {bytes} {hash}", name(ledger))
            }
            Self::Entry { ledger, seq, head, segment } => {
                write!(f, "entry {} {seq} {head}", name(ledger))?;
                segment.map_or(Ok(()), |number| write!(f, " {number}"))
            }
            Self::Freeing { ledger, seq } => write!(f, "freeing {} {seq}", name(ledger)),
            Self::Freed { ledger, seq } => write!(f, "freed {} {seq}", name(ledger)),
            Self::Refused => write!(f, "refused"),
        }
    }
}

impl FromStr for Promise {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split(' ');
        if line == "refused" {
            return Ok(Self::Refused);
        }
        let mut next = || words.next().with_context(|| format!("`{line}` ends too early"));
        let kind = next()?;
        let ledger = LedgerId { origin: next()?.parse()?, stream: next()?.parse()? };
        let number: u64 = next()?.parse()?;
        Ok(match kind {
            "fragments" => {
                Self::Fragments { ledger, number, bytes: next()?.parse()?, hash: next()?.to_owned() }
            }
            "entry" => {
                let head = next()?.to_owned();
                let segment = words.next().map(str::parse).transpose()?;
                Self::Entry { ledger, seq: number, head, segment }
            }
            "freeing" => Self::Freeing { ledger, seq: number },
            "freed" => Self::Freed { ledger, seq: number },
            other => anyhow::bail!("`{other}` is no promise"),
        })
    }
}

#[cfg(test)]
mod tests {
    use wire::OriginId;

    use super::*;

    #[test]
    fn a_promise_is_read_as_it_was_told() {
        let ledger = LedgerId { origin: OriginId([7; 16]), stream: "till-1/main".parse().unwrap() };
        for promise in [
            Promise::Fragments { ledger: ledger.clone(), number: 3, bytes: 100, hash: "ab".to_owned() },
            Promise::Entry { ledger: ledger.clone(), seq: 9, head: "cd".to_owned(), segment: Some(3) },
            Promise::Entry { ledger: ledger.clone(), seq: 10, head: "ef".to_owned(), segment: None },
            Promise::Refused,
            Promise::Freeing { ledger: ledger.clone(), seq: 1 },
            Promise::Freed { ledger, seq: 1 },
        ] {
            assert_eq!(promise.to_string().parse::<Promise>().unwrap(), promise);
        }
        assert!("entry x".parse::<Promise>().is_err());
    }
}
