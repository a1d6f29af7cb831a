//! What the hub is told of the cameras, with its number.
//!
//! The number rises whenever the content changes, and is kept beside the archive. It begins at the seconds
//! since 1970, so that a site that lost its disk goes on above what the hub knows.

use std::path::Path;
use std::{fs, io};

use prost::Message;
use wire::proto::Configuration;
use wire::{UnixMicros, frame};

use crate::config::{SiteConfig, accepted};
use crate::private_file;

const FILE: &str = "config-revision";

/// The configuration as it is sent; its number is durable when this returns.
pub fn numbered(config: &SiteConfig, dir: &Path, now: UnixMicros) -> io::Result<Configuration> {
    let mut told = accepted::configuration(config, 0);
    if told.encoded_len() > frame::CONTROL_BYTES_MAX / 2 {
        return Err(io::Error::other("it is too long to be sent"));
    }
    let digest = blake3::hash(&told.encode_to_vec()).to_hex().to_string();
    let known = known(dir)?;
    told.revision = match &known {
        Some((revision, of)) if *of == digest => *revision,
        known => {
            let after = known.as_ref().map_or(1, |(revision, _)| revision + 1);
            after.max(u64::try_from(now.0 / 1_000_000).unwrap_or(0))
        }
    };
    if known.is_none_or(|(revision, _)| revision != told.revision) {
        // Only for this user: a digest lets passwords be guessed.
        private_file::replace(dir, FILE, format!("{} {digest}\n", told.revision).as_bytes())?;
    }
    Ok(told)
}

/// The last number, and the digest of what had it. A file that makes no sense is none: the clock is then all
/// there is.
fn known(dir: &Path) -> io::Result<Option<(u64, String)>> {
    match fs::read_to_string(dir.join(FILE)) {
        Ok(text) => Ok(text
            .trim_end()
            .split_once(' ')
            .and_then(|(revision, digest)| Some((revision.parse().ok()?, digest.to_owned())))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_site_with;

    const NOW: UnixMicros = UnixMicros(1_000_000_000);

    fn config(dir: &Path, url: &str) -> SiteConfig {
        let file = dir.join("site.toml");
        let text = format!(
            "[site]\nid = \"shop-1\"\n[[camera]]\nid = \"till-1\"\n[[camera.stream]]\nname = \"main\"\nurl = \"{url}\"\n"
        );
        fs::write(&file, text).unwrap();
        load_site_with(&file, std::iter::empty()).unwrap().0
    }

    #[test]
    fn the_number_rises_with_every_change_and_with_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let number = |url, now| numbered(&config(dir.path(), url), dir.path(), now).unwrap().revision;
        assert_eq!(number("rtsp://10.0.0.5/a", NOW), 1_000);
        assert_eq!(number("rtsp://10.0.0.5/a", UnixMicros(NOW.0 * 2)), 1_000);
        assert_eq!(number("rtsp://10.0.0.5/b", NOW), 1_001);
        assert_eq!(number("rtsp://10.0.0.5/a", UnixMicros(0)), 1_002, "a clock that was set back");
    }

    #[test]
    fn a_site_that_lost_its_disk_goes_on_above() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let before = numbered(&config(one.path(), "rtsp://10.0.0.5/a"), one.path(), NOW).unwrap();
        let later = UnixMicros(NOW.0 + 5_000_000);
        let after = numbered(&config(other.path(), "rtsp://10.0.0.5/a"), other.path(), later).unwrap();
        assert!(after.revision > before.revision);
    }
}
