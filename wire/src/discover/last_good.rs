//! The last good answer of DNS, in a small text file:
//!
//! ```text
//! holdfast-hub 1
//! for _holdfast._udp.example.com
//! at 1794000000000000
//! 192.0.2.7:7443
//! ```
//!
//! It is a hint: it is renamed into place but not synced, and a file that is torn, foreign or for another
//! address is as good as none.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{ADDRESSES_MAX, HubAddress};
use crate::time::UnixMicros;

/// The first line; another number means another format.
const FORMAT: &str = "holdfast-hub 1";

/// The same addresses are written again after this long, so that an age told after a restart is about
/// right while flash cards live.
const REWRITE_AFTER: Duration = Duration::from_secs(3600);

/// What DNS last said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastGood {
    /// When, by the wall clock.
    pub(super) at: UnixMicros,
    /// In the order they were to be dialled.
    pub(super) addresses: Vec<SocketAddr>,
}

impl LastGood {
    /// Whether this is news compared with what is written. The order isn't: it is random each time.
    pub(super) fn is_worth_a_write(&self, written: &Self) -> bool {
        let sorted = |addresses: &[SocketAddr]| {
            let mut addresses = addresses.to_vec();
            addresses.sort_unstable();
            addresses
        };
        sorted(&self.addresses) != sorted(&written.addresses) || self.at.since(written.at) >= REWRITE_AFTER
    }
}

/// Writes the file anew.
pub(super) fn save(path: &Path, address: &HubAddress, last: &LastGood) -> io::Result<()> {
    let mut text = format!("{FORMAT}\nfor {address}\nat {}\n", last.at);
    for address in &last.addresses {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{address}");
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

/// Reads the file, if there is one for `address`.
pub(super) fn load(path: &Path, address: &HubAddress) -> Option<LastGood> {
    let text = std::fs::read_to_string(path)
        .inspect_err(|error| tracing::debug!(path = %path.display(), %error, "no earlier hub addresses"))
        .ok()?;
    let last = parse(&text, address);
    if last.is_none() {
        tracing::debug!(path = %path.display(), %address, "earlier hub addresses are of no use");
    }
    last
}

fn parse(text: &str, address: &HubAddress) -> Option<LastGood> {
    // A torn file lacks its last newline; its last line could be half an address.
    let mut lines = text.strip_suffix('\n')?.lines();
    if lines.next()? != FORMAT || lines.next()?.strip_prefix("for ")? != address.to_string() {
        return None;
    }
    let at = UnixMicros(lines.next()?.strip_prefix("at ")?.parse().ok()?);
    let addresses: Vec<SocketAddr> = lines.map(|line| line.parse().ok()).collect::<Option<_>>()?;
    ((1..=ADDRESSES_MAX).contains(&addresses.len())).then_some(LastGood { at, addresses })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hub() -> HubAddress {
        "hub.example.test:7443".parse().unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded_for_the_same_address_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub-addresses");
        let last = LastGood {
            at: UnixMicros(1_794_000_000_000_000),
            addresses: vec!["192.0.2.7:7443".parse().unwrap(), "[2001:db8::7]:7443".parse().unwrap()],
        };
        save(&path, &hub(), &last).unwrap();
        assert_eq!(load(&path, &hub()), Some(last));
        assert_eq!(load(&path, &"other.example.test:7443".parse().unwrap()), None);
        assert_eq!(load(&dir.path().join("none"), &hub()), None);
    }

    #[test]
    fn every_cut_of_the_file_is_read_as_none() {
        let text = "holdfast-hub 1\nfor hub.example.test:7443\nat 5\n192.0.2.7:7443\n";
        assert!(parse(text, &hub()).is_some());
        for cut in 0..text.len() {
            assert_eq!(parse(&text[..cut], &hub()), None, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(text in ".{0,200}") {
            parse(&text, &hub());
            parse(&format!("holdfast-hub 1\nfor hub.example.test:7443\n{text}"), &hub());
        }
    }
}
